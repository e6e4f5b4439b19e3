"""Two runs on the same pictures: figures against plain counts, and refusals."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from foveate.core.errors import ConfigError, DataError
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment.run_folder import RunFolder
from foveate.reporting.comparison import build_comparison, paired_bootstrap, shown_first

from .conftest import CLASSES, Page


@pytest.fixture
def other(run: Path) -> Path:
    """The same run, whose probabilities are those of other logits."""
    folder = run.with_name("second")
    shutil.copytree(run, folder)
    table = PredictionTable.from_csv(folder / "predictions.csv")
    rng = np.random.default_rng(5)
    logits = rng.normal(size=table.probabilities.shape)
    logits[np.arange(len(table)), table.label] += 1.5
    made = PredictionTable.from_logits(
        logits, table.label, table.path.tolist(), table.class_ids, splits=table.split.tolist(),
        groups=table.group.tolist(), look=table.look,
    )  # fmt: skip
    made.to_csv(folder / "predictions.csv")
    (folder / "background_tests.csv").unlink()
    return folder


def tables(run: Path, other: Path) -> list[PredictionTable]:
    return [PredictionTable.from_csv(folder / "predictions.csv").of_split("test") for folder in (run, other)]


def test_who_is_right_where_the_other_is_wrong(run: Path, other: Path) -> None:
    first, second = tables(run, other)
    a, b = first.correct, second.correct
    page = Page(build_comparison(run, other))
    counts = [int((x & y).sum()) for x, y in ((a, b), (a, ~b), (~a, b), (~a, ~b))]
    assert f"run right{counts[0]}{counts[1]}" in page.text.replace(" ", "").replace("runright", "run right")
    p = binomtest(counts[1], counts[1] + counts[2]).pvalue
    assert f"exact p = {p:.2g}" in page.text
    assert f"{100 * (a.mean() - b.mean()):+.1f} points".replace("-", "−") in page.text
    for k, name in enumerate(CLASSES):
        rows = first.label == k
        shown = f"{100 * (a[rows].mean() - b[rows].mean()):+.1f}".replace("-", "−")
        assert shown in page.text[page.text.index("Only second right") :], name
    assert [own["name"] for own in page.answers["runs"]] == ["run", "second"]
    assert page.answers["runs"][1]["prediction"] == second.prediction[np.argsort(second.path)].tolist()


def test_only_pictures_of_both_count(run: Path, other: Path) -> None:
    table = PredictionTable.from_csv(other / "predictions.csv")
    test = np.flatnonzero(table.split == "test")
    table.subset(np.setdiff1d(np.arange(len(table)), test[:5])).to_csv(other / "predictions.csv")
    page = Page(build_comparison(run, other))
    assert len(page.answers["path"]) == len(test) - 5
    assert "5 of run and 0 of second are left out" in page.text


def test_the_paired_bootstrap_draws_groups() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(400) < 0.8, rng.random(400) < 0.7
    alone = paired_bootstrap(a, b, np.full(400, ""))
    assert alone is not None
    error = (a.astype(float) - b).std() / 20
    assert alone == pytest.approx((a.mean() - b.mean()) + 1.96 * error * np.array([-1, 1]), abs=0.1 * error)
    repeated = paired_bootstrap(np.repeat(a, 4), np.repeat(b, 4), np.repeat([f"g{i}" for i in range(400)], 4))
    assert repeated == pytest.approx(alone, abs=0.2 * error)
    assert paired_bootstrap(a, b, np.full(400, "one")) is None


def test_refusals(run: Path, other: Path) -> None:
    with pytest.raises(ConfigError, match="named twice"):
        build_comparison(run, run)
    table = PredictionTable.from_csv(other / "predictions.csv")
    cases = [
        (replace(table, path=np.char.add(table.path, "x")), "measured on different test pictures"),
        (replace(table, label=(table.label + 1) % 3), "has another label in"),
        (replace(table, class_ids=("a", "b", "c")), "know other classes"),
        (replace(table, split=np.full(len(table), "train")), "no labelled test or validation pictures"),
    ]
    for changed, words in cases:
        changed.to_csv(other / "predictions.csv")
        with pytest.raises(DataError, match=words):
            build_comparison(run, other)


def test_wrong_answers_of_either_are_explained_first(run: Path, other: Path) -> None:
    first, second = tables(run, other)
    wrong = ~(first.correct & second.correct)
    root = run.parent / "insects"
    chosen = shown_first([RunFolder(run), RunFolder(other)])
    assert {path.relative_to(root).as_posix() for path in chosen} >= set(first.path[wrong].tolist())
