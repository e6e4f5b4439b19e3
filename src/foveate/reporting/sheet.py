"""Contact sheets of explained pictures: rows are pictures, columns are runs, methods, layers. HTML that loads nothing
else, and the same as PNG.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import Image

from foveate.core.files import write_bytes, write_text
from foveate.reporting.canvas import PRINT
from foveate.reporting.overlays import colorbar, legend
from foveate.reporting.page import render_page
from foveate.reporting.raster import Pen, load_font, png
from foveate.reporting.text import percent
from foveate.training import Observer

SIDE = 224
"""Longest side of a picture on the sheets in pixels."""
PICTURES_ON_PAGE = 400
"""Overlays on one page: about 5 MB of HTML."""
ROWS_ON_PAGE = 24
"""Of one PNG sheet at most, or it could not be looked at."""


@dataclass(frozen=True)
class View:
    """A column."""

    run: str
    """"" where there is one run."""
    method: str
    layer: str
    """"" for a method without layers."""
    module: str
    """What the layer's name means in this network."""


@dataclass(frozen=True)
class Row:
    """A picture."""

    path: str
    label: str | None
    picture: Image.Image
    cells: tuple[Image.Image, ...]
    """Overlays, one a view."""
    answers: Sequence[Mapping[str, Any]]
    """One a run: prediction, probability, target, target_probability."""

    def right(self, answer: Mapping[str, Any]) -> bool | None:
        """None where the true class is not known."""
        return None if self.label is None else bool(answer["prediction"] == self.label)


