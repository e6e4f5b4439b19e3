"""The audit of a set of pictures as one HTML file: classes with samples, problems, trivial cues."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foveate.core.files import write_text
from foveate.data.audit import CODES, Audit, Problem
from foveate.data.catalog import UNLABELLED
from foveate.reporting.classes import class_pictures, distribution
from foveate.reporting.page import render_page

SHOWN = 50
"""Problems of one kind that are listed."""


MASKS = (("drawn", "drawn mask"), ("proposed", "proposed mask"), ("none", "without mask"))


def build_check_page(audit: Audit, out: Path, notes: Sequence[str] = ()) -> Path:
    """Write the page and return its path. ``notes``: how the pictures were read (``Discovery.notes``)."""
    catalog = audit.catalog
    rows = [(s.path, s.label, s.split) for s in catalog.samples if s.label != UNLABELLED]
    shown = class_pictures(catalog.root, catalog.classes, rows) if rows else None
    if shown and len({*audit.mask_sources}) > 1:
        each = audit.masks_by_class().values()
        counts = {words: np.array([masks[name] for masks in each]) for name, words in MASKS}
        masked = distribution(catalog.classes, counts, name="masks")
        # of pictures that are not split yet, the bars by split tell nothing more
        shown["figure"] = shown["figure"] + masked if any(split for *_, split in rows) else masked
    context = {
        "notes": notes,
        "title": catalog.root.name,
        "pictures": len(catalog),
        "unlabelled": len(catalog) - len(rows),
        "errors": len(audit.errors),
        "warnings": sum(problem.severity == "warning" for problem in audit.problems),
        "distribution": shown,
        "groups": _groups(audit.problems),
        "cues": audit.cues,
        "shown": SHOWN,
    }
    write_text(out, render_page("check.html.j2", context))
    return out


def _groups(problems: tuple[Problem, ...]) -> list[dict[str, Any]]:
    """Problems by code, in the order they are listed."""
    found: dict[str, list[Problem]] = {}
    for problem in problems:
        found.setdefault(problem.code, []).append(problem)
    return [
        {"title": CODES[code].title, "severity": CODES[code].severity, "advice": CODES[code].advice, "problems": listed}
        for code, listed in found.items()
    ]  # fmt: skip
