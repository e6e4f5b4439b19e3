"""The folded copy is compared with the network itself, in double precision and with batch statistics that matter."""

import copy
import gc
import weakref
from typing import Any

import pytest
import torch
from torch import nn

from foveate.models.build import build_network
from foveate.models.folded import folded, folded_once
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

    def __init__(self, mean: float = 0.0) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.norm.running_mean = torch.full((3,), mean)

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


@pytest.mark.parametrize("mean", [0.0, 0.7])
def test_an_output_that_is_used_twice_is_left_alone(mean: float) -> None:
    """Also where the BatchNorm is fresh and changes nothing yet: the copy would follow it later."""
    model = built("resnet18")
    model.backbone.conv1 = nn.Sequential(Shared(mean).double().eval(), model.backbone.conv1)
    assert folded(model, 64) is folded_once(model, 64) is model


def test_a_network_without_norms_is_given_back() -> None:
    model = built("convnext_atto")
    assert folded(model, 64) is model


def test_it_is_made_once_and_follows_any_change() -> None:
    model = built("resnet18")
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    made = folded_once(model, 64)
    assert folded_once(model, 64) is made is not model
    weight = model.get_parameter("head.classifier.weight")
    norm = model.get_parameter("backbone.bn1.weight")

    def scaled() -> None:
        weight.data.mul_(2)  # tells no version counter

    def turned() -> None:
        norm.data.copy_(norm.data.flip(0))  # keeps every sum

    def replaced() -> None:
        model.head = nn.Sequential(model.head, nn.Tanh())

    for change in (scaled, turned, replaced):
        change()
        again = folded_once(model, 64)
        assert (again is made) == (change is not replaced)
        with torch.no_grad():
            torch.testing.assert_close(again(images).logits, model(images).logits, rtol=1e-9, atol=1e-9)
        fresh = folded(model, 64).state_dict()
        assert all(torch.equal(value, fresh[name]) for name, value in again.state_dict().items())
        made = again
    seen: list[int] = []
    handle = model.register_forward_hook(lambda *_: seen.append(1))
    folded_once(model, 64)(images)
    assert seen, "a hook that was set since is called"
    handle.remove()
    assert folded_once(model, 64) is not model


def test_a_shared_copy_does_not_keep_its_model() -> None:
    for backbone in ("resnet18", "vit_tiny_patch16_224"):
        model = built(backbone)
        folded_once(model, 64)
        gone = weakref.ref(model)
        del model
        gc.collect()
        assert gone() is None, backbone
