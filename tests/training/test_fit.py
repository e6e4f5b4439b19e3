"""The loop: ends of phases, averages, clipping, accumulation, errors; on a network of two stages."""

import math
from typing import Any

import pytest
import torch

from foveate.core.errors import ConfigError, TrainingError
from foveate.training import fit
from foveate.training.optimizers import OPTIMIZERS, build_optimizer, parameter_groups
from foveate.training.phases import Until, better, reached
from foveate.training.schedules import Plateau
from training_helpers import Heard, phase, toy_job, weights_of

from timm.optim import param_groups_layer_decay  # isort: skip  (after ours, which see to torchvision)


def close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], **tolerance: float) -> bool:
    return all(torch.allclose(value, other[name], **tolerance) for name, value in one.items())


def test_it_learns_and_history_holds_the_rates() -> None:
    job = toy_job(phases=[phase(epochs=12, lr_factors={"backbone": 0.5}, schedule="cosine")])
    history = fit(job)
    assert history[-1]["train_loss"] < 0.7 * history[0]["train_loss"]
    assert history[-1]["val_accuracy"] > 0.6
    assert [row["epoch"] for row in history] == list(range(1, 13))
    steps = 4
    for number, row in enumerate(history):
        last = number * steps + steps - 1
        factor = 0.5 * (1 + math.cos(math.pi * last / (12 * steps)))
        assert row["lr_head"] == pytest.approx(0.01 * factor)
        assert row["lr_backbone"] == pytest.approx(0.005 * factor)


def test_a_loss_that_is_not_finite_names_the_pictures() -> None:
    # A decay of more than the whole, with the other sign in each step: every weight grows a thousandfold.
    job = toy_job(phases=[phase(epochs=10, lr=1000, optimizer={"kind": "sgd", "weight_decay": 1})])
    with pytest.raises(
        TrainingError, match=r"not finite in epoch \d, batch \d.*picture \d+.*Lower the learning"
    ):
        fit(job)


def test_the_time_budget_ends_all_phases() -> None:
    heard = Heard()
    phases = [phase(epochs=50), phase(name="q", epochs=50)]
    history = fit(toy_job(phases=phases, time_budget=1e-6, observer=heard))
    assert len(history) == 1
    assert any("time budget" in message for message in heard.messages)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"restore_best": "val_acuracy"}, "val_acuracy"),
        ({"until": {"metric": "val_f1", "value": 0.5}}, "val_f1"),
        ({"early_stopping": {"metric": "nothing"}}, "nothing"),
        ({"schedule": {"kind": "plateau", "metric": "val_los"}}, "val_los"),
        ({"lr_factors": {"bakbone": 0.1}}, "bakbone"),
        ({"trainable": "from:nowhere"}, "nowhere"),
    ],
)
def test_what_a_later_phase_names_is_checked_before_the_first(changes: dict[str, Any], wrong: str) -> None:
    job = toy_job(phases=[phase(), phase(name="later", **changes)])
    before = weights_of(job)
    with pytest.raises(ConfigError, match=wrong) as caught:
        fit(job)
    if wrong.startswith("val_"):
        assert "val_macro_f1" in str(caught.value)
        assert "later" in str(caught.value)
    assert close(before, weights_of(job), atol=0, rtol=0)


def test_without_validation_pictures_only_training_columns_can_be_watched() -> None:
    with pytest.raises(ConfigError, match="there are no validation pictures"):
        fit(toy_job(val=0, phases=[phase(restore_best="val_loss")]))
    history = fit(toy_job(val=0, phases=[phase(restore_best="train_loss")]))
    assert "val_loss" not in history[0]


def test_until_ends_the_phase_at_the_first_epoch_that_reaches_it() -> None:
    heard = Heard()
    until = {"metric": "train_accuracy", "value": 0.7}
    history = fit(toy_job(phases=[phase(epochs=30, until=until), phase(name="q")], observer=heard))
    first = [row for row in history if row["phase"] == "p"]
    assert len(first) < 30
    assert [row["train_accuracy"] >= 0.7 for row in first] == [False] * (len(first) - 1) + [True]
    assert [row["phase"] for row in history[len(first) :]] == ["q", "q"]
    assert any("'p' ends: train_accuracy" in message for message in heard.messages)


def test_which_way_a_metric_is_better() -> None:
    assert better("val_loss", 1.0, 2.0)
    assert not better("val_loss", 2.0, 2.0)
    assert better("val_accuracy", 0.6, 0.5)
    assert better("val_accuracy", 0.1, None)
    assert reached(Until(metric="train_loss", value=0.5), {"train_loss": 0.5})
    assert not reached(Until(metric="val_accuracy", value=0.5), {"val_accuracy": 0.49})


