"""Two processes are one run: one folder, the gradients of the whole batch, the same choices."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from foveate.experiment import Experiment, Run, run
from training_helpers import experiment

PHASES = [
    {"name": "head", "epochs": 2, "trainable": "head", "lr": 0.05, "restore_best": None},
    {"name": "frozen norms", "epochs": 2, "lr": 0.01, "freeze_bn": "all", "restore_best": "val_loss"},
]


DRAWN = ({"kind": "class_sampling", "start": 1}, {"kind": "upweighting", "epoch": 2, "factor": 3.0})
PROXIES = ({"kind": "proxy_attention", "schedule": ["p", 3], "share": 1.0, "threshold": 0.3},)


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
@pytest.mark.parametrize(("feedback", "features"), [(DRAWN, "stored"), (PROXIES, "recomputed")])
def test_two_processes_of_batch_4_are_one_of_batch_8(
    tree: Path, tmp_path: Path, feedback: tuple[dict[str, object], ...], features: str
) -> None:
    (tmp_path / "settings.yaml").write_text(settings(4, feedback).to_yaml())
    result = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "foveate",
            "train", str(tree), "--out", str(tmp_path / "two"), "--config", str(tmp_path / "settings.yaml"),
            "--weights", "none", "--seed", "3",
        ], capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("Phase head") == 1, "the main process alone speaks"
    assert result.stdout.count("Report:") == 1
    two = Run.open(tmp_path / "two")
    assert two.finished
    assert two.experiment == settings(4, feedback)
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
