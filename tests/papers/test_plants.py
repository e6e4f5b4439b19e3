"""The plant-species studies say what the report did."""

import math

import pytest
import torch

from foveate.augmentation import build_transforms
from foveate.experiment import Experiment, run
from foveate.models.build import build_network
from foveate.models.freeze import apply_trainable
from foveate.papers.plants.recipes import (
    PUBLISHED,
    SMALL,
    plants,
    plants_final,
    plants_final_large,
    three_stages,
)
from foveate.recipes import RECIPES, STUDIES
from foveate.studies.engine import twins

import timm  # isort: skip

NAMES = ["plants-from-scratch", "plants-imbalance", "plants-final", "plants-final-large", "plants-tta"]


@pytest.mark.parametrize("name", NAMES)
def test_studies_have_cells_of_several_seeds(name: str) -> None:
    study = STUDIES[name]()
    cells = study.cells()
    assert len(cells) == len(study.arm_changes()) * len(study.seeds) >= 10
    assert len({cell.key for cell in cells}) == len(cells), "every arm is an experiment of its own"


def test_the_learning_rate_over_56_epochs_is_the_reports() -> None:
    """One triangle of 10 epochs after the other, whose range is switched before epochs 16 and 48."""
    steps = 7
    experiment = plants(large=True)
    found = [
        phase.lr * phase.schedule.factor(step, steps, phase.epochs * steps, phase.lr)
        for phase in experiment.training.phases
        for step in range(phase.epochs * steps)
    ]
    assert len(found) == 56 * steps
    for t, rate in enumerate(found):
        low, high = (1e-5, 1e-4) if 15 <= t // steps < 47 else (1e-6, 1e-5)
        cycle = math.floor(1 + t / (10 * steps))
        x = abs(t / (5 * steps) - 2 * cycle + 1)
        assert rate == pytest.approx(low + (high - low) * max(0.0, 1 - x))
    assert [sum(epochs for epochs, _, _ in ranges) for ranges in (PUBLISHED, SMALL)] == [56, 56]


def test_the_large_one_is_as_published() -> None:
    experiment = plants(large=True)
    assert (experiment.data.size, experiment.data.fit) == (224, "squash_bicubic")
    assert experiment.model.backbone == "convnext_large.fb_in22k_ft_in1k"
    assert timm.is_model_pretrained(experiment.model.backbone)
    assert "zoom" not in str(experiment.data.augment.build()).lower()
    assert experiment.evaluation.tta == "plants8@96"
    assert experiment.training.batch_size == 32
    assert {phase.optimizer.kind for phase in experiment.training.phases} == {"adam"}
    assert {phase.restore_best for phase in experiment.training.phases} == {"val_accuracy"}
    assert {phase.early_stopping.patience for phase in experiment.training.phases} == {8}
    config = experiment.model.model_copy(update={"weights": "none"})
    with torch.device("meta"):
        model = build_network(config, classes=8, size=224, seed=0)
    summary = apply_trainable(model, experiment.training.phases[0].trainable)
    assert (summary.trainable, summary.frozen) == (172_709_384, 25_103_040)
    assert RECIPES["plants"] is plants
    assert plants().model.head.kind == "mlp"


def test_views_are_measured_and_not_trained_again() -> None:
    cells = STUDIES["plants-tta"]().cells()
    same = twins(cells)
    assert len(same) == 10
    assert {cell.arm for cell in same.values()} == {"one view"}
    assert not twins(STUDIES["plants-imbalance"]().cells())
    for study in (plants_final(), plants_final_large()):
        assert {cell.arm for cell in study.cells() if cell.key in twins(study.cells())} == {"without views"}


def test_arms_against_imbalance_are_what_their_names_say() -> None:
    arms = {cell.arm: cell.experiment for cell in STUDIES["plants-imbalance"]().cells()}
    assert arms["class weights"].objective["classification"].class_weights == "frequency"
    assert arms["focal loss"].objective["classification"].kind == "focal"
    assert arms["balanced sampling"].training.loader.sampling == "balanced"
    kinds = {
        name: type(build_transforms(arms[name].transforms, (1, 2))[0]).__name__
        for name in ("CutMix", "Remix")
    }
    assert kinds == {"CutMix": "CutMix", "Remix": "Remix"}
    assert not arms["plain"].transforms


@pytest.mark.slow
def test_the_final_pipeline_runs_with_a_tiny_convnext(tree, tmp_path) -> None:
    """Every part at once: partial freezing by name, three stages, penalty, views at another size."""
    ranges = ((1, 1e-5, 1e-4), (1, 1e-4, 1e-3), (1, 1e-5, 1e-4))
    values = plants_final_large().base
    values = {
        **values,
        "data": {**values["data"], "size": 32},
        "model": {**values["model"], "backbone": "test_convnext", "weights": "none"},
        "training": {
            "phases": three_stages(ranges, "until:stages.2.blocks.0.norm"),
            "precision": "fp32", "device": "cpu", "batch_size": 16, "loader": {"workers": 0},
        },
        "evaluation": {"tta": "plants8@16"},
    }  # fmt: skip
    finished = run(Experiment.from_dict(values), tree, tmp_path / "run")
    assert [row["phase"] for row in finished.history] == ["stage 1", "stage 2", "stage 3"]
    learnt = [d["value"] for d in finished.environment["decisions"] if d["name"].startswith("parameters: ")]
    assert len(learnt) == 3
    assert len(set(learnt)) == 1
    assert finished.result["tta"] == "plants8@16"
    assert "train_head_penalty" in finished.history[0]
    assert finished.environment["network"].splitlines()[-1].endswith("parameters")
    again = finished.evaluate(tta="plants8@16", device="cpu")
    assert (again.prediction == finished.predictions.prediction).all()
