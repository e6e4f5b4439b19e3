"""Two processes are one run: one folder, the gradients of the whole batch, the same choices."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from foveate.core.errors import ConfigError
from foveate.experiment import Experiment, Run, run
from foveate.experiment.specification import merge
from foveate.models.build import build_network
from training_helpers import experiment

PHASES = [
    {"name": "head", "epochs": 2, "trainable": "head", "lr": 0.05, "restore_best": None},
    {
        "name": "frozen norms", "epochs": 2, "lr": 0.05, "freeze_bn": "all", "restore_best": "val_loss",
        "optimizer": {"kind": "sgd"},
    },
]  # fmt: skip
"""SGD, since Adam makes full steps of gradients that are rounding and nothing else."""
WHOLE = [{"name": "all", "epochs": 2, "lr": 0.01, "freeze_bn": "all", "restore_best": None}]
BOTH_TERMS = {
    "classification": {"kind": "cross_entropy", "weighting": {"kind": "uncertainty"}},
    "spatial": {"kind": "spatial_mse", "weighting": {"kind": "share", "smoothing": 0.5}},
}
DRAWN = ({"kind": "class_sampling", "start": 1}, {"kind": "upweighting", "epoch": 2, "factor": 3.0})
PROXIES = ({"kind": "proxy_attention", "schedule": ["p", 3], "share": 1.0, "threshold": 0.3},)


def settings(batch_size: int, **changes: Any) -> Experiment:
    """No dropout and no batch statistics: then the number of processes changes nothing but rounding. 25 pictures."""
    common = {
        "data": {"augment": {"preset": "basic"}, "split": {"val": 0.25, "test": 0.22}},
        "training": {"phases": WHOLE, "batch_size": batch_size, "precision": "fp32"},
    }
    return experiment(**merge(common, changes))


def linear(batch_size: int, feedback: tuple[dict[str, object], ...]) -> Experiment:
    return settings(
        batch_size, objective=BOTH_TERMS, feedback=list(feedback), training={"phases": PHASES},
        model={"head": {"kind": "linear", "widths": None, "dropout": 0.0}},
    )  # fmt: skip


def one_level() -> Experiment:
    """Three branches have no loss, and EfficientNet's last convolution lies behind the stages that FBSD asks."""
    objective = {
        "classification": {"kind": "cross_entropy", "weight": 0},
        "level1": {"kind": "cross_entropy", "on": "level1"},
    }
    model = {"backbone": "test_efficientnet", "weights": "none", "network": {"kind": "fbsd", "width": 16}}
    return Experiment.from_dict({**settings(4).to_dict(), "model": model, "objective": objective})


def worst_place(batch_size: int) -> Experiment:
    """A loss that remembers its subgroups' weights."""
    dro = {"kind": "group_dro", "attribute": "place", "step": 0.5}
    return settings(
        batch_size, objective={"classification": dro}, data={"layout": {"attributes": ["place=regex:([0-4])[.]png"]}},
        model={"head": {"kind": "linear", "widths": None, "dropout": 0.0}},
    )  # fmt: skip


def distilled() -> Experiment:
    """Teacher and centre of DINO, batch statistics, dropout, accumulated batches."""
    phases = [{"name": "all", "epochs": 3, "lr": 0.01, "restore_best": None}]
    return experiment(
        task={"kind": "dino"}, objective={"dino": {"kind": "self_distillation"}},
        training={"phases": phases, "batch_size": 4, "accumulate": 2},
    )  # fmt: skip


def torchrun(*command: object, out: str = "") -> str:
    result = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *map(str, command)],
        capture_output=True, text=True, timeout=250, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def same(two: Run, one: Run, columns: tuple[str, ...]) -> None:
    """The two runs tell the same figures."""
    assert len(two.history) == len(one.history)
    for mine, plain in zip(two.history, one.history, strict=True):
        for column in columns:
            if not plain[column] and not mine[column]:
                continue  # the spatial term is idle on the frozen backbone
            assert float(mine[column]) == pytest.approx(float(plain[column]), rel=1e-4), column
    for split in ("val", "test"):
        mine, plain = two.result["metrics"][split], one.result["metrics"][split]
        assert mine["nll"] == pytest.approx(plain["nll"], rel=1e-4)
        assert mine["confusion"] == plain["confusion"]
    assert (one.folder / "catalog.csv").read_bytes() == (two.folder / "catalog.csv").read_bytes()
    rows = [(run.folder / "predictions.csv").read_text().splitlines() for run in (one, two)]
    first, second = ([row.split(",")[0] for row in table] for table in rows)
    assert first == second, "every picture is measured once, in the same order"


def figures(*terms: str) -> tuple[str, ...]:
    measured = [f"train_{kind}_{term}" for kind in ("weight", "share") for term in terms]
    return ("train_loss", "train_accuracy", "val_loss", "val_accuracy", *measured)


@pytest.mark.slow
def test_the_command_in_two_processes_of_batch_4_is_one_of_batch_8(tree: Path, tmp_path: Path) -> None:
    asked = linear(4, PROXIES)
    (tmp_path / "settings.yaml").write_text(asked.to_yaml())
    said = torchrun(
        "-m", "foveate", "train", tree, "--out", tmp_path / "two", "--config", tmp_path / "settings.yaml",
        "--weights", "none", "--seed", "3",
    )  # fmt: skip
    assert said.count("Phase head") == 1, "the main process alone speaks"
    assert said.count("Report:") == 1
    two = Run.open(tmp_path / "two")
    assert two.experiment == asked
    assert not (two.folder / "checkpoint").exists()
    same(two, run(linear(8, PROXIES), tree, tmp_path / "one"), figures("classification", "spatial"))
    decided = json.loads((two.folder / "decisions.json").read_text())
    assert [d["value"] for d in decided if d["name"].startswith("features")] == ["recomputed", "recomputed"]


@pytest.mark.slow
def test_whatever_is_trained_two_processes_are_one(tree: Path, tmp_path: Path) -> None:
    runs = {
        "sampled": linear(4, DRAWN), "level": one_level(), "worst": worst_place(4),
        "unbroken": distilled(), "stopped": distilled(),
    }  # fmt: skip
    asked = [
        {"experiment": e.to_dict(), "data": str(tree), "out": str(tmp_path / name), "stop": 3 * (name == "stopped")}
        for name, e in runs.items()
    ]  # fmt: skip
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    torchrun(Path(__file__).with_name("two_processes.py"), tmp_path / "asked.json")
    two = {name: Run.open(tmp_path / name) for name in runs}

    decided = json.loads((two["sampled"].folder / "decisions.json").read_text())
    assert [d["value"] for d in decided if d["name"].startswith("features")] == ["stored", "recomputed"]
    same(two["sampled"], run(linear(8, DRAWN), tree, tmp_path / "one"), figures("classification", "spatial"))

    first = build_network(one_level().model, 3, 32, 3).state_dict()
    still = {n for n, v in two["level"].model.state_dict().items() if v.ndim > 1 and torch.equal(v, first[n])}
    assert "backbone.conv_head.weight" in still
    assert "backbone.conv_stem.weight" not in still

    same(two["worst"], run(worst_place(8), tree, tmp_path / "one worst"), figures())

    unbroken, stopped = (
        (two[name].folder / "model.safetensors").read_bytes() for name in ("unbroken", "stopped")
    )
    assert stopped == unbroken


def test_shards_of_one_network_are_refused(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ConfigError, match="FSDP is not supported: every process holds the whole network"):
        run(linear(8, ()), tree, tmp_path / "sharded")
