"""Sheets drawn with Pillow: text that fits, pictures in rows with words below, PNG bytes."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont

from foveate.reporting.canvas import PRINT

GAP, LINE, MARGIN = 8, 17, 24
"""Of ``grid``: between pictures, of a line of text, around all; in px."""

Cell = tuple[Image.Image, list[str]]
"""A picture, and the lines of text below it."""


def png(picture: Image.Image) -> bytes:
    """The picture as a PNG file. Level 4 takes a fifth of level 9's time or less, for up to 4 % more bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def load_font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, size)


def fitting(text: str, width: float, font: ImageFont.FreeTypeFont) -> str:
    """The text, shortened in the middle where it is wider than ``width`` px: the end of a path says most."""
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :]
        if font.getlength(short) <= width:
            return short
    return "…"


class Pen:
    """Text on a sheet."""

    def __init__(self, image: Image.Image) -> None:
        self.draw = ImageDraw.Draw(image)

    def text(
        self, x: float, y: float, text: str, width: float, *, size: int = 14, colour: str = PRINT.ink,
        bold: bool = False, centre: bool = False,
    ) -> None:  # fmt: skip
        """One line in ``width`` pixels; what does not fit is shortened in the middle."""
        font = load_font(size, bold)
        short = fitting(text, width, font)
        if centre:
            x += (width - font.getlength(short)) / 2
        self.draw.text((x, y), short, fill=colour, font=font)


def grid(cells: Sequence[Cell], across: int, heads: Sequence[str] = (), lines: int = 2) -> Image.Image:
    """Pictures of one size in rows of ``across``, with room for ``lines`` below each; ``heads`` stand above columns."""
    side, height = cells[0][0].size
    across = min(across, len(cells))
    down, top = -(-len(cells) // across), MARGIN + LINE * bool(heads)
    step = height + max(lines, *(len(words) for _, words in cells)) * LINE + GAP
    size = (2 * MARGIN + across * (side + GAP) - GAP, top + down * step - GAP + MARGIN)
    sheet = Image.new("RGB", size, PRINT.paper)
    pen = Pen(sheet)
    for k, head in enumerate(heads):
        pen.text(MARGIN + k * (side + GAP), MARGIN - 4, head, side, size=13, bold=True)
    for k, (picture, words) in enumerate(cells):
        x, y = MARGIN + k % across * (side + GAP), top + k // across * step
        sheet.paste(picture, (x, y))
        for line, text in enumerate(words):
            colour = PRINT.muted if heads or line else PRINT.ink
            pen.text(
                x, y + height + 3 + line * (LINE - 3), text, side, size=11 if heads else 13, colour=colour
            )
    return sheet
