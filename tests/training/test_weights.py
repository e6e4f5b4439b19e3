"""Weights in the loop: columns of the history, what the objective learns, idle terms, killed and resumed."""

from pathlib import Path
from typing import Any

import pytest
import torch

from foveate.core.errors import ConfigError
from foveate.objectives import objective
from foveate.objectives.classification import CrossEntropy
from foveate.objectives.spatial import SpatialMSE
from foveate.training import fit
from foveate.training.optimizers import parameter_groups
from objective_helpers import Projection, class_map
from training_helpers import Heard, phase, toy_job, weights_of


@pytest.fixture(autouse=True)
def _losses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(objective.LOSSES._classes, "projection", Projection)


def terms(**more: Any) -> dict[str, Any]:
    return {"classification": CrossEntropy.Config(), **more}


def everything() -> dict[str, Any]:
    """Every weighting with a state, and a term with parameters."""
    return terms(
        shared=SpatialMSE.Config(weighting={"kind": "share", "share": 0.2}),
        balanced=class_map(weighting={"kind": "gradient_norm", "ratio": 0.3}),
        uncertain=SpatialMSE.Config(tap="early", weight=0.5, weighting="uncertainty"),
        ramp=SpatialMSE.Config(tap="early", weighting={"kind": "cosine"}),
        learned=Projection.Config(weight=0.3),
    )


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


HEAD = phase(name="head", trainable="head", epochs=2)


# -- history ---------------------------------------------------------------------------------------------------------


def test_weights_and_shares_are_columns() -> None:
    spatial = SpatialMSE.Config(weight=2.0)
    measured = class_map(weight=0.0)
    history = fit(toy_job(objective=terms(spatial=spatial, look=measured), phases=[phase(epochs=3)]))
    for row in history:
        parts = {
            "classification": row["train_classification"],
            "spatial": 2.0 * row["train_spatial"],
            "look": 0.0,
        }
        for name, weight in (("classification", 1.0), ("spatial", 2.0), ("look", 0.0)):
            assert row[f"train_weight_{name}"] == pytest.approx(weight)
            assert row[f"train_share_{name}"] == pytest.approx(parts[name] / sum(parts.values()))
        assert row["train_loss"] == pytest.approx(sum(parts.values()), rel=1e-5)


def test_a_single_term_has_no_share() -> None:
    (row,) = fit(toy_job(phases=[phase(epochs=1)]))
    assert not [column for column in row if "share" in column or "weight" in column]


def test_a_set_share_is_kept_and_a_constant_weight_lets_it_grow() -> None:
    def shares(**settings: Any) -> list[float]:
        job = toy_job(objective=terms(s=SpatialMSE.Config(**settings)), phases=[phase(epochs=25)])
        return [row["train_share_s"] for row in fit(job)]

    free, kept = shares(weight=1.0), shares(weighting={"kind": "share", "share": 0.2})
    assert free[-1] > 2.5 * free[0]
    assert all(0.14 < share < 0.26 for share in kept)


def test_a_ramp_goes_over_the_whole_training_or_over_each_phase() -> None:
    def weights(over: str) -> list[float]:
        ramp = {"kind": "linear", "over": over}
        phases = [phase(epochs=1), phase(name="q", epochs=3)]
        job = toy_job(objective=terms(s=SpatialMSE.Config(weighting=ramp)), phases=phases)
        return [row["train_weight_s"] for row in fit(job)]

    # Four steps an epoch; the mean over steps k/4 + 0, 1/4, 1/2, 3/4 is 3/8 of an epoch further.
    assert weights("training") == pytest.approx([(epoch + 0.375) / 4 for epoch in range(4)])
    assert weights("phase") == pytest.approx([0.375, *[(epoch + 0.375) / 3 for epoch in range(3)]])


def test_a_moving_weight_warns_those_who_watch_the_sum() -> None:
    for weighting, watched, warned in (
        ("constant", "val_loss", False),
        ("share", "val_loss", True),
        ("share", "val_classification", False),
    ):
        heard = Heard()
        settings = SpatialMSE.Config(weighting=weighting)
        fit(
            toy_job(
                objective=terms(s=settings), phases=[phase(epochs=1, restore_best=watched)], observer=heard
            )
        )
        assert any("different sums" in message for message in heard.messages) == warned


