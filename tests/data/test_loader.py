"""The loader: the same batches for any number of workers; orders, views, shards."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from foveate.core.errors import ConfigError, DataError
from foveate.data.cache import open_pictures
from foveate.data.cache_config import CacheConfig
from foveate.data.catalog import Catalog, Sample
from foveate.data.loader import Loader, LoaderConfig, resolve_workers
from foveate.data.transforms import AugmentationConfig, Transform, build_transform

SIZE = 24
LABELS = np.array([0] * 14 + [1] * 6 + [2] * 3)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Catalog:
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    samples = []
    for i, label in enumerate(LABELS):
        Image.fromarray(rng.integers(0, 256, (30, 28, 3), dtype=np.uint8)).save(root / f"{i:02d}.png")
        box = "box:5,5,20,25" if i % 3 == 0 else ""
        samples.append(Sample(f"{i:02d}.png", int(label), mask=box))
    return Catalog(root, ("a", "b", "c"), tuple(samples))


@pytest.fixture(scope="module")
def pictures(catalog, tmp_path_factory):
    return open_pictures(catalog, SIZE, config=CacheConfig(folder=tmp_path_factory.mktemp("cache")))


class Numbers:
    """Pictures whose pixels are all their row number: for tests of order."""

    size = 4
    has_masks = False

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def name(self, row: int) -> str:
        return f"picture {row}"

    def read(self, row: int):
        return torch.full((3, 4, 4), row, dtype=torch.uint8), torch.zeros((1, 4, 4), dtype=torch.uint8), False

    def read_many(self, rows):
        images = torch.stack([self.read(int(row))[0] for row in rows])
        n = len(images)
        return images, torch.zeros((n, 1, 4, 4), dtype=torch.uint8), torch.zeros(n, dtype=torch.bool)


def augment(preset: str = "plant") -> Transform:
    return build_transform(AugmentationConfig(preset=preset), SIZE)


def fields(batch) -> list[torch.Tensor]:
    return [batch.images, batch.targets, batch.masks, batch.has_mask, batch.index]


def same(one, other) -> bool:
    pairs = zip(one, other, strict=True)
    return all(torch.equal(a, b) for x, y in pairs for a, b in zip(fields(x), fields(y), strict=True))


def plain(count: int, batch: int, **values) -> Loader:
    labels = values.pop("labels", np.zeros(count, dtype=np.int64))
    return Loader(
        Numbers(count), labels, np.arange(count), Transform((), 4), batch, 7, **{"shuffle": True, **values}
    )


def rows_of(loader: Loader, epoch: int = 0) -> list[int]:
    return [int(i) for batch in loader.epoch(epoch) for i in batch.index]


def test_the_same_batches_for_any_number_of_workers(pictures):
    made = {}
    for workers in (0, 1, 4):
        with Loader(
            pictures, LABELS, np.arange(23), augment(), 5, 3, shuffle=True, workers=workers
        ) as loader:
            state = torch.random.get_rng_state()
            made[workers] = [list(loader.epoch(epoch)) for epoch in (0, 1, 0)]
            assert torch.equal(torch.random.get_rng_state(), state)  # dropout draws the same, too
    for batches in made.values():
        assert [same(a, b) for a, b in zip(batches, made[0], strict=True)] == [True] * 3
        assert same(batches[0], batches[2])
    epochs = [torch.cat([b.index for b in epoch]) for epoch in made[0]]
    assert not torch.equal(epochs[0], epochs[1])


def test_a_batch_is_what_its_rows_say(pictures):
    transform = augment()
    loader = Loader(pictures, LABELS, np.arange(23), transform, 5, 3, shuffle=True)
    for batch in loader.epoch(2):
        assert (batch.images.dtype, batch.masks.dtype, batch.targets.dtype) == (
            torch.uint8,
            torch.uint8,
            torch.int64,
        )
        assert batch.targets.tolist() == LABELS[batch.index].tolist()
        assert batch.has_mask.tolist() == [row % 3 == 0 for row in batch.index.tolist()]
        for k, row in enumerate(batch.index.tolist()):
            image, mask, has_mask = pictures.read(row)
            expected, moved = transform(image, mask, 3, "augment", 2, row)
            assert torch.equal(batch.images[k], expected)
            assert torch.equal(batch.masks[k], moved if has_mask else torch.zeros_like(moved))


def test_augmentation_follows_the_epoch_and_views_repeat(pictures):
    def pixels(loader, epoch):
        return torch.cat([batch.images for batch in loader.epoch(epoch)])

    free = Loader(pictures, LABELS, np.arange(23), augment(), 8, 3, shuffle=False)
    assert not torch.equal(pixels(free, 0), pixels(free, 1))
    views = Loader(pictures, LABELS, np.arange(23), augment(), 8, 3, shuffle=False, views=3)
    assert torch.equal(pixels(views, 1), pixels(views, 4))
    assert not torch.equal(pixels(views, 1), pixels(views, 2))
    other = Loader(pictures, LABELS, np.arange(23), augment(), 8, 4, shuffle=False)
    assert not torch.equal(pixels(free, 0), pixels(other, 0))


def test_evaluation_reads_in_order(pictures):
    rows = np.array([7, 3, 20, 1, 0])
    loader = Loader(pictures, LABELS, rows, Transform((), SIZE), 2, 0, shuffle=False)
    batches = list(loader.epoch(0))
    assert [batch.index.tolist() for batch in batches] == [[7, 3], [20, 1], [0]]
    assert torch.equal(torch.cat([b.images for b in batches]), pictures.read_many(rows)[0])
    smaller = Loader(pictures, LABELS, rows, Transform((), 16), 2, 0, shuffle=False)
    assert next(iter(smaller.epoch(0))).images.shape == (2, 3, 16, 16)


@given(count=st.integers(1, 60), batch=st.integers(1, 9), world=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_shards_partition_and_have_equally_many_batches(count, batch, world):
    if count < world:
        with pytest.raises(ConfigError):
            plain(count, batch, world=world)
        return
    seen, lengths = Counter(), set()
    for rank in range(world):
        loader = plain(count, batch, rank=rank, world=world)
        jobs = loader.batches(1)
        lengths.add(len(jobs))
        assert len(jobs) == len(loader)
        sizes = [len(rows) for _, rows, _ in jobs]
        assert min(sizes) >= (2 if min(batch, len(jobs)) > 1 else 1), (
            "a batch norm cannot learn from one picture"
        )
        assert max(sizes) <= batch + (2 if world > 1 else 1)
        assert sizes[:-1] == [batch] * (len(sizes) - 1)
        seen.update(int(row) for _, rows, _ in jobs for row in rows)
    assert len(lengths) == 1
    assert set(seen.values()) == {1}
    assert sum(seen.values()) == count


def test_an_epoch_goes_on_where_it_stopped():
    loader = plain(23, 4)
    whole = list(loader.epoch(5))
    assert len(whole) == len(loader) == 6
    assert same(whole[2:], list(loader.epoch(5, start=2)))
    assert list(loader.epoch(5, start=6)) == []


def test_natural_epochs_show_everything_once_in_a_new_order():
    loader = plain(40, 7)
    assert sorted(rows_of(loader, 0)) == list(range(40))
    assert rows_of(loader, 0) != rows_of(loader, 1)
    assert rows_of(loader, 0) == rows_of(plain(40, 7), 0)


def test_balanced_sampling(pictures):
    loader = plain(23, 5, labels=LABELS, sampling="balanced")
    rows = rows_of(loader, 0)
    assert len(rows) == 23
    assert sorted(Counter(LABELS[rows].tolist()).values()) == [7, 8, 8]
    times = Counter(rows)
    assert {times[row] for row in (20, 21, 22)} <= {2, 3}  # three pictures fill 7 or 8 places
    assert max(times[row] for row in range(14)) == 1
    assert rows == rows_of(plain(23, 5, labels=LABELS, sampling="balanced"), 0)
    assert rows != rows_of(loader, 1)
    with Loader(pictures, LABELS, np.arange(23), augment(), 23, 3, shuffle=True, sampling="balanced") as real:
        [batch] = real.epoch(0)
    places = [k for k, row in enumerate(batch.index.tolist()) if row == 21]
    assert not torch.equal(batch.images[places[0]], batch.images[places[1]])  # not the same view twice


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_names_the_file_and_the_loader_survives(catalog, workers, tmp_path):
    for sample in catalog.samples:
        (tmp_path / sample.path).write_bytes((catalog.root / sample.path).read_bytes())
    (tmp_path / "04.png").write_bytes(b"no picture")
    broken = Catalog(Path(tmp_path), catalog.classes, catalog.samples)
    decoded = open_pictures(broken, SIZE, config=CacheConfig(enabled=False))
    with Loader(decoded, LABELS, np.arange(23), augment(), 3, 0, shuffle=False, workers=workers) as loader:
        batches = loader.epoch(0)
        assert next(batches).index.tolist() == [0, 1, 2]
        with pytest.raises(DataError, match=r"^[^\n]*04\.png cannot be read: [^\n]*$"):
            list(batches)
        (tmp_path / "04.png").write_bytes((catalog.root / "04.png").read_bytes())
        assert len(list(loader.epoch(1))) == 8


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_may_be_left_early(pictures, workers):
    with Loader(pictures, LABELS, np.arange(23), augment(), 3, 0, shuffle=True, workers=workers) as loader:
        first = next(iter(loader.epoch(0)))
        again = list(loader.epoch(0))
        assert same([first], again[:1])
        assert len(again) == 8


class Spy(Numbers):
    """Notes how many threads torch would use where pictures are read."""

    def read_many(self, rows):
        self.threads = torch.get_num_threads()
        return super().read_many(rows)


def test_the_background_thread_takes_one_core_and_leaves_the_network_its_own():
    before = torch.get_num_threads()
    spy = Spy(23)
    try:
        torch.set_num_threads(3)
        for _ in Loader(spy, LABELS, np.arange(23), Transform((), 4), 4, 0, shuffle=True).epoch(0):
            assert torch.get_num_threads() == 3
            assert spy.threads == 1
        with ThreadPoolExecutor(1) as later:
            assert later.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "values",
    [
        {"world": 30},
        {"rank": 2, "world": 2},
        {"views": 0},
        {"sampling": "balanced", "shuffle": False},
        {"batch": 0},
    ],
)
def test_impossible_loaders_are_refused(values):
    with pytest.raises(ConfigError):
        plain(23, values.pop("batch", 4), **values)
    with pytest.raises(ConfigError, match="empty"):
        Loader(Numbers(3), LABELS, [], Transform((), 4), 2, 0, shuffle=False)


def test_workers_auto_says_why(monkeypatch):
    monkeypatch.setattr("foveate.data.loader.usable_cores", lambda: 16)
    assert resolve_workers(LoaderConfig(workers=3), cached=True, device_type="cpu") == (3, "as set")
    assert resolve_workers(LoaderConfig(workers=17), cached=True, device_type="cpu")[1].endswith(
        "the 16 cores"
    )
    assert resolve_workers(LoaderConfig(), cached=True, device_type="cpu")[0] == 0
    assert resolve_workers(LoaderConfig(), cached=True, device_type="cuda")[0] == 8
    assert resolve_workers(LoaderConfig(), cached=False, device_type="cpu", world=4)[0] == 3
    assert "decodes" in resolve_workers(LoaderConfig(), cached=False, device_type="cpu")[1]
    assert resolve_workers(LoaderConfig(workers=64), cached=True, device_type="cpu")[0] == 64
    with pytest.raises(
        ConfigError, match=r"workers is 65, but this machine has 16 cores: use at most 64, or auto"
    ):
        resolve_workers(LoaderConfig(workers=65), cached=True, device_type="cpu")
