"""The base of every configuration class: frozen, unknown keys refused, readable messages.

A configuration class stands beside the code that reads it; ``foveate.experiment`` only composes them.
"""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from foveate.core.errors import ConfigError


class Config(BaseModel):
    """Frozen, validated settings. Every field has a default or is documented as required."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=()
    )


C = TypeVar("C", bound=Config)


def parse(config_class: type[C], values: dict[str, Any], *, source: str) -> C:
    """Validate ``values``; ``source`` names where they came from (a file, a flag).

    Raises:
        ConfigError: one line for each wrong field, with its dotted path, its value and what is allowed.
    """
    try:
        return config_class.model_validate(values)
    except ValidationError as error:
        lines = []
        for detail in error.errors():
            path = ".".join(str(part) for part in detail["loc"]) or "(top level)"
            given = "" if detail["type"] == "missing" else f" (got {detail['input']!r})"
            lines.append(f"{path}: {detail['msg']}{given}")
        raise ConfigError(f"{source} is not a valid {config_class.__name__}: " + "; ".join(lines)) from None