@dataclass(frozen=True)
class Sheet:
    """What all pages share."""

    title: str
    runs: tuple[str, ...]
    network: str
    views: tuple[View, ...]
    target: str
    size: int
    """Pictures in all."""
    cropped: bool
    """Whether a network saw the middle of the pictures only."""

    @property
    def rows_on_page(self) -> int:
        """Rows of one page."""
        return max(1, min(ROWS_ON_PAGE, PICTURES_ON_PAGE // (len(self.views) + 1)))

    @property
    def groups(self) -> list[tuple[str, list[View]]]:
        """(run, its views)."""
        return [(run, list(views)) for run, views in groupby(self.views, key=lambda view: view.run)]

    @staticmethod
    def methods(views: Sequence[View]) -> list[tuple[str, list[View]]]:
        """(method, its views) of the views of one run."""
        return [(method, list(same)) for method, same in groupby(views, key=lambda view: view.method)]

    @property
    def explained(self) -> str:
        """What the maps are evidence for, in words."""
        words = {"predicted": "the class that the network predicts", "true": "the true class"}
        return words.get(self.target, f"the class {self.target}")


def write_sheets(
    out: Path, sheet: Sheet, rows: Iterator[Row], total: int, observer: Observer | None = None
) -> list[str]:
    """Write ``sheet.html`` and ``sheet.png`` (``sheet-2`` ... where there are many pictures) into ``out``.

    Returns:
        The names of the files.
    """
    observer = observer or Observer()
    step = sheet.rows_on_page
    count = -(-total // step)
    names = ["sheet", *(f"sheet-{number}" for number in range(2, count + 1))]
    for number, name in enumerate(names):
        page = [next(rows) for _ in range(min(step, total - number * step))]
        context = {
            "title": sheet.title, "sheet": sheet, "rows": page, "names": names, "number": number,
            "colorbar": colorbar(),
        }  # fmt: skip
        write_text(out / f"{name}.html", render_page("sheet.html.j2", context))
        write_bytes(out / f"{name}.png", png(draw(sheet, page, (number + 1, count))))
        observer.progress("writing sheets", number + 1, count)
    return [f"{name}.{kind}" for name in names for kind in ("html", "png")]


GAP, GROUP_GAP, MARGIN, LINE = 8, 26, 30, 19


def draw(sheet: Sheet, page: Sequence[Row], number: tuple[int, int] = (1, 1)) -> Image.Image:
    """The sheet as one picture. ``number``: which page of how many."""
    lefts, x = [], MARGIN + SIDE + GROUP_GAP
    for _, views in sheet.groups:
        lefts.append([x + k * (SIDE + GAP) for k in range(len(views))])
        x = lefts[-1][-1] + SIDE + GROUP_GAP
    width = max(x - GROUP_GAP + MARGIN, 640)
    several = len(sheet.groups) > 1
    top = MARGIN + 96 + (2 + several) * (LINE + 3)
    heights = [row.picture.height + 2 * LINE + 24 for row in page]
    image = Image.new("RGB", (width, top + sum(heights) + MARGIN - 10), PRINT.paper)
    pen = Pen(image)
    right = width - MARGIN
    pen.text(MARGIN, MARGIN - 4, sheet.title, right - MARGIN, size=24, bold=True)
    paged = f"    page {number[0]} of {number[1]}" if number[1] > 1 else ""
    about = f"{', '.join(sheet.runs)}  ({sheet.network}), {sheet.size} pictures{paged}"
    pen.text(MARGIN, MARGIN + 30, about, right - MARGIN, colour=PRINT.muted)
    words = f"Evidence for {sheet.explained}; each map is scaled on its own"
    pen.text(MARGIN, MARGIN + 54, words + ": low", right - MARGIN, colour=PRINT.muted)
    bar = MARGIN + round(load_font(14).getlength(words + ": low")) + 8
    if bar + 190 < right:
        image.paste(legend(140, 12), (bar, MARGIN + 58))
        pen.text(bar + 148, MARGIN + 54, "high", 60, colour=PRINT.muted)
    y = MARGIN + 92
    for (run, views), xs in zip(sheet.groups, lefts, strict=True):
        line = y
        if several:
            pen.text(xs[0], line, run, xs[-1] + SIDE - xs[0], bold=True, size=15, centre=True)
            line += LINE + 3
        for method, pairs in groupby(zip(views, xs, strict=True), key=lambda pair: pair[0].method):
            at = [x for _, x in pairs]
            pen.text(at[0], line, method, at[-1] + SIDE - at[0], bold=not several, centre=True)
        for view, left in zip(views, xs, strict=True):
            named = view.layer if view.layer == view.module else f"{view.layer} ({view.module})"
            pen.text(left, line + LINE, named or "pixels", SIDE, size=12, colour=PRINT.muted, centre=True)
    y, labelled = top, any(row.label is not None for row in page)
    for row, height in zip(page, heights, strict=True):
        pen.draw.line((MARGIN, y - 10, right, y - 10), fill=PRINT.grid, width=1)
        _draw_row(image, pen, labelled, row, lefts, y)
        y += height
    return image


def _draw_row(
    image: Image.Image, pen: Pen, labelled: bool, row: Row, lefts: Sequence[Sequence[int]], y: int
) -> None:
    indent = (SIDE - row.picture.width) // 2
    image.paste(row.picture, (MARGIN + indent, y))
    for left, cell in zip((x for xs in lefts for x in xs), row.cells, strict=True):
        image.paste(cell, (left + indent, y))
    below = y + row.picture.height + 4
    label = row.label or ("class not known" if labelled else "")
    pen.text(MARGIN, below, label, SIDE, bold=row.label is not None, centre=True)
    pen.text(MARGIN, below + LINE, row.path, SIDE, size=11, colour=PRINT.muted, centre=True)
    for answer, xs in zip(row.answers, lefts, strict=True):
        marks = {True: ("✓ ", PRINT.good), False: ("✗ ", PRINT.miss), None: ("", PRINT.ink)}
        mark, colour = marks[row.right(answer)]
        span = xs[-1] + SIDE - xs[0]
        words = f"{mark}{answer['prediction']}  {percent(answer['probability'], 0)}"
        pen.text(xs[0], below, words, span, colour=colour, centre=True)
        if answer["target"] != answer["prediction"]:
            words = f"map of {answer['target']}, {percent(answer['target_probability'], 0)}"
            pen.text(xs[0], below + LINE, words, span, size=12, colour=PRINT.muted, centre=True)
