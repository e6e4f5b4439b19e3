"""Background tests against slow plain versions, and against networks that read the object or the background alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.data.catalog import Catalog, Sample
from foveate.evaluation.background_files import TESTS, BackgroundTable
from foveate.evaluation.evaluators.backgrounds import (
    GREY,
    SHEET_PICTURES,
    BackgroundTests,
    change_picture,
    choose_backgrounds,
    measure_backgrounds,
    sheet_rows,
)
from foveate.evaluation.subject import Subject
from foveate.models.output import Output
from training_helpers import InMemory

SIDE = 32


class Drawn(InMemory):
    """Green says the class in the background, red in the object."""

    def __init__(self, labels: np.ndarray, side: int = SIDE, empty: tuple[int, ...] = ()) -> None:
        rng = np.random.default_rng(5)
        images = np.zeros((len(labels), 3, side, side))
        self.masks = torch.zeros(len(labels), 1, side, side, dtype=torch.uint8)
        images[:, 1] = 20 + 60 * labels[:, None, None] + rng.integers(-9, 10, size=(len(labels), side, side))
        images[:, 2] = rng.integers(0, 256, size=(len(labels), side, side))
        for row, label in enumerate(labels):
            y, x = rng.integers(side // 4, side // 2 - 2, size=2)  # the middle pixel is always object
            h, w = rng.integers(side // 4 + 3, side // 2, size=2)
            images[row, 0, y : y + h, x : x + w] = 60 + 60 * label
            if row not in empty:
                self.masks[row, 0, y : y + h, x : x + w] = 255
        self.size, self.has_masks = side, True
        self.images = torch.from_numpy(images.astype(np.uint8))


class Reader(torch.nn.Module):
    """Sees one number of each picture and answers with the class whose number is nearest; remembers what it saw."""

    def __init__(
        self, read: Callable[[torch.Tensor], torch.Tensor], levels: list[float], shift: float = 0.0
    ) -> None:
        super().__init__()
        self.read, self.levels = read, torch.tensor(levels)
        self.register_buffer("mean", torch.full((3,), shift))
        self.register_buffer("std", torch.full((3,), 1 + shift))
        self.seen: list[np.ndarray] = []

    def forward(self, images: torch.Tensor, taps: tuple[str, ...] = ()) -> Output:
        back = (images * self.std.view(1, 3, 1, 1) + self.mean.view(1, 3, 1, 1)) * 255
        self.seen.extend(back.round().to(torch.uint8).numpy())
        return Output(-(self.read(back)[:, None] - self.levels).abs())


def object_reader(**settings: float) -> Reader:
    return Reader(lambda x: x[:, 0, SIDE // 2 - 1, SIDE // 2 - 1], [60.0, 120.0, 180.0], **settings)


def background_reader() -> Reader:
    return Reader(lambda x: x[:, 1, :3, :3].mean((1, 2)), [20.0, 80.0, 140.0])


def make_catalog(n: int = 25, classes: int = 3, first: int = 0) -> Catalog:
    """``n`` test pictures with masks; ``first`` training pictures stand before them."""
    train = [Sample(f"train {i}.jpg", i % classes, "train", "png:x") for i in range(first)]
    test = [Sample(f"a {37 * i % n:03d}.jpg", i % classes, "test", "png:x") for i in range(n)]
    return Catalog(Path("data"), tuple("abcdef"[:classes]), (*train, *test))


def measure(
    model: Reader, catalog: Catalog, *, pictures: Drawn | None = None, batch_size: int = 8
) -> BackgroundTests | None:
    subject = Subject(model, catalog, torch.device("cpu"), SIDE, batch_size=batch_size)
    return measure_backgrounds(subject, pictures or Drawn(catalog.labels))


def summary(model: Reader) -> dict[str, dict[str, float]]:
    tests = measure(model, make_catalog())
    assert tests is not None
    return tests.table.summary()


def test_a_network_that_reads_the_object_does_not_care_about_the_background() -> None:
    model = object_reader()
    tests = measure(model, make_catalog())
    assert tests is not None
    for test in ("swapped", "blurred", "grey", "noise"):
        np.testing.assert_array_equal(tests.table.prediction[test], tests.table.prediction["original"])
        np.testing.assert_array_equal(tests.table.probability[test], tests.table.probability["original"])
    found = tests.table.summary()
    assert found["swapped"]["accuracy"] == 1
    assert found["swapped"]["as_background"] == 0
    # Without the object it sees no red, always the lowest class: 9 of 25.
    assert found["removed"]["accuracy"] == found["chance_majority"] == 9 / 25


def test_a_network_that_reads_the_background_is_found_out() -> None:
    found = summary(background_reader())
    assert found["original"]["accuracy"] == found["removed"]["accuracy"] == found["blurred"]["accuracy"] == 1
    assert found["swapped"]["accuracy"] == 0
    assert found["swapped"]["as_background"] == 1
    assert found["grey"]["accuracy"] == 8 / 25, "grey is nearest to the last class"


# Slow versions -------------------------------------------------------------------------------------------------------


def widened(mask: np.ndarray, pixels: int) -> np.ndarray:
    height, width = mask.shape
    result = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            result[y, x] = mask[
                max(0, y - pixels) : y + pixels + 1, max(0, x - pixels) : x + pixels + 1
            ].max()
    return result


def doubled(small: np.ndarray, factor: int = 2) -> np.ndarray:
    """Bilinear, pixels as areas."""
    height, width = small.shape[0] * factor, small.shape[1] * factor
    result = np.zeros((height, width, small.shape[2]))
    for y in range(height):
        for x in range(width):
            sy, sx = max((y + 0.5) / factor - 0.5, 0), max((x + 0.5) / factor - 0.5, 0)
            y0, x0 = int(sy), int(sx)
            y1, x1 = min(y0 + 1, small.shape[0] - 1), min(x0 + 1, small.shape[1] - 1)
            top = small[y0, x0] * (1 - sx + x0) + small[y0, x1] * (sx - x0)
            low = small[y1, x0] * (1 - sx + x0) + small[y1, x1] * (sx - x0)
            result[y, x] = top * (1 - sy + y0) + low * (sy - y0)
    return result


def painted(pixels: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Pull-push for sides that are powers of two; (H, W, 3), (H, W) 0 or 1."""
    if len(keep) == 1:
        return pixels * keep[..., None]
    half = len(keep) // 2
    coarse, known = np.zeros((half, half, 3)), np.zeros((half, half))
    for y in range(half):
        for x in range(half):
            block, share = (
                pixels[2 * y : 2 * y + 2, 2 * x : 2 * x + 2],
                keep[2 * y : 2 * y + 2, 2 * x : 2 * x + 2],
            )
            if share.any():
                coarse[y, x] = block[share > 0].mean(axis=0)
                known[y, x] = 1
    return np.where(keep[..., None] > 0, pixels, doubled(painted(coarse, known)))


