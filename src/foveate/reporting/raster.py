"""Sheets drawn with Pillow: text that fits, captioned pictures in rows, PNG bytes."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont

SIDE, COLUMNS, GAP, LINE = 224, 5, 12, 22
"""Of ``captioned``: shortest side of a picture, pictures in a row, space, height of a line of text; in px."""


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


def captioned(
    pictures: Sequence[Image.Image], captions: Sequence[tuple[str, str]], columns: int = COLUMNS
) -> Image.Image:
    """Pictures of one size in rows, below each its name and a figure."""
    scale = max(1, -(-SIDE // min(pictures[0].size)))  # whole, so that a pixel stays a pixel
    width, height = (side * scale for side in pictures[0].size)
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    font = load_font(14)
    sheet = Image.new(
        "RGB", (columns * (width + GAP) + GAP, rows * (height + LINE + GAP) + GAP), (255, 255, 255)
    )
    draw = ImageDraw.Draw(sheet)
    for i, (picture, (name, figure)) in enumerate(zip(pictures, captions, strict=True)):
        x, y = GAP + (i % columns) * (width + GAP), GAP + (i // columns) * (height + LINE + GAP)
        sheet.paste(picture.resize((width, height), Image.Resampling.NEAREST), (x, y))
        room = width - font.getlength(f"  {figure}")
        draw.text((x, y + height + 3), fitting(name, room, font), fill=(20, 20, 20), font=font)
        draw.text(
            (x + width - font.getlength(figure), y + height + 3), figure, fill=(110, 110, 110), font=font
        )
    return sheet