# -- what the objective learns ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"clip": 1e-6}, {"accumulate": 2}, {"ema": 0.9}])
def test_parameters_of_terms_and_weightings_are_trained(changes: dict[str, Any]) -> None:
    job = toy_job(objective=everything(), phases=[phase(epochs=2)], **changes)
    before = {name: p.detach().clone() for name, p in job.objective.named_parameters()}
    history = fit(job)
    assert set(before) == {"parts.learned:term.mix", "parts.uncertain:weighting.log_variance"}
    for name, parameter in job.objective.named_parameters():
        assert (parameter - before[name]).abs().min() > 1e-3, "clipping is the network's alone"
    assert [column for column in history[0] if column.startswith("lr")] == ["lr_head", "lr_backbone"]


def test_the_objective_has_a_group_of_its_own() -> None:
    job = toy_job(objective=everything())
    plain = parameter_groups(job.model, 0.05, {}, None)
    groups = parameter_groups(job.model, 0.05, {"objective": 10.0}, None, job.objective)
    assert [g["part"] for g in groups] == [g["part"] for g in plain] + ["objective"]
    assert (groups[-1]["weight_decay"], groups[-1]["lr_factor"]) == (0.0, 10.0)
    assert {id(p) for p in groups[-1]["params"]} == {id(p) for p in job.objective.parameters()}
    with pytest.raises(ConfigError, match="objective"):
        parameter_groups(job.model, 0.05, {"objective": 10.0}, None, toy_job().objective)
    quick, slow = (
        toy_job(
            objective=terms(s=SpatialMSE.Config(weighting="uncertainty")),
            phases=[phase(epochs=1, lr_factors=factors)],
        )
        for factors in ({"objective": 10.0}, {})
    )
    weights = [fit(job)[0]["train_weight_s"] for job in (quick, slow)]
    assert weights[0] > weights[1] > 1, "a term below 1/2 gets more weight"


@pytest.mark.parametrize("trainable", ["all", "head"])
def test_finders_leave_the_objective_as_it_was(tmp_path: Path, trainable: str) -> None:
    automatic = phase(lr="auto", trainable=trainable, epochs=2, lr_factors={"objective": 2.0})
    found = toy_job(folder=tmp_path, objective=everything(), phases=[automatic], precision="auto")
    fit(found)
    decided = {d["name"]: d["value"] for d in found.decisions.as_list()}
    given = toy_job(
        objective=everything(),
        phases=[{**automatic, "lr": decided["learning rate: p"]}],
        precision=decided["precision: p"],
    )
    fit(given)
    assert equal(found.objective.state_dict(), given.objective.state_dict())
    assert equal(weights_of(found), weights_of(given))


# -- idle terms ------------------------------------------------------------------------------------------------------


def idle_decision(job: Any, name: str) -> Any:
    return next((d["value"] for d in job.decisions.as_list() if d["name"] == f"objective: {name}"), None)


@pytest.mark.parametrize("training", [{}, {"transforms": (lambda batch, model, rng, progress: batch,)}])
def test_arms_that_differ_in_idle_terms_have_equal_head_phases(training: dict[str, Any]) -> None:
    arms: list[dict[str, Any]] = [
        terms(),
        terms(s=SpatialMSE.Config(weight=0.0)),
        terms(s=SpatialMSE.Config(weight=5.0, tap="early")),
        terms(s=SpatialMSE.Config(aggregate="max", weighting={"kind": "share"}), t=SpatialMSE.Config()),
        terms(s=SpatialMSE.Config(weighting="gradient_norm")),
        terms(s=SpatialMSE.Config(weighting={"kind": "linear"})),
    ]
    head = {**HEAD, "restore_best": "val_loss", "lr": "auto"}
    jobs = [toy_job(objective=arm, phases=[head], dropout=0.3, **training) for arm in arms]
    histories = [fit(job) for job in jobs]
    for job, history, arm in zip(jobs, histories, arms, strict=True):
        assert equal(weights_of(job), weights_of(jobs[0]))
        features = next(d["value"] for d in job.decisions.as_list() if d["name"] == "features: head")
        assert features == ("recomputed" if training else "stored")
        left = ", ".join(name for name in arm if name != "classification")
        assert idle_decision(job, "head") == (f"without {left}" if left else None)
        for row, first in zip(history, histories[0], strict=True):
            clocks = ("seconds", "images_per_second")
            assert {k: v for k, v in row.items() if k not in clocks} == {
                k: v for k, v in first.items() if k not in clocks
            }


