"""Numbers and settings as people read them; a dash where a value is undefined."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup, escape

NARROW = "\u202f"
_LATEX = str.maketrans({
    "\\": r"\textbackslash{}",
    "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "±": r"$\pm$", "×": r"$\times$",
    "−": "$-$", "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "→": r"$\rightarrow$", "·": r"$\cdot$",
    "–": "--", "—": "---", "…": r"\dots{}", "°": r"$^\circ$", "\u00a0": "~", "\u202f": r"\,",
    "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "δ": r"$\delta$", "Δ": r"$\Delta$", "ε": r"$\epsilon$",
    "λ": r"$\lambda$", "μ": r"$\mu$", "σ": r"$\sigma$", "τ": r"$\tau$",
})  # fmt: skip


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
    return "–" if value is None or not np.isfinite(value) else f"{value:z.{digits}f}"


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


def breakable(path: str) -> Markup:
    """A file or module name that may be broken after a slash, dot or underscore, escaped."""
    return Markup(re.sub(r"([/._])(?=.)", r"\1<wbr>", str(escape(path))))


def markdown(text: str) -> Markup:
    """Text that Markdown shows as it is, on one line."""
    text = _line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Markup(re.sub(r"([\\`*_\[\]|$~])", r"\\\1", text))


def latex(text: str) -> Markup:
    """Text that LaTeX shows as it is, on one line."""
    return Markup(_line(text).translate(_LATEX))


def _line(text: str) -> str:
    printable = "".join(c if c.isprintable() or c in "\u00a0\u202f" else " " for c in text)
    return re.sub(" +", " ", printable).strip(" ")
