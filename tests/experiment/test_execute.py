"""The run folder: everything is in it, every number can be recomputed, and it belongs to one experiment."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss

from drawn import draw_tree
from foveate.core.errors import ConfigError, RunError, WeightsError
from foveate.evaluation.background_files import BackgroundSheet, BackgroundTable
from foveate.experiment import Experiment, Run, execute, run
from foveate.experiment.ownership import claim
from foveate.reporting.report import build_report
from foveate.reporting.text import percent
from foveate.training import Observer, fit
from training_helpers import experiment


def one_phase(**changes: object) -> Experiment:
    values = experiment(**changes).to_dict()
    values["training"]["phases"] = values["training"]["phases"][-1:]
    values["training"]["phases"][0]["epochs"] = 1
    return Experiment.from_dict(values)


def test_everything_is_there(finished: Run, tree: Path) -> None:
    assert {file.name for file in finished.folder.iterdir()} == {
        "catalog.csv", "decisions.json", "environment.json", "experiment.yaml", "history.csv", "maps.npz", "model.json",
        "model.safetensors", "predictions.csv", "result.json", "background_tests.csv", "background_tests.npz",
        "manifest.json", ".lock",
    }  # fmt: skip
    assert finished.finished
    assert Run.open(finished.folder).experiment == experiment()
    assert len(finished.history) == 6
    assert [row["phase"] for row in finished.history] == ["head"] * 3 + ["all"] * 3
    environment = finished.environment
    assert environment["data"] == str(tree.resolve())
    assert environment["experiment_hash"] == experiment().hash() == finished.result["experiment_hash"]
    assert environment["catalog_hash"] == finished.catalog.hash == finished.result["catalog_hash"]
    assert environment["decisions"] == json.loads((finished.folder / "decisions.json").read_text())
    assert not finished.model.training
    assert finished.result["epochs"] == 6
    losses = [float(row["val_loss"]) for row in finished.history]
    assert finished.result["convergence_epoch"] == 1 + int(np.argmin(losses))


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": {"classification": {"kind": "cross_entropy"}, "map": {"kind": "spatial_mse"}}},
        {"transforms": [{"kind": "background_swap"}]},
        {"transforms": [{"kind": "combine", "members": [{"kind": "random_erasing", "region": "object"}]}]},
    ],
)
def test_what_learns_from_masks_is_refused_where_there_are_none(
    changes: dict[str, object], tree: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(tree, bare, ignore=shutil.ignore_patterns("masks"))
    with pytest.raises(ConfigError, match="learns from masks, and no training picture has one"):
        run(Experiment.from_dict(experiment().to_dict() | changes), bare, tmp_path / "run")


def test_every_number_follows_from_the_predictions(finished: Run) -> None:
    with open(finished.folder / "predictions.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["path"] for row in rows} == {
        s.path for s in finished.catalog.samples if s.split in ("val", "test")
    }
    for split, metrics in finished.result["metrics"].items():
        mine = [row for row in rows if row["split"] == split]
        true, predicted = [row["label"] for row in mine], [row["prediction"] for row in mine]
        assert metrics["n"] == len(mine)
        assert metrics["accuracy"] == pytest.approx(accuracy_score(true, predicted))
        assert metrics["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(true, predicted))
        ids = [column.removeprefix("prob_") for column in rows[0] if column.startswith("prob_")]
        assert metrics["macro_f1"] == pytest.approx(
            f1_score(true, predicted, labels=sorted(set(true)), average="macro")
        )
        probabilities = np.array([[float(row[f"prob_{name}"]) for name in ids] for row in mine])
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        assert metrics["nll"] == pytest.approx(log_loss(true, probabilities, labels=ids), rel=1e-4)
        for row, p in zip(mine, probabilities, strict=True):
            assert row["prediction"] == ids[int(p.argmax())]
            assert float(row["confidence"]) == pytest.approx(p.max(), rel=1e-5)
            assert float(row["loss"]) == pytest.approx(-np.log(p[ids.index(row["label"])]), rel=1e-4)
        energies = [float(row["energy_in_mask"]) for row in mine]
        assert metrics["look"]["energy_in_mask"]["mean"] == pytest.approx(np.mean(energies), rel=1e-5)


def test_backgrounds_are_tested_alike_whatever_the_seed(finished: Run, tree: Path, tmp_path: Path) -> None:
    other = run(one_phase(seed=77), tree, tmp_path / "other")
    assert other.result["split_hash"] == finished.result["split_hash"]
    sheets = [BackgroundSheet.load(r.folder / "background_tests.npz") for r in (finished, other)]
    assert sheets[0].path.tolist() == sheets[1].path.tolist()
    for test, images in sheets[0].pictures.items():
        np.testing.assert_array_equal(images, sheets[1].pictures[test])
    tables = [
        BackgroundTable.from_csv(r.folder / "background_tests.csv", r.catalog.class_ids)
        for r in (finished, other)
    ]
    for name in ("path", "label", "background", "background_label"):
        np.testing.assert_array_equal(getattr(tables[0], name), getattr(tables[1], name))
    assert not np.array_equal(tables[0].probability["swapped"], tables[1].probability["swapped"])


def test_background_tests_follow_from_their_file(finished: Run) -> None:
    with open(finished.folder / "background_tests.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    expected = finished.predictions.of_split("test")
    assert [row["path"] for row in rows] == expected.path.tolist()
    assert [row["original_prediction"] for row in rows] == [
        expected.class_ids[k] for k in expected.prediction
    ]
    found = finished.result["metrics"]["test"]["backgrounds"]
    assert found["original"]["accuracy"] == finished.result["metrics"]["test"]["accuracy"]
    for test in ("swapped", "blurred", "grey", "noise", "removed"):
        hits = sum(row[f"{test}_prediction"] == row["label"] for row in rows)
        assert found[test]["accuracy"] == hits / len(rows) == hits / found["n"]
    assert "backgrounds" not in finished.result["metrics"]["val"]


@pytest.mark.slow
def test_without_masks_or_switched_off_there_are_no_background_tests(tmp_path: Path) -> None:
    data = draw_tree(tmp_path / "data", classes=2, each=8)
    off = run(one_phase(evaluation={"background_tests": False}), data, tmp_path / "off")
    assert off.evaluate_backgrounds() is None
    shutil.rmtree(data / "masks")
    bare = run(one_phase(), data, tmp_path / "bare")
    assert bare.evaluate_backgrounds() is None
    for finished in (off, bare):
        assert not list(finished.folder.glob("background_tests.*"))
        assert "backgrounds" not in finished.result["metrics"]["test"]


def test_finished_means_finished(finished: Run, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {file: file.stat().st_mtime_ns for file in finished.folder.iterdir()}
    monkeypatch.setattr("foveate.experiment.execute.prepare", None)  # anything further would fail
    again = run(experiment(), tree, finished.folder)
    assert again.result == finished.result
    assert before == {file: file.stat().st_mtime_ns for file in finished.folder.iterdir()}


def test_another_experiment_is_refused_by_its_first_difference(finished: Run, tree: Path) -> None:
    for changes, name in (
        ({"seed": 4}, "seed is 3 there and 4 now"),
        ({"training": {"batch_size": 16}}, "training.batch_size is 8 there and 16 now"),
        ({"model": {"head": {"widths": [9]}}}, r"model.head.widths.0 is 16 there and 9 now"),
    ):
        with pytest.raises(RunError, match=name):
            run(experiment(**changes), tree, finished.folder)


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="not empty and is not a run folder"):
        claim(experiment(), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
    (tmp_path / "new").mkdir()
    claim(experiment(), tmp_path / "new")
    claim(experiment(), tmp_path / "new")
    with pytest.raises(RunError, match="not a run folder"):
        Run.open(tmp_path)
    with pytest.raises(RunError, match="not finished"):
        Run.open(tmp_path / "new").result  # noqa: B018


class Stop(Observer):
    """Stands for a kill after the first epoch."""

    def epoch(self, row: dict[str, object]) -> None:
        raise KeyboardInterrupt


@pytest.mark.slow
def test_changed_pictures_are_refused(tmp_path: Path) -> None:
    data = draw_tree(tmp_path / "data", classes=2, each=8)
    with pytest.raises(KeyboardInterrupt):
        run(one_phase(), data, tmp_path / "run", observer=Stop())
    Image.new("RGB", (32, 32), (9, 99, 200)).save(data / "images" / "class0" / "999.png")
    with pytest.raises(RunError, match="pictures changed since the run"):
        run(one_phase(), data, tmp_path / "run")
    (data / "images" / "class0" / "999.png").unlink()
    assert run(one_phase(), data, tmp_path / "run").finished


def test_a_runs_weights_start_the_next_run(finished: Run, tree: Path, tmp_path: Path) -> None:
    weights = {"backbone": None, "weights": str(finished.folder)}
    second = run(one_phase(model=weights, data={"size": None}), tree, tmp_path / "second")
    card = json.loads((second.folder / "model.json").read_text())
    assert card["architecture"] == "foveate_small_cnn"
    assert second.environment["size"] == 32, "the card's size"
    tampered = tmp_path / "tampered"
    shutil.copytree(finished.folder, tampered)
    (tampered / "model.safetensors").write_bytes(b"0" * 100)
    with pytest.raises(RunError, match=r"model\.safetensors was changed"):
        Run.open(tampered).model  # noqa: B018
    (tampered / "manifest.json").unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        Run.open(tampered).model  # noqa: B018


def test_the_test_pictures_can_be_left_alone(tree: Path, tmp_path: Path) -> None:
    finished = run(one_phase(evaluation={"splits": ["val"]}), tree, tmp_path / "run")
    assert set(finished.result["metrics"]) == {"val"}
    assert set(finished.predictions.split) == {"val"}
    assert set(finished.evaluate(device="cpu").split) == {"val"}
    assert len(finished.catalog.indices("test")), "they are still in the catalog"
    with np.load(finished.folder / "maps.npz") as maps:
        assert set(maps["index"].tolist()) <= set(finished.catalog.indices("val").tolist())


def test_the_training_pictures_are_measured_on_request(tree: Path, tmp_path: Path) -> None:
    settings = one_phase(evaluation={"splits": ["train", "val", "test"]})
    assert settings.hash() != one_phase().hash()
    finished = run(settings, tree, tmp_path / "run")
    rows = finished.catalog.indices("train")
    table = finished.predictions.of_split("train")
    assert table.path.tolist() == [finished.catalog.samples[row].path for row in rows]
    alone = finished.predict([finished.catalog.file(row) for row in rows])
    np.testing.assert_allclose(table.probabilities, alone.probabilities, atol=1e-5)
    hits = int((alone.prediction == finished.catalog.labels[rows]).sum())
    assert finished.result["metrics"]["train"]["correct"] == hits
    assert set(finished.evaluate().split) == {"train", "val", "test"}
    page = build_report(finished.folder).read_text()
    assert "Accuracy; training pictures as they are" in page
    assert f'<td class="n">{len(rows)}</td><td class="n">{percent(hits / len(rows))}</td>' in page
    assert f"Of {len(finished.catalog.indices('test'))} test pictures" in page


def test_seconds_of_processes_that_were_stopped_count(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on has the rows of its earlier epochs, and these took their time elsewhere."""
    monkeypatch.setattr(
        execute, "fit", lambda job: [row | {"seconds": row["seconds"] + 1000} for row in fit(job)]
    )
    result = run(experiment(), tree, tmp_path / "run").result
    assert result["train_seconds"] > 1000 * result["epochs"]
    assert result["train_seconds"] < result["wall_seconds"] < result["train_seconds"] + 1000
