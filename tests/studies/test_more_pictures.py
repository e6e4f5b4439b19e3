"""Forecasts of errors whose law is known, and of pictures that are drawn."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from drawn import draw_tree
from foveate.cli.main import app
from foveate.core.errors import DataError
from foveate.studies.more_pictures import FOLDS, REPEATS, _places, errors_at_sizes, foretell, learning_curve

SIZES = np.array([50, 100, 200, 400, 800.0])


def test_a_power_law_is_foretold_exactly() -> None:
    errors = np.tile(2.0 * SIZES**-0.4, (10, 1))
    wanted = np.array([1600.0, 3200.0])
    middle, low, high, (scale, rate) = foretell(SIZES, errors, wanted, 1000)
    np.testing.assert_allclose(middle, 2.0 * wanted**-0.4, rtol=1e-9)
    assert (scale, rate) == pytest.approx((2.0, 0.4))
    assert (low < middle).all()
    assert (middle < high).all()
    assert high[1] / low[1] > high[0] / low[0], "further away is less certain"


def test_the_band_holds_what_comes() -> None:
    """Draws of one law with the noise of so many answers; the truth is the law itself."""
    rng = np.random.default_rng(0)
    inside, wanted = 0, np.array([1600.0])
    for _ in range(100):
        answers = 200
        errors = rng.binomial(answers, 1.5 * SIZES**-0.3, size=(10, 5)) / answers
        _, low, high, _ = foretell(SIZES, errors, wanted, 1000)
        inside += int(low[0] <= 1.5 * wanted[0] ** -0.3 <= high[0])
    assert inside >= 93


def test_no_mistakes_are_no_certainty() -> None:
    middle, low, high, _ = foretell(SIZES, np.zeros((10, 5)), np.array([1600.0]), 1000)
    assert 0 < low[0] < middle[0] < high[0] < 0.01


def test_smaller_sizes_are_parts_of_larger_ones_and_classes_keep_their_shares() -> None:
    labels, groups = np.repeat([0, 1, 2], [80, 40, 20]), np.arange(140).astype(str)
    place = _places(labels, groups, np.random.default_rng(0))
    for share in (0.25, 0.5, 1.0):
        assert np.bincount(labels[place < share]).tolist() == [80 * share, 40 * share, 20 * share]
    together = np.repeat(np.arange(35), 4).astype(str)
    place = _places(np.zeros(140, dtype=int), together, np.random.default_rng(0))
    chosen = together[place < 0.2]
    assert len(np.unique(chosen)) == 7


def blobs(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 4
    return rng.normal(size=(n, 20)) + 1.5 * np.eye(4, 20)[labels], labels, np.arange(n).astype(str)


@pytest.mark.slow
def test_the_curve_of_a_part_foretells_the_whole() -> None:
    features, labels, groups = blobs(1200)
    sizes, errors = errors_at_sizes(features, labels, groups)
    assert errors.shape == (FOLDS * REPEATS, len(sizes))
    assert sizes.tolist() == [60, 120, 240, 480, 960]
    assert errors.mean(axis=0)[0] > errors.mean(axis=0)[-1]
    found = learning_curve(features[:600], labels[:600], groups[:600])
    twice = next(point for point in found.points if point.pictures == 1200)
    assert twice.measured is None
    assert twice.low <= 1 - errors.mean(axis=0)[-1] <= twice.high
    assert found.points[-3].measured is not None
    assert [point.pictures for point in found.points[-3:]] == [600, 1200, 2400]


def test_too_few_pictures_are_told() -> None:
    with pytest.raises(DataError, match="needs 100 pictures of two classes or more, 5 of each; there are 60"):
        errors_at_sizes(*blobs(60))


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    data = draw_tree(tmp_path / "data", each=60)
    words = ["learning-curve", str(data), "--backbone", "mobilenetv3_small_050:none", "--size", "32"]
    result = CliRunner().invoke(app, [*words, "--json", str(tmp_path / "curve.json")])
    assert result.exit_code == 0, result.output
    assert "test pictures were left alone" in result.output
    assert "Twice as many pictures:" in result.output
    points = json.loads((tmp_path / "curve.json").read_text())["points"]
    assert points[-1]["pictures"] == pytest.approx(4 * points[-3]["pictures"], rel=0.02)
