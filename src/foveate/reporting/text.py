"""Numbers and settings as people read them; a dash where a value is undefined."""

from collections.abc import Mapping
from typing import Any

import numpy as np

NARROW = "\u202f"


def percent(value: float | None, digits: int = 1) -> str:
    """0.9123 -> "91.2 %"; a dash when undefined."""
    return "–" if value is None else f"{100 * value:.{digits}f}{NARROW}%"


def number(value: float | None, digits: int = 3) -> str:
    """Fixed digits; a dash when undefined or not finite."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def thousands(value: int) -> str:
    """12345 -> "12 345"."""
    return f"{value:,}".replace(",", NARROW)


def value_text(value: Any) -> str:
    """A setting's value for people."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(value_text(v) for v in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {value_text(v)}" for k, v in value.items())
    return str(value)


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.3g} s"