@pytest.mark.parametrize("kind", ["constant", "gradient_norm"])
@pytest.mark.parametrize(("loss", "learns_head"), [(class_map, True), (Projection.Config, False)])
def test_terms_that_can_train_something_stay_on_a_frozen_backbone(
    kind: str, loss: Any, learns_head: bool
) -> None:
    jobs = [
        toy_job(objective=terms(s=loss(weight=weight, weighting=kind)), phases=[HEAD])
        for weight in (0.1, 3.0)
    ]
    for job in jobs:
        history = fit(job)
        assert idle_decision(job, "head") is None
        assert all(row["train_weight_s"] > 0 for row in history)
    assert equal(weights_of(jobs[0]), weights_of(jobs[1])) != learns_head


def test_a_backbone_whose_statistics_move_has_no_idle_terms() -> None:
    moving = {**HEAD, "freeze_bn": False}
    balanced = SpatialMSE.Config(weighting="gradient_norm")
    for term in (SpatialMSE.Config(weight=5.0), balanced):
        job = toy_job(objective=terms(s=term), phases=[moving])
        assert "train_s" in fit(job)[0]
        assert idle_decision(job, "head") is None


def test_idle_terms_come_back_in_the_next_phase() -> None:
    job = toy_job(objective=everything(), phases=[HEAD, phase(name="all")])
    history = fit(job)
    assert "train_shared" not in history[0]
    assert "train_balanced" in history[0]
    assert "train_weight_learned" in history[0]
    assert all(f"{side}_{name}" in history[-1] for side in ("train", "val") for name in everything())


def test_a_phase_that_learns_nothing_or_watches_an_idle_term_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'head' no term .*\(s cannot train anything"):
        fit(toy_job(objective={"s": SpatialMSE.Config()}, phases=[phase(), HEAD]))
    with pytest.raises(ConfigError, match="no term of the objective has a weight"):
        fit(toy_job(objective={"a": CrossEntropy.Config(weight=0.0)}, phases=[phase()]))
    with pytest.raises(ConfigError, match=r"watches 'val_s' \(that term cannot train"):
        fit(toy_job(objective=terms(s=SpatialMSE.Config()), phases=[{**HEAD, "restore_best": "val_s"}]))


# -- killed and resumed ----------------------------------------------------------------------------------------------


class Stop(Heard):
    """Raises after some steps, as a kill would end the process."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.left = steps

    def step(self, done: int, total: int, pictures: int) -> None:
        self.left -= 1
        if not self.left:
            raise RuntimeError("killed")


@pytest.mark.parametrize("steps", [3, 9, 14])
def test_what_the_objective_has_learned_and_measured_survives_a_kill(tmp_path: Path, steps: int) -> None:
    def job(folder: Path | None, observer: Heard) -> Any:
        phases = [HEAD, phase(name="all", lr_factors={"objective": 5.0})]
        return toy_job(
            folder=folder,
            objective=everything(),
            phases=phases,
            checkpoint_seconds=0.0,
            observer=observer,
            clip=1.0,
        )

    whole = job(tmp_path / "whole", Heard())
    fit(whole)
    with pytest.raises(RuntimeError, match="killed"):
        fit(job(tmp_path / "killed", Stop(steps)))
    again = job(tmp_path / "killed", Heard())
    fit(again)
    assert equal(again.objective.state_dict(), whole.objective.state_dict())
    assert equal(weights_of(again), weights_of(whole))
    assert any("Going on" in message for message in again.observer.messages)
