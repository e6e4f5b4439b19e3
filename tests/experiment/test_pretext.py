"""Pretext runs and the runs that start from them, from the pictures to the results."""

import html
import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from foveate.core.errors import ConfigError, RunError
from foveate.evaluation.gallery import Maps
from foveate.experiment import Experiment, Run, run
from foveate.pretext import TASKS
from foveate.reporting.report import build_report
from training_helpers import BASE, Killer, experiment, in_child

PRETEXT: dict[str, Any] = {"phases": [{"name": "pretext", "epochs": 2, "lr": 0.003}], "batch_size": 8}
HEAD = {"name": "head", "epochs": 3, "trainable": "head", "lr": 0.01}


def asked(kind: str, **changes: Any) -> Experiment:
    objective = getattr(TASKS[kind], "objective", None)
    settings: dict[str, Any] = {"data": {"augment": {"preset": "none"}}, "task": {"kind": kind}}
    settings["training"] = {"phases": PRETEXT["phases"]}
    if kind in ("simclr", "dino"):
        settings["task"]["outputs"] = 16
    values = {**experiment(**settings).to_dict(), **({"objective": objective} if objective else {})}
    return Experiment.from_dict({**values, **changes})


def started(**phase: Any) -> Experiment:
    training = {k: v for k, v in BASE["training"].items() if k != "phases"}
    return experiment(
        start={"task": {"kind": "rotation"}, "augment": "none", "training": {**training, **PRETEXT}},
        evaluation={"neighbours": 5},
        training={"phases": [{**HEAD, **phase}]},
    )


