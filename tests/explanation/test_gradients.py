"""Gradients at the pixels and the methods with other rules at rectifiers, against captum and against themselves."""

import captum.attr
import pytest
import torch
from torch import nn

from explanation_helpers import Tiny, assert_close, network, out_of_place, pictures, quiet
from foveate.core.errors import ConfigError
from foveate.explanation import explain
from foveate.explanation.maps import upsample

NETS = {
    "resnet18": {},
    "mobilenetv3_small_100": {},
    "efficientnet_b0": {},
    "vit_tiny_patch16_224": {"img_size": 64},
}
TARGETS = torch.tensor([3, 7])


@pytest.mark.parametrize("name", NETS)
def test_gradients_equal_captum(name: str) -> None:
    model, images = network(name, **NETS[name]), pictures()
    with quiet():
        saliency = captum.attr.Saliency(model).attribute(images.clone(), TARGETS)
        product = captum.attr.InputXGradient(model).attribute(images.clone(), TARGETS)
    assert_close(explain(model, images, TARGETS, "gradient", raw=True), saliency.amax(dim=1))
    assert_close(explain(model, images, TARGETS, "input_x_gradient", raw=True), product.sum(dim=1))


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_100"])
def test_modified_rectifiers_equal_captum(name: str) -> None:
    model, images = network(name), pictures()
    ours = {
        method: explain(model, images, TARGETS, method, raw=True)
        for method in ("gradient", "deconvnet", "guided_backprop")
    }
    out_of_place(model)
    with quiet():
        deconv = captum.attr.Deconvolution(model).attribute(images.clone(), TARGETS)
        guided = captum.attr.GuidedBackprop(model).attribute(images.clone(), TARGETS)
    assert_close(ours["deconvnet"], deconv.abs().amax(dim=1))
    assert_close(ours["guided_backprop"], guided.abs().amax(dim=1))
    assert not torch.allclose(ours["gradient"], ours["guided_backprop"], rtol=0.1)


def test_guided_grad_cam_equals_captum() -> None:
    model, images = network("resnet18"), pictures()
    ours = explain(model, images, TARGETS, "guided_gradcam", layer="layer3", raw=True)
    out_of_place(model)
    with quiet():
        theirs = captum.attr.GuidedGradCam(model, model.layer3).attribute(
            images.clone(), TARGETS, interpolate_mode="bilinear"
        )
    assert_close(ours, theirs.abs().amax(dim=1))
    cam = explain(model, images, TARGETS, "gradcam", layer="layer3", raw=True)
    edges = explain(model, images, TARGETS, "guided_backprop", raw=True)
    assert_close(ours, upsample(cam, (64, 64)) * edges, 1e-6)


@pytest.mark.parametrize("style", ["in_place", "functional", "reused"])
@pytest.mark.parametrize("method", ["gradient", "deconvnet", "guided_backprop", "deeplift"])
def test_the_way_a_network_calls_its_relu_does_not_matter(style: str, method: str) -> None:
    images = pictures(2, 16)
    assert_close(
        explain(Tiny(style), images, 1, method, raw=True),
        explain(Tiny("modules"), images, 1, method, raw=True),
        1e-6,
    )


def test_guided_backprop_by_hand() -> None:
    """One hidden layer: R 1[R > 0] 1[x > 0] W, and the deconvnet's R 1[R > 0] W."""
    torch.manual_seed(0)
    first, last = nn.Linear(3, 8), nn.Linear(8, 2)
    relu6 = nn.Sequential(nn.Flatten(), first, nn.ReLU6(), last)
    images = 12 * torch.randn(5, 3, 1, 1)
    hidden = first(images.flatten(1))
    positive = last.weight[1].clamp(min=0)
    for method, gate in (
        ("guided_backprop", (hidden > 0) & (hidden < 6)),
        ("deconvnet", torch.ones_like(hidden)),
    ):
        expected = (positive * gate) @ first.weight
        found = explain(relu6, images, 1, method, raw=True)
        assert_close(found[:, 0, 0], expected.abs().amax(dim=1), 1e-6)
    assert (hidden > 6).any()


@pytest.mark.parametrize("method", ["deconvnet", "guided_backprop", "guided_gradcam", "smoothgrad"])
@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_efficientnet"])
def test_networks_without_relu_are_refused(name: str, method: str) -> None:
    kwargs = {"img_size": 32} if name == "test_vit" else {}
    settings = {"base": "guided_backprop", "samples": 2} if method == "smoothgrad" else {}
    with pytest.raises(ConfigError, match="has no ReLU"):
        explain(network(name, **kwargs), pictures(1, 32), 0, method, **settings)


def test_a_hardtanh_that_cuts_below_zero_is_no_rectifier() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 8), nn.Hardtanh(), nn.Linear(8, 2))
    with pytest.raises(ConfigError, match="has no ReLU"):
        explain(model, torch.randn(1, 3, 1, 1), 0, "deconvnet")


def test_logits_without_a_way_back_are_refused() -> None:
    class Cut(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.detach().mean((2, 3))

    with pytest.raises(ConfigError, match="no gradient back to the pixels"):
        explain(Cut(), torch.randn(1, 3, 4, 4), 0, "gradient")


def test_a_network_that_begins_in_place_leaves_the_pictures() -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(12, 2))
    images = torch.randn(3, 3, 2, 2)
    before = images.clone()
    explain(model, images, 0, "gradient")
    assert torch.equal(images, before)


def test_without_targets_the_predicted_class_is_explained() -> None:
    model, images = Tiny(), pictures(3, 16)
    predicted = model(images).argmax(dim=1)
    for method in ("gradient", "guided_backprop", "deeplift", "fullgrad"):
        assert torch.equal(explain(model, images, method=method), explain(model, images, predicted, method))
