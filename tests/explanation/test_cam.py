"""The gradient CAM family against pytorch-grad-cam, torchcam, captum, and plain formulas."""

import captum.attr
import pytest
import torch
from torch import nn

import foveate.core.torchvision_guard  # noqa: F401  (before pytorch_grad_cam)
from explanation.networks import NAMES, network, pictures, tokens_to_map
from foveate.core.errors import ConfigError
from foveate.explanation import explain
from foveate.explanation.cam import first_component
from foveate.explanation.maps import min_max
from foveate.explanation.probe import Probe

import pytorch_grad_cam  # isort: skip
import torchcam.methods  # isort: skip
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection  # isort: skip
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # isort: skip

PEERS = {
    "gradcam": pytorch_grad_cam.GradCAM,
    "gradcam++": pytorch_grad_cam.GradCAMPlusPlus,
    "xgradcam": pytorch_grad_cam.XGradCAM,
    "hirescam": pytorch_grad_cam.HiResCAM,
    "layercam": pytorch_grad_cam.LayerCAM,
}
TARGETS = torch.tensor([1, 4])


def of_grad_cam(kind: type, model: nn.Module, path: str, images: torch.Tensor) -> torch.Tensor:
    reshape = tokens_to_map if "vit" in str(type(model)).lower() or "Vision" in str(type(model)) else None
    with kind(model, [model.get_submodule(path)], reshape_transform=reshape) as cam:
        found = cam(images, [ClassifierOutputTarget(int(t)) for t in TARGETS])
    return torch.from_numpy(found)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", PEERS)
def test_equals_pytorch_grad_cam(method: str, name: str) -> None:
    model, images = network(name), pictures()
    ours = explain(model, images, TARGETS, method)
    path = Probe(model).resolve(None, images)
    theirs = of_grad_cam(PEERS[method], model, path, images)
    assert ours.amax() == 1
    assert torch.allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("name", NAMES[:3])
@pytest.mark.parametrize(
    ("method", "peer"),
    [
        ("gradcam", torchcam.methods.GradCAM),
        ("layercam", torchcam.methods.LayerCAM),
        ("xgradcam", torchcam.methods.XGradCAM),
    ],
)
# Not Grad-CAM++: torchcam sums g³ A over the places where the paper has g³ times the sum of A.
def test_equals_torchcam(method: str, peer: type, name: str) -> None:
    model, images = network(name), pictures()
    path = Probe(model).resolve(None, images)
    with peer(model, path) as extractor:
        theirs = extractor(TARGETS.tolist(), model(images.clone().requires_grad_(True)))[0]
    ours = explain(model, images, TARGETS, method, raw=True)
    assert torch.allclose(min_max(ours), theirs.detach(), atol=1e-4)


@pytest.mark.parametrize("name", NAMES[:3])
def test_equals_captum(name: str) -> None:
    model, images = network(name), pictures()
    path = Probe(model).resolve(None, images)
    peer = captum.attr.LayerGradCam(model, model.get_submodule(path))
    theirs = peer.attribute(images, target=TARGETS, relu_attributions=True)[:, 0]
    assert torch.allclose(explain(model, images, TARGETS, raw=True), theirs.detach(), rtol=1e-4, atol=1e-6)


def test_cam_is_the_linear_layer_over_the_places() -> None:
    model, images = network("resnet18"), pictures()
    features = model.forward_features(images)
    weights = model.get_classifier().weight[TARGETS]
    plain = torch.einsum("bk,bkhw->bhw", weights, features).detach()
    assert torch.allclose(explain(model, images, TARGETS, "cam", raw=True), plain, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "layer"),
    [("vit_tiny_patch16_224", None), ("resnet18", "layer3"), ("mobilenetv3_small_100", None)],
)
def test_cam_refuses_what_is_not_linear_on_the_mean(name: str, layer: str | None) -> None:
    with pytest.raises(ConfigError, match="take gradcam"):
        explain(network(name), pictures(), TARGETS, "cam", layer)


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 40, 3, 3), (3, 2, 1, 2)])
def test_first_component_is_that_of_a_plain_decomposition(shape: tuple[int, ...]) -> None:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for found, one in zip(first_component(values), values, strict=True):
        places = one.flatten(1).T
        centred = places - places.mean(dim=0)
        axis = torch.linalg.svd(centred, full_matrices=False)[2][0]
        plain = (centred @ axis).reshape(shape[2:])
        plain = plain if (plain * one.mean(dim=0)).sum() >= 0 else -plain
        assert torch.allclose(found, plain, atol=1e-8)


