"""Sanity checks on networks whose answer is known."""

import numpy as np
import pytest
import torch
from torch import nn

from foveate.explanation import explain
from foveate.explanation.sanity import (
    compare_networks,
    fragility,
    input_shift,
    layers_from_the_top,
    randomised_copies,
    shifted_copy,
)
from foveate.models.build import build_network
from foveate.models.settings import ModelConfig


class Net(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(inplace=True))
        self.body = nn.Sequential(nn.Conv2d(12, 16, 3, stride=2, padding=1), nn.ReLU(inplace=True))
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.first(x)).mean(dim=(2, 3)))


def gradient(model: nn.Module, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """|dS/dx|, the largest over the colours."""
    with torch.enable_grad():
        x = images.clone().requires_grad_(True)
        score = model.eval()(x).gather(1, targets[:, None]).sum()
        return torch.autograd.grad(score, x)[0].abs().amax(dim=1)


def times_input(model: nn.Module, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        x = images.clone().requires_grad_(True)
        score = model.eval()(x).gather(1, targets[:, None]).sum()
        return (torch.autograd.grad(score, x)[0] * x.detach()).sum(dim=1)


def edges(model: nn.Module, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return images.diff(dim=2).abs().sum(dim=1)


def gradcam(model: nn.Module, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return explain(model, images, targets, method="gradcam", layer="body", raw=True)


METHODS = {"gradient": gradient, "input x gradient": times_input, "edges": edges}
TARGETS = torch.tensor([0, 1, 2])


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, 24, 24, generator=torch.Generator().manual_seed(3))


def test_cascading_and_independent_copies() -> None:
    net = Net()
    assert layers_from_the_top(net) == ["head", "body.0", "first.1", "first.0"]
    cascade = randomised_copies(net, steps=4)
    alone = randomised_copies(net, steps=4, independent=True)
    before = net.state_dict()
    for number, ((_, one), (_, other)) in enumerate(zip(cascade, alone, strict=True), start=1):
        for part in layers_from_the_top(net):
            weight = f"{part}.weight"
            place = layers_from_the_top(net).index(part)
            assert torch.equal(one.state_dict()[weight], before[weight]) == (
                place >= number or part == "first.1"  # its weights are all one
            )
            assert torch.equal(other.state_dict()[weight], before[weight]) == (
                place != number - 1 or part == "first.1"
            )
            assert torch.equal(
                one.state_dict()[weight].flatten().sort()[0], before[weight].flatten().sort()[0]
            )
    assert cascade[0][0] == "1/4: head and above"
    assert alone[1][0] == "2/4: body.0 to body.0"
    again = randomised_copies(net, steps=4)[-1][1].state_dict()
    assert all(torch.equal(value, again[name]) for name, value in cascade[-1][1].state_dict().items())


def test_our_networks_are_taken_from_the_head_down() -> None:
    model = build_network(
        ModelConfig(backbone="foveate_small_cnn", weights="none"), classes=3, size=32, seed=0
    )
    order = layers_from_the_top(model)
    assert order[0].startswith("head")
    assert order[1:3] == ["backbone.stages.4.1", "backbone.stages.4.0"]
    assert order[-1] == "backbone.stages.0.0"


def test_random_weights_move_what_depends_on_them(images: torch.Tensor) -> None:
    copies = randomised_copies(Net(), steps=4)
    found = {name: compare_networks(Net(), network, images, TARGETS, METHODS) for name, network in copies}
    assert len(found) == 4
    for step in found.values():
        assert (step["edges"].spearman == 1).all()
        assert torch.allclose(step["edges"].ssim, torch.ones(3))
    last = list(found.values())[-1]
    assert last["gradient"].spearman.abs().max() < 0.5
    assert last["input x gradient"].spearman.abs().max() < 0.5


def test_a_network_against_itself_and_another(images: torch.Tensor) -> None:
    same = compare_networks(Net(), Net(), images, TARGETS, METHODS)
    assert all(torch.allclose(row.spearman, torch.ones(3)) for row in same.values())
    other = compare_networks(Net(), Net(seed=1), images, TARGETS, METHODS)
    assert other["gradient"].spearman.abs().max() < 0.6
    assert (other["edges"].spearman == 1).all()


def test_input_shift(images: torch.Tensor) -> None:
    net = Net().eval()
    shift = torch.tensor([1.0, -2.0, 0.5])
    with torch.no_grad():
        np.testing.assert_allclose(
            shifted_copy(net, shift)(images + shift.view(1, 3, 1, 1)).numpy(), net(images).numpy(), atol=1e-5
        )
    found = input_shift(net, images, TARGETS, {**METHODS, "gradcam": gradcam}, shift=shift)
    assert found["gradient"].spearman.min() > 0.999
    assert found["gradcam"].spearman.min() > 0.99
    assert found["input x gradient"].spearman.max() < 0.9
    assert not net._forward_pre_hooks


@pytest.mark.parametrize("layer", [None, "body"])
def test_an_attack_moves_maps_more_than_noise_and_stays_within(
    images: torch.Tensor, layer: str | None
) -> None:
    from foveate.explanation.fragile import attack

    net = Net().train()
    epsilon = torch.tensor([0.2, 0.3, 0.1])
    moved = attack(net, images, TARGETS, epsilon=epsilon, steps=6, layer=layer)
    assert ((moved - images).abs() <= epsilon.view(1, 3, 1, 1) + 1e-6).all()
    assert net.training
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    net.eval()
    with torch.no_grad():
        assert torch.equal(net(moved).argmax(dim=1), net(images).argmax(dim=1))
    method = {"it": gradient if layer is None else gradcam}
    found = fragility(net, images, TARGETS, method, epsilon=epsilon, steps=6, layers={"it": layer})
    assert found["attack"]["it"]["spearman"].mean() < found["noise"]["it"]["spearman"].mean()
    assert found["attack"]["it"]["top_k"].mean() <= found["noise"]["it"]["top_k"].mean()


def test_what_cannot_be_attacked_is_said() -> None:
    from foveate.core.errors import ConfigError
    from foveate.explanation.fragile import attack

    class Once(torch.autograd.Function):
        """x², with a gradient that has no gradient."""

        @staticmethod
        def forward(ctx: torch.autograd.function.FunctionCtx, x: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: torch.autograd.function.FunctionCtx, gradient: torch.Tensor) -> torch.Tensor:
            return 2 * ctx.saved_tensors[0] * gradient  # type: ignore[attr-defined]

    class Stubborn(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(Once.apply(x))

    with pytest.raises(ConfigError, match="The maps of Stubborn cannot be attacked"):
        attack(Stubborn(), torch.rand(3, 3, 8, 8), TARGETS, epsilon=torch.ones(3), steps=1)
