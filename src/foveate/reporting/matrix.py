"""The confusion matrix as SVG: exact places, tooltips, page colours."""

from collections.abc import Sequence

from markupsafe import Markup

from foveate.core.files import csv_text
from foveate.reporting.page import templates

LONGEST = 26
_COUNTS_UP_TO = 40
_PAGE = 1060
_CELLS = ((4, 64), (8, 52), (12, 42), (20, 32), (_COUNTS_UP_TO, 22))
"""(classes up to which, side of a cell in px)"""


def shorten(text: str, length: int = LONGEST) -> str:
    """The text, cut with an ellipsis when longer than ``length``."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def confusion_svg(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> Markup:
    """Rows = true class, columns = predicted. confusion (C, C) counts.

    Colour is the share of the row (right: first colour; wrong: second), numbers are counts. Beyond 40 classes
    the numbers are left to the tooltips.
    """
    n = len(names)
    cell = next((side for most, side in _CELLS if n <= most), max(5, 840 // n))
    font = min(13, max(4, cell * 0.56))
    labels = [shorten(name) for name in names]
    longest = max(len(label) for label in labels)
    left = longest * font * 0.56 + 30
    # The last slanted label reaches beyond the right edge.
    right = max(44, len(labels[-1]) * font * 0.40)
    if n <= _COUNTS_UP_TO:  # fit the page where that leaves the numbers readable
        cell = max(16, min(cell, int((_PAGE - left - right) / n)))
    top = longest * font * 0.58 * 0.72 + 34
    draw = templates().get_template("drawings.svg.j2").module.confusion  # type: ignore[attr-defined]
    rows = [
        (names[i], names[j], count) for i, row in enumerate(confusion) for j, count in enumerate(row) if count
    ]
    data = csv_text(("true", "predicted", "pictures"), rows)
    return Markup(draw(confusion, names, labels, cell, left, top, right, font, n <= _COUNTS_UP_TO, data))
