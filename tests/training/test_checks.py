"""What is refused before any work."""

from pathlib import Path
from typing import Any

import pytest

from foveate.core.config import parse
from foveate.core.errors import ConfigError, shown
from foveate.experiment import Experiment, run
from foveate.models.build import build_network
from foveate.models.settings import ModelConfig
from foveate.training import Observer, TrainingConfig, fit
from foveate.training.checks import check_batches
from training_helpers import experiment, phase, toy_job


def network(strides: tuple[int, ...], **head: Any) -> Any:
    """At 16 px; the last map is 16 / product(strides) wide."""
    kwargs = {"widths": [8] * len(strides), "strides": list(strides)}
    config = ModelConfig(backbone="foveate_small_cnn", weights="none", backbone_kwargs=kwargs, head=head)
    return build_network(config, classes=3, size=16, seed=0)


def training(*phases: dict[str, Any], **settings: Any) -> TrainingConfig:
    return parse(TrainingConfig, {"phases": phases or [phase()], **settings}, source="the test")


TINY = (4, 4)
"""Strides to a map of 1 x 1."""


def test_one_picture_a_batch_on_a_map_of_one_place_is_refused_in_a_sentence() -> None:
    later = (phase(name="head", trainable="head"), phase(name="all"))
    with pytest.raises(
        ConfigError, match=r"phase 'all'.*batch norm.*16 px.*batch_size to 2 or more"
    ) as caught:
        check_batches(network(TINY), training(*later, batch_size=1), 40)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="one training picture is too few"):
        check_batches(network(TINY), training(batch_size=8), 1)
    with pytest.raises(ConfigError, match="one training picture is too few"):
        check_batches(network(TINY), training(batch_size="auto"), 1)


@pytest.mark.parametrize(
    ("strides", "settings", "pictures", "copies"),
    [
        ((2, 2), {"batch_size": 1}, 40, 1),  # a map of 4 x 4
        (TINY, {"batch_size": 2}, 40, 1),
        (TINY, {"batch_size": 2}, 41, 1),  # the rest of one joins the batch before
        (TINY, {"batch_size": "auto"}, 2, 1),
        (TINY, {"batch_size": 1}, 40, 2),  # two questions about each picture
        (TINY, {"batch_size": 1, "phases": [phase(freeze_bn="all")]}, 40, 1),
        (TINY, {"batch_size": 1, "phases": [phase(trainable="head")]}, 40, 1),
    ],
)
def test_what_can_learn_is_not_refused(
    strides: tuple[int, ...], settings: dict[str, Any], pictures: int, copies: int
) -> None:
    model = network(strides)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check_batches(
        model, parse(TrainingConfig, {"phases": [phase()], **settings}, source="test"), pictures, copies
    )
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("batch_size", [1, 31])
def test_batches_of_one_where_they_can_work_do(batch_size: int) -> None:
    history = fit(
        toy_job(phases=[phase(epochs=1)], batch_size=batch_size)
    )  # 32 pictures: 31 and a rest of one
    assert history[0]["train_loss"] > 0


def test_it_is_refused_before_pictures_are_decoded(tree: Path, tmp_path: Path) -> None:
    class Work(Observer):
        told: list[str] = []  # noqa: RUF012 (one observer)

        def progress(self, what: str, done: int, total: int) -> None:
            self.told.append(what)

    settings = experiment(
        training={"batch_size": 1}, model={"backbone_kwargs": {"widths": [8, 8, 8], "strides": [4, 4, 2]}},
        data={"cache": {"enabled": True}},
    )  # fmt: skip
    with pytest.raises(ConfigError, match="batch_size to 2 or more"):
        run(settings, tree, tmp_path / "run", observer=Work())
    assert not any("decod" in what or "cach" in what for what in Work.told)


@pytest.mark.parametrize(
    "lr", [float("nan"), float("inf"), float("-inf"), -1, 0, 1e300, 1001, "fast", None, []]
)
def test_learning_rates_that_are_none_are_refused_by_name_and_value(lr: Any) -> None:
    with pytest.raises(ConfigError, match=r"training\.phases\.0\.lr must be ") as caught:
        Experiment.from_dict({"training": {"phases": [{"lr": lr}]}})
    assert shown(lr) in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    "transforms", [[{"kind": "mixup"}], [{"kind": "combine", "members": [{"kind": "mixup"}]}]]
)
def test_a_loss_on_views_that_nothing_makes_is_refused(
    transforms: list[dict[str, Any]], tree: Path, tmp_path: Path
) -> None:
    loss = {"objective": {"classification": {"kind": "cross_entropy"}, "agree": {"kind": "jensen_shannon"}}}
    with pytest.raises(ConfigError, match="'agree' of the objective compares several views"):
        run(experiment(**loss, transforms=transforms), tree, tmp_path / "run")


@pytest.mark.parametrize(
    "transforms", [[{"kind": "augmix"}], [{"kind": "combine", "members": [{"kind": "augmix"}]}]]
)
def test_a_loss_on_views_trains_on_those_that_are_made(
    transforms: list[dict[str, Any]], tree: Path, tmp_path: Path
) -> None:
    loss = {"classification": {"kind": "cross_entropy"}, "agree": {"kind": "jensen_shannon"}}
    found = run(experiment(objective=loss, transforms=transforms), tree, tmp_path / "run")
    assert min(row["train_agree"] for row in found.history) > 0
