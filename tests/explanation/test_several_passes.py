"""A network that looks at the picture and then at a crop of it: its class maps are of the whole picture."""

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from explanation.networks import network, pictures
from foveate.explanation import explain
from foveate.explanation.maps import class_map
from foveate.models.output import Output
from foveate.models.taps import capture_taps


class Glance(nn.Module):
    """Predicts from a crop that it finds by itself, through which no gradient reaches the whole picture's maps."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = network("resnet18")

    def forward(self, images: torch.Tensor, taps: Sequence[str] = ()) -> Output:
        with capture_taps(self.backbone, taps, images) as maps:
            whole = self.backbone(images)
            crop = nn.functional.interpolate(images[:, :, 8:40, 24:56].detach(), 64, mode="bilinear")
            return Output(self.backbone(crop), whole=whole, taps=maps)


def by_hand(images: torch.Tensor, target: int) -> torch.Tensor:
    """Grad-CAM of the pass over the whole picture, at layer4."""
    plain = network("resnet18")
    with torch.enable_grad():
        maps = plain.forward_features(images).detach().requires_grad_()
        plain.forward_head(maps)[:, target].sum().backward()
    assert maps.grad is not None
    return (maps.grad.mean((2, 3), keepdim=True) * maps).sum(dim=1).relu().detach()


def scaled(maps: torch.Tensor) -> torch.Tensor:
    return maps / maps.amax(dim=(1, 2), keepdim=True)


def test_the_class_map_is_of_the_whole_picture() -> None:
    images, expected = pictures(), by_hand(pictures(), 2)
    found = class_map(Glance(), images, torch.tensor([2, 2]), "layer4")
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("method", ["gradcam", "ablationcam", "layercam"])
def test_explanations_agree_with_those_of_the_first_pass_alone(method: str) -> None:
    images = pictures()
    layer = "backbone.layer4" if method != "layercam" else "backbone.layer3"
    found = explain(Glance(), images, [2, 2], method, layer)
    alone = explain(network("resnet18"), images, [2, 2], method, layer.removeprefix("backbone."))
    torch.testing.assert_close(found, alone, rtol=1e-3, atol=1e-4)


def test_without_a_target_it_is_the_class_that_is_predicted() -> None:
    images, model = pictures(4, seed=3), Glance()
    said = model(images)
    assert (said.logits.argmax(1) != said.local.argmax(1)).any(), "the two passes say different things"
    found = explain(model, images, None, "gradcam", "backbone.layer4")
    stated = explain(model, images, said.logits.argmax(1), "gradcam", "backbone.layer4")
    torch.testing.assert_close(found, stated)