def test_early_stopping_counts_epochs_without_a_better_value() -> None:
    settings = phase(epochs=40, lr=0.05, early_stopping={"metric": "val_accuracy", "patience": 3})
    values = [row["val_accuracy"] for row in fit(toy_job(phases=[settings]))]
    # The plain reading: stop at the first epoch whose last three values all fail to beat the best before them.
    record, stale, expected = -1.0, 0, 0
    for value in values:
        expected += 1
        record, stale = (value, 0) if value > record else (record, stale + 1)
        if stale == 3:
            break
    assert len(values) == expected < 40


@pytest.mark.parametrize("metric", ["val_loss", "train_accuracy"])
def test_restore_best_brings_back_the_weights_of_that_epoch(metric: str) -> None:
    class Snapshots(Heard):
        def epoch(self, row: dict[str, Any]) -> None:
            self.kept = [*getattr(self, "kept", []), weights_of(job)]

    watcher = Snapshots()
    job = toy_job(phases=[phase(epochs=8, lr=0.1, restore_best=metric)], observer=watcher)
    history = fit(job)
    values = [row[metric] for row in history]
    best = values.index((min if "loss" in metric else max)(values))
    assert close(weights_of(job), watcher.kept[best], atol=0, rtol=0)
    assert any(f"Weights of epoch {best + 1} are kept" in message for message in watcher.messages)


def test_plateau_lowers_the_rate_as_its_replay_says() -> None:
    schedule = {"kind": "plateau", "metric": "val_accuracy", "patience": 0, "reduce": 0.5}
    history = fit(toy_job(phases=[phase(epochs=10, lr=0.05, schedule=schedule)]))
    plain = Plateau(metric="val_accuracy", patience=0, reduce=0.5)
    values = [row["val_accuracy"] for row in history]
    expected = [0.05 * plain.replay(values[:n]) for n in range(10)]
    assert [row["lr_head"] for row in history] == pytest.approx(expected)
    assert expected[-1] < 0.05


def test_the_moving_average_is_the_plain_one_with_the_same_warm_up() -> None:
    class Weights(Heard):
        def step(self, done: int, total: int, pictures: int) -> None:
            self.seen = [*getattr(self, "seen", []), weights_of(job)]

    watcher = Weights()
    job = toy_job(phases=[phase(epochs=3)], ema=0.8, observer=watcher)
    fit(job)
    assert len(watcher.seen) == 12
    average: dict[str, torch.Tensor] = {}
    for t, now in enumerate(watcher.seen):
        decay = min(0.8, 1 - (1 + t) ** (-2 / 3))  # inverse-power warm-up: nothing old at first
        floats = {name: value.double() for name, value in now.items() if value.is_floating_point()}
        average = {
            name: decay * average.get(name, value) + (1 - decay) * value for name, value in floats.items()
        }
    kept = weights_of(job)
    for name, value in average.items():
        assert torch.allclose(kept[name].double(), value, atol=1e-5), name
    assert not close({n: v.float() for n, v in average.items()}, watcher.seen[-1], atol=1e-4)


def test_two_accumulated_batches_of_8_are_a_batch_of_16() -> None:
    settings = phase(epochs=2, freeze_bn="all", optimizer={"kind": "sgd", "momentum": 0.0}, lr=0.1)
    # 32 training pictures: every batch is full.
    halves = toy_job(augment="none", val=16, phases=[settings], accumulate=2)
    whole = toy_job(augment="none", val=16, phases=[settings], batch_size=16)
    fit(halves)
    start = weights_of(toy_job())
    fit(whole)
    assert close(weights_of(halves), weights_of(whole), atol=1e-5)
    assert not close(start, weights_of(whole), atol=1e-3)


def test_clipping_bounds_the_step() -> None:
    settings = phase(epochs=1, optimizer={"kind": "sgd", "momentum": 0.0, "weight_decay": 0.0}, lr=1.0)

    class Steps(Heard):
        def step(self, done: int, total: int, pictures: int) -> None:
            now = torch.cat([p.detach().flatten().clone() for p in job.model.parameters()])
            self.moved = [*getattr(self, "moved", []), float((now - self.last).norm())]
            self.last = now

    for clip, bound in ((0.05, 0.05), (None, math.inf)):
        watcher = Steps()
        job = toy_job(phases=[settings], observer=watcher, **({"clip": clip} if clip else {}))
        watcher.last = torch.cat([p.detach().flatten().clone() for p in job.model.parameters()])
        fit(job)
        assert max(watcher.moved) <= bound * 1.001
        if clip is None:
            assert max(watcher.moved) > 0.06


