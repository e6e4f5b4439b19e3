"""The folded copy is compared with the network itself, in double precision and with batch statistics that matter."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from foveate.models.build import build_network
from foveate.models.folded import folded
from foveate.models.networks import Network
from foveate.models.settings import ModelConfig

NETWORKS = [
    ("tf_mobilenetv3_small_075", {}),
    ("resnet18", {}),
    ("densenet121", {}),
    ("efficientnet_lite0", {"kind": "cal"}),
    ("resnet18", {"kind": "fbsd"}),
    ("resnet18", {"kind": "mmal"}),
]


def built(backbone: str, **network: Any) -> Network:
    """A double network whose BatchNorms neither centre nor scale by 0 and 1, as after training."""
    settings = {"backbone": backbone, "weights": "none", **({"network": network} if network else {})}
    made = build_network(ModelConfig.model_validate(settings), classes=3, size=64, seed=0).double().eval()
    generator = torch.Generator().manual_seed(1)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.running_var, module.weight, module.bias):
                assert values is not None
                values.data.copy_(torch.rand(values.shape, generator=generator, dtype=torch.float64) + 0.5)
    return made


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize(("backbone", "network"), NETWORKS)
def test_it_answers_as_the_network_does(backbone: str, network: dict[str, Any]) -> None:
    model = built(backbone, **network)
    before = copy.deepcopy(model.state_dict())
    made = folded(model, 64)
    assert norms(made) < norms(model)
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(made(images).logits, model(images).logits, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(made.features(images), model.features(images), rtol=1e-9, atol=1e-9)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_every_norm_after_a_convolution_is_gone() -> None:
    assert norms(folded(built("tf_mobilenetv3_small_075"), 64)) == norms(folded(built("resnet18"), 64)) == 0


def test_training_mode_is_left_as_it_was() -> None:
    model = built("resnet18")
    model.head.train()
    folded(model, 64)
    assert model.head.training
    assert not model.backbone.training


class Shared(nn.Module):
    """The convolution's output goes to the BatchNorm and past it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.norm.running_mean = torch.full((3,), 0.7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return x + self.norm(x)


class Untracked(nn.Module):
    """A BatchNorm of each batch's own statistics, and one that is called by the argument's name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)
        self.named = nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.named(input=self.norm(self.conv(x)))
        return found


def test_a_norm_without_statistics_of_its_own_stays() -> None:
    model = built("resnet18")
    model.backbone.conv1 = nn.Sequential(Untracked().double().eval(), model.backbone.conv1)
    assert norms(folded(model, 64)) == 2


def test_an_output_that_is_used_twice_is_left_alone() -> None:
    model = built("resnet18")
    model.backbone.conv1 = nn.Sequential(Shared().double().eval(), model.backbone.conv1)
    assert folded(model, 64) is model


def test_a_network_without_norms_is_given_back() -> None:
    model = built("convnext_atto")
    assert folded(model, 64) is model
