"""What training is asked anew and evaluation always alike; nothing of it hangs on batches."""

from pathlib import Path

import numpy as np
import pytest
import torch

from foveate.core.errors import DataError
from foveate.data.cache import DecodedPictures
from foveate.data.catalog import Catalog
from foveate.data.discover import discover
from foveate.data.loader import Loader
from foveate.data.transforms import Transform
from foveate.pretext import TASKS, Asker, Normal, Questions, question_catalog

NORMAL = Normal(torch.full((3,), 0.5), torch.full((3,), 0.5))
PLAIN = Transform((), 32)
DRAWN = [name for name in TASKS if name not in ("colour", "simclr", "dino")]


@pytest.fixture(scope="module")
def pictures(tree: Path) -> DecodedPictures:
    catalog = discover(tree).catalog
    splits = ["train"] * 20 + ["val"] * 12 + ["test"] * 16
    return DecodedPictures(catalog.with_splits(splits), 32)


def asker(name: str, catalog: Catalog, seed: int = 0, **settings: object) -> Asker:
    task = TASKS.build(TASKS[name].Config(**settings))
    return Asker(task, seed, tuple(s.path for s in catalog.samples), NORMAL)


def load(pictures: DecodedPictures, labels: np.ndarray, batch: int, *, shuffle: bool = False) -> Loader:
    return Loader(pictures, labels, np.arange(len(pictures)), PLAIN, batch, 0, shuffle=shuffle)


@pytest.mark.parametrize("name", DRAWN)
def test_answers_are_dealt_out_evenly_in_each_split(name: str, pictures: DecodedPictures) -> None:
    task = TASKS.build(TASKS[name].Config())
    asked = question_catalog(pictures.catalog, task, pictures, PLAIN)
    assert asked.classes == task.classes
    assert [s.split for s in asked.samples] == [s.split for s in pictures.catalog.samples]
    assert not asked.has_masks
    for split in ("train", "val", "test"):
        counts = asked.counts(split)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("name", list(TASKS))
def test_evaluation_asks_the_same_in_any_batch_and_with_any_seed(
    name: str, pictures: DecodedPictures
) -> None:
    task = TASKS.build(TASKS[name].Config())
    asked = question_catalog(pictures.catalog, task, pictures, PLAIN)
    seen = []
    for batch, seed in ((5, 0), (48, 9)):
        found = asker(name, asked, seed)
        batches = [found.fixed(raw) for raw in load(pictures, asked.labels, batch).epoch(0)]
        seen.append((torch.cat([b.images for b in batches]), torch.cat([b.targets for b in batches])))
    assert torch.equal(seen[0][0], seen[1][0])
    assert torch.equal(seen[0][1], seen[1][1])
    if name not in ("simclr", "dino"):
        assert np.array_equal(seen[0][1].numpy(), asked.labels)


def test_all_answers_of_a_picture_come_in_a_row_and_every_epoch_anew(pictures: DecodedPictures) -> None:
    ask = asker("perturbation", pictures.catalog, side=4)
    feed = Questions(load(pictures, pictures.catalog.labels, 6, shuffle=True), ask.training)
    assert len(feed) == 8
    first, second = list(feed.epoch(0)), list(feed.epoch(1))
    for batch in first:
        assert batch.targets.tolist() == [0, 1] * 6
        assert torch.equal(batch.index[0::2], batch.index[1::2])
        assert len(batch.images) == len(batch.masks) == len(batch.has_mask) == 12
    assert sorted(torch.cat([b.index for b in first]).tolist()) == sorted([*range(48)] * 2)
    place = {int(i): image for b in first for i, image in zip(b.index, b.images, strict=True)}
    again = {int(i): image for b in second for i, image in zip(b.index, b.images, strict=True)}
    assert sum(torch.equal(place[i], again[i]) for i in range(48)) < 5
    resumed = list(feed.epoch(0, start=3))
    for one, other in zip(first[3:], resumed, strict=True):
        assert torch.equal(one.images, other.images)


def test_one_drawn_answer_instead_of_all(pictures: DecodedPictures) -> None:
    ask = asker("rotation", pictures.catalog, every=False)
    assert ask.copies == 1
    answers = [
        torch.cat(
            [ask.training(raw, epoch).targets for raw in load(pictures, pictures.catalog.labels, 16).epoch(0)]
        )
        for epoch in range(6)
    ]
    assert all(len(a) == 48 for a in answers)
    assert len({tuple(a.tolist()) for a in answers}) == 6
    counts = np.bincount(torch.cat(answers).numpy(), minlength=4)
    assert counts.min() > 45  # of 72 expected; less would be five standard deviations away


def test_pairs_are_two_views_of_one_picture_without_answers(pictures: DecodedPictures) -> None:
    ask = asker("simclr", pictures.catalog)
    raw = next(load(pictures, pictures.catalog.labels, 5).epoch(0))
    for batch in (ask.training(raw, 0), ask.fixed(raw)):
        assert batch.index.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        assert set(batch.targets.tolist()) == {-1}
        assert not torch.equal(batch.images[0], batch.images[1])


def test_a_task_with_one_answer_for_all_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    for k in range(6):
        file = tmp_path / "a" / f"{k}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((16, 16), 30 * k, dtype=np.uint8)).save(file)
    catalog = discover(tmp_path).catalog.with_splits(["train"] * 4 + ["test"] * 2)
    with pytest.raises(DataError, match=r"same answer \(colourless\)"):
        question_catalog(catalog, TASKS.build(TASKS["colour"].Config()), DecodedPictures(catalog, 16), PLAIN)
