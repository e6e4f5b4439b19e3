"""Registries: what can be chosen by ``kind``, in one place for each sort of thing.

    LOSSES = Registry("loss", CrossEntropy, Focal)
    LOSSES["focal"]                 # the class
    LOSSES.build(config, context)   # an object of the class that config.kind names

A class has settings, its ``Config``, whose field ``kind`` is a Literal with one value: its name.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Union

from pydantic import Field

from foveate.core.errors import ConfigError

_ALL: list["Registry"] = []


class Registry(Mapping[str, type[Any]]):
    """{kind: class}, in the order in which the classes are listed.

    Args:
        what: what one of them is, for messages ("loss").
        formerly: what ``kind`` was called when runs were first recorded; their hashes keep it.
    """

    def __init__(self, what: str, *classes: type[Any], formerly: str = "kind") -> None:
        self.what = what
        self._formerly = formerly
        self._classes: dict[str, type[Any]] = {}
        for entry in classes:
            self.adopt(entry)
        self._listed = tuple(self._classes.values())
        _ALL.append(self)

    def adopt(self, entry: type[Any]) -> None:
        """Add a class of a package above (``core.providers``). ``settings`` does not know it: a field that is to take
        it has a validator before that looks here."""
        _settings(entry).hashed_kind = self._formerly
        self._classes[_settings(entry).__pydantic_fields__["kind"].default] = entry

    @property
    def adopted(self) -> tuple[str, ...]:
        """Kinds that ``adopt`` has added."""
        return tuple(self)[len(self._listed) :]

    def __getitem__(self, kind: str) -> type[Any]:
        """The class of this kind.

        Raises:
            KeyError: there is none; ``find`` says it in a sentence.
        """
        return self._classes[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def find(self, kind: str) -> type[Any]:
        """The class of this kind.

        Raises:
            ConfigError: there is none; the message lists what there is.
        """
        if kind not in self._classes:
            raise ConfigError(f"There is no {self.what} '{kind}'; choose one of {', '.join(self)}.")
        return self._classes[kind]

    def build(self, config: Any, *arguments: Any, **named: Any) -> Any:
        """An object of the class that ``config.kind`` names, built with (config, *arguments, **named)."""
        return self._classes[config.kind](config, *arguments, **named)

    @property
    def settings(self) -> Any:
        """The type of a field that holds the settings of any of those listed, told apart by ``kind``.

        Type checkers cannot follow it: declare ``Any`` for them.
        """
        configs = tuple(_settings(entry) for entry in self._listed)
        return Annotated[Union[configs], Field(discriminator="kind")] if len(configs) > 1 else configs[0]  # noqa: UP007


def by_kind(value: Any, *, otherwise: str | None = None) -> Any:
    """Settings given by their kind alone, "cosine" for {"kind": "cosine"}, or with ``name`` for ``kind``, as earlier
    versions wrote some; where neither is said they are of the kind ``otherwise``. For a field's validator."""
    if isinstance(value, str):
        return {"kind": value}
    if not isinstance(value, dict) or "kind" in value:
        return value
    if "name" in value:
        return {"kind" if key == "name" else key: setting for key, setting in value.items()}
    return value if otherwise is None else {"kind": otherwise, **value}


def _settings(entry: type[Any]) -> Any:
    return getattr(entry, "Config", entry)  # a class that has no state is its own settings


def shared_settings(kind: object) -> set[str]:
    """Names of the settings that stay when ``kind`` is chosen in place of another: those that all of its sort have."""
    found: Iterable[set[str]] = (
        set.intersection(*(set(_settings(entry).__pydantic_fields__) for entry in registry.values()))
        for registry in _ALL
        if kind in registry
    )
    return set.union(set(), *found)


def first_sentence(text: str | None) -> str:
    """The first sentence of a docstring, on one line."""
    paragraph = (text or "").strip().split("\n\n", 1)[0]
    line = " ".join(paragraph.split()).replace("``", "")
    return re.split(r"(?<=\.)\s+(?=[A-Z])", line, maxsplit=1)[0]