def slowly(
    image: torch.Tensor, mask: torch.Tensor, lent: tuple[torch.Tensor, torch.Tensor]
) -> dict[str, np.ndarray]:
    """{test: (H, W, 3) in 0 to 255}, without noise."""
    own, other = (x.permute(1, 2, 0).numpy().astype(float) for x in (image, lent[0]))
    alpha = mask[0].numpy()[..., None] / 255
    removed = painted(own, 1 - (widened(mask[0].numpy(), 2) > 0))
    behind = painted(other, 1 - (widened(lent[1][0].numpy(), 2) > 0))
    block = len(own) // 4
    means = np.array([[removed[i : i + block, j : j + block].mean((0, 1)) for j in range(0, len(own), block)]
                      for i in range(0, len(own), block)])  # fmt: skip
    return {
        "original": own,
        "swapped": own * alpha + behind * (1 - alpha),
        "blurred": own * alpha + doubled(means, block) * (1 - alpha),
        "grey": own * alpha + GREY * (1 - alpha),
        "removed": removed,
    }


@pytest.mark.parametrize("soft", [False, True])
def test_changed_pictures_equal_the_slow_version(soft: bool) -> None:
    rng = np.random.default_rng(3)
    for _ in range(3):
        image, other = (
            torch.from_numpy(rng.integers(0, 256, (3, SIDE, SIDE), dtype=np.uint8)) for _ in range(2)
        )
        masks = torch.zeros(2, 1, SIDE, SIDE, dtype=torch.uint8)
        for mask in masks:
            y, x = rng.integers(1, 15, size=2)
            mask[0, y : y + 11, x : x + 14] = 255
            if soft:
                mask[0, y, x : x + 14] = 100
        changed = change_picture(image, masks[0], "x.jpg", (other, masks[1]))
        truth = slowly(image, masks[0], (other, masks[1]))
        assert list(changed) == list(TESTS)
        for test, pixels in truth.items():
            got = changed[test].permute(1, 2, 0).numpy().astype(float)
            np.testing.assert_allclose(got, pixels, atol=0.5 + 1e-5, err_msg=test)
        inside, outside = (masks[0] == 255).expand(3, -1, -1), (masks[0] == 0).expand(3, -1, -1)
        for test in ("swapped", "blurred", "grey", "noise"):
            assert torch.equal(changed[test][inside], image[inside]), test
        assert torch.equal(changed["grey"][outside], torch.full_like(changed["grey"][outside], GREY))
        noise = changed["noise"][outside].double()
        assert abs(noise.mean() - 127.5) < 6
        assert abs(noise.std() - 255 / 12**0.5) < 4


