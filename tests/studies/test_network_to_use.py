"""The network to use after a study: averaged over seeds, or trained once more on all pictures."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from foveate.cli.main import app
from foveate.core.errors import StudyError
from foveate.evaluation.calibration import fit_temperature
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment import Run
from foveate.studies.engine import folder_of, run_study
from foveate.studies.network_to_use import (
    answer_rule_of,
    averaged,
    finished_runs,
    gain,
    on_all_pictures,
    winner,
)
from foveate.studies.specification import Study
from training_helpers import BASE

PHASES = [
    {"name": "head", "epochs": 2, "trainable": "head", "lr": 0.01, "views": 2, "restore_best": None},
    {"name": "all", "epochs": 4, "lr": 0.003},
]


def foveate(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "300"})


def study(**changes: Any) -> Study:
    base = {name: value for name, value in BASE.items() if name != "seed"}
    base["training"] = {**base["training"], "phases": PHASES}
    base["data"] = {**base["data"], "split": {"val": 0.4, "test": 0.2}}
    arms: dict[str, Any] = {"plain": {}, "slow": {"training.phases.1.lr": 1e-6}, "slow, placebo": {"seed": 0}}
    return Study.from_dict({"name": "to use", "base": base, "arms": arms, "seeds": [50, 51, 52], **changes})


@pytest.fixture(scope="module")
def done(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_study(study(), tree, tmp_path_factory.mktemp("studies") / "to-use", jobs=0)


def runs_of(folder: Path, arm: str) -> list[Run]:
    return [Run(folder_of(folder, cell)) for cell in study().cells() if cell.arm == arm]


def test_probabilities_are_averaged_and_the_gain_is_on_pictures_not_learnt(
    done: Path, tree: Path, tmp_path: Path
) -> None:
    pictures, out = tree / "images" / "class0", tmp_path / "p.json"
    result = foveate("predict", done, pictures, "--arm", "plain", "--out", out)
    assert result.exit_code == 0, result.output
    runs = runs_of(done, "plain")
    each = [run.predict(pictures).probabilities for run in (Run.open(run.folder) for run in runs)]
    found = np.array([list(row["probabilities"].values()) for row in json.loads(out.read_text())])
    assert np.allclose(found, np.mean(each, axis=0), atol=1e-6)

    seen: dict[str, list[tuple[int, np.ndarray]]] = {}
    for run in runs:
        table = run.predictions
        for k in range(len(table)):
            if table.split[k] == "val":
                seen.setdefault(str(table.path[k]), []).append((int(table.label[k]), table.probabilities[k]))
    several = {path: rows for path, rows in seen.items() if len(rows) >= 2}
    assert several
    trained = {run: {s.path for s in run.catalog.samples if s.split == "train"} for run in runs}
    assert all(sum(path not in own for own in trained.values()) >= 2 for path in several)
    right = [np.mean([p for _, p in rows], axis=0).argmax() == rows[0][0] for rows in several.values()]
    one = [np.mean([p.argmax() == label for label, p in rows]) for rows in several.values()]
    measured = gain(runs)
    assert measured is not None
    assert (measured.pictures, measured.split) == (len(several), "val")
    assert measured.averaged == pytest.approx(np.mean(right))
    assert measured.one == pytest.approx(np.mean(one))
    assert f"On {len(several)} validation pictures" in result.output

    told = json.loads(out.read_text())
    means = {path: np.mean([p for _, p in rows], axis=0) for path, rows in seen.items()}
    temperature = fit_temperature(
        np.log(np.array(list(means.values()))), np.array([rows[0][0] for rows in seen.values()])
    )
    scaled = np.exp(np.log(found) / temperature)
    confidence = (scaled / scaled.sum(axis=1, keepdims=True)).max(axis=1)
    assert np.allclose([row["calibrated"] for row in told], confidence, atol=1e-3)
    assert all(row["prediction"] in row["possible"] for row in told)
    opened = [Run.open(run.folder) for run in runs]
    each = [run.predict(pictures, familiarity=run.familiarity()).look for run in opened]
    assert np.allclose(
        [row["distance"] for row in told], np.mean([look["distance"] for look in each], axis=0)
    )
    assert [row["far"] for row in told] == (np.sum([look["far"] for look in each], axis=0) >= 2).tolist()
    assert "validation pictures of each of the 3 networks: " in result.output


class Drawn:
    """A network whose answers are drawn: what all share and what is its own; a part of the pictures validates it."""

    def __init__(self, shared: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> None:
        self.logits = shared + rng.normal(0, 1.5, shared.shape)
        part = np.where(rng.random(len(labels)) < 0.2, "val", "train")
        rows = np.flatnonzero(part == "val")
        paths = [str(row) for row in rows]
        self.predictions = PredictionTable.from_logits(
            self.logits[rows], labels[rows], paths, [*"abcde"], splits=part[rows].tolist()
        )

    def judging(self, tta: str | None) -> PredictionTable:
        return self.predictions


def test_averaged_networks_with_splits_of_their_own_keep_what_they_promise() -> None:
    rng = np.random.default_rng(0)
    covered, right = [], []
    for _ in range(60):
        labels = rng.integers(0, 5, 900)
        shared = 2.5 * np.eye(5)[labels] + rng.normal(0, 1, (900, 5))
        runs = [Drawn(shared[:300], labels[:300], rng) for _ in range(5)]
        rule = answer_rule_of(runs, 0.9)  # type: ignore[arg-type]
        new = [shared[300:] + rng.normal(0, 1.5, (600, 5)) for _ in runs]
        p = np.mean([np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) for logits in new], axis=0)
        judged = rule.judge(p)
        covered += judged.possible[np.arange(600), labels[300:]].tolist()
        right += (p.argmax(axis=1) == labels[300:])[judged.answered].tolist()
    assert np.mean(covered) > 0.9
    assert np.mean(right) > 0.9


class WithoutValidation:
    """A run as the study ``guidance`` has it: test pictures alone."""

    def __init__(self, run: Run) -> None:
        table = run.predictions
        self.predictions = table.subset(table.split == "test")


def test_the_gain_is_on_test_pictures_where_there_are_no_validation_pictures(done: Path) -> None:
    runs = [WithoutValidation(run) for run in runs_of(done, "plain")]
    tables = [run.predictions for run in runs]
    paths = [path for table in tables for path in table.path.tolist()]
    several = {path for path in paths if paths.count(path) > 1}
    measured = gain(runs)  # type: ignore[arg-type]
    assert (measured and (measured.pictures, measured.split)) == ((len(several), "test") if several else None)


@pytest.mark.slow
def test_final_trains_on_all_pictures_as_long_as_the_winner_did(
    done: Path, tree: Path, tmp_path: Path
) -> None:
    means = {
        arm: np.mean([run.result["metrics"]["val"]["accuracy"] for run in runs_of(done, arm)])
        for arm in ("plain", "slow")
    }
    assert winner(done) == max(means, key=lambda arm: means[arm])
    result = foveate("study", "final", done, "--out", tmp_path / "final", "--arm", "plain")
    assert result.exit_code == 0, result.output
    final, runs = Run.open(tmp_path / "final"), runs_of(done, "plain")
    assert {sample.split for sample in final.catalog.samples} == {"train"}
    kept = []
    for run in runs:
        rows = [row for row in run.history if row["phase"] == "all"]
        kept.append(min(rows, key=lambda row: row["val_loss"])["phase_epoch"])
    assert [row["phase"] for row in final.history] == ["head"] * 2 + ["all"] * round(sorted(kept)[1])
    expected = np.mean([run.result["metrics"]["test"]["accuracy"] for run in runs])
    assert (
        f"mean test accuracy of 3 networks of 'plain' (arm chosen with --arm) in the study {done}, trained"
        in result.output
    )
    decided = {d["name"]: d["value"] for d in final.environment["decisions"]}
    low, high = decided["expected accuracy, 95 % interval"]
    assert low < expected <= high  # 1 where every answer is right
    figures = f"Expect an accuracy of {100 * expected:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f}, by "
    assert figures in result.output
    page = (tmp_path / "final" / "report.html").read_text()
    headline = page[page.index('class="big"') : page.index('class="big-label"')]
    assert f"{100 * expected:.1f}<" in headline
    assert "training accuracy ·" not in page
    assert "was trained once more, on all pictures" in (done / "report.html").read_text()
    assert foveate("predict", tmp_path / "final", done, "--out", tmp_path / "x.csv").exit_code == 1
    said = foveate("predict", tmp_path / "final", tree / "images", "--out", tmp_path / "x.csv").output
    missing = (
        "which answers are unsure or which pictures are far; the columns calibrated, not_sure, possible, distance and "
        "far are missing, and confidences are likely too high."
    )
    assert f"{tmp_path / 'final'} kept no validation pictures, so it cannot say {missing}" in said
    assert said.count("validation") == 1


def test_pictures_that_vanish_between_two_networks_are_left_out_and_named() -> None:
    def answers(paths: list[str], unreadable: dict[str, str], ids: str = "01") -> PredictionTable:
        logits = np.array([[float(path), 1.0] for path in paths])
        return PredictionTable.from_logits(
            logits, np.full(len(paths), -1), paths, list(ids), unreadable=unreadable
        )

    found = averaged([answers(["0", "2", "3"], {}), answers(["0", "3"], {"2": "there is no such file"})])
    assert (found.path.tolist(), found.unreadable) == (["0", "3"], {"2": "there is no such file"})
    assert np.allclose(found.probabilities[:, 0], 1 / (1 + np.exp([1.0, -2.0])))
    with pytest.raises(StudyError, match="know different classes"):
        averaged([answers(["0"], {}), answers(["0"], {}, "02")])


def test_what_cannot_be_used_is_said(done: Path, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no arm 'fast'; choose of plain; slow"):
        finished_runs(done, "fast")
    with pytest.raises(StudyError, match=r"has one table; leave out \(--block\)"):
        finished_runs(done, "plain", "flowers")
    one = runs_of(done, "plain")[0].folder
    for words, why in ((("--arm", "plain"), "name networks of a study"), (("--gpus", "1"), "a Ray cluster")):
        refused = foveate("predict", one, tree / "images", "--out", tmp_path / "p.csv", *words)
        assert (refused.exit_code, why in " ".join(refused.output.split())) == (1, True), refused.output
    half = tmp_path / "half"
    shutil.copytree(done, half)
    (half / "cells" / one.name / "result.json").unlink()
    told = foveate("predict", half, tree / "images", "--arm", "plain", "--quick", "--out", tmp_path / "p.csv")
    assert "1 of the 3 runs of 'plain' are not finished; the others answer alone" in " ".join(
        told.output.split()
    )
    thin = run_study(
        study(arms={"plain": {}}, seeds=[50], keep_weights=False), tree, tmp_path / "thin", jobs=0
    )
    result = foveate("predict", thin, tree / "images", "--arm", "plain", "--out", tmp_path / "p.csv")
    assert result.exit_code == 1
    assert "keeps no networks" in result.output
    assert "--set keep_weights=true" in result.output
    assert on_all_pictures(runs_of(thin, "plain")[:1]).data.split.keep_given is False
