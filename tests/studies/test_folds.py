"""Arms paired over folds: who is tested where, and the corrected interval against a plain formula and a simulation."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from drawn import draw_tree
from foveate.data.discover import discover
from foveate.data.split import SplitConfig, save_split, split
from foveate.experiment import Run
from foveate.studies.analysis import analyse
from foveate.studies.engine import folder_of, run_study
from foveate.studies.picture_comparison import compare_pictures
from foveate.studies.results import Metric, Pictures
from foveate.studies.specification import Study
from foveate.studies.statistics import compare, detectable_effect, summarise
from foveate.studies.study_reader import read_study
from foveate.studies.tables import comparisons_table, means_table
from foveate.studies.verdict import verdict
from studies.test_engine import Watch, study

FOLDS = 3


def test_every_picture_is_tested_once_and_groups_stay_together(tree: Path, tmp_path: Path) -> None:
    made = study(split="folds", folds=FOLDS, seeds=[0])
    out = run_study(made, tree, tmp_path / "folds", jobs=0)
    cells = made.cells()
    assert [(cell.fold, cell.pair) for cell in cells[::2]] == [(k, k) for k in range(FOLDS)]
    for arm in made.arm_changes():
        runs = [Run.open(folder_of(out, cell)) for cell in cells if cell.arm == arm]
        tested = [{s.path for s in run.catalog.samples if s.split == "test"} for run in runs]
        trained = [{s.path for s in run.catalog.samples if s.split in ("train", "val")} for run in runs]
        everything = {s.path for s in runs[0].catalog.samples}
        assert sum(map(len, tested)) == len(everything) == len(set().union(*tested))
        assert all(test | train == everything for test, train in zip(tested, trained, strict=True))
        groups = [{s.group for s in run.catalog.samples if s.split == "test" and s.group} for run in runs]
        assert sum(map(len, groups)) == len(set().union(*groups))
    results = read_study(out)[""]
    assert (results.unit, results.overlap, results.seeds) == ("fold", 1 / (FOLDS - 1), (0, 1, 2))
    assert results.name_of(2) == "seed 0, fold 2"
    found = analyse(results)
    one = found.comparisons["test.accuracy"]["weight 1"]
    assert one.n == FOLDS
    assert any("each in one fold" in note for note in found.notes)
    assert "over 3 folds" in means_table(results, found).title
    assert "paired by fold" in comparisons_table(results, found).title


def test_seeds_repeat_the_division(tmp_path: Path) -> None:
    made = Study.from_dict({"name": "s", "split": "folds", "folds": 4, "seeds": [0, 3]})
    splits = [cell.experiment.data.split for cell in made.cells()]
    assert [(s.seed, s.folds, s.fold) for s in splits] == [(seed, 4, k) for seed in (0, 3) for k in range(4)]
    assert [cell.pair for cell in made.cells()] == [0, 1, 2, 3, 12, 13, 14, 15]


def test_the_folds_of_a_file_are_as_many_as_the_study_has(tree: Path, tmp_path: Path) -> None:
    drawn = split(discover(tree).catalog, SplitConfig(folds=3))
    save_split(drawn.catalog, tmp_path / "folds.csv", drawn.folds)
    base = study().base
    base = {**base, "data": {**base["data"], "split": {"file": str(tmp_path / "folds.csv")}}}
    design = {"split": "folds", "seeds": [0], "axes": {}, "base": base}
    watch = Watch()
    run_study(study(**design, folds=2), tree, tmp_path / "fewer", jobs=0, observer=watch)
    assert watch.computed == []
    assert "holds 3 folds and not 2; set the number of folds to 3" in watch.errors[0]
    run_study(study(**design, folds=3), tree, tmp_path / "same", jobs=0, observer=watch)
    assert len(watch.computed) == 3


def test_the_correction_counts_the_folds_that_are_there(tmp_path: Path) -> None:
    """Four groups cannot be six folds: the cells of the others fail, and training sets overlap as those of four do."""
    root = draw_tree(tmp_path / "pictures", classes=2, each=8)
    names = sorted(file.relative_to(root).as_posix() for file in (root / "images").rglob("*.png"))
    rows = [f"{name},{name.split('/')[1]},g{k % 4}" for k, name in enumerate(names)]
    (root / "table.csv").write_text("\n".join(["path,label,group", *rows]), encoding="utf-8")
    made = study(split="folds", folds=6, seeds=[0], axes={})
    watch = Watch()
    found = read_study(run_study(made, root, tmp_path / "s", jobs=0, observer=watch))[""]
    assert (len(watch.computed), len(watch.errors), len(found.failures)) == (4, 2, 2)
    assert found.overlap == pytest.approx(1 / 3)


def test_corrected_t_by_its_formula() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.8, 0.02, 10), rng.normal(0.82, 0.02, 10)
    overlap = 1 / 9
    found = compare(a, b, overlap=overlap, unit="fold")
    d = b - a
    variance = (1 / 10 + overlap) * d.var(ddof=1)
    t = d.mean() / math.sqrt(variance)
    reach = stats.t.ppf(0.975, 9) * math.sqrt(variance)
    assert found.test == "corrected t"
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), 9))
    assert (found.low, found.high) == (pytest.approx(d.mean() - reach), pytest.approx(d.mean() + reach))
    smallest = found.detectable.seeds
    assert smallest == pytest.approx(math.sqrt(variance * 10) * detectable_effect(10))
    mean = summarise(a, overlap=overlap)
    assert mean.high == pytest.approx(
        a.mean() + stats.t.ppf(0.975, 9) * a.std(ddof=1) * math.sqrt(0.1 + overlap)
    )


def test_the_same_difference_in_every_fold_tests_nothing() -> None:
    base = np.array([0.7, 0.71, 0.8, 0.77, 0.9, 0.6])
    found = compare(base, base + 0.01, overlap=0.2, unit="fold")
    assert (found.p, found.low) == (None, None)
    assert found.note == "the difference is the same in each of 6 folds"
    assert compare(base, base, overlap=0.2).p == 1.0


def test_two_folds_have_no_interval() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.8, 0.02, 8), rng.normal(0.82, 0.02, 8)
    found = compare(a, b, overlap=1.0, unit="fold")
    assert (found.low, found.high, found.p, found.detectable.smallest) == (None, None, None, None)
    assert found.difference == pytest.approx((b - a).mean())
    said = verdict(found, Metric("test.accuracy", "Test accuracy", percent=True))
    assert said.startswith("too few folds to tell (no test holds); training on half of the pictures")
    assert summarise(a, overlap=1.0).low is None
    assert summarise(a, overlap=0.5).low is not None


FEATURES = (np.arange(6), np.arange(2))
"""Two arms: nearest mean on all features, and on the two that tell anything."""


def drawn(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    y = rng.integers(0, 2, n)
    x = rng.normal(0, 1, (n, 6))
    x[:, 0] += 1.2 * y
    x[:, 1] += 0.5 * y
    return x, y


def answers(x: np.ndarray, y: np.ndarray, tests: np.ndarray, labels: np.ndarray, arm: int) -> np.ndarray:
    """Trained on (x, y): which answers to ``tests`` are right."""
    columns = FEATURES[arm]
    a, b = (x[y == k][:, columns].mean(axis=0) for k in (0, 1))
    return ((tests[:, columns] - (a + b) / 2) @ (b - a) > 0) == (labels == 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "folds", "seeds", "plain_at_most"), [(60, 3, 1, 1.0), (120, 10, 1, 1.0), (60, 5, 4, 0.9)]
)
def test_intervals_over_folds_of_real_training_hold_the_truth(
    n: int, folds: int, seeds: int, plain_at_most: float
) -> None:
    """The truth: the mean difference of trainings on as many new pictures, over many others. Paired by fold with the
    corrected interval, and pooled picture by picture; the plain interval fails where folds are repeated."""
    rng, studies = np.random.default_rng(7), 200
    others = drawn(rng, 20_000)
    gains = [
        np.subtract(*(answers(*made, *others, arm).mean() for arm in (1, 0)))
        for made in (drawn(rng, n - n // folds) for _ in range(300))
    ]
    truth, hits = np.mean(gains), np.zeros(3)
    for _ in range(studies):
        x, y = drawn(rng, n)
        cells: tuple[dict[int, Pictures], dict[int, Pictures]] = ({}, {})
        orders = [rng.permutation(n) for _ in range(seeds)]
        for pair in range(folds * seeds):
            order = orders[pair // folds]
            test = np.sort(order[pair % folds :: folds])
            rest = np.setdiff1d(order, test)
            for arm, made in enumerate(cells):
                right = answers(x[rest], y[rest], x[test], y[test], arm)
                made[pair] = Pictures(tuple(f"{i:04d}" for i in test), right)
        accuracy = [np.array([one.correct.mean() for one in made.values()]) for made in cells]
        found = [compare(*accuracy, overlap=overlap) for overlap in (0.0, 1 / (folds - 1))]
        for k, one in enumerate([*found, compare_pictures(*cells)]):
            # Equal in all folds: the only interval is the difference itself.
            hits[k] += one is None or one.low is None or one.high is None or one.low <= truth <= one.high
    plain, corrected, pooled = hits / studies
    fewest = stats.binom.ppf(0.001, studies, 0.95) / studies
    assert corrected >= fewest
    assert pooled >= fewest
    assert plain <= plain_at_most


@pytest.mark.slow
@pytest.mark.parametrize("folds", [5, 10])
def test_false_alarms_over_correlated_folds(folds: int) -> None:
    """Folds whose differences have the correlation 1 / K that the correction assumes, and no true difference."""
    rng = np.random.default_rng(folds)
    shared = rng.normal(0, math.sqrt(1 / folds), (2000, 1))
    d = shared + rng.normal(0, math.sqrt(1 - 1 / folds), (2000, folds))
    plain, corrected = (
        np.mean([(compare(np.zeros(folds), row, overlap=overlap).p or 0) <= 0.05 for row in d])
        for overlap in (0.0, 1 / (folds - 1))
    )
    assert corrected == pytest.approx(0.05, abs=0.015)
    assert plain > 0.12
