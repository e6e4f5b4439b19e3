"""Every setting that an experiment can have, found by walking its classes, and other values for each."""

import types
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from foveate.core.config import Config
from foveate.core.errors import ConfigError
from foveate.experiment import Experiment

TEXTS = (
    "other",
    "part:1",
    "path=file,label=kind",
    "basic",
    "crop",
    "deep",
    "head",
    "early",
    "flip",
    "gradcam",
    "cpu",
    "val_accuracy",
    "frequency",
)
NUMBERS = (1, 2, 3, 4, 5, 16, 64, 0.5, 0.1, 0.05, 0.7, 0.9, 1.5, 0, 6.0, 30)
"""Whatever is tried, what a class refuses is passed over."""
TOGETHER: dict[str, dict[str, Any]] = {
    "data.split.fold": {"data": {"split": {"folds": 5}}},
    "data.split.judge": {"data": {"split": {"test": 0.2}}},
}
"""Settings that need another one beside them."""


@dataclass(frozen=True)
class Setting:
    """One setting, in an experiment that has it at its default."""

    place: tuple[str | int, ...]
    kinds: str
    """The kinds of the parts above it ("cosine"), which make it another setting."""
    owner: type[Config]
    field: FieldInfo
    around: dict[str, Any]
    """Settings of the experiment that has it."""

    def __str__(self) -> str:
        return ".".join(map(str, self.place)) + (f" of {self.kinds}" if self.kinds else "")

    @property
    def base(self) -> Experiment:
        """The experiment with this setting at its default."""
        return Experiment.from_dict(self.around)

    def others(self) -> list[Experiment]:
        """Experiments that differ from ``base`` in this setting alone."""
        found = []
        for value in candidates(self.field.annotation):
            values = deepcopy(self.around)
            put(values, self.place, value)
            try:
                changed = Experiment.from_dict(values)
            except ConfigError:
                continue
            if changed.to_dict() != self.base.to_dict():
                found.append(changed)
        return found


def every_setting() -> list[Setting]:
    """All of them, in the order of the classes."""
    return list(_settings(Experiment, (), (), {}))


def _settings(
    model: type[Config], place: tuple[str | int, ...], kinds: tuple[str, ...], around: dict[str, Any]
) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        here = (*place, field.alias or name)
        parts = list(_parts(field.annotation))
        options = literals(field.annotation)
        if any(part is model for part, _ in parts):
            continue  # a combination of its own kind: its members are walked where they stand alone
        fixed = field.annotation is types.NoneType or (len(options) == 1 and field.default == options[0])
        if not parts and not fixed:
            together = TOGETHER.get(".".join(map(str, here)), {})
            yield Setting(here, " ".join(kinds), model, field, _laid(around, together))
        for part, steps in parts:
            values = deepcopy(around)
            put(values, (*here, *steps), minimal(part))
            kind = [str(f.default) for f in part.model_fields.values() if _is_kind(f)]
            yield from _settings(part, (*here, *steps), (*kinds, *kind), values)


def _is_kind(field: FieldInfo) -> bool:
    options = literals(field.annotation)
    return len(options) == 1 and field.default == options[0]


def _parts(annotation: Any) -> Iterator[tuple[type[Config], tuple[str | int, ...]]]:
    """Classes of settings inside a field, each with the steps to it."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Config):
        yield annotation, ()
    elif origin is Annotated:
        yield from _parts(inner[0])
    elif origin in (Union, types.UnionType):
        for option in inner:
            yield from _parts(option)
    elif origin is tuple:
        yield from ((part, (0, *steps)) for part, steps in _parts(inner[0]))
    elif origin is dict:
        yield from ((part, ("classification", *steps)) for part, steps in _parts(inner[1]))


def literals(annotation: Any) -> tuple[Any, ...]:
    """The values of a Literal; () of anything else."""
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def minimal(model: type[Config]) -> dict[str, Any]:
    """As few settings as make one of these: its kind, and what has no default."""
    values = {}
    for name, field in model.model_fields.items():
        if _is_kind(field):
            values[name] = field.default
        elif field.is_required():
            part = next((part for part in _parts(field.annotation) if part[0] is not model), None)
            if part is None:
                values[name] = next(iter(candidates(field.annotation)))
            else:
                put(values, (name, *part[1]), minimal(part[0]))
    return values


def candidates(annotation: Any) -> Iterator[Any]:
    """Values of this type, as a file could hold them."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        yield from inner
    elif origin is Annotated:
        yield from candidates(inner[0])
    elif origin in (Union, types.UnionType):
        for option in inner:
            yield from candidates(option)
    elif origin is tuple and inner[-1] is not Ellipsis:
        yield from ([number * factor for factor in range(1, len(inner) + 1)] for number in (0.1, 0.2, 0.3))
        yield from ([0.5] * len(inner), [2] * len(inner))
    elif origin is tuple:
        yield from ([value] for value in candidates(inner[0]))
    elif origin is dict:
        yield from ({"kind": "hflip", "p": 0.25}, {"a": 2.0}, {"a": 0.5})
    elif annotation is bool:
        yield from (True, False)
    elif annotation in (int, float):
        yield from NUMBERS
    elif annotation is str:
        yield from TEXTS
    elif annotation is Path:
        yield from ("elsewhere", "another")
    elif annotation is type(None):
        yield None
    else:
        raise NotImplementedError(f"no value is known of {annotation}: add one here")


def put(values: Any, place: tuple[str | int, ...], value: Any) -> None:
    """Set one value of nested mappings and lists, which are made where there are none."""
    for step, following in pairwise(place):
        if isinstance(step, int):
            values[step:] = values[step:] or [{}]
            values = values[step]
        else:
            values = values.setdefault(step, [] if isinstance(following, int) else {})
    if isinstance(place[-1], int):
        values[place[-1] :] = [value]
    else:
        values[place[-1]] = value


def _laid(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = deepcopy(base)
    for name, value in over.items():
        merged[name] = _laid(merged.get(name, {}), value) if isinstance(value, dict) else value
    return merged
