"""DeepLIFT against captum where captum has the rules, and its completeness where captum has not."""

import captum.attr
import pytest
import torch
from captum.attr._core import deep_lift
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from explanation_helpers import Tiny, assert_close, network, out_of_place, pictures, quiet
from foveate.core.errors import ConfigError
from foveate.explanation import explain
from foveate.explanation.baselines import baselines
from foveate.explanation.probe import Probe

NETS = {
    "resnet18": {},
    "mobilenetv3_small_100": {},
    "efficientnet_b0": {},
    "vit_tiny_patch16_224": {"img_size": 64},
}
TARGETS = torch.tensor([3, 7])


@pytest.mark.parametrize("name", NETS)
def test_equal_to_captum(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Captum is given the rescale rule for the activations it lacks, digits for its quotients, and no max-pool."""
    for activation in (nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid):
        monkeypatch.setitem(deep_lift.SUPPORTED_NON_LINEAR, activation, deep_lift.nonlinear)
    model, images = network(name, **NETS[name]), pictures()
    if name == "resnet18":
        model.maxpool = nn.AvgPool2d(2)  # type: ignore[assignment]
    ours = explain(model, images, TARGETS, "deeplift", raw=True)
    out_of_place(model).double()
    with quiet():
        theirs = captum.attr.DeepLift(model).attribute(images.double(), 0 * images.double(), TARGETS)
    assert_close(ours, theirs.sum(dim=1))


def test_the_rule_of_max_pools_equals_captum() -> None:
    """Where windows do not overlap and no ReLU comes right before."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3 * 16, 4))
    images = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    ours = explain(model, images, 2, "deeplift", raw=True, baseline="noise", seed=1)
    start = baselines(Probe(model, seed=1), images, "noise")[0]
    with quiet():
        theirs = captum.attr.DeepLift(model).attribute(images.clone(), start.clone(), 2)
    assert_close(ours, theirs.sum(dim=1))


def test_deeplift_shap_equals_captum() -> None:
    model, images = network("resnet18"), pictures(2, 32)
    model.maxpool = nn.AvgPool2d(2)  # type: ignore[assignment]
    starts = baselines(Probe(model, seed=3), images[:1], "noise", 3)[:, 0]
    ours = explain(model, images, TARGETS, "deeplift_shap", raw=True, samples=3, seed=3, chunk=4)
    out_of_place(model).double()
    with quiet():
        theirs = captum.attr.DeepLiftShap(model).attribute(images.double(), starts.double(), TARGETS)
    assert_close(ours, theirs.sum(dim=1))


class Mixed(nn.Module):
    """Activations of many kinds called as functions, in place and not, and an overlapping max-pool."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layers = nn.ModuleList(nn.Conv2d(3 if i == 0 else 4, 4, 3, padding=1) for i in range(8))
            self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        functions = [
            functional.gelu,
            lambda x: functional.silu(x, inplace=True),
            functional.hardswish,
            torch.tanh,
            torch.Tensor.sigmoid_,
            lambda x: functional.leaky_relu(x, 0.2, True),
            functional.softplus,
            lambda x: functional.elu(input=x, alpha=0.5),
        ]
        for i, (layer, function) in enumerate(zip(self.layers, functions, strict=True)):
            x = function(layer(x))
            if i in (1, 5):
                x = functional.max_pool2d(x, 3, 2, padding=1)
        return self.head(100 * functional.adaptive_max_pool2d(x, 2).mean((2, 3)))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    target=st.integers(0, 2),
    baseline=st.sampled_from(["mean", "blurred", "noise"]),
    mixed=st.booleans(),
)
def test_completeness(seed: int, target: int, baseline: str, mixed: bool) -> None:
    model: nn.Module = Mixed(seed) if mixed else Tiny("functional", seed)
    model, images = model.double().eval(), pictures(2, 16, seed).double()
    start = baselines(Probe(model), images, baseline)[0]  # type: ignore[arg-type]
    with torch.no_grad():
        difference = (model(images) - model(start))[:, target]
    values = explain(model, images, target, "deeplift", raw=True, baseline=baseline).sum(dim=(1, 2))
    assert torch.allclose(values.double(), difference, rtol=1e-4, atol=1e-4 * float(difference.abs().max()))


def test_completeness_in_resnet18_with_its_overlapping_pool() -> None:
    model, images = network("resnet18"), pictures()
    start = baselines(Probe(model), images, "noise")[0]
    with torch.no_grad():
        difference = (model(images) - model(start)).gather(1, TARGETS[:, None])[:, 0]
    values = explain(model, images, TARGETS, "deeplift", raw=True, baseline="noise").sum(dim=(1, 2))
    assert torch.allclose(values, difference, rtol=1e-3)


def test_a_picture_that_is_the_baseline_gets_nothing() -> None:
    assert not explain(Tiny(), torch.zeros(1, 3, 16, 16), 1, "deeplift", raw=True).any()


def test_a_network_that_goes_another_way_for_the_baseline_is_refused() -> None:
    class Fork(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.abs().sum() > 0:
                x = x.relu()
            return x.mean((2, 3))

    with pytest.raises(ConfigError, match="other steps for a picture"):
        explain(Fork(), torch.randn(1, 3, 4, 4), 0, "deeplift")