@pytest.mark.parametrize("method", ["eigencam", "eigengradcam"])
def test_eigen_cams_equal_the_peer_up_to_their_arbitrary_sign(method: str) -> None:
    model, images = network("resnet18"), pictures()
    features, gradients = Probe(model).gradients(images, TARGETS, ["layer3"])["layer3"]
    values = features if method == "eigencam" else gradients * features
    theirs = torch.from_numpy(get_2d_projection(values.numpy()))
    ours = explain(model, images, TARGETS, method, "layer3", raw=True)
    for found, expected in zip(ours, theirs, strict=True):
        scale = float(expected.abs().max())
        same = torch.allclose(found, expected.clamp(min=0), atol=1e-3 * scale)
        turned = torch.allclose(found, (-expected).clamp(min=0), atol=1e-3 * scale)
        assert same or turned


def test_several_layers_come_from_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = network("resnet18"), pictures()
    alone = {
        layer: explain(model, images, TARGETS, layer=layer) for layer in ("first", "second", "layer4.0.conv1")
    }
    passes: list[int] = []
    handle = model.conv1.register_forward_hook(lambda *_: passes.append(1))
    together = explain(model, images, TARGETS, layer=list(alone))
    handle.remove()
    assert len(passes) == 1
    for layer, expected in alone.items():
        assert torch.allclose(together[layer], expected, atol=1e-5)


def test_without_targets_it_is_the_predicted_class() -> None:
    model, images = network("efficientnet_b0"), pictures(3)
    predicted = model(images).argmax(dim=1)
    assert torch.allclose(explain(model, images), explain(model, images, predicted), atol=1e-6)


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_the_chunk_changes_nothing(chunk: int) -> None:
    model, images = network("resnet18"), pictures(5)
    assert torch.allclose(explain(model, images, 2), explain(model, images, 2, chunk=chunk), atol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "densenet121",
        "convnext_atto",
        "swin_tiny_patch4_window7_224",
        "deit_tiny_distilled_patch16_224",
    ],
)
def test_needs_no_layer(name: str) -> None:
    model = network(name)
    maps = explain(model, pictures(1, 64), 0)
    assert maps.shape == (1, 64, 64)
    assert 0 <= float(maps.min()) < float(maps.max()) <= 1


def test_any_module_with_named_or_found_layers() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )
    images = pictures(2, 16)
    found = explain(model, images, 1)
    assert torch.equal(found, explain(model, images, 1, layer="3"))
    assert not torch.equal(found, explain(model, images, 1, layer="1"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "gradcan"}, "did you mean gradcam"),
        ({"targets": 5}, "classes 0 to 4"),
        ({"targets": -1}, "holds class -1"),
        ({"targets": torch.tensor([0, 1, 2])}, r"shape \(3,\) for 2 pictures"),
        ({"targets": 0.5}, "class numbers"),
        ({"layer": "layer9"}, "no module 'layer9'"),
        ({"layer": []}, "at least one layer"),
        ({"chunk": 0}, "must be 1 or more"),
        ({"precision": "half"}, "precision is 'half'"),
        ({"evidence": "none"}, "evidence is 'none'"),
        ({"steps": 3}, "steps"),
        ({"layer": "fc"}, "no map"),
    ],
)
def test_bad_input_gets_one_sentence(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        explain(network("resnet18"), pictures(), **change)


@pytest.mark.parametrize(
    "images", [torch.zeros(3, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8).byte()]
)
def test_pictures_of_another_shape_are_refused(images: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match=r"\(B, [3C], H, W\)"):
        explain(network("resnet18"), images)
    with pytest.raises(ConfigError, match="no picture"):
        explain(network("resnet18"), torch.zeros(0, 3, 8, 8))


def test_normgrad_is_the_gradient_of_a_virtual_identity_at_each_place() -> None:
    """Weights of a 1 x 1 convolution that changes nothing would get g A' there; its Frobenius norm is the map."""
    model, images = network("resnet18"), pictures()
    features, gradients = Probe(model).gradients(images, TARGETS, ["layer3"])["layer3"]
    outer = torch.einsum("bkhw,bchw->bhwkc", gradients, features)
    found = explain(model, images, TARGETS, "normgrad", "layer3", raw=True)
    assert torch.allclose(found, outer.flatten(3).norm(dim=3), rtol=1e-4)
