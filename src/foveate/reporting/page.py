"""The frame of every report: one HTML file that loads nothing, in which text from outside stays text."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache, partial
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from foveate.core.durations import duration
from foveate.reporting.pictures import data_uri
from foveate.reporting.text import (
    breakable,
    latex,
    markdown,
    number,
    percent,
    thousands,
    value_text,
)


@cache
def templates() -> Environment:
    """The templates of this package with their filters."""
    environment = Environment(
        loader=PackageLoader("foveate.reporting", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent, "number": number, "thousands": thousands, "breakable": breakable, "px": "{:.1f}".format,
        "uri": partial(data_uri, quality=85), "markdown": markdown, "latex": latex, "text": value_text,
        "leaves": leaves, "duration": duration,
    }  # fmt: skip
    return environment


def render_page(template: str, context: Mapping[str, Any]) -> str:
    """The HTML of ``template``, which extends base.html.j2; with ``answers`` in it the pictures' script too."""
    own = resources.files("foveate.reporting")
    files = ["script.js", *(["gallery.js"] if context.get("answers") else [])]
    script = "".join(own.joinpath(name).read_text(encoding="utf-8") for name in files)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return templates().get_template(template).render(script=Markup(script), script_hash=digest, **context)


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of every leaf of nested plain values."""
    inner = value
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        inner = dict(enumerate(value))
    if not isinstance(inner, dict):
        yield place, value
        return
    for name, part in inner.items():
        yield from leaves(part, f"{place}.{name}".lstrip("."))
