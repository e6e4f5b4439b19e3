"""Tests on changed pictures: what the network sees against slow plain versions, and what is counted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.core.errors import DataError
from foveate.data.catalog import Catalog, Sample
from foveate.data.discover import discover
from foveate.evaluation.evaluators import EVALUATORS
from foveate.evaluation.evaluators.drawn_backgrounds import COLOURS, texture
from foveate.evaluation.subject import Subject
from foveate.models.output import Output

SIDE, CLASSES, EACH = 24, 3, 4


class Reader(torch.nn.Module):
    """Answers with the class whose number is nearest to one that it reads in the picture; remembers what it saw."""

    def __init__(self, read: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.read = read
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("std", torch.ones(3))
        self.seen: list[np.ndarray] = []

    def forward(self, images: torch.Tensor, taps: tuple[str, ...] = ()) -> Output:
        back = images * 255
        self.seen.extend(back.round().to(torch.uint8).permute(0, 2, 3, 1).numpy())
        return Output(-(self.read(back)[:, None] - torch.tensor([60.0, 120.0, 180.0])).abs())


def object_reader() -> Reader:
    """The largest red value, which objects alone have."""
    return Reader(lambda x: x[:, 0].amax((1, 2)))


def corner_reader() -> Reader:
    """Green of the background."""
    return Reader(lambda x: x[:, 1, :2, :2].mean((1, 2)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Red says the class in the object, green in the background; one picture has no mask, one an empty one."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(3)
    for label in range(CLASSES):
        for number in range(EACH):
            image = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
            image[..., 1] = 60 * (label + 1) + rng.integers(-9, 10, size=(SIDE, SIDE))
            image[..., 2] = rng.integers(0, 256, size=(SIDE, SIDE))
            mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
            y, x, h, w = rng.integers(5, 9), rng.integers(5, 9), rng.integers(6, 9), rng.integers(6, 9)
            image[y : y + h, x : x + w, 0] = 60 * (label + 1)
            if (label, number) != (0, 0):
                mask[y : y + h, x : x + w] = 255
                mask[y, x] = 0  # no rectangle
            for folder, values in (("images", image), ("masks", mask)):
                file = root / folder / f"class {label}" / f"{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                if folder == "images" or (label, number) != (1, 0):
                    Image.fromarray(values).save(file)
    return root


def catalog_of(root: Path) -> Catalog:
    found = discover(root).catalog
    return found.with_splits(["test"] * len(found))


def measured(kind: str, model: Reader, root: Path, batch_size: int = 4, **settings: Any) -> dict[str, Any]:
    subject = Subject(model, catalog_of(root), torch.device("cpu"), SIDE, batch_size=batch_size)
    evaluator = EVALUATORS.build(EVALUATORS[kind].Config(**settings), subject)
    ((name, found),) = evaluator.run(None, None)
    assert name == f"test.{kind}"
    return dict(found)


TESTED = CLASSES * EACH - 2


def sources(root: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """(picture, object) of the tested pictures in the order of the catalog."""
    found = []
    for file in sorted((root / "images").rglob("*.png")):
        mask = root / "masks" / file.relative_to(root / "images")
        if mask.is_file() and np.asarray(Image.open(mask)).any():
            found.append((np.asarray(Image.open(file)), np.asarray(Image.open(mask)) > 0))
    return found


def test_plain_colours_stand_behind_the_object(data: Path) -> None:
    model = object_reader()
    found = measured("plain_colours", model, data, batch_size=100)
    seen = np.stack(model.seen).reshape(1 + len(COLOURS), TESTED, SIDE, SIDE, 3)
    for k, (image, mask) in enumerate(sources(data)):
        assert (seen[0, k] == image).all(), "unchanged"
        for picture, colour in zip(seen[1:, k], COLOURS.values(), strict=True):
            for y in range(SIDE):
                for x in range(SIDE):
                    assert tuple(picture[y, x]) == (tuple(image[y, x]) if mask[y, x] else colour)
    assert list(found["variants"]) == list(COLOURS)


def test_what_is_counted(data: Path) -> None:
    model = corner_reader()
    found = measured("plain_colours", model, data)
    labels = np.array([0] * 3 + [1] * 3 + [2] * 4)
    green = {name: colour[1] for name, colour in COLOURS.items()}
    answers = {name: 2 if level else 0 for name, level in green.items()}
    rights = {name: (labels == answer).mean() for name, answer in answers.items()}
    for name, share in rights.items():
        assert found["variants"][name]["accuracy"] == share
    assert found["accuracy"] == np.mean(list(rights.values()))
    assert (found["n"], found["answers"], found["original"]["accuracy"]) == (TESTED, TESTED * 8, 1)
    assert found["consistent"] == 0, "class 0 and 2 alternate, whatever was said before"
    assert found["chance_majority"] == 0.4
    knows = measured("plain_colours", object_reader(), data)
    assert knows["variants"]["black"]["accuracy"] == 1
    assert knows["variants"]["red"]["accuracy"] == 0.4, "255 is nearest to the last class"
    assert knows["consistent"] == 0.4, "those of the last class"
    assert found["accuracy_high"] - found["accuracy_low"] > 0.25, (
        "eight answers to a picture are no eight pictures"
    )


@pytest.mark.parametrize("kind", ["plain_colours", "textures", "moved_object"])
def test_batches_change_nothing(kind: str, data: Path) -> None:
    models = object_reader(), object_reader()
    first = measured(kind, models[0], data)
    assert measured(kind, models[1], data, batch_size=7) == first
    shown = [sorted(picture.tobytes() for picture in model.seen) for model in models]
    assert shown[0] == shown[1]


@pytest.mark.parametrize("pattern", ["stripes", "checks", "patches"])
def test_textures(pattern: str) -> None:
    one, again, other = (texture(pattern, path, 40).numpy() for path in ("a", "a", "b"))
    assert one.shape == (3, 40, 40)
    assert (one == again).all()
    assert (one != other).any()
    colours = {tuple(one[:, y, x]) for y in range(40) for x in range(40)}
    if pattern == "patches":
        assert len(colours) in [cells**2 for cells in range(4, 17)]
    else:
        assert len(colours) == 2
        share = (one == one[:, :1, :1]).all(axis=0).mean()
        assert 0.3 < share < 0.7


def test_an_object_before_textures_is_whole(data: Path) -> None:
    model = object_reader()
    measured("textures", model, data, batch_size=100)
    seen = np.stack(model.seen).reshape(4, TESTED, SIDE, SIDE, 3)
    for k, (image, mask) in enumerate(sources(data)):
        for picture in seen[1:, k]:
            assert (picture[mask] == image[mask]).all()
            assert (picture[~mask] != image[~mask]).any(axis=-1).mean() > 0.9


def test_a_moved_object_against_pixel_by_pixel(data: Path) -> None:
    model = object_reader()
    found = measured("moved_object", model, data, batch_size=100, moves=2, scales=[])
    assert found["accuracy"] == found["consistent"] == 1
    assert found["variants"]["moved"]["n"] == 2 * TESTED
    seen = np.stack(model.seen).reshape(3, TESTED, SIDE, SIDE, 3)
    places = set()
    for k, (image, mask) in enumerate(sources(data)):
        ys, xs = np.nonzero(mask)
        pixels = {(y - ys.min(), x - xs.min()): tuple(image[y, x]) for y, x in zip(ys, xs, strict=True)}
        for picture in seen[1:, k]:
            fits = [
                (top, left)
                for top in range(SIDE - ys.max() + ys.min())
                for left in range(SIDE - xs.max() + xs.min())
                if all(tuple(picture[top + y, left + x]) == value for (y, x), value in pixels.items())
            ]
            assert len(fits) == 1, "the object is there once, whole"
            places.add((k, *(np.array(fits[0]) - (ys.min(), xs.min()))))
            around = picture.copy()
            for y, x in pixels:
                around[fits[0][0] + y, fits[0][1] + x] = 0
            assert around[..., 0].max() == 0, "where it stood it was painted out"
    assert len(places) == 2 * TESTED


def test_a_scaled_object_against_pillow(data: Path) -> None:
    model = object_reader()
    scales = [0.5, 1.5, 3.5]
    found = measured("moved_object", model, data, batch_size=100, moves=0, scales=scales)
    assert list(found["variants"]) == ["scaled 0.5", "scaled 1.5", "scaled 3.5"]
    seen = np.stack(model.seen).reshape(4, TESTED, SIDE, SIDE, 3).astype(float)
    for k, (image, mask) in enumerate(sources(data)):
        ys, xs = np.nonzero(mask)
        top, left, h, w = ys.min(), xs.min(), np.ptp(ys) + 1, np.ptp(xs) + 1
        cut = (slice(top, top + h), slice(left, left + w))
        for picture, scale in zip(seen[1:, k], scales, strict=True):
            size = (max(1, round(w * scale)), max(1, round(h * scale)))
            alpha, red = (
                np.asarray(Image.fromarray(layer.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
                for layer in (mask[cut], (image[..., 0] * mask)[cut])
            )
            corner = top + (h - size[1]) // 2, left + (w - size[0]) // 2
            for y in range(SIDE):
                for x in range(SIDE):
                    v, u = y - corner[0], x - corner[1]
                    inside = 0 <= v < size[1] and 0 <= u < size[0]
                    assert abs(picture[y, x, 0] - (red[v, u] if inside else 0)) <= 0.51
                    if inside and alpha[v, u] == 0:
                        assert picture[y, x, 0] == 0


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """Two forests, a laboratory, and what is no picture; all wider than high, their sides of another colour."""
    root = tmp_path / "places"
    for path, level in (("forest/a.png", 40), ("forest/b.png", 90), ("lab/c.png", 200)):
        image = np.zeros((30, 50, 3), dtype=np.uint8)
        image[:, 6:44] = level
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / path)
    (root / "lab" / "broken.png").write_bytes(b"no picture")
    (root / "notes.txt").write_text("not one either")
    return root


def test_own_pictures_behind_the_object(data: Path, places: Path) -> None:
    model = object_reader()
    found = measured("folder_backgrounds", model, data, batch_size=100, folder=places, each=2)
    assert (found["n"], found["answers"]) == (TESTED, 2 * TESTED)
    assert found["backgrounds"] == {"forest": 2, "lab": 2}
    assert list(found["unreadable"]) == ["lab/broken.png"]
    assert {name: part["n"] for name, part in found["variants"].items()}.keys() == {"forest", "lab"}
    objects = sources(data)
    used: dict[int, list[int]] = {}
    for picture in model.seen:
        (k,) = [k for k, (image, mask) in enumerate(objects) if (picture[mask] == image[mask]).all()]
        rest = picture[~objects[k][1]]
        if (rest != objects[k][0][~objects[k][1]]).any():
            assert len({*map(tuple, rest)}) == 1, "the middle square, one level"
            used.setdefault(k, []).append(int(rest[0, 0]))
    assert all(len(set(levels)) == 2 for levels in used.values()), "two different ones behind each"
    assert {level for levels in used.values() for level in levels} == {40, 90, 200}


def test_fewer_pictures_than_asked_for(data: Path, places: Path) -> None:
    found = measured("folder_backgrounds", object_reader(), data, folder=places, each=10)
    assert found["answers"] == 3 * TESTED


def test_a_folder_that_gives_no_background(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder"):
        measured("folder_backgrounds", object_reader(), data, folder="nowhere")
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"No picture of .* can be read"):
        measured("folder_backgrounds", object_reader(), data, folder=tmp_path)


def test_without_masks_nothing_is_measured(data: Path) -> None:
    subject = Subject(object_reader(), catalog_of(data), torch.device("cpu"), SIDE)
    bare = tuple(Sample(sample.path, sample.label, "test") for sample in subject.catalog.samples)
    subject = Subject(subject.model, Catalog(data, subject.catalog.classes, bare), torch.device("cpu"), SIDE)
    evaluator = EVALUATORS.build(EVALUATORS["textures"].Config(), subject)
    assert list(evaluator.run(None, None)) == []
