"""Which masks training sees: what each use shows, that it is drawn by seed and path alone, and that measuring does not
notice."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.core.config import parse
from foveate.core.errors import ConfigError, DataError
from foveate.data.cache import Pictures, open_pictures
from foveate.data.cache_config import CacheConfig
from foveate.data.catalog import Catalog, Sample
from foveate.data.training_masks import MasksConfig, MoreMasks, training_masks
from foveate.experiment import run
from training_helpers import experiment

SIDE = 16
OPEN = partial(open_pictures, size=SIDE, config=CacheConfig(enabled=False))


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """12 training pictures of a, 6 of b, 2 without a mask; 4 of validation. Masks are two pieces, each its own."""
    root = tmp_path_factory.mktemp("masked")
    rng = np.random.default_rng(1)
    samples = []
    for k in range(24):
        label, split = ("a", "b")[k >= 14], "val" if k >= 20 else "train"
        Image.fromarray(rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)).save(root / f"{label}{k}.png")
        mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
        y, x, side = rng.integers(0, 6), rng.integers(0, 6), 2 + k % 5
        mask[y : y + side, x : x + side] = mask[y + side, x + side] = 255
        Image.fromarray(mask).save(root / f"m{k}.png")
        reference = "" if k in (12, 13) else f"png:m{k}.png"
        samples.append(Sample(f"{label}{k}.png", int(k >= 14), split, reference))
    return Catalog(root, ("a", "b"), tuple(samples))


def learn(few: Catalog, rows: np.ndarray, pictures: Pictures) -> tuple[Pictures, str]:
    """A first row of each mask is what this learns; it is told no more than it may know."""
    known = [sample for sample in few.samples if sample.mask]
    assert len(known) == 6
    assert all(sample.split == "train" for sample in known)
    learned = np.zeros((SIDE, SIDE), dtype=bool)
    learned[0] = True
    others = [int(row) for row in rows if not few.samples[row].mask]
    return MoreMasks(pictures, {row: np.roll(learned, row, axis=0) for row in others}), "Good ones."


def shown(
    catalog: Catalog, seed: int = 0, **settings: object
) -> tuple[dict[str, np.ndarray | None], str, str]:
    """{path: its mask (S, S) in {0, 1}, or None} of training and validation pictures; what is said."""
    config = parse(MasksConfig, settings, source="test")
    pictures, told, how = training_masks(catalog, catalog.indices("train"), config, seed, OPEN, learn)
    images, masks, has_mask = pictures.read_many(np.arange(len(catalog)))
    originals = OPEN(catalog)
    assert torch.equal(images, originals.read_many(np.arange(len(catalog)))[0])
    assert bool(has_mask.any()) == pictures.has_masks
    one = [pictures.read(row) for row in range(len(catalog))]
    assert all(
        torch.equal(m, single[1]) and h == single[2]
        for m, h, single in zip(masks, has_mask, one, strict=True)
    )
    found = {
        sample.path: masks[row, 0].numpy() // 255 if has_mask[row] else None
        for row, sample in enumerate(catalog.samples)
    }
    validation = [sample.path for sample in catalog.samples if sample.split == "val"]
    assert all(np.array_equal(found[path], own(catalog, path)) for path in validation), "these keep theirs"
    return {path: mask for path, mask in found.items() if path not in validation}, told, how


def own(catalog: Catalog, path: str) -> np.ndarray | None:
    reference = next(sample.mask for sample in catalog.samples if sample.path == path)
    return np.asarray(Image.open(catalog.root / reference.removeprefix("png:"))) // 255 if reference else None


def same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is other if one is None or other is None else np.array_equal(one, other)


def test_all_and_none(catalog: Catalog) -> None:
    masks, told, _ = shown(catalog)
    assert all(same(mask, own(catalog, path)) for path, mask in masks.items())
    assert told == "18 of 20 pictures"
    masks, told, _ = shown(catalog, use="none")
    assert set(masks.values()) == {None}
    assert told == "0 of 20 pictures"


@pytest.mark.parametrize(
    ("use", "expected"), [(6, (4, 2)), (1, (1, 0)), (18, (12, 6)), ({"per_class": 3}, (3, 3))]
)
def test_a_number_of_masks_is_drawn_in_proportion(
    catalog: Catalog, use: object, expected: tuple[int, int]
) -> None:
    masks, told, _ = shown(catalog, use=use)
    kept = [path for path, mask in masks.items() if mask is not None]
    assert all(same(masks[path], own(catalog, path)) for path in kept)
    assert (sum(path[0] == "a" for path in kept), sum(path[0] == "b" for path in kept)) == expected
    assert told.startswith(f"{sum(expected)} of 20 ")


def test_more_masks_are_the_same_ones_and_further(catalog: Catalog) -> None:
    few, more = (
        {path for path, mask in shown(catalog, use={"per_class": n})[0].items() if mask is not None}
        for n in (2, 5)
    )
    assert few < more
    drawn = {
        tuple(p for p, mask in shown(catalog, seed, use=5)[0].items() if mask is not None)
        for seed in range(4)
    }
    assert len(drawn) > 1, "another seed draws others"


def test_fewer_than_asked_for(catalog: Catalog) -> None:
    _, told, how = shown(catalog, use={"per_class": 8})
    assert (told, how) == ("14 of 20 pictures", "8 of each class, drawn by the seed; there are fewer of b 6")
    with pytest.raises(ConfigError, match="masks of 19 training pictures, but only 18 have one"):
        shown(catalog, use=19)


def test_shuffled_masks_are_of_other_pictures_of_about_their_size(catalog: Catalog) -> None:
    for seed in range(5):
        masks, _, _ = shown(catalog, seed, use="shuffled")
        originals = {path: own(catalog, path) for path in masks if own(catalog, path) is not None}
        places = {mask.tobytes(): path for path, mask in originals.items()}
        assert len(places) == 18, "each mask is its own"
        taken = {path: places[mask.tobytes()] for path, mask in masks.items() if mask is not None}
        assert sorted(taken) == sorted(taken.values()) == sorted(originals)
        assert all(path != other for path, other in taken.items())
        by_area = sorted(originals, key=lambda path: (int(originals[path].sum()), path))
        size = dict(zip(by_area, np.repeat(range(4), (5, 5, 4, 4)).tolist(), strict=True))
        assert all(size[path] == size[other] for path, other in taken.items())


@pytest.mark.parametrize("use", [6, {"per_class": 3}, {"proposed": "drafts of all"}])
def test_whatever_masks_are_used_can_be_shuffled(catalog: Catalog, use: object) -> None:
    drafts = catalog.root / "drafts of all"
    drafts.mkdir(exist_ok=True)
    for k, sample in enumerate(catalog.samples):
        draft = np.zeros((SIDE, SIDE), dtype=np.uint8)
        draft.flat[: k + 1] = 255
        Image.fromarray(draft).save(drafts / Path(sample.path).with_suffix(".png").name)
    plain, told, how = shown(catalog, use=use)
    other, told_too, how_too = shown(catalog, use=use, shuffled=True)
    assert told == told_too
    assert how_too == f"{how}; each is the mask of another picture, of about the same area"
    kept = {path for path, mask in plain.items() if mask is not None}
    assert kept == {path for path, mask in other.items() if mask is not None}, "the same pictures have one"
    assert all(not same(plain[path], other[path]) for path in kept)
    assert sorted(plain[path].tobytes() for path in kept) == sorted(other[path].tobytes() for path in kept)


def test_all_of_them_shuffled_is_shuffled(catalog: Catalog) -> None:
    one, other = shown(catalog, use="shuffled"), shown(catalog, use="all", shuffled=True)
    assert all(same(mask, other[0][path]) for path, mask in one[0].items())
    assert one[1:] == other[1:]


def test_shuffled_boxes_are_the_boxes_of_other_pictures(catalog: Catalog) -> None:
    boxes, shuffled = shown(catalog, use="boxes")[0], shown(catalog, use="boxes", shuffled=True)[0]
    bits = [sorted(m.tobytes() for m in masks.values() if m is not None) for masks in (boxes, shuffled)]
    assert bits[0] == bits[1]
    assert sum(not same(boxes[path], shuffled[path]) for path in boxes) > 12


def test_masks_that_are_learned_from_a_few(catalog: Catalog) -> None:
    few = {path for path, mask in shown(catalog, use=6)[0].items() if mask is not None}
    masks, told, how = shown(catalog, use={"learned": 6})
    assert told == "20 of 20 pictures"
    assert how.startswith("6 drawn by the seed, in proportion")
    assert how.endswith("and what is learned from them. Good ones.")
    rows = {sample.path: row for row, sample in enumerate(catalog.samples)}
    for path, mask in masks.items():
        if path in few:
            assert same(mask, own(catalog, path))
        else:
            assert np.flatnonzero(mask.any(axis=1)).tolist() == [rows[path] % SIDE]
    other, _, _ = shown(catalog, use={"learned": 6}, shuffled=True)
    assert sorted(m.tobytes() for m in other.values()) == sorted(m.tobytes() for m in masks.values())


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(mask)
    return ys.min(), xs.min(), ys.max() + 1, xs.max() + 1


def test_boxes_and_random_boxes(catalog: Catalog) -> None:
    boxes, _, _ = shown(catalog, use="boxes")
    moved, _, _ = shown(catalog, use="random_boxes")
    elsewhere = 0
    for path, box in boxes.items():
        mask = own(catalog, path)
        if mask is None:
            assert box is None
            assert moved[path] is None
            continue
        top, left, bottom, right = box_of(mask)
        assert box.sum() == (bottom - top) * (right - left) == box[top:bottom, left:right].sum()
        y0, x0, y1, x1 = box_of(moved[path])
        assert (y1 - y0, x1 - x0) == (bottom - top, right - left)
        assert moved[path].sum() == box.sum()
        elsewhere += (y0, x0) != (top, left)
    assert elsewhere > 12


def test_the_whole_picture(catalog: Catalog) -> None:
    for path, mask in shown(catalog, use="whole")[0].items():
        assert mask is None if own(catalog, path) is None else mask.all()


def test_proposed_masks(catalog: Catalog) -> None:
    (catalog.root / "drafts").mkdir(exist_ok=True)
    draft = np.zeros((SIDE, SIDE), dtype=np.uint8)
    draft[3:9, 2:5] = 255
    for name in ("a0", "a12", "b22"):  # with a mask of its own, without one, of validation
        Image.fromarray(draft).save(catalog.root / "drafts" / f"{name}.png")
    masks, told, how = shown(catalog, use={"proposed": "drafts"})
    assert told == "2 of 20 pictures"
    assert how == "masks of drafts in place of the pictures' own"
    assert {path for path, mask in masks.items() if mask is not None} == {"a0.png", "a12.png"}
    assert np.array_equal(masks["a12.png"], draft // 255)
    with pytest.raises(DataError, match="do not exist"):
        shown(catalog, use={"proposed": "nowhere"})


@pytest.mark.parametrize("use", ["shuffled", "random_boxes", 7, {"per_class": 2}])
def test_the_order_of_rows_changes_nothing(catalog: Catalog, use: object) -> None:
    order = np.random.default_rng(3).permutation(len(catalog))
    masks, again = shown(catalog, use=use)[0], shown(catalog.subset(order), use=use)[0]
    assert all(same(mask, again[path]) for path, mask in masks.items())


def test_without_masks_there_is_nothing_to_shuffle(catalog: Catalog) -> None:
    bare = replace(catalog, samples=tuple(replace(sample, mask="") for sample in catalog.samples))
    with pytest.raises(ConfigError, match=r"data.masks.use is shuffled, but no training picture has a mask"):
        training_masks(bare, bare.indices("train"), MasksConfig(use="shuffled"), 0, OPEN, learn)


def test_training_sees_other_masks_and_measuring_the_true_ones(tree: Path, tmp_path: Path) -> None:
    terms = {"classification": {"kind": "cross_entropy"}, "look": {"kind": "spatial_energy", "weight": 1.0}}
    short = {"phases": [{"name": "all", "epochs": 1, "lr": 0.003}]}
    runs = {
        use: run(
            experiment(data={"masks": {"use": use}, "augment": "none"}, objective=terms, training=short),
            tree,
            tmp_path / use,
        )
        for use in ("all", "whole", "none")
    }
    loss = {use: next(row for row in one.history) for use, one in runs.items()}
    # The share of energy outside the whole picture is nothing; without masks the term has nothing to say.
    assert loss["all"]["train_look"] > 0.01
    assert loss["whole"]["train_look"] == pytest.approx(0, abs=1e-6)
    assert loss["none"]["train_look"] == 0
    for use in ("whole", "none"):
        one, other = runs["all"], runs[use]
        assert one.experiment.hash() != other.experiment.hash()
        assert one.result["catalog_hash"] == other.result["catalog_hash"]
        np.testing.assert_array_equal(
            one.predictions.look["energy_chance"], other.predictions.look["energy_chance"]
        )
        assert loss[use]["val_look"] > 0.01, "validation pictures keep their masks"
        assert (
            one.result["metrics"]["test"]["backgrounds"]["n"]
            == other.result["metrics"]["test"]["backgrounds"]["n"]
        )
        said = {entry["name"]: entry for entry in other.environment["decisions"]}["masks in training"]
        n = len(one.catalog.indices("train"))
        assert said["value"] == f"{0 if use == 'none' else n} of {n} pictures"


def test_proposed_masks_are_told_where_pictures_have_none_of_their_own(tree: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(tree, tmp_path / "bare"))
    (bare / "masks").rename(tmp_path / "drafts")
    short = {"phases": [{"name": "all", "epochs": 1, "lr": 0.003}]}
    use = {"proposed": "../drafts"}
    made = run(
        experiment(data={"masks": {"use": use}, "augment": "none"}, training=short), bare, tmp_path / "run"
    )
    said = {entry["name"]: entry["value"] for entry in made.environment["decisions"]}
    n = len(made.catalog.indices("train"))
    assert said["masks in training"] == f"{n} of {n} pictures"
    assert not made.catalog.has_masks, "measuring knows none"
