"""Two processes are one run: one folder, the gradients of the whole batch, the same choices."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from foveate.experiment import Experiment, Run, run
from foveate.models.build import build_network
from training_helpers import experiment

PHASES = [
    {"name": "head", "epochs": 2, "trainable": "head", "lr": 0.05, "restore_best": None},
    {"name": "frozen norms", "epochs": 2, "lr": 0.01, "freeze_bn": "all", "restore_best": "val_loss"},
]


DRAWN = ({"kind": "class_sampling", "start": 1}, {"kind": "upweighting", "epoch": 2, "factor": 3.0})
PROXIES = ({"kind": "proxy_attention", "schedule": ["p", 3], "share": 1.0, "threshold": 0.3},)


def in_two_processes(asked: Experiment, tree: Path, folder: Path) -> Run:
    (folder / "settings.yaml").write_text(asked.to_yaml())
    result = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "foveate",
            "train", str(tree), "--out", str(folder / "two"), "--config", str(folder / "settings.yaml"),
            "--weights", "none", "--seed", "3",
        ], capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    first = asked.training.phases[0].name
    assert result.stdout.count(f"Phase {first}") == 1, "the main process alone speaks"
    assert result.stdout.count("Report:") == 1
    two = Run.open(folder / "two")
    assert two.finished
    assert two.experiment == asked
    return two


def settings(batch_size: int, feedback: tuple[dict[str, object], ...]) -> Experiment:
    """No dropout and no batch statistics: then the number of processes changes nothing but rounding."""
    return experiment(
        data={"augment": {"preset": "basic"}, "split": {"val": 0.25, "test": 0.25}},
        objective={
            "classification": {"kind": "cross_entropy", "weighting": {"kind": "uncertainty"}},
            "spatial": {"kind": "spatial_mse", "weighting": {"kind": "share", "smoothing": 0.5}},
        },
        feedback=list(feedback),
        model={"head": {"kind": "linear", "widths": None, "dropout": 0.0}},
        training={"phases": PHASES, "batch_size": batch_size, "precision": "fp32"},
    )


@pytest.mark.slow
def test_networks_that_leave_layers_out_are_trained_by_two_processes(tree: Path, tmp_path: Path) -> None:
    """EfficientNet's last convolution lies behind the stages that FBSD asks."""
    network = {"kind": "fbsd", "width": 16}
    levels = ("level1", "level2", "level3", "concat")
    asked = Experiment.from_dict(
        {
            **experiment(
                training={"phases": [{"name": "all", "epochs": 2, "lr": 0.01}], "batch_size": 4}
            ).to_dict(),
            "model": {"backbone": "test_efficientnet", "weights": "none", "network": network},
            "objective": {
                "classification": {"kind": "cross_entropy", "weight": 0},
                **{name: {"kind": "cross_entropy", "on": name} for name in levels},
            },
        }
    )
    two = in_two_processes(asked, tree, tmp_path)
    assert len(two.history) == 2
    changed = build_network(asked.model, 3, 32, asked.seed).state_dict()
    still = {n for n, v in two.model.state_dict().items() if v.ndim == 4 and torch.equal(v, changed[n])}
    assert still == {"backbone.conv_head.weight"}


@pytest.mark.slow
@pytest.mark.parametrize(("feedback", "features"), [(DRAWN, "stored"), (PROXIES, "recomputed")])
def test_two_processes_of_batch_4_are_one_of_batch_8(
    tree: Path, tmp_path: Path, feedback: tuple[dict[str, object], ...], features: str
) -> None:
    two = in_two_processes(settings(4, feedback), tree, tmp_path)
    assert not (two.folder / "checkpoint").exists()

    one = run(settings(8, feedback), tree, tmp_path / "one")
    assert len(two.history) == len(one.history) == 4
    for mine, plain in zip(two.history, one.history, strict=True):
        weights = [
            f"train_{kind}_{term}" for kind in ("weight", "share") for term in ("classification", "spatial")
        ]
        for column in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", *weights):
            if not plain[column] and not mine[column]:
                continue  # the spatial term is idle on the frozen backbone
            assert float(mine[column]) == pytest.approx(float(plain[column]), rel=1e-4), column
    for split in ("val", "test"):
        mine, plain = two.result["metrics"][split], one.result["metrics"][split]
        assert mine["nll"] == pytest.approx(plain["nll"], rel=1e-4)
        assert mine["confusion"] == plain["confusion"]
    assert (one.folder / "catalog.csv").read_bytes() == (two.folder / "catalog.csv").read_bytes()
    decided = json.loads((two.folder / "decisions.json").read_text())
    assert [d["value"] for d in decided if d["name"].startswith("features")] == [features, "recomputed"]
