"""The base of every configuration class: frozen, unknown keys refused, readable messages.

A configuration class stands beside the code that reads it; ``foveate.experiment`` only composes them.
"""

import ast
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from itertools import pairwise
from textwrap import dedent
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, to_jsonable_python

from foveate.core.errors import ConfigError, FoveateError, shortened, shown

MOST = 6
"""Wrong fields that a message names."""


class _Described:
    """``model_fields`` whose descriptions are read when somebody asks for the fields: pydantic would read all sources
    (``use_attribute_docstrings``) whenever foveate is imported. ``__pydantic_fields__`` are the same fields at once."""

    def __get__(self, instance: object, owner: type["Config"]) -> dict[str, FieldInfo]:
        for name, text in _docstrings(owner).items():
            field = owner.__pydantic_fields__[name]
            field.description = field.description or text
        return owner.__pydantic_fields__


class Config(BaseModel):
    """Frozen, validated settings. Every field has a default or is documented as required."""

    model_fields: ClassVar[_Described] = _Described()

    hashed_kind: ClassVar[str] = "kind"
    """What hashes call ``kind``: the name it had when runs were first recorded."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    def consumes(self) -> tuple[str, ...]:
        """What training needs beside pictures and their classes because of these settings: "masks", "attribute labels",
        "validation labels"."""
        return ()

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        fields = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in _docstrings(cls).items():
            fields.get(name, {}).setdefault("description", text)
        return schema


@cache
def _docstrings(kind: type[Config]) -> dict[str, str]:
    """{field: the text under it in the source}, also of the classes that ``kind`` is made from."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__[: kind.__mro__.index(BaseModel)]):
        try:
            (tree,) = ast.parse(dedent(inspect.getsource(base))).body
        except OSError:  # made at a prompt: there is no file
            continue
        assert isinstance(tree, ast.ClassDef)
        for field, text in pairwise(tree.body):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                    found[name] = inspect.cleandoc(words)
    return {name: text for name, text in found.items() if name in kind.__pydantic_fields__}


class Mark(Enum):
    """What a field says about hashes; a field without a mark always counts."""

    DECIDES_NOTHING = 1
    """It changes where and how something runs, and no result."""
    LATER = 2
    """It came after runs had been recorded: at its default it leaves no trace."""


@dataclass(frozen=True)
class HashedAs:
    """A mark for a field whose spelling has changed since runs were first recorded: how hashes see its plain value."""

    earlier: Callable[[Any], Any]


def deciding(value: Any) -> Any:
    """Plain values of all settings that can change a result, nested; what hashes are made of."""
    if isinstance(value, Config):
        kept = {}
        for name, field in type(value).__pydantic_fields__.items():
            plain = deciding(getattr(value, name))
            for mark in field.metadata:
                plain = mark.earlier(plain) if isinstance(mark, HashedAs) else plain
            later = Mark.LATER in field.metadata
            if Mark.DECIDES_NOTHING in field.metadata or (later and plain == deciding(field.get_default())):
                continue
            kept[value.hashed_kind if name == "kind" else field.serialization_alias or name] = plain
        return kept
    if isinstance(value, Mapping):
        return {name: deciding(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [deciding(item) for item in value]
    return to_jsonable_python(value)


C = TypeVar("C", bound=Config)


def parse(
    config_class: type[C], values: dict[str, Any], *, source: str, error: type[FoveateError] = ConfigError
) -> C:
    """Validate ``values``; ``source`` names where they came from (a file, a flag).

    Raises:
        error: one clause for each wrong field, with its dotted path, its value and what is allowed.
    """
    try:
        return config_class.model_validate(values)
    except ValidationError as problem:
        found: dict[tuple[str, str], list[str]] = {}
        for detail in problem.errors(include_url=False, include_context=False):
            # The last part of the path is no field where it says which kind of value was tried: "int", "literal[...]".
            steps = _place(detail["loc"], values)
            steps = steps[:-1] if len(steps) > 1 and _KIND.match(steps[-1]) else steps
            given = "" if detail["type"] == "missing" else f" (got {shown(detail['input'])})"
            path = shortened(".".join(steps), 80)
            found.setdefault((path, given), []).append(in_words(detail["type"], detail["msg"]))
        lines = []
        for (path, given), messages in found.items():
            first, *others = dict.fromkeys(messages)
            words = " or ".join([first, *(other.removeprefix(" must be ") for other in others)])
            lines.append(f"{path}{words}{given}".strip().removeprefix(": "))
        more = [f"and {len(lines) - MOST} more"] if len(lines) > MOST else []
        raise error(f"{source}: {'; '.join(lines[:MOST] + more)}.") from None


def _place(location: Sequence[int | str], values: Any) -> list[str]:
    """Where ``location`` lies in ``values``, without the kinds of settings that pydantic names on its way."""
    steps = []
    for step in location:
        if isinstance(values, Mapping) and step not in values and step in values.values():
            continue
        steps.append(str(step))
        inside = isinstance(values, Mapping) or (
            isinstance(values, list | tuple) and step in range(len(values))
        )
        values = values[step] if inside and (not isinstance(values, Mapping) or step in values) else None
    return steps


_KIND = re.compile(r"(constrained-)?(int|float|str|bool|none)$|literal\[|list\[|tuple\[|dict\[")
_NEEDED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "dict": "settings by name",
    "model": "settings by name",
    "list": "a list",
    "tuple": "a list",
    "none": "empty",
}
"""{beginning of a pydantic error's type: what is needed}"""
_TYPE = re.compile(r"(\w+?)_(type|parsing|parsing_size|from_float|attributes_type|required)$")
_WORDS = {
    "missing": " is missing",
    "extra_forbidden": " is no setting",
    "union_tag_not_found": ": a kind is missing",
}


def in_words(kind: str, message: str) -> str:
    """A pydantic error of the type ``kind`` as the rest of a clause that begins with the setting."""
    match = _TYPE.match(kind)
    if match and match[1] in _NEEDED:
        return f" must be {_NEEDED[match[1]]}"
    if kind in _WORDS:
        return _WORDS[kind]
    if kind == "union_tag_invalid":
        return f".kind must be one of {message.rpartition(': ')[2]}"
    message = message.replace("greater than or equal to", "at least").replace(
        "less than or equal to", "at most"
    )
    message, changed = re.subn(r"^\w+ should (.*?)( after validation)?(?=,|$)", r" must \1", message)
    return (
        message
        if changed
        else f": {message.removeprefix('Value error, ').removeprefix('Assertion failed, ')}"
    )
