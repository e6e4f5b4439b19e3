"""Half of a drawn set's masks, turned into what Label Studio exports, are the same masks again."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.core.errors import DataError
from foveate.data.annotations import sample_mask
from foveate.data.discover import discover
from foveate.data.layout_settings import LayoutConfig
from label_studio_export import FORMS, export


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of four pictures with names that an upload changes, masks beside; wider than high."""
    root, rng = tmp_path_factory.mktemp("set"), np.random.default_rng(0)
    for number in range(8):
        mask = np.zeros((30, 40), np.uint8)
        top, left = rng.integers(2, 12, 2)
        mask[top : top + 12, left : left + 20] = 255
        picture = rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)
        folder = root / f"species {number % 2}"
        folder.mkdir(exist_ok=True)
        for name, pixels in (
            (f"beetle ({number}), é.png", picture),
            (f"beetle ({number}), é_mask.png", mask),
        ):
            Image.fromarray(pixels).save(folder / name)
    return root


def unmasked(pictures: Path, to: Path) -> Path:
    for file in pictures.rglob("*.png"):
        if not file.stem.endswith("_mask"):
            place = to / file.relative_to(pictures)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read_bytes())
    return to


@pytest.mark.parametrize("form", FORMS)
def test_masks_come_back(pictures: Path, tmp_path: Path, form: str) -> None:
    known = discover(pictures).catalog
    rows = [row for row in range(len(known)) if row % 2]
    place = export(known, rows, tmp_path / "export", form)
    data = unmasked(pictures, tmp_path / "data")
    found = discover(data, LayoutConfig(masks=place)).catalog
    assert [sample.path for sample in found.samples] == [sample.path for sample in known.samples]
    for row in range(len(known)):
        got, drawn = sample_mask(found, row), np.asarray(sample_mask(known, row)) > 127
        if row not in rows:
            assert got is None
            continue
        if form.startswith("ellipse"):
            ys, xs = np.nonzero(drawn)
            y, x = np.mgrid[:30, :40] + 0.5
            across = (x - (xs.min() + xs.max() + 1) / 2) / ((xs.max() + 1 - xs.min()) / 2)
            down = (y - (ys.min() + ys.max() + 1) / 2) / ((ys.max() + 1 - ys.min()) / 2)
            inside = np.hypot(across, down)
            rim = abs(inside - 1) < 0.06  # a polygon's edge may go through these pixels
            drawn = np.where(rim, np.asarray(got) > 127, inside <= 1)
        assert np.array_equal(np.asarray(got) > 127, drawn), (form, row)


def test_the_export_lies_in_the_data_folder(pictures: Path, tmp_path: Path) -> None:
    known = discover(pictures).catalog
    data = unmasked(pictures, tmp_path / "data")
    place = export(known, [0, 1, 2], data / "export", "brush-png")
    with pytest.raises(DataError, match="named by task"):
        discover(data)
    found = discover(data, LayoutConfig(masks="export"))
    assert sum(bool(sample.mask) for sample in found.catalog.samples) == 3
    assert found.catalog.classes == known.classes
    next(place.glob("*.json")).unlink()
    with pytest.raises(DataError, match=r"object-0.png and 2 more .*--masks FILE"):
        discover(data, LayoutConfig(masks="export"))


def test_annotators_are_united_and_strangers_listed(pictures: Path, tmp_path: Path) -> None:
    known = discover(pictures).catalog
    data = unmasked(pictures, tmp_path / "data")
    place = export(known, [0, 1, 2], tmp_path / "export", "polygon-min")
    twice = place.read_text().replace('"id": 2,', '"id": 1,')
    place.write_text(twice.replace(place.read_text().split("/data/upload/1/")[2].split('"')[0], "gone.jpg"))
    with pytest.raises(DataError, match="two tasks have the id 1"):
        discover(data, LayoutConfig(masks=place))
    place.write_text(
        place.read_text().replace('"id": 1, "tag": [{"points": [[', '"id": 7, "tag": [{"points": [[', 1)
    )
    found = discover(data, LayoutConfig(masks=place))
    assert any("left out: data/upload/1/gone.jpg. Where" in note for note in found.notes)
    assert sum(bool(sample.mask) for sample in found.catalog.samples) == 2
    name = (
        f"1a2b3c4d-{known.samples[0].path.split('/')[1]}".replace(" ", "_").replace("(", "").replace(")", "")
    )
    task = '{{"image": "/x/{0}", "id": 4, "tag": [{{"x": {1}, "y": 0, "width": 10, "height": 10, "original_width": 40, '
    task += '"original_height": 30}}], "annotator": {1}, "annotation_id": {1}}}'
    place.write_text(f"[{task.format(name.replace(',', ''), 0)}, {task.format(name.replace(',', ''), 50)}]")
    mask = np.asarray(sample_mask(discover(data, LayoutConfig(masks=place)).catalog, 0)) > 127
    assert mask.sum() == 2 * 4 * 3
    assert mask[:3, :4].all()
    assert mask[:3, 20:24].all()


def test_a_name_of_several_pictures_is_told_with_their_places(pictures: Path, tmp_path: Path) -> None:
    data = unmasked(pictures, tmp_path / "data")
    for number in (0, 1):  # the same name in both folders
        (data / f"species {number}" / f"beetle ({number}), é.png").rename(
            data / f"species {number}" / "one.png"
        )
    task = (
        '{{"id": {0}, "data": {{"image": "/data/upload/1/1a2b3c4d-{1}"}}, "annotations": [{{"result": [{{"type": '
        '"rectanglelabels", "original_width": 40, "original_height": 30, "value": {{"x": 0, "y": 0, "width": 50, '
        '"height": 50}}}}]}}]}}'
    )
    file = tmp_path / "export.json"
    words = r"1 names in .* fit several pictures.*one.png \(species 0/one.png, species 1/one.png\)\. Write the folder"
    file.write_text(f"[{task.format(1, 'one.png')}]")
    with pytest.raises(DataError, match=words):
        discover(data, LayoutConfig(masks=file))
    file.write_text(f"[{task.format(1, 'one.png')}, {task.format(2, 'beetle_2_é.png')}]")
    found = discover(data, LayoutConfig(masks=file))
    assert any(re.search(words, note) for note in found.notes)
    assert [s.path for s in found.catalog.samples if s.mask] == ["species 0/beetle (2), é.png"]
    file.write_text(f"[{task.format(1, 'one.png').replace('/data/upload/1/1a2b3c4d-', 'species 1/')}]")
    found = discover(data, LayoutConfig(masks=file))
    assert [s.path for s in found.catalog.samples if s.mask] == ["species 1/one.png"]