@pytest.fixture(scope="module")
def rotation(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(
        asked("rotation", evaluation={"neighbours": 5}), tree, tmp_path_factory.mktemp("pretext") / "run"
    )


def statistics(file: Path) -> dict[str, torch.Tensor]:
    return {name: value for name, value in load_file(file).items() if "running" in name or "tracked" in name}


def backbone(file: Path) -> dict[str, bytes]:
    return {
        name: value.numpy().tobytes()
        for name, value in load_file(file).items()
        if name.startswith("backbone.")
    }


@pytest.mark.parametrize("kind", [name for name in TASKS if name != "rotation"])
def test_every_task_is_an_ordinary_run_with_a_report(kind: str, tree: Path, tmp_path: Path) -> None:
    finished = run(asked(kind, evaluation={"neighbours": 3}), tree, tmp_path / "run")
    table = finished.predictions
    assert len(table) == sum(s.split in ("val", "test") for s in finished.catalog.samples)
    assert build_report(finished.folder).is_file()
    assert finished.result["metrics"]["test"]["neighbours"]["n"] == (table.split == "test").sum()
    accuracy = finished.result["metrics"]["test"]["accuracy"]
    if kind in ("simclr", "dino"):
        assert accuracy is None
        assert "val_accuracy" not in finished.history[-1]
    else:
        assert tuple(finished.catalog.classes) == TASKS[kind](TASKS[kind].Config()).classes
        assert 0 <= accuracy <= 1


def test_a_question_beyond_black_and_white_is_shown_clipped(tree: Path, tmp_path: Path) -> None:
    faithful = asked("perturbation", task={"kind": "perturbation", "side": 8, "faithful": True})
    finished = run(faithful, tree, tmp_path / "run")
    file = finished.folder / "maps.npz"
    maps = Maps.load(file)
    assert maps.image.dtype == np.uint8
    labels = [finished.catalog.samples[row].label for row in maps.index]
    white = [(image == 255).all(axis=-1).sum() for image in maps.image]
    for count, label in zip(white, labels, strict=True):
        assert (count >= 64) == (finished.catalog.classes[label] == "white")
    (finished.folder / "manifest.json").unlink()  # there was none in those days
    report = build_report(finished.folder).read_bytes()
    # As runs kept them before: the numbers that the network saw.
    replace(maps, image=maps.image.astype(np.float32) * np.where(maps.image == 255, 200, 1)).save(file)
    assert Maps.load(file).image.tobytes() == maps.image.tobytes()
    assert build_report(finished.folder).read_bytes() == report
    assert len(finished.evaluate(device="cpu")) == len(finished.predictions)


def test_a_pretext_run_knows_its_questions_and_judges_its_features_by_the_classes(rotation: Run) -> None:
    assert rotation.catalog.classes == ("0 degrees", "90 degrees", "180 degrees", "270 degrees")
    assert rotation.history[-1]["train_accuracy"]
    for split in ("val", "test"):
        found = rotation.result["metrics"][split]["neighbours"]
        assert found["k"] == 5
        assert found["n"] == len(rotation.catalog.indices(split))
    page = build_report(rotation.folder).read_text(encoding="utf-8")
    assert "the answers to the task 'rotation'" in html.unescape(page)
    card = json.loads((rotation.folder / "model.json").read_text(encoding="utf-8"))
    assert card["pretrained_on"] == "random weights, then the pretext task rotation"
    again = rotation.evaluate()
    assert np.array_equal(again.label, rotation.predictions.label)
    assert np.allclose(again.probabilities, rotation.predictions.probabilities, atol=1e-6)


def test_it_predicts_pictures_as_they_are_and_asks_about_other_sets(rotation: Run, tree: Path) -> None:
    picture = next(tree.rglob("images/**/*.png"))
    turned = rotation.folder.parent / "turned.png"
    Image.open(picture).rotate(90).save(turned)
    table = rotation.predict([picture, turned])
    assert set(table.label) == {-1}
    learnt = len(rotation.catalog.indices("train", labelled=False))
    assert 0 < learnt < 48
    assert len(rotation.evaluate(tree)) == 48 - learnt


def test_one_flat_folder_is_enough(tree: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for k, file in enumerate(sorted(tree.glob("images/*/*.png"))[::2]):
        (flat / f"{k}.png").write_bytes(file.read_bytes())
    finished = run(asked("perturbation", evaluation={"neighbours": 5}), flat, tmp_path / "run")
    assert len(finished.catalog) == 24
    assert "neighbours" not in finished.result["metrics"]["test"], "there are no classes to judge by"
    with pytest.raises(Exception, match="no class folders"):
        run(experiment(), flat, tmp_path / "ordinary")


@pytest.mark.slow
def test_a_frozen_backbone_is_frozen_to_the_last_byte(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    finished = run(started(), tree, out)
    before, after = out / "start" / "model.safetensors", out / "model.safetensors"
    assert backbone(before) == backbone(after)
    assert len(statistics(before)) > 0
    assert "random weights, then the pretext task rotation" in build_report(out).read_text(encoding="utf-8")
    decisions = {d["name"]: d["value"] for d in finished.environment["decisions"]}
    assert decisions["features: head"] == "stored"
    card = json.loads((out / "model.json").read_text(encoding="utf-8"))
    assert card["pretrained_on"].endswith("then the pretext task rotation")
    assert finished.catalog.classes == ("class0", "class1", "class2")


@pytest.mark.slow
def test_as_published_the_statistics_drift_and_the_weights_do_not(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    finished = run(started(freeze_bn=False, restore_best=None), tree, out)
    before, after = out / "start" / "model.safetensors", out / "model.safetensors"
    moved = statistics(after)
    assert all(not torch.equal(value, moved[name]) for name, value in statistics(before).items())
    same = {name for name, value in backbone(before).items() if backbone(after)[name] == value}
    assert same == set(backbone(before)) - set(statistics(before))
    decisions = {d["name"]: d["value"] for d in finished.environment["decisions"]}
    assert decisions["features: head"] == "recomputed"


@pytest.mark.slow
def test_the_pretext_run_is_found_and_not_trained_again(tree: Path, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    one = run(started(), tree, tmp_path / "one", starts=starts)
    (folder,) = (path for path in starts.iterdir() if path.is_dir())
    assert folder.name == started().first().hash()  # type: ignore[union-attr]
    changed = (folder / "model.safetensors").stat().st_mtime_ns
    two = run(started(lr=0.02), tree, tmp_path / "two", starts=starts)
    assert (folder / "model.safetensors").stat().st_mtime_ns == changed
    assert one.result["split_hash"] == two.result["split_hash"]
    assert not (tmp_path / "one" / "start").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["perturbation", "dino"])
def test_killed_in_a_pretext_run_nothing_is_lost(kind: str, tree: Path, tmp_path: Path) -> None:
    values = asked(kind).to_dict()
    for name, killer in (("whole", None), ("killed", Killer(0, 9)), ("killed", None)):
        process = in_child(values, tree, tmp_path / name, killer)
        process.join()
        assert process.exitcode == (-signal.SIGKILL if killer else 0)
    whole, resumed = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed"))
    assert whole == resumed
    columns = [
        [
            {k: v for k, v in row.items() if k not in ("seconds", "images_per_second")}
            for row in Run(tmp_path / n).history
        ]
        for n in ("whole", "killed")
    ]
    assert columns[0] == columns[1]


def test_what_does_not_go_together_is_refused(rotation: Run, tree: Path) -> None:
    values = started().to_dict()
    with pytest.raises(ConfigError, match="a run has a task, or it starts from a pretext run"):
        Experiment.from_dict({**values, "task": {"kind": "rotation"}})
    with pytest.raises(RunError, match="holds another experiment"):
        run(asked("jigsaw"), tree, rotation.folder)


def test_settings_that_came_later_leave_older_hashes_alone() -> None:
    values = experiment().to_dict()
    assert values["task"] is None
    assert experiment().hash() != asked("rotation").hash()
    assert experiment().hash() != experiment(evaluation={"neighbours": 3}).hash()
    assert started().hash() == Experiment.from_dict(started().to_dict()).hash()
    assert started().hash() == started().model_copy(
        update={"start": started().start.model_copy(  # type: ignore[union-attr]
            update={"training": started().start.training.model_copy(update={"device": "cuda"})}  # type: ignore[union-attr]
        )}
    ).hash()  # fmt: skip


def test_the_hash_of_an_old_experiment_is_what_it_was() -> None:
    # Computed before pretext tasks existed.
    assert Experiment().hash() == OLD_HASH


OLD_HASH = "e1939442e201"