def test_parameter_groups_by_a_plain_reading() -> None:
    model = toy_job().model
    factors = {"backbone": 0.1, "backbone.stages.1": 0.5}
    groups = parameter_groups(model, 0.05, factors, None)
    found = {id(p): (g["lr_factor"], g["weight_decay"], g["part"]) for g in groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        factor = (
            0.5 if name.startswith("backbone.stages.1.") else 0.1 if name.startswith("backbone.") else 1.0
        )
        decay = 0.05 if parameter.ndim > 1 else 0.0
        assert found[id(parameter)] == (factor, decay, "head" if name.startswith("head.") else "backbone"), (
            name
        )
    model.backbone.stages[0].requires_grad_(False)
    left = sum(len(g["params"]) for g in parameter_groups(model, 0.05, factors, None))
    assert left == sum(p.requires_grad for p in model.parameters()) < len(found)
    with pytest.raises(ConfigError, match="stages"):
        parameter_groups(model, 0.05, {"stages": 0.1}, None)


def test_layer_decay_falls_from_the_head_to_the_first_layer() -> None:
    import foveate.core.torchvision_guard  # noqa: F401, I001
    import timm

    backbone = timm.create_model(
        "vit_tiny_patch16_224", num_classes=0, depth=3, img_size=32, embed_dim=12, num_heads=2
    )
    model = torch.nn.ModuleDict({"backbone": backbone, "head": torch.nn.Linear(12, 3)})
    groups = parameter_groups(model, 0.05, {}, 0.5)  # type: ignore[arg-type]
    scale = {id(p): g["lr_factor"] for g in groups for p in g["params"]}
    names = {name: scale[id(p)] for name, p in model.named_parameters()}
    assert names["head.weight"] == 1.0
    blocks = [names[f"backbone.blocks.{k}.attn.qkv.weight"] for k in range(3)]
    assert blocks[1] / blocks[0] == pytest.approx(2.0)
    assert blocks[2] / blocks[1] == pytest.approx(2.0)
    assert names["backbone.patch_embed.proj.weight"] == pytest.approx(blocks[0] / 2)
    timms = {
        id(p): g["lr_scale"] for g in param_groups_layer_decay(backbone, layer_decay=0.5) for p in g["params"]
    }
    ratios = {scale[i] / timms[i] for i in timms}
    assert max(ratios) == pytest.approx(min(ratios))


PLAIN = {
    "adamw": lambda p: torch.optim.AdamW(p, 0.1, betas=(0.8, 0.9), weight_decay=0.02),
    "adam": lambda p: torch.optim.Adam(p, 0.1, betas=(0.8, 0.9), weight_decay=0.02),
    "nadam": lambda p: torch.optim.NAdam(p, 0.1, betas=(0.8, 0.9), weight_decay=0.02),
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.7, weight_decay=0.02),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.1, momentum=0.7, weight_decay=0.02),
}


def test_every_optimizer_is_known() -> None:
    assert set(PLAIN) == set(OPTIMIZERS)


def test_an_l2_penalty_is_asked_for_by_name() -> None:
    """Only where it is apart from the gradient is there a weight decay by default, as in torch."""
    weight = torch.nn.Parameter(torch.zeros(1))
    torchs = {
        kind for kind in OPTIMIZERS if OPTIMIZERS[kind].algorithm([weight], lr=0.1).defaults["weight_decay"]
    }
    assert {kind for kind in OPTIMIZERS if OPTIMIZERS[kind]().weight_decay} == torchs == {"adamw"}


@pytest.mark.parametrize("kind", list(PLAIN))
def test_every_optimizer_steps_as_torch_does(kind: str) -> None:
    ours, plain = torch.nn.Linear(3, 2, bias=False), torch.nn.Linear(3, 2, bias=False)
    plain.load_state_dict(ours.state_dict())
    config = OPTIMIZERS[kind](weight_decay=0.02, momentum=0.7, betas=(0.8, 0.9))
    model = torch.nn.ModuleDict({"head": ours})
    groups = parameter_groups(model, config.weight_decay, {}, None)
    for network, optimizer in (
        (ours, build_optimizer(config, groups, 0.1)),
        (plain, PLAIN[kind](plain.parameters())),
    ):
        for step in range(3):
            optimizer.zero_grad()
            network(torch.tensor([[1.0, 2.0, float(step)]])).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, plain.weight)
