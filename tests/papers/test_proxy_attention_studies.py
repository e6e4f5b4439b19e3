"""The Proxy Attention studies: every cell can be read, trains as published, and compares on one split a seed."""

from collections import Counter

import pytest
import torch

from foveate.papers.proxy_attention.recipes import ARCHITECTURES, proxy_attention
from foveate.recipes import RECIPES, STUDIES
from foveate.studies.metrics import choose_metrics

import timm  # isort: skip


def test_the_three_schedules_stand_beside_all_controls_on_the_same_split() -> None:
    study = STUDIES["proxy-schedules"]()
    cells = study.cells()
    assert len({cell.key for cell in cells}) == len(cells) == 9 * 5
    for seed in study.seeds:
        mine = [cell.experiment for cell in cells if cell.seed == seed]
        assert {experiment.data.split.seed for experiment in mine} == {seed}
        assert len({repr(experiment.data.split) for experiment in mine}) == 1
        feedbacks = [experiment.feedback[0] for experiment in mine if experiment.feedback]
        kinds = Counter((str(f.schedule), getattr(f, "region", f.kind)) for f in feedbacks)
        one, four = "(20, 'p', 19)", "(5, 'p', 9, 'p', 9, 'p', 9, 'p', 4)"
        regions = ("salient", "random", "least_salient", "leaking_resplit")
        assert kinds == {(schedule, region): 1 for schedule in (one, four) for region in regions}
        assert len(mine) - len(feedbacks) == 1
    assert study.baseline_arm == "no proxies [40]"
    assert [arm for arm in study.arms if arm.startswith("LEAK")] == [
        arm for arm, changes in study.arms.items() if "leaking" in str(changes)
    ]


@pytest.mark.parametrize("name", ["proxy-schedules", "proxy-dose", "proxy-combined"])
def test_training_is_the_published_programs(name: str) -> None:
    for cell in STUDIES[name]().cells():
        experiment = cell.experiment
        (phase,) = experiment.training.phases
        assert (phase.epochs, phase.lr, phase.schedule.kind, phase.restore_best) == (
            40,
            8e-5,
            "constant",
            None,
        )
        assert (phase.optimizer.kind, phase.optimizer.weight_decay) == ("adamw", 1e-5)
        assert experiment.training.batch_size == 128
        steps = experiment.data.augment.build()
        assert [step.kind for step in steps] == ["hflip", "rotate"]
        assert steps[1].degrees == 20
        for feedback in experiment.feedback:
            assert sum(1 if entry == "p" else entry for entry in feedback.schedule) == 40
    assert any("energy" in metric.title.lower() for metric in choose_metrics(STUDIES[name]().metrics))


def test_every_partner_is_trained_alone_and_with_the_proxies_that_stand_alone_too() -> None:
    arms = STUDIES["proxy-combined"]().arms
    alone = {name: arm for name, arm in arms.items() if arm and "proxies" not in name}
    assert {arm["transforms"][0]["kind"] for arm in alone.values()} == {
        "cut_paste", "background_swap", "saliencymix"
    }  # fmt: skip
    assert arms.keys() == {"plain", "proxies", *alone, *(f"proxies, {name}" for name in alone)}
    assert arms["proxies"]["feedback"][0]["share"] == 1
    for name, arm in alone.items():
        assert arms[f"proxies, {name}"] == arm | arms["proxies"]


def test_the_grid_is_the_product_of_what_was_tried_for_each_network() -> None:
    study = STUDIES["proxy-grid"]()
    arms = study.arm_changes()
    assert len(arms) == 1 + 2 * 2 * 4 * (5 + 4) * 5
    few = study.model_copy(
        update={"arms": {name: study.arms[name] for name in (*list(study.arms)[:2], *list(study.arms)[-1:])}}
    )
    cells = few.cells()
    assert len({cell.key for cell in cells}) == len(cells) == 3 * 5
    for cell in cells:
        backbone, batch, layer = ARCHITECTURES[cell.block]
        assert (cell.experiment.model.backbone, cell.experiment.training.batch_size) == (backbone, batch)
        assert [feedback.layer for feedback in cell.experiment.feedback] in ([], [layer])
    assert [len(cell.experiment.feedback) for cell in cells].count(0) == 5


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_the_layers_that_were_explained_are_there(architecture: str) -> None:
    backbone, _, layer = ARCHITECTURES[architecture]
    with torch.device("meta"):
        network = timm.create_model(backbone)
    assert layer in dict(network.named_modules())


def test_one_run_is_a_recipe() -> None:
    ours, published = RECIPES["proxy-attention"](), proxy_attention(faithful=True, seed=3)
    assert ours.training.phases[0].schedule.kind == "cosine"
    assert published.training.phases[0].lr == 8e-5
    assert published.seed == 3
    assert published.feedback[0].layer == "layer4.1.conv2"
