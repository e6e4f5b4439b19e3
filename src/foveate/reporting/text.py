"""Numbers and settings as people read them; a dash where a value is undefined."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup, escape

NARROW = "\u202f"


def percent(value: float | None, digits: int = 1) -> str:
    """0.9123 -> "91.2 %"; what is not zero is not rounded to zero; a dash when undefined."""
    if value is None:
        return "–"
    smallest = 10.0**-digits
    if 0 < 100 * value < smallest / 2:
        return f"<{NARROW}{smallest:.{digits}f}{NARROW}%"
    return f"{100 * value:.{digits}f}{NARROW}%"


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


def breakable(path: str) -> Markup:
    """A file or module name that may be broken after a slash, dot or underscore, escaped."""
    return Markup(re.sub(r"([/._])(?=.)", r"\1<wbr>", str(escape(path))))
