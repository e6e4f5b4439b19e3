"""Settings of what is measured after training."""

from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails

from foveate.core.config import Config
from foveate.core.errors import ConfigError
from foveate.core.registry import by_kind
from foveate.evaluation.evaluators import EVALUATORS, AnyEvaluatorConfig
from foveate.evaluation.evaluators.backgrounds import Backgrounds
from foveate.evaluation.evaluators.look import Look
from foveate.evaluation.tta import AnyTta, parse_tta

_SHORT = {
    "look": {"tap": "look_tap"},
    "explainers": {"methods": "look_methods", "metrics": "look_metrics"},
    "neighbours": {"k": "neighbours"},
    "backgrounds": {},
}
"""{evaluator: {its setting: the short name of it}}; ``background_tests`` says if there are backgrounds."""


class EvaluationConfig(Config):
    """What is measured after training.

    In short, as earlier versions wrote it: ``look_tap`` for the tap of ``look``, ``background_tests`` true or false for
    ``backgrounds``, ``neighbours`` K for ``neighbours``, ``look_methods`` and ``look_metrics`` for ``explainers``.
    """

    tta: AnyTta = "none"
    """Test-time augmentation by name (``foveate list tta``), or NAME@SIDE for views made at that size, or settings with
    their ``kind``."""
    splits: tuple[Literal["train", "val", "test"], ...] = Field(default=("val", "test"), min_length=1)
    """Which pictures are predicted. Tuning leaves the test alone, which is for the last run; ``train`` tells how well
    the training pictures themselves are known, without augmentation."""
    measures: tuple[AnyEvaluatorConfig, ...] = (Look.Config(), Backgrounds.Config())
    """What else is measured: evaluators, each at most once (``foveate list evaluators``)."""

    @field_validator("tta", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        try:
            found = parse_tta(value)
        except ConfigError as error:  # with the place and the file that it is in
            raise ValueError(str(error).rstrip(".")) from None
        return value if isinstance(value, str) else found

    @model_validator(mode="before")
    @classmethod
    def _from_short(cls, values: Any) -> Any:
        given = (
            values.get("measures", cls.__pydantic_fields__["measures"].default)
            if isinstance(values, dict)
            else None
        )
        if not isinstance(given, list | tuple):
            return values
        plain = [item.model_dump() if isinstance(item, Config) else by_kind(item) for item in given]
        if not all(isinstance(item, dict) and item.get("kind") in EVALUATORS for item in plain):
            return values | {"measures": plain}
        found = {item["kind"]: dict(item) for item in plain}
        if len(found) < len(plain):
            raise ValueError("measures: an evaluator is named twice")
        values = dict(values)
        for kind, names in _SHORT.items():
            for name, short in names.items():
                if values.get(short, 0) is None:
                    found.pop(kind, None)
                    del values[short]
                elif short in values:
                    _check(kind, name, short, values[short])
                    found.setdefault(kind, {"kind": kind})[name] = values.pop(short)
        wanted = values.pop("background_tests", "backgrounds" in found)
        if wanted not in (True, False):
            _refuse({"type": "bool_type", "loc": ("background_tests",), "input": wanted})
        found.pop("backgrounds", None)
        return values | {"measures": [*found.values(), *([{"kind": "backgrounds"}] if wanted else [])]}

    @field_validator("measures")
    @classmethod
    def _in_order(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(sorted(value, key=lambda config: list(EVALUATORS).index(config.kind)))

    @property
    def look_tap(self) -> str:
        """Feature map at which it is measured where the network looks, and from which class maps are."""
        return next((config.tap for config in self.measures if config.kind == "look"), Look.Config().tap)

    @property
    def neighbours(self) -> int | None:
        """How many training pictures vote; None where they are not asked."""
        return next((config.k for config in self.measures if config.kind == "neighbours"), None)


def by_short_names(plain: dict[str, Any]) -> dict[str, Any]:
    """Plain settings as earlier versions had them, which hashes of recorded runs are made of (``HashedAs``)."""
    kinds = {values["kind"]: values for values in plain["measures"]}
    further = [values for kind, values in kinds.items() if kind not in _SHORT]
    kept = {name: value for name, value in plain.items() if name != "measures"}
    kept |= {"look_tap": None, "background_tests": "backgrounds" in kinds}
    for kind, names in _SHORT.items():
        values = kinds.get(kind, {})
        kept |= {names.get(name, f"{kind}.{name}"): value for name, value in values.items() if name != "kind"}
    for short, default in (("look_methods", []), ("look_metrics", ["localisation"])):
        if kept.get(short) == default:
            del kept[short]
    return kept | ({"measures": further} if further else {})


def _check(kind: str, name: str, short: str, value: Any) -> None:
    """An error says the name that was typed."""
    try:
        EVALUATORS[kind].Config.model_validate({name: value})
    except ValidationError as error:
        _refuse(*({**found, "loc": (short, *found["loc"][1:])} for found in error.errors()))


def _refuse(*details: Any) -> None:
    known = InitErrorDetails.__annotations__
    found: Any = [{key: value for key, value in detail.items() if key in known} for detail in details]
    raise ValidationError.from_exception_data("EvaluationConfig", found) from None
