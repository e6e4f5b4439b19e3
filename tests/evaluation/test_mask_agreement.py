"""Agreement of masks against scikit-learn, and what counts when masks are missing or empty."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import jaccard_score, precision_score, recall_score

from drawn import draw_tree
from foveate.core.errors import DataError
from foveate.data.catalog import Catalog
from foveate.data.discover import discover
from foveate.data.layout_settings import LayoutConfig
from foveate.evaluation.mask_agreement import agreement, compare_masks


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_agreement_is_that_of_scikit_learn(seed: int, share: float, other: float) -> None:
    rng = np.random.default_rng(seed)
    mask, known = rng.random((9, 11)) < share, rng.random((9, 11)) < other
    mask[0, 0] = known[4, 4] = True
    found = agreement(mask, known)
    truth, answer = known.ravel(), mask.ravel()
    assert found.iou == pytest.approx(jaccard_score(truth, answer))
    assert found.precision == pytest.approx(precision_score(truth, answer))
    assert found.recall == pytest.approx(recall_score(truth, answer))


def test_a_missing_mask() -> None:
    known = np.eye(4, dtype=bool)
    found = agreement(np.zeros_like(known), known)
    assert (found.iou, found.recall) == (0, 0)
    assert np.isnan(found.precision)


@pytest.fixture
def catalogs(tmp_path: Path) -> tuple[Catalog, Catalog]:
    """12 pictures; the proposed masks are the known ones moved by 2 pixels, except that the first is missing."""
    data = draw_tree(tmp_path / "data", each=4)
    known = discover(data).catalog
    for sample in known.samples[1:]:
        file = tmp_path / "out" / Path(sample.path).relative_to("images")
        file.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(data / "masks" / Path(sample.path).relative_to("images")) as mask:
            Image.fromarray(np.roll(np.asarray(mask), 2, axis=1)).save(file)
    return known, discover(data, LayoutConfig(masks=tmp_path / "out")).catalog


def test_compare(catalogs: tuple[Catalog, Catalog], tmp_path: Path) -> None:
    known, proposed = catalogs
    comparison = compare_masks(known, proposed)
    assert (len(comparison.paths), comparison.missing, comparison.empty, comparison.untried) == (12, 1, 0, 0)
    iou = [score.iou for score in comparison.scores["proposed"]]
    assert iou[0] == 0
    assert iou[1:] == pytest.approx([8 / 12] * 11), "squares of 10, moved by 2"
    ours, centre, box, whole = comparison.summary()
    assert ours["iou_median"] == pytest.approx(8 / 12)
    assert ours["share_iou_50"] == pytest.approx(11 / 12)
    assert ours["precision_median"] == ours["recall_median"] == pytest.approx(0.8)
    assert ours["iou_mean"] == pytest.approx(8 / 12 * 11 / 12)
    assert box["iou_mean"] == 1, "the objects are squares"
    assert whole["iou_mean"] == whole["precision_median"] == pytest.approx(100 / 32**2)
    assert whole["recall_median"] == 1
    assert 0 < centre["iou_mean"] < 0.5  # type: ignore[operator]
    comparison.to_csv(tmp_path / "t.csv")
    with open(tmp_path / "t.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4 * 12
    assert rows[0] == {
        "path": comparison.paths[0],
        "masks": "proposed",
        "iou": "0.0000",
        "precision": "",
        "recall": "0.0000",
    }


def test_only_what_was_tried_counts_and_empty_masks_do_not(catalogs: tuple[Catalog, Catalog]) -> None:
    known, proposed = catalogs
    paths = [sample.path for sample in known.samples]
    comparison = compare_masks(known, proposed, tried=paths[1:5])
    assert (comparison.paths, comparison.missing, comparison.untried) == (tuple(paths[1:5]), 0, 8)
    blank = known.root / "masks" / Path(paths[1]).relative_to("images")
    Image.new("L", (32, 32)).save(blank)
    assert compare_masks(known, proposed, tried=paths[1:5]).empty == 1
    with pytest.raises(DataError, match=r"All 1 known masks .* are empty"):
        compare_masks(known, proposed, tried=paths[1:2])


def test_errors(catalogs: tuple[Catalog, Catalog]) -> None:
    known, proposed = catalogs
    bare = replace(known, samples=tuple(replace(s, mask="") for s in known.samples))
    with pytest.raises(DataError, match=r"No picture of .* has a known mask"):
        compare_masks(bare, proposed)
    with pytest.raises(DataError, match="are the known ones themselves"):
        compare_masks(known, known)
    with pytest.raises(DataError, match=r"10 pictures, for example .* are not among"):
        compare_masks(known, proposed.subset(range(2)))
