"""Killed is not lost: the same command again ends with the weights of a run that was never killed, bit for bit."""

import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foveate.experiment import Run
from foveate.training import Interrupted
from foveate.training.checkpoint import load_checkpoint
from training_helpers import Killer, experiment, in_child

Unbroken = Callable[[str], bytes]

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "workers": {"training": {"loader": {"workers": 2}}},
    "everything": {
        "transforms": [{"kind": "background_swap", "p": 0.5}],
        "objective": {
            "classification": {"kind": "cross_entropy", "label_smoothing": 0.1},
            "spatial": {"kind": "spatial_mse"},
            "look": {"kind": "spatial_energy", "weight": 0.5},
        },
        "training": {"ema": 0.9, "clip": 1.0, "accumulate": 2, "precision": "bf16"},
    },
    "feedback": {"feedback": [{"kind": "upweighting", "epoch": 1}, {"kind": "class_sampling", "start": 4}]},
    "group dro": {
        "data": {"layout": {"attributes": ["place=regex:([0-4])[.]png"]}},
        "objective": {"classification": {"kind": "group_dro", "attribute": "place", "step": 0.5}},
    },
    "weights": {
        "objective": {
            "classification": {"kind": "cross_entropy"},
            "shared": {"kind": "spatial_mse", "weighting": {"kind": "share", "share": 0.2}},
            "balanced": {
                "kind": "spatial_energy",
                "aggregate": "gradcam",
                "weighting": {"kind": "gradient_norm"},
            },
            "learned": {"kind": "spatial_bce", "aggregate": "projection", "normalise": "sigmoid"},
            "uncertain": {"kind": "spatial_mse", "tap": "early", "weighting": {"kind": "uncertainty"}},
        },
        "training": {"clip": 1.0, "accumulate": 2},
    },
}


def weights(out: Path) -> bytes:
    return (out / "model.safetensors").read_bytes()


@pytest.fixture(scope="session")
def unbroken(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    """Weights of the run that nobody stops, by variant."""
    known: dict[str, bytes] = {}

    def get(variant: str) -> bytes:
        if variant not in known:
            out = tmp_path_factory.mktemp("unbroken") / variant
            process = in_child(experiment(**VARIANTS[variant]).to_dict(), tree, out)
            process.join()
            assert process.exitcode == 0
            known[variant] = weights(out)
        return known[variant]

    return get


@pytest.mark.parametrize("variant", list(VARIANTS))
@pytest.mark.parametrize(
    ("phase", "step"),
    [(1, 6), *(pytest.param(*at, marks=pytest.mark.slow) for at in ((0, 0), (0, 6), (1, 0)))],
)
def test_killed_in_a_phase(
    tree: Path, tmp_path: Path, unbroken: Unbroken, variant: str, phase: int, step: int
) -> None:
    values = experiment(**VARIANTS[variant]).to_dict()
    process = in_child(values, tree, tmp_path / "run", Killer(phase, step))
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not Run.open(tmp_path / "run").finished
    process = in_child(values, tree, tmp_path / "run")
    process.join()
    assert process.exitcode == 0
    assert weights(tmp_path / "run") == unbroken(variant)


@pytest.mark.slow
def test_killed_at_random_moments_again_and_again(tree: Path, tmp_path: Path, unbroken: Unbroken) -> None:
    values = experiment().to_dict()
    moments, kills, window = random.Random(5), 0, 2.0
    while kills < 6:
        process = in_child(values, tree, tmp_path / "run")
        process.join(moments.uniform(0.05, window))
        if process.exitcode is None:
            process.kill()
            process.join()
            kills += 1
        else:  # it was done before the moment came: begin anew, and strike earlier
            shutil.rmtree(tmp_path / "run")
            window /= 2
    process = in_child(values, tree, tmp_path / "run")
    process.join()
    assert process.exitcode == 0
    assert weights(tmp_path / "run") == unbroken("plain")
    assert not (tmp_path / "run" / "checkpoint").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_the_position_and_says_how_to_go_on(
    tree: Path, tmp_path: Path, unbroken: Unbroken, number: signal.Signals
) -> None:
    from foveate.experiment import run

    # Few checkpoints: what is saved was saved because of the signal.
    settings = experiment(training={"checkpoint_seconds": 1e9})
    with pytest.raises(Interrupted, match="same command again"):
        run(settings, tree, tmp_path / "run", observer=Killer(1, 4, number))
    found = load_checkpoint(tmp_path / "run" / "checkpoint")
    assert found is not None
    assert (found[1]["phase"], found[1]["batch"]) == (1, 5)
    run(experiment(), tree, tmp_path / "run")  # checkpoint_seconds is no part of what is computed
    assert weights(tmp_path / "run") == unbroken("plain")


def test_workers_change_nothing(tree: Path, tmp_path: Path, unbroken: Unbroken) -> None:
    assert unbroken("workers") == unbroken("plain")
    process = in_child(experiment(training={"loader": {"workers": 4}}).to_dict(), tree, tmp_path / "run")
    process.join()
    assert weights(tmp_path / "run") == unbroken("plain")