def test_the_noise_belongs_to_the_picture() -> None:
    image, mask = torch.zeros(3, SIDE, SIDE, dtype=torch.uint8), torch.zeros(1, SIDE, SIDE, dtype=torch.uint8)
    first, again, other = (change_picture(image, mask, path, None)["noise"] for path in ("a", "a", "b"))
    assert torch.equal(first, again)
    assert (first != other).float().mean() > 0.9
    assert "swapped" not in change_picture(image, mask, "a", None)


# Which background ----------------------------------------------------------------------------------------------------

SETS = st.lists(st.tuples(st.text(min_size=1, max_size=6), st.integers(0, 3)), min_size=1, max_size=30,
                unique_by=lambda pair: pair[0])  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(pictures=SETS, data=st.data())
def test_partners(pictures: list[tuple[str, int]], data: st.DataObject) -> None:
    paths, labels = [path for path, _ in pictures], np.array([label for _, label in pictures])
    chosen = choose_backgrounds(paths, labels)
    for i, k in enumerate(chosen.tolist()):
        if len(paths) == 1:
            assert k == -1
        else:
            assert k != i
            assert labels[k] != labels[i] or len(set(labels.tolist())) == 1
    order = data.draw(st.permutations(range(len(paths))))
    moved = choose_backgrounds([paths[i] for i in order], labels[order])
    by_path = {paths[i]: paths[k] for i, k in enumerate(chosen) if k >= 0}
    assert {paths[order[i]]: paths[order[k]] for i, k in enumerate(moved) if k >= 0} == by_path
    renamed = data.draw(st.permutations(range(4)))
    np.testing.assert_array_equal(choose_backgrounds(paths, np.array(renamed)[labels]), chosen)


def test_partners_come_from_the_whole_split() -> None:
    paths, labels = [f"{i}.jpg" for i in range(3000)], np.arange(3000) % 3
    chosen = choose_backgrounds(paths, labels)
    times = np.bincount(chosen, minlength=3000)
    assert abs((times == 0).mean() - np.exp(-1)) < 0.03, "as often unused as in independent uniform draws"
    assert times.max() < 10


# The same bytes for everybody ----------------------------------------------------------------------------------------


def bytes_by_picture(
    tests: BackgroundTests | None, model: Reader, classes: int = 3
) -> dict[tuple[str, ...], bytes]:
    """{(test, path): what the network saw}, from the sequence of pictures that it saw."""
    assert tests is not None
    seen = iter(model.seen)
    result = {}
    for start in range(0, len(tests.table), model.batch):
        for test in TESTS:
            for path in tests.table.path[start : start + model.batch].tolist():
                result[test, path] = next(seen).tobytes()
    return result


def seen_by(catalog: Catalog, *, batch: int = 8, shift: float = 0.0, pictures: Drawn | None = None) -> dict:
    model = object_reader(shift=shift)
    model.batch = batch
    return bytes_by_picture(measure(model, catalog, batch_size=batch, pictures=pictures), model)


def test_every_run_on_a_split_sees_the_same_bytes() -> None:
    catalog = make_catalog()
    expected = seen_by(catalog)
    assert len(expected) == 25 * len(TESTS)
    for batch in (1, 3, 32):
        assert seen_by(catalog, batch=batch) == expected, batch
    assert seen_by(catalog, shift=0.4) == expected, "another network's normalisation"
    drawn = Drawn(catalog.labels)
    order = np.random.default_rng(1).permutation(len(catalog))
    moved = Drawn(catalog.labels)
    moved.images, moved.masks = drawn.images[order], drawn.masks[order]
    assert seen_by(catalog.subset(order.tolist()), pictures=moved) == expected, "another order"
    longer = make_catalog(first=7)
    padded = Drawn(longer.labels)
    padded.images[7:], padded.masks[7:] = drawn.images, drawn.masks
    assert seen_by(longer, pictures=padded) == expected, "other training pictures"


