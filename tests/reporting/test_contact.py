"""The sheet to review proposed masks: the doubtful first, everything on it, nothing from elsewhere."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.data.catalog import Catalog, Sample
from foveate.experiment.mask_proposals import Proposal
from foveate.reporting import contact


def proposal(name: str, state: str = "proposed", contrast: float | None = 20.0, doubt: str = "") -> Proposal:
    mask = "" if state in ("failed", "empty") else "m.png"
    return Proposal(name, mask, state, "centre", 0.25, contrast, doubt)


PROPOSALS = [
    proposal("clear.png"), proposal("edited.png", "edited", None), proposal("faint.png", contrast=9.0),
    proposal("two.png", doubt="very small; low contrast"), proposal("one.png", doubt="low contrast", contrast=3.0),
    proposal("one more.png", doubt="low contrast", contrast=2.0),
    proposal("empty.png", "empty", None, "nothing was found"),
    proposal("<b>bad</b>.png", "failed", None, "it cannot be read"),
]  # fmt: skip
ORDER = [
    "<b>bad</b>.png", "empty.png", "two.png", "one more.png", "one.png", "faint.png", "clear.png", "edited.png",
]  # fmt: skip


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    for entry in PROPOSALS:
        if entry.state != "failed":
            (tmp_path / entry.path).parent.mkdir(exist_ok=True)
            Image.new("RGB", (60, 40), "green").save(tmp_path / entry.path)
    mask = np.zeros((40, 60), dtype=np.uint8)
    mask[10:30, 20:40] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    return Catalog(tmp_path, (), tuple(Sample(entry.path) for entry in PROPOSALS))


def test_the_doubtful_come_first() -> None:
    assert [entry.path for entry in contact.by_doubt(PROPOSALS)] == ORDER


def test_the_sheet(catalog: Catalog, tmp_path: Path) -> None:
    (page,) = contact.build_contact_sheets(catalog, PROPOSALS, tmp_path)
    text = page.read_text(encoding="utf-8")
    assert page.name == "review.html"
    shown = re.findall(r"<figcaption><b>(.*?)</b><br>", text)
    assert [name.replace("<wbr>", "") for name in shown] == [
        name.replace("<", "&lt;").replace(">", "&gt;") for name in ORDER
    ]
    assert text.count("data:image/jpeg") == 7
    assert "8 pictures: 5 masks proposed, of which 3 doubtful" in " ".join(text.split())
    assert "it cannot be read" in text
    assert not re.findall(r"(?:src|href)=\"(?!data:)|url\(|https?://", text)
    assert contact.build_contact_sheets(catalog, PROPOSALS, tmp_path)[0].read_text(encoding="utf-8") == text


def test_many_pictures_are_several_pages(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact, "PER_PAGE", 3)
    pages = contact.build_contact_sheets(catalog, PROPOSALS, tmp_path)
    assert [page.name for page in pages] == ["review.html", "review-2.html", "review-3.html"]
    assert all((tmp_path / name).is_file() for name in re.findall(r'href="(.*?)"', pages[1].read_text()))
    assert sum(page.read_text().count("<figure") for page in pages) == 8
