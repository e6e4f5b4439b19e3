"""How to read a data folder where its names do not say it: the settings, and the rules in them.

A rule takes a word out of a path, ``part:K`` or ``regex:PATTERN``, or names a table's column: ``column:NAME``.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import field_validator, model_validator

from foveate.core.config import Config, Mark

ROLES = ("path", "label", "split", "mask", "group", "class_id")
ATTRIBUTE_ROLE = "attribute "
"""Before an attribute's name, in the role of its column."""
OFF = "none"
"""Switches a rule off that a file or a run's settings brought; of masks: no file is a mask."""
AUTO = "auto"
"""Among several sources of masks: those that are found by themselves."""


class LayoutConfig(Config):
    """How to read a data folder where its names do not say it."""

    masks: Path | tuple[Path, ...] | None = None
    """Mask folder, file of annotations or table of boxes, relative to the data folder; None = the usual names; the
    word "none" = no file is a mask. Of several, "auto" for the usual names among them, the first that has a mask for a
    picture counts, and what was drawn before what was proposed (foveate masks propose), in whatever order."""
    mask_kind: Literal["auto", "png", "trimap", "black", "parts"] = "auto"
    """How to read mask files (see ``foveate.data.annotations``); auto goes by the folder's name, else png."""
    mask_values: tuple[int, ...] | None = None
    """Grey values that are object in png masks, for example (128, 255); None = found out for each mask."""
    label: Annotated[str | None, Mark.LATER] = None
    """Where a picture's class is said, when not by the first folder: "column:NAME" of the manifest, "part:K" (part of
    the path, 1 = first folder, -2 = the folder it lies in) or "regex:PATTERN" (its first group, searched in the
    path)."""
    group: str | None = None
    """Which pictures belong together, in the same words; -1 = file name."""
    attributes: Annotated[tuple[str, ...], Mark.LATER] = ()
    """What else is known of the pictures: "NAME", a column of the manifest, or "NAME=RULE" with a rule as for the label
    ("camera=part:2"). Attributes are measured and balanced; they keep nothing together as groups do."""
    columns: Annotated[str | None, Mark.LATER] = None
    """What a manifest's columns are where their names do not say it, as "path=image_id,label=dx"; known are path,
    label, split, mask, group and class_id."""
    manifest: Path | None = None
    """CSV table of pictures, relative to the data folder; None = use one that lies in the folder."""

    @field_validator("group", "label", "columns", mode="before")
    @classmethod
    def _off(cls, rule: str | None) -> str | None:
        return None if rule == OFF else rule

    @field_validator("group", "label")
    @classmethod
    def _check_rule(cls, rule: str | None) -> str | None:
        if rule is not None:
            check_rule(rule)
        return rule

    @field_validator("attributes")
    @classmethod
    def _check_attributes(cls, attributes: tuple[str, ...]) -> tuple[str, ...]:
        said = tuple(text for text in attributes if text != OFF)
        names = [rule_of(text)[0] for text in said]
        if len(set(names)) < len(names):
            raise ValueError(f"the attribute {max(names, key=names.count)} is named twice; keep one")
        return said

    @field_validator("columns")
    @classmethod
    def _check_columns(cls, columns: str | None) -> str | None:
        parse_columns(columns)
        return columns

    @property
    def mask_sources(self) -> tuple[Path, ...]:
        """``masks``, one or several; none where that is not said."""
        return self.masks if isinstance(self.masks, tuple) else () if self.masks is None else (self.masks,)

    def below(self, data: Path) -> "LayoutConfig":
        """The same, with masks that lie in ``data`` named in full."""
        if self.masks is None:
            return self
        found = tuple(data / masks if (data / masks).exists() else masks for masks in self.mask_sources)
        return self.model_copy(update={"masks": found if isinstance(self.masks, tuple) else found[0]})

    @property
    def roles(self) -> dict[str, str]:
        """{what a column of the manifest is: its name}, of those that were said."""
        said = {"label": column_of(self.label), "group": column_of(self.group)}
        said |= {ATTRIBUTE_ROLE + name: column_of(rule) for name, rule in map(rule_of, self.attributes)}
        return parse_columns(self.columns) | {role: name for role, name in said.items() if name is not None}

    @model_validator(mode="after")
    def _check_values(self) -> "LayoutConfig":
        if len(self.mask_sources) > 1 and Path(OFF) in self.mask_sources:
            raise ValueError(f"masks says {OFF} beside other masks; leave one out")
        if self.mask_values is not None and self.mask_kind not in ("auto", "png"):
            raise ValueError(f"mask_values go with mask_kind png, not {self.mask_kind}")
        for role in ("label", "group"):
            if getattr(self, role) is not None and role in parse_columns(self.columns):
                raise ValueError(f"columns and {role} both say what the {role} is; leave one out")
        return self


def parse_columns(text: str | None) -> dict[str, str]:
    """``path=image_id,label=dx`` -> {role: column}.

    Raises:
        ValueError: not of that form, or an unknown role.
    """
    pairs = [part.partition("=") for part in (text or "").split(",") if part.strip()]
    for role, _, column in pairs:
        if role.strip() not in ROLES or not column.strip():
            raise ValueError(f"use path=NAME,label=NAME; known are {', '.join(ROLES)}")
    return {role.strip(): column.strip() for role, _, column in pairs}


def check_rule(rule: str) -> None:
    """Raise a ValueError unless ``rule`` is column:NAME, part:K or regex:PATTERN."""
    kind, _, value = rule.partition(":")
    if kind not in ("column", "part", "regex") or not value:
        raise ValueError("use column:NAME, part:K or regex:PATTERN")
    if kind == "part" and (not re.fullmatch(r"-?\d+", value) or int(value) == 0):
        raise ValueError("part:K needs a whole number, 1 = first folder, -1 = file name")
    if kind == "regex":
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None


def rule_of(attribute: str) -> tuple[str, str]:
    """(name, rule) of "NAME", a table's column, or "NAME=RULE".

    Raises:
        ValueError: no name, or see ``check_rule``.
    """
    name, equals, rule = (part.strip() for part in attribute.partition("="))
    if not name:
        raise ValueError("use COLUMN, or NAME=part:K, NAME=regex:PATTERN or NAME=column:COLUMN")
    check_rule(rule if equals else f"column:{name}")
    return name, rule if equals else f"column:{name}"


def column_of(rule: str | None) -> str | None:
    """The column that the rule names; None when it goes by the path."""
    kind, _, value = (rule or "").partition(":")
    return value if kind == "column" else None


def word_of(rule: str, *, folders: bool = False) -> Callable[[str], str]:
    """The function {path: word, or "" where the rule finds nothing}; ``folders``: a file's name is no word."""
    kind, _, value = rule.partition(":")

    def part(path: str) -> str:
        parts = path.split("/")
        k = int(value) - 1 if int(value) > 0 else int(value) + len(parts)
        return parts[k] if 0 <= k < len(parts) - folders else ""

    def match(path: str) -> str:
        found = re.search(value, path)
        return "" if found is None else (found.group(1) or "" if found.re.groups else found.group())

    return part if kind == "part" else match
