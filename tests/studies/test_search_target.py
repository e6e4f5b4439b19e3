"""The target: validation only, of the weights that were kept, comparable between trials."""

from typing import Any

import pytest

from foveate.core.errors import ConfigError
from foveate.experiment import Experiment, Run
from foveate.recipes import finetune
from foveate.studies.search import Search
from foveate.studies.search_target import kept_epoch, target_of
from foveate.training.phases import PhaseConfig

SPACE = {"training.clip": {"low": 0.5, "high": 2.0}}


def search(metric: str, space: dict[str, Any] = SPACE, **more: Any) -> Search:
    return Search.model_validate({"space": space, "metric": metric, **more})


BASE = finetune(guide="spatial")


@pytest.mark.parametrize(
    ("metric", "direction", "column"),
    [
        ("val_accuracy", "maximize", "val_accuracy"),
        ("val_macro_f1", "maximize", "val_macro_f1"),
        ("val_loss", "minimize", "val_loss"),
        ("val_spatial", "minimize", "val_spatial"),
        ("val.accuracy", "maximize", "val_accuracy"),
        ("val.nll", "minimize", None),
        ("val.ece", "minimize", None),
        ("val.look.energy_in_mask.mean", "maximize", None),
    ],
)
def test_direction_and_column(metric: str, direction: str, column: str | None) -> None:
    found = target_of(search(metric, pruner="median" if column else "none"), BASE)
    assert (found.direction, found.column) == (direction, column)
    assert target_of(search(metric, direction="maximize", pruner="none"), BASE).direction == "maximize"


@pytest.mark.parametrize(
    "metric", ["test_accuracy", "test.accuracy", "test.backgrounds.swapped.accuracy", "test"]
)
def test_figures_of_the_test_are_refused(metric: str) -> None:
    with pytest.raises(ConfigError, match="tuning on the test split is not possible"):
        target_of(search(metric), BASE)


@pytest.mark.parametrize(
    ("metric", "space", "message"),
    [
        ("val_acc", SPACE, "There is no metric 'val_acc'; choose one of val_loss, val_accuracy"),
        ("train_accuracy", SPACE, "There is no metric 'train_accuracy'"),
        ("val.acc", SPACE, "There is no metric 'val.acc'"),
        ("accuracy", SPACE, "There is no metric 'accuracy'"),
        ("val.nll", SPACE, "set pruner: none"),
        (
            "val_loss",
            {"objective.spatial.weight": {"low": 0.0, "high": 1.0}},
            "cannot be compared between trials, since space.objective.spatial.weight changes",
        ),
        (
            "val_classification",
            {"objective.classification.label_smoothing": {"low": 0.0, "high": 0.2}},
            "cannot be compared",
        ),
    ],
)
def test_metrics_that_make_no_sense_are_refused(metric: str, space: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        target_of(search(metric, space), BASE)


def test_a_term_may_be_compared_while_its_weight_is_searched() -> None:
    space = {"objective.spatial.weight": {"low": 0.0, "high": 1.0}}
    assert target_of(search("val_classification", space), BASE).direction == "minimize"
    assert target_of(search("val_spatial", space), BASE).direction == "minimize"


def rows(*phases: list[float]) -> list[dict[str, Any]]:
    values = [(k + 1, value) for phase in phases for k, value in enumerate(phase)]
    return [
        {"epoch": n, "phase_epoch": k, "val_loss": value, "val_accuracy": 1 - value}
        for n, (k, value) in enumerate(values, start=1)
    ]


@pytest.mark.parametrize(
    ("columns", "history", "epoch"),
    [
        (["val_loss"], rows([3, 1, 2]), 2),
        (["val_loss"], rows([1, 1, 2]), 1),
        ([None], rows([3, 1, 2]), 3),
        (["val_accuracy"], rows([0.3, 0.1, 0.2]), 2),
        (["val_loss", "val_loss"], rows([3, 1], [2, 2]), 2),
        (["val_loss", "val_loss"], rows([3, 1], [2, 0]), 4),
        (["val_loss", "val_accuracy"], rows([0.3, 0.1], [0.2, 0.4]), 3),
        ([None, "val_loss"], rows([0, 0], [2, 1, 3]), 4),
        (["val_loss", None], rows([0, 1], [2, 3]), 4),
        (["val_loss", None, "val_loss"], rows([1], [0], [2]), 1),
        (["val_loss", "val_loss"], rows([2, 1]), 2),
    ],
)
def test_the_epoch_that_was_kept(
    columns: list[str | None], history: list[dict[str, Any]], epoch: int
) -> None:
    phases = [PhaseConfig(restore_best=column) for column in columns]
    as_text = [{name: str(value) for name, value in row.items()} for row in history]
    assert kept_epoch(as_text, phases)["epoch"] == str(epoch)


def test_agrees_with_what_a_real_run_measured_at_its_end(finished: Run) -> None:
    metrics = finished.result["metrics"]["val"]
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        by_epoch = target_of(search(f"val_{name}"), finished.experiment).read(finished)
        at_the_end = target_of(search(f"val.{name}"), finished.experiment).read(finished)
        assert by_epoch == pytest.approx(at_the_end) == pytest.approx(metrics[name])
    assert target_of(search("val.nll", pruner="none"), finished.experiment).read(finished) == metrics["nll"]
    energy = target_of(search("val.look.energy_in_mask.mean", pruner="none"), finished.experiment).read(
        finished
    )
    assert energy == metrics["look"]["energy_in_mask"]["mean"]


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("val.look.energy_in_fog.mean", "'energy_in_fog' was not measured .*; there is energy_in_mask"),
        (
            "val.groups.mean_accuracy",
            "'mean_accuracy' was not measured .*there is nothing inside|'groups' was not",
        ),
        ("val.top", "no number but dict"),
    ],
)
def test_what_was_not_measured_is_named(finished: Run, metric: str, message: str) -> None:
    target = target_of(search(metric, pruner="none"), finished.experiment)
    if metric == "val.top":
        finished.result["metrics"]["val"].setdefault("top", {})
    with pytest.raises(ConfigError, match=message):
        target.read(finished)


def test_a_metric_by_default() -> None:
    assert target_of(Search.model_validate({"space": SPACE}), Experiment()).name == "val_accuracy"
