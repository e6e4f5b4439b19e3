"""The plan and the folder: ties, balance, bytes, reuse, refusals."""

import hashlib
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from foveate.core.config import parse
from foveate.core.errors import ConfigError, DataError
from foveate.data.discover import discover
from foveate.data.synthetic import (
    BACKGROUNDS,
    OWN_BACKGROUND,
    SyntheticConfig,
    draw_planned,
    plan,
    write_dataset,
)
from foveate.data.synthetic import dataset as module

TINY = SyntheticConfig(classes=3, train=3, val=1, test=2, size=32, seed=7)


def _bytes(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def _open(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
    return picture


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synthetic") / "tiny"
    write_dataset(root, TINY)
    return root


def _planned(config: SyntheticConfig, split: str) -> list[tuple[str, str]]:
    """(species, background) of each picture of a split."""
    parts = ((path.split("/"), ground) for path, ground in plan(config).items())
    return [(species, ground) for (part, species, _), ground in parts if part == split]


@pytest.mark.parametrize("tie", [0.0, 0.5, 0.95, 1.0])
def test_share_of_tied_pictures(tie: float) -> None:
    config = SyntheticConfig(train=400, val=100, test=400, tie=tie)
    for split, expected in (("train", tie), ("val", tie), ("test", 1 / 6)):
        own = [ground == OWN_BACKGROUND[species] for species, ground in _planned(config, split)]
        assert len(own) == 6 * getattr(config, split)
        assert stats.binomtest(sum(own), len(own), expected).pvalue > 1e-4


def test_val_tie_is_its_own_setting() -> None:
    config = SyntheticConfig(val=50, tie=1.0, val_tie=0.0)
    assert all(ground != OWN_BACKGROUND[species] for species, ground in _planned(config, "val"))
    assert all(ground == OWN_BACKGROUND[species] for species, ground in _planned(config, "train"))


def test_untied_pictures_stand_evenly_on_the_other_backgrounds() -> None:
    drawn = _planned(SyntheticConfig(train=600, tie=0.0), "train")
    counts = Counter(ground for species, ground in drawn if species == "bimaculatus")
    assert set(counts) == set(BACKGROUNDS[1:6])
    assert stats.chisquare(list(counts.values())).pvalue > 1e-4


@pytest.mark.parametrize("seed", [0, 1])
def test_background_says_nothing_in_test(seed: int) -> None:
    drawn = _planned(SyntheticConfig(test=500, seed=seed), "test")
    names = sorted({species for species, _ in drawn})
    table = np.zeros((6, 6))
    for species, ground in drawn:
        table[names.index(species), BACKGROUNDS.index(ground)] += 1
    assert stats.chi2_contingency(table).pvalue > 1e-4
    assert stats.chisquare(table.sum(0)).pvalue > 1e-4


def test_tie_changes_nothing_but_backgrounds() -> None:
    tied = SyntheticConfig(classes=3, train=4, val=0, test=0, size=32, tie=1.0)
    loose = tied.model_copy(update={"tie": 0.0})
    pairs = zip(draw_planned(tied, plan(tied)), draw_planned(loose, plan(loose)), strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one.mask, other.mask)
        assert (one.image != other.image).any()


def test_a_picture_does_not_depend_on_order_or_number(tiny: Path) -> None:
    planned = plan(TINY)
    order = np.random.default_rng(0).permutation(list(planned)).tolist()
    shuffled = {path: planned[path] for path in order}
    assert planned.items() < plan(TINY.model_copy(update={"train": 5})).items()
    for path, picture in zip(shuffled, draw_planned(TINY, shuffled), strict=True):
        np.testing.assert_array_equal(picture.image, np.asarray(_open(tiny / path)))


def test_same_bytes_twice_and_others_with_another_seed(tiny: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "again", TINY)
    assert _bytes(tmp_path / "again") == _bytes(tiny)
    write_dataset(tmp_path / "other", TINY.model_copy(update={"seed": 8}))
    first, other = _bytes(tiny), _bytes(tmp_path / "other")
    assert first.keys() == other.keys()
    assert not any(first[path] == other[path] for path in first if path.startswith(("train", "test", "val")))


def test_no_picture_is_drawn_twice(tiny: Path) -> None:
    pictures = [digest for path, digest in _bytes(tiny).items() if not path.startswith("marks")]
    assert len(set(pictures)) == len(pictures)


def test_folder_and_catalog_agree(tiny: Path) -> None:
    catalog = discover(tiny).catalog
    assert catalog.classes == ("bimaculatus", "fasciatus", "vittatus")
    for split, number in (("train", 3), ("val", 1), ("test", 2)):
        assert catalog.counts(split).tolist() == [number] * 3
    on_disk = {path for path in _bytes(tiny) if path.startswith(("train/", "val/", "test/"))}
    assert on_disk == {sample.path for sample in catalog.samples}
    for sample in catalog.samples:
        image, mask, mark = (
            _open(tiny / path)
            for path in (sample.path, sample.mask.removeprefix("png:"), f"marks/{sample.path}")
        )
        assert image.size == mask.size == mark.size == (32, 32)
        assert (image.mode, mask.mode, mark.mode) == ("RGB", "L", "L")
        assert ((np.asarray(mark) > 0) <= (np.asarray(mask) > 0)).all()
        assert sample.path.split("/")[1] == catalog.classes[sample.label]
    assert sorted(path.name for path in tiny.iterdir()) == [
        "marks",
        "masks",
        "synthetic.json",
        "test",
        "train",
        "val",
    ]


def test_manifest_tells_the_truth(tiny: Path) -> None:
    manifest = json.loads((tiny / "synthetic.json").read_text())
    assert manifest["backgrounds"] == plan(TINY)
    assert parse(SyntheticConfig, manifest["config"], source="manifest") == TINY


def test_an_equal_set_is_reused_and_progress_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SyntheticConfig(classes=2, train=1, val=0, test=1, size=32)
    seen: list[tuple[int, int]] = []
    (tmp_path / "set").mkdir()  # an empty folder may be filled
    write_dataset(tmp_path / "set", config, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    before = _bytes(tmp_path / "set")
    monkeypatch.setattr(module, "draw_picture", lambda *_, **__: pytest.fail("drawn again"))
    write_dataset(tmp_path / "set", config)
    assert _bytes(tmp_path / "set") == before


def test_other_content_is_never_overwritten(tiny: Path, tmp_path: Path) -> None:
    before = _bytes(tiny)
    with pytest.raises(DataError, match=r"other settings \(tie: 0.95 there, 0.5 wanted\); name another"):
        write_dataset(tiny, TINY.model_copy(update={"tie": 0.5}))
    assert _bytes(tiny) == before
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"photos has no readable synthetic.json"):
        write_dataset(tmp_path / "photos", TINY)
    assert _bytes(tmp_path / "photos").keys() == {"cat.png"}
    with pytest.raises(DataError, match="is a file; name a folder"):
        write_dataset(tmp_path / "photos" / "cat.png", TINY)


def test_a_damaged_or_older_set_is_refused(tmp_path: Path) -> None:
    config = SyntheticConfig(classes=2, train=1, val=0, test=1, size=32)
    write_dataset(tmp_path / "set", config)
    lost = tmp_path / "set" / "masks" / "train" / "fasciatus" / "0001.png"
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(DataError, match=r"incomplete: masks/train/fasciatus/0001.png is missing"):
        write_dataset(tmp_path / "set", config)
    lost.write_bytes(content)
    manifest = tmp_path / "set" / "synthetic.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "drawing": 0}))
    with pytest.raises(DataError, match="drawn by another version"):
        write_dataset(tmp_path / "set", config)
    manifest.write_text("[]")
    with pytest.raises(DataError, match=r"holds a list.*not a synthetic data set"):
        write_dataset(tmp_path / "set", config)


def test_an_interrupted_drawing_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "set", TINY, stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("same", [True, False])
def test_two_processes_may_draw_one_folder(tmp_path: Path, tiny: Path, same: bool) -> None:
    """The other one finishes first: an equal set is taken over, a different one is refused."""
    theirs = TINY if same else TINY.model_copy(update={"seed": 9})

    def overtake(done: int, total: int) -> None:
        if done == total:
            write_dataset(tmp_path / "theirs", theirs)
            os.rename(tmp_path / "theirs", tmp_path / "set")

    if same:
        write_dataset(tmp_path / "set", TINY, overtake)
        assert _bytes(tmp_path / "set") == _bytes(tiny)
    else:
        with pytest.raises(DataError, match="seed: 9 there, 7 wanted"):
            write_dataset(tmp_path / "set", TINY, overtake)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": 9}, "classes must be at most 8"),
        ({"tie": 1.2}, "tie must be at most 1"),
        ({"size": 8}, "size must be at least 32"),
        ({"object_scale": (0.7, 0.5)}, "object_scale must rise within 0.2 to 0.9, not 0.7 to 0.5"),
        ({"colour": 1}, "colour is no setting"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(SyntheticConfig, values, source="test")
