"""Contact sheets: pages, shortened names, the same pictures in the PNG."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.reporting import raster
from foveate.reporting import sheet as module
from foveate.reporting.sheet import Row, Sheet, View, draw, write_sheets

VIEWS = tuple(
    View(run, "gradcam", layer, f"blocks.{layer}") for run in ("a", "b") for layer in ("first", "last")
)


def make_row(number: int, label: str | None = "bee") -> Row:
    cells = tuple(Image.new("RGB", (224, 112), (number, 50 * k, 200)) for k in range(4))
    answers = (
        {"prediction": "bee", "probability": 0.9, "target": "bee", "target_probability": 0.9},
        {"prediction": "wasp", "probability": 0.6, "target": "bee", "target_probability": 0.1},
    )
    return Row(f"{number:03d}.jpg", label, Image.new("RGB", (224, 112), (number, 255, 0)), cells, answers)


def make_sheet(count: int) -> Sheet:
    return Sheet("insects", ("a", "b"), "net", VIEWS, "predicted", count, False)


def test_many_pictures_are_several_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_ON_PAGE", 2)
    names = write_sheets(tmp_path, make_sheet(5), iter([make_row(k) for k in range(5)]), 5)
    assert names == [f"sheet{page}.{kind}" for page in ("", "-2", "-3") for kind in ("html", "png")]
    texts = [(tmp_path / name).read_text(encoding="utf-8") for name in names if name.endswith(".html")]
    shown = [name for text in texts for name in re.findall(r'alt="(\d+\.jpg)"', text)]
    assert shown == [f"{k:03d}.jpg" for k in range(5)]
    assert set(re.findall(r'href="(sheet[^"]*)"', texts[1])) == {"sheet.html", "sheet-3.html"}


def test_pictures_without_a_class_have_no_words_for_it(tmp_path: Path) -> None:
    for labels, said in (((None, None, None), 0), (("bee", None, None), 2)):
        write_sheets(tmp_path, make_sheet(3), iter([make_row(k, label) for k, label in enumerate(labels)]), 3)
        assert (tmp_path / "sheet.html").read_text(encoding="utf-8").count("class not known") == said


def test_few_views_stand_in_several_columns(tmp_path: Path) -> None:
    rows = [replace(row, answers=row.answers[:1], cells=row.cells[:1]) for row in map(make_row, range(6))]
    narrow = replace(make_sheet(6), runs=("a",), views=VIEWS[:1])
    write_sheets(tmp_path, narrow, iter(rows), 6)
    text = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert text.count("<table>") == 3
    assert re.findall(r'alt="(\d+\.jpg)"', text) == [f"{k:03d}.jpg" for k in range(6)]


def test_every_picture_is_on_the_png() -> None:
    rows = [make_row(10), make_row(20, None)]
    pixels = np.asarray(draw(make_sheet(2), rows)).reshape(-1, 3)
    for row in rows:
        for image in (row.picture, *row.cells):
            colour = image.getpixel((0, 0))
            assert (pixels == colour).all(axis=1).sum() == 224 * 112, colour


def test_long_names_are_shortened_to_fit() -> None:
    font = raster.load_font(14)
    for text in ("a", "bee", "a" * 300, "a very long name of a picture.jpg"):
        short = raster.fitting(text, 120, font)
        assert font.getlength(short) <= 120
        assert short == text or "…" in short
    assert raster.fitting("x" * 50 + ".jpg", 120, font).endswith(".jpg")
