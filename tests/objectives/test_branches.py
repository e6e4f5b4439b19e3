"""Losses on other logits than those that predict."""

import pytest
import torch

from foveate.core.errors import ConfigError
from foveate.core.progress import Progress
from foveate.data.batch import Batch
from foveate.explanation.maps import class_maps
from foveate.models.output import Output
from foveate.objectives import Context, Objective
from foveate.objectives.classification import CrossEntropy
from foveate.objectives.spatial import SpatialMSE
from foveate.training.checks import check_phases
from training_helpers import phase, toy_job

CONTEXT = Context(("a", "b"), (1, 1), branches=("parts",))


def batch(count: int = 3) -> Batch:
    return Batch(
        torch.zeros(count, 3, 4, 4), torch.arange(count) % 2, torch.zeros(count, 1, 4, 4),
        torch.zeros(count, dtype=torch.bool), torch.arange(count),
    )  # fmt: skip


def both(**settings) -> Objective:
    return Objective(
        {"whole": CrossEntropy.Config(), "parts": CrossEntropy.Config(on="parts", **settings)}, CONTEXT
    )


def test_labels_are_repeated_for_each_row_of_a_branch() -> None:
    logits, parts = torch.randn(3, 2), torch.randn(12, 2)
    found = both()(Output(logits, branches={"parts": parts}), batch(), Progress())
    rows = [
        torch.nn.functional.cross_entropy(parts[4 * k + n], batch().targets[k])
        for k in range(3)
        for n in range(4)
    ]
    torch.testing.assert_close(found["parts"], torch.stack(rows).mean())
    torch.testing.assert_close(found["whole"], torch.nn.functional.cross_entropy(logits, batch().targets))


@pytest.mark.parametrize("kind", ["constant", "share", "gradient_norm", "uncertainty"])
def test_an_absent_branch_is_left_out_and_the_rest_weighs_as_alone(kind: str) -> None:
    shared = SpatialMSE.Config(weighting={"kind": kind}, tap="late", weight=0.5)
    maps = torch.rand(3, 4, 2, 2, requires_grad=True)
    output = Output(maps.mean((2, 3))[:, :2], taps={"late": maps})
    seen = batch().replace(has_mask=torch.ones(3, dtype=torch.bool))
    totals = []
    for terms in ({}, {"parts": CrossEntropy.Config(on="parts")}):
        objective = Objective({"whole": CrossEntropy.Config(), "look": shared, **terms}, CONTEXT)
        found = objective(output, seen, Progress())
        assert list(found) == ["whole", "look"]
        totals.append(objective.weigh(found, output, Progress()).total)
    torch.testing.assert_close(totals[0], totals[1])


def test_what_cannot_be_on_a_branch_is_refused() -> None:
    with pytest.raises(ConfigError, match="choose one of first, parts"):
        Objective({"x": CrossEntropy.Config(on="part")}, CONTEXT)
    with pytest.raises(ConfigError, match="about places of the whole picture"):
        Objective({"x": SpatialMSE.Config(on="parts")}, CONTEXT)
    with pytest.raises(ConfigError, match="7 rows of logits for 3 pictures"):
        both()(Output(torch.zeros(3, 2), branches={"parts": torch.zeros(7, 2)}), batch(), Progress())


@pytest.mark.parametrize("metric", ["val_parts", "train_parts"])
def test_nobody_watches_a_loss_that_an_epoch_may_not_have(metric: str) -> None:
    job = toy_job(phases=[phase(restore_best=metric)])
    job = type(job)(**{**vars(job), "objective": both()})
    with pytest.raises(ConfigError, match=f"watches '{metric}'"):
        check_phases(job)


def test_class_maps_are_of_the_logits_that_belong_to_the_whole_picture() -> None:
    whole, crop = (torch.rand(3, 4, 2, 2, requires_grad=True) for _ in range(2))
    weight = torch.randn(2, 4)
    local = whole.mean((2, 3)) @ weight.T
    several = Output(crop.mean((2, 3)) @ weight.T + local, taps={"late": whole}, whole=local)
    assert several.local is local
    (expected,) = class_maps(Output(local, taps={"late": whole}), batch().targets, ["late"])
    (found,) = class_maps(several, batch().targets, ["late"])
    torch.testing.assert_close(found, expected)