def test_threads_change_no_byte() -> None:
    g = torch.Generator().manual_seed(0)
    image, other = torch.randint(0, 256, (2, 3, 224, 224), generator=g, dtype=torch.uint8)
    mask = torch.zeros(1, 224, 224, dtype=torch.uint8)
    mask[:, 60:160, 40:170] = 255
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(change_picture(image, mask, "x", (other, mask)))
    finally:
        torch.set_num_threads(before)
    for test in TESTS:
        assert torch.equal(found[0][test], found[1][test]), test
        assert torch.equal(found[0][test], found[2][test]), test


# Which pictures ------------------------------------------------------------------------------------------------------


def test_only_labelled_pictures_with_a_visible_mask_of_the_split() -> None:
    samples = list(make_catalog(12).samples)
    samples[3] = Sample("unlabelled.jpg", -1, "test", "png:x")
    samples[4] = Sample("no mask.jpg", 1, "test")
    samples[5] = Sample("other split.jpg", 2, "val", "png:x")
    catalog = Catalog(Path("data"), ("a", "b", "c"), tuple(samples))
    tests = measure(object_reader(), catalog, pictures=Drawn(np.maximum(catalog.labels, 0), empty=(6,)))
    assert tests is not None
    expected = [s.path for i, s in enumerate(samples) if i not in (3, 4, 5, 6)]
    assert tests.table.path.tolist() == expected
    lenders = set(tests.table.background.tolist())
    assert lenders <= {*expected, samples[6].path}
    assert (tests.table.background_label != tests.table.label).all()


def test_nothing_to_test() -> None:
    bare = Catalog(Path("data"), ("a", "b"), (Sample("1.jpg", 0, "test"), Sample("2.jpg", 1, "val", "png:x")))
    assert measure(object_reader(), bare) is None
    catalog = make_catalog(3)
    assert measure(object_reader(), catalog, pictures=Drawn(catalog.labels, empty=(0, 1, 2))) is None


def test_a_single_picture_has_no_swapped_background() -> None:
    tests = measure(object_reader(), make_catalog(1))
    assert tests is not None
    assert "swapped" not in tests.table.prediction
    assert "swapped" not in tests.table.summary()
    assert "swapped" not in tests.sheet.pictures
    assert tests.table.background.tolist() == [""]
    assert tests.table.summary()["removed"]["n"] == 1


def test_the_sheet_shows_the_tested_pictures() -> None:
    catalog = make_catalog()
    model = object_reader()
    model.batch = 8
    tests = measure(model, catalog)
    assert tests is not None
    seen = bytes_by_picture(tests, model)
    paths = [s.path for s in catalog.samples]
    assert tests.sheet.path.tolist() == sheet_rows(paths, catalog.labels)
    assert len(tests.sheet.path) == SHEET_PICTURES
    labels = dict(zip(paths, catalog.labels.tolist(), strict=True))
    assert [labels[path] for path in tests.sheet.path] == [0, 1, 2, 0, 1, 2]
    for test, images in tests.sheet.pictures.items():
        for path, image in zip(tests.sheet.path.tolist(), images, strict=True):
            assert image.transpose(2, 0, 1).tobytes() == seen[test, path], test  # 32 px: not made smaller
    assert set(np.unique(tests.sheet.mask)) == {0, 255}


def test_table_against_the_networks_own_answers() -> None:
    model = background_reader()
    model.batch = 8
    catalog = make_catalog()
    tests = measure(model, catalog)
    assert tests is not None
    table: BackgroundTable = tests.table
    for (test, path), content in bytes_by_picture(tests, model).items():
        pixels = np.frombuffer(content, dtype=np.uint8).reshape(3, SIDE, SIDE).astype(float)
        logits = -np.abs(pixels[1, :3, :3].mean() - np.array([20, 80, 140]))
        probabilities = np.exp(logits) / np.exp(logits).sum()
        row = table.path.tolist().index(path)
        assert table.prediction[test][row] == logits.argmax()
        assert table.probability[test][row] == pytest.approx(probabilities[table.label[row]], rel=1e-4)
