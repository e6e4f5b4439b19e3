"""Memory of a training step, counted by hand where that can be done."""

import torch
from torch import nn

from foveate.models.build import build_network
from foveate.models.cost import _bytes_kept, training_cost
from foveate.models.output import Output
from foveate.models.settings import ModelConfig


class Chain(nn.Module):
    """Linear 10 -> 20, ReLU, Linear 20 -> 5."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))

    def forward(self, x: torch.Tensor) -> Output:
        return Output(self.layers(x))


def test_kept_bytes_are_the_inputs_of_what_is_differentiated() -> None:
    """The first layer keeps its input, ReLU its output, which is also the second layer's input and counts once."""
    assert _bytes_kept(Chain(), torch.randn(4, 10)) == 4 * 4 * (10 + 20)


def test_memory_grows_with_the_batch_and_the_network_stays_as_it_was() -> None:
    model = build_network(ModelConfig(backbone="foveate_small_cnn", weights="none"), 3, 32, seed=0)
    model.backbone.requires_grad_(False).eval()
    half_done = [
        torch.full_like(p, 3.0) for p in model.head.parameters()
    ]  # a caller between backward and step
    for parameter, gradient in zip(model.head.parameters(), half_done, strict=True):
        parameter.grad = gradient
    before = {key: value.clone() for key, value in model.state_dict().items()}
    small, large = training_cost(model, 8), training_cost(model, 32)
    assert small.parameters == sum(p.numel() for p in model.parameters())
    state = 4 * 4 * small.parameters
    assert large.memory - state == 4 * (small.memory - state) > 0
    # At least the outputs of the first stage are kept: 24 channels of 16 x 16, for convolution and norm.
    assert small.memory - state >= 8 * 4 * 24 * 16 * 16
    assert small.seconds_per_picture > 0
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(p.requires_grad for p in model.backbone.parameters())
    assert not model.backbone.training
    assert all(p.grad is None for p in model.backbone.parameters())
    assert all(torch.equal(p.grad, torch.full_like(p, 3.0)) for p in model.head.parameters())
