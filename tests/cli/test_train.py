"""The command that trains: with a tracker in a new run folder, and a probe that is fitted."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

from foveate.cli.main import app
from foveate.data.cache import DecodedPictures
from foveate.experiment import Run
from foveate.models.build import build_network


def test_tensorboard_in_a_new_run_folder(tree: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    command = ["train", str(tree), "--out", str(tmp_path / "run"), "--weights", "none", "--size", "32"]
    command += ["--backbone", "foveate_small_cnn", "--epochs", "1", "--track", "tensorboard"]
    command += ["--set", "training.precision=fp32"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))
    assert (tmp_path / "run" / "result.json").is_file()


def test_a_tuned_probe_on_a_frozen_backbone(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ["train", str(tree), "--out", str(out), "--backbone", "foveate_small_cnn", "--weights", "none"]
    command += ["--size", "32", "--freeze", "probe", "--set", "training.precision=fp32", "--device", "cpu"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    done = Run.open(out)
    assert not done.experiment.transforms
    assert done.result["consumed"] == ["validation labels"]
    untouched = build_network(done.experiment.model, 3, 32, done.experiment.seed).backbone.state_dict()
    model = done.model.eval()
    assert all(torch.equal(untouched[name], value) for name, value in model.backbone.state_dict().items())

    pictures = DecodedPictures(done.catalog, 32)
    with torch.no_grad():
        images = pictures.read_many(range(len(done.catalog)))[0].float() / 255
        normal = (images - model.mean.view(-1, 1, 1)) / model.std.view(-1, 1, 1)
        features = model.features(normal).double().numpy()
    labels = done.catalog.labels
    train, val, test = (done.catalog.indices(split) for split in ("train", "val", "test"))
    standard = StandardScaler().fit(features[train]).transform(features)
    fits = {
        alpha: Ridge(alpha=alpha).fit(standard[train], np.eye(3)[labels[train]])
        for alpha in 10.0 ** np.arange(6, -3, -1)
    }
    right = {a: (f.predict(standard[val]).argmax(1) == labels[val]).mean() for a, f in fits.items()}
    best = max(right, key=right.__getitem__)
    told = {d["name"]: d["reason"] for d in done.environment["decisions"]}["last layer"]
    assert f"alpha = {best:g}, of 9 by the rule 'average validation' ({right[best]:.4f})" in told
    answers = fits[best].predict(standard[test]).argmax(axis=1)
    assert done.predictions.of_split("test").probabilities.argmax(axis=1).tolist() == answers.tolist()


@pytest.mark.parametrize("flags", [("--guide", "spatial"), ("--augment", "basic")])
def test_a_probe_is_neither_guided_nor_augmented(flags: tuple[str, str], tree: Path, tmp_path: Path) -> None:
    command = ["train", str(tree), "--out", str(tmp_path / "run"), "--freeze", "probe", *flags]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "--freeze probe trains nothing" in " ".join(result.output.split())
