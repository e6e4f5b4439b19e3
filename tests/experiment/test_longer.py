"""A finished run gets more epochs: another run starts from it and keeps its head."""

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from foveate.cli.main import app
from foveate.core.errors import RunError
from foveate.experiment import Experiment, Run, run
from foveate.models.build import build_network
from foveate.models.settings import ModelConfig
from training_helpers import BASE, experiment

IDS = ("class0", "class1", "class2")


def foveate(*words: object) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def built(finished: Run, ids: tuple[str, ...] = IDS, **changes: object) -> torch.nn.Module:
    model = {
        "backbone": None,
        "weights": str(finished.folder),
        "head": BASE["model"]["head"],
        "keep_head": True,
    }
    return build_network(
        ModelConfig.model_validate({**model, **changes}), len(ids), None, seed=9, class_ids=ids
    )


def same_head(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    pairs = zip(a.head.state_dict().values(), b.head.state_dict().values(), strict=True)  # type: ignore[union-attr, operator]
    return all(x.shape == y.shape and torch.equal(x, y) for x, y in pairs)


def test_the_head_is_kept_for_the_same_classes_only(finished: Run) -> None:
    kept = built(finished)
    assert same_head(kept, finished.model)
    assert "taken over" in " ".join(kept.notes)  # type: ignore[arg-type]
    assert "anew" not in " ".join(kept.notes)  # type: ignore[arg-type]
    others: list[tuple[tuple[str, ...], dict[str, object], str]] = [
        (("class0", "class1", "wasp"), {}, "other classes than these 3"),
        (("class1", "class0", "class2"), {}, "other classes than these 3"),
        (IDS, {"head": {"name": "deep", "widths": [16], "dropout": 0.4}}, "built in another way"),
        (IDS, {"features": "pooled"}, "built in another way"),
    ]
    for ids, changes, why in others:
        fresh = built(finished, ids, **changes)
        assert not same_head(fresh, finished.model)
        assert "not taken over: it " in " ".join(fresh.notes)  # type: ignore[arg-type]
        assert why in " ".join(fresh.notes)  # type: ignore[arg-type]
    assert not same_head(built(finished, keep_head=False), finished.model)


def test_an_experiment_from_before_there_was_the_setting_keeps_its_hash() -> None:
    plain = experiment()
    assert "keep_head" not in str(Experiment.from_dict(plain.to_dict()).hash())
    values = plain.to_dict()
    del values["model"]["keep_head"]
    assert Experiment.from_dict(values).hash() == plain.hash()
    values["model"]["keep_head"] = True
    assert Experiment.from_dict(values).hash() != plain.hash()


def test_training_goes_on_where_the_finished_run_ended(finished: Run, tree: Path, tmp_path: Path) -> None:
    """At a learning rate of (nearly) nothing the new run answers as the old one."""
    values = {
        **BASE,
        "model": {**BASE["model"], "backbone": None, "weights": str(finished.folder), "keep_head": True},
    }
    values["training"] = {
        **BASE["training"],
        "phases": [{"name": "all", "epochs": 1, "lr": 1e-12, "freeze_bn": "all"}],
    }
    longer = run(Experiment.from_dict(values), tree, tmp_path / "longer")
    before, after = finished.predictions, longer.predictions
    assert after.path.tolist() == before.path.tolist(), "the same seed, the same split"
    np.testing.assert_allclose(after.probabilities, before.probabilities, atol=1e-4)
    assert not [note for note in longer.environment["notes"] if "was trained on" in note]


@pytest.mark.slow
def test_the_command_and_what_a_finished_run_says_to_more_epochs(
    finished: Run, tree: Path, tmp_path: Path
) -> None:
    small = ["--weights", "none", "--backbone", "foveate_small_cnn", "--size", "32", "--device", "cpu", "--set",
             "training.precision=fp32"]  # fmt: skip
    first = ["train", tree, "--out", tmp_path / "a", *small]
    assert foveate(*first, "--epochs", "1").exit_code == 0
    more = foveate(*first, "--epochs", "2")
    assert more.exit_code == 1
    said = " ".join(more.output.split())
    assert "is finished with training.phases.0.epochs 1, and a finished run stays as it is." in said
    assert f"foveate train DATA --from {tmp_path / 'a'} --out NEW" in said
    longer = foveate("train", tree, "--from", tmp_path / "a", "--epochs", "1", "--out", tmp_path / "b", "--set",
                     "training.phases.0.epochs=1", "--device", "cpu", "--set", "training.precision=fp32")  # fmt: skip
    assert longer.exit_code == 0, longer.output
    assert "The classifier was taken over from" in " ".join(longer.output.split())
    with pytest.raises(RunError, match="holds another experiment: seed is 3 there and 4 now"):
        run(experiment(seed=4), tree, finished.folder)
    split = ["--epochs", "1", "--out", tmp_path / "c", "--set", "data.split.seed=5", "--device", "cpu"]
    other = foveate("train", tree, "--from", tmp_path / "a", *split, "--set", "training.phases.0.epochs=1")
    assert other.exit_code == 0, other.output
    assert "was trained on, from which this run starts" in " ".join(other.output.split())
    assert "was trained on, from which this run starts" in str(Run(tmp_path / "c").environment["notes"])
