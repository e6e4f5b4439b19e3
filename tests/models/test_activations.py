"""Activations with a second derivative equal torch's where torch has one."""

import torch
from torch import nn

from foveate.models.activations import HardSigmoid, twice_differentiable
from foveate.models.classifier import ModelConfig, build_classifier

import timm  # isort: skip  (after the guard that foveate.models brings)


def test_values_and_gradients_are_torchs() -> None:
    x = torch.linspace(-5, 5, 41).requires_grad_(True)
    weight = torch.randn(41, generator=torch.Generator().manual_seed(0))
    ours, theirs = HardSigmoid()(x), nn.Hardsigmoid()(x)
    assert torch.equal(ours, theirs)
    ours_gradient, theirs_gradient = (torch.autograd.grad((y * weight).sum(), x)[0] for y in (ours, theirs))
    torch.testing.assert_close(ours_gradient, theirs_gradient)
    with torch.no_grad():
        assert torch.equal(HardSigmoid()(x), theirs)


def test_gradgradcheck() -> None:
    x = torch.tensor([-4.0, -2.0, 0.1, 2.5, 3.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(HardSigmoid(), (x,))
    assert torch.autograd.gradgradcheck(lambda x: HardSigmoid()(x) ** 2, (x,))


def test_nothing_else_of_the_network_changes() -> None:
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    network = timm.create_model("mobilenetv3_small_050", pretrained=False).eval()
    before = network(images)
    names = list(network.state_dict())
    assert torch.equal(twice_differentiable(network)(images), before)
    assert list(network.state_dict()) == names
    assert not any(isinstance(module, nn.Hardsigmoid) for module in network.modules())


def test_a_mobilenet_classifier_can_be_differentiated_twice() -> None:
    config = ModelConfig(backbone="mobilenetv3_small_050", weights="none")
    model = build_classifier(config, classes=3, size=64, seed=0).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    output = model(images, taps=("late",), differentiable=True)
    (gradient,) = torch.autograd.grad(output.logits[:, 0].sum(), output.taps["late"], create_graph=True)
    gradient.square().sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.backbone.parameters())
