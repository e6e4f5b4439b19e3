"""Networks as users have them: not timm's, wrapped, compiled, of other channels, with several outputs."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import foveate.papers  # noqa: F401 (registers two networks)
from explanation_helpers import network, pictures, randomised
from foveate.core.errors import ConfigError
from foveate.explanation import EXPLAINERS, explain
from foveate.explanation.probe import Probe, as_logits
from foveate.models.small_cnn import SmallCnn

import timm  # isort: skip
import torchvision  # isort: skip


def plain_grad_cam(model: nn.Module, module: nn.Module, images: torch.Tensor, target: int) -> torch.Tensor:
    """Grad-CAM written out, of a module that returns (B, K, h, w) or (B, 1 + n², K): (B, h, w)."""
    kept: list[torch.Tensor] = []
    handle = module.register_forward_hook(lambda m, i, output: kept.append(output))
    output = model(images.clone().requires_grad_())
    handle.remove()
    logits = output["logits"] if isinstance(output, dict) else output
    (gradient,) = torch.autograd.grad(logits[:, target].sum(), kept)
    features = kept[0].detach()
    if features.ndim == 3:
        side = int(features.shape[1] ** 0.5)
        features, gradient = (
            tokens[:, -(side**2) :].transpose(1, 2).unflatten(2, (side, side))
            for tokens in (features, gradient)
        )
    return (gradient.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1).relu()


class SelfAttention(nn.Module):
    """As transformers writes it: one linear layer each for queries, keys and values."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = (self.query(x) @ self.key(x).transpose(1, 2) / 4).softmax(dim=-1)
        return self.out(weights @ self.value(x))


class Block(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.before, self.attention, self.after = nn.LayerNorm(dim), SelfAttention(dim), nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.before(x))
        return x + self.mlp(self.after(x))


class ClassToken(nn.Module):
    """A transformer whose classifier reads the class token alone; further prefix tokens are registers."""

    def __init__(self, block: Callable[[], nn.Module], registers: int = 0, dim: int = 16) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, dim, 8, 8)
        self.prefix = nn.Parameter(torch.randn(1, 1 + registers, dim))
        self.layer = nn.ModuleList([block() for _ in range(2)])
        self.norm, self.classifier = nn.LayerNorm(dim), nn.Linear(dim, 5)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.prefix.expand(len(x), -1, -1), x], dim=1)
        for layer in self.layer:
            x = layer(x)
        return {"hidden": x, "logits": self.classifier(self.norm(x)[:, 0])}


def encoder(norm_first: bool) -> nn.Module:
    return nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True, norm_first=norm_first)


def torchvision_vit() -> nn.Module:
    model = torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=5
    )
    nn.init.normal_(model.heads.head.weight, std=0.2)
    return model


class Standardised(nn.Module):
    """timm's network as a part of another."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


def small_vit() -> nn.Module:
    return timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=5
    )


CLASS_TOKENS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "norm first": (lambda: ClassToken(lambda: encoder(True)), "layer.1.norm1"),
    "norm last": (lambda: ClassToken(lambda: encoder(False)), "layer.0"),
    "three linear layers": (lambda: ClassToken(lambda: Block(16)), "layer.1.before"),
    "registers": (lambda: ClassToken(lambda: Block(16), registers=4), "layer.1.before"),
    "torchvision": (torchvision_vit, "encoder.layers.encoder_layer_1.ln_1"),
    "timm, wrapped": (lambda: Standardised(small_vit()), "inner.blocks.1.norm1"),
}


@pytest.mark.parametrize("name", CLASS_TOKENS)
def test_where_a_class_token_is_read_the_last_layer_is_one_that_it_reads(name: str) -> None:
    make, path = CLASS_TOKENS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = randomised(make())
    images = pictures(2, 32)
    assert Probe(model).resolve(None, images) == path
    for target in range(5):
        expected = plain_grad_cam(model, model.get_submodule(path), images, target)
        found = explain(model, images, target, raw=True)
        assert torch.allclose(found, expected, atol=1e-5 * float(expected.max() + 1e-6))
    assert any(explain(model, images, target, raw=True).max() > 0 for target in range(5))


class Neck(nn.Module):
    """A network of one's own with an attribute called ``backbone``."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = network("resnet10t", in_chans=3)
        self.backbone.reset_classifier(0, "")
        self.neck, self.fc = nn.Conv2d(512, 8, 1), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.neck(self.backbone(x)).relu().mean((2, 3)))


def test_an_attribute_called_backbone_is_no_trap() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Neck().eval()
    images = pictures(2, 64)
    expected = plain_grad_cam(model, model.neck, images, 2)
    assert expected.max() > 0
    for layer in (None, "neck"):
        assert torch.allclose(explain(model, images, 2, layer=layer, raw=True), expected, atol=1e-5)
    stem = plain_grad_cam(model, model.backbone.act1, images, 2)
    assert torch.allclose(explain(model, images, 2, layer="first", raw=True), stem, atol=1e-5)


class Two(nn.Module):
    """Two networks of timm side by side, one with four register tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.one = network("resnet10t")
        self.other = timm.models.vision_transformer.VisionTransformer(
            img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=10, reg_tokens=4
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.one(x) + self.other(x)


def test_a_layer_of_one_of_two_networks() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = randomised(Two())
    images = pictures(2, 32)
    for layer in ("one.layer2", "other.blocks.0"):
        expected = [plain_grad_cam(model, model.get_submodule(layer), images, target) for target in range(5)]
        found = [explain(model, images, target, layer=layer, raw=True) for target in range(5)]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
        assert any(map_.max() > 0 for map_ in found)


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "data parallel": nn.DataParallel,
    "part of another": nn.Sequential,
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "compiled inside": lambda model: nn.Sequential(torch.compile(model, backend="eager")),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapped_network_is_explained_as_the_network_inside(name: str) -> None:
    plain, images = network("resnet10t"), pictures(2, 64)
    model = WRAPPERS[name](plain).eval()
    model(images)  # compiles
    for layer in ("first", "second", "layer3", "stage:-1", "last"):
        expected = explain(plain, images, 8, layer=layer, raw=True)
        assert expected.max() > 0
        assert torch.equal(explain(model, images, 8, layer=layer, raw=True), expected), layer
    prefix = next(name for name, module in model.named_modules() if module is plain.layer3)
    again = explain(model, images, 8, layer=prefix, raw=True)
    assert torch.equal(again, explain(plain, images, 8, layer="layer3", raw=True))


def test_a_part_that_was_compiled_in_place_is_explained_too() -> None:
    plain, images = network("resnet10t"), pictures(2, 64)
    expected = explain(plain, images, 8, layer="layer3", raw=True)
    compiled = network("resnet10t")
    compiled.compile(backend="eager")
    compiled(images)
    assert torch.equal(explain(compiled, images, 8, layer="layer3", raw=True), expected)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_torchscript_network_says_what_to_do() -> None:
    plain, images = network("resnet10t"), pictures(2, 64)
    traced = torch.jit.trace(plain, images[:1], check_trace=False)
    with pytest.raises(ConfigError, match="TorchScript"):
        explain(traced, images, 2)
    expected = explain(plain, images, 8, "gradient", raw=True)
    found = explain(traced, images, 8, "gradient", raw=True)
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.max()))


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad])
@pytest.mark.parametrize("method", ["gradcam", "gradient", "rise"])
def test_within_inference_mode(context: Any, method: str) -> None:
    model, images = network("resnet10t"), pictures(2, 64)
    few = {"masks": 4} if method == "rise" else {}
    expected = explain(model, images, 8, method, raw=True, **few)
    with context():
        assert torch.equal(explain(model, images * 1, 8, method, raw=True, **few), expected)


# -- what a network returns ------------------------------------------------------------------------------------------


class Returns(nn.Module):
    """A network that returns something made of its features and logits."""

    def __init__(self, make: Callable[[torch.Tensor, torch.Tensor], Any]) -> None:
        super().__init__()
        self.net, self.make = network("resnet10t"), make

    def forward(self, x: torch.Tensor) -> Any:
        features = self.net.forward_features(x)
        return self.make(features, self.net.forward_head(features))


class Named(dict[str, Any]):
    """As the outputs of transformers: a dictionary with attributes."""

    __getattr__ = dict.__getitem__


PLAIN: dict[str, Callable[[torch.Tensor, torch.Tensor], Any]] = {
    "dictionary": lambda f, y: {"features": f.mean((2, 3)), "logits": y},
    "dictionary without the name": lambda f, y: {"loss": y.mean(), "out": y},
    "named": lambda f, y: Named(pooled=f.mean((2, 3)), logits=y),
    "logits, scalar": lambda f, y: (y, f.mean()),
    "map, logits": lambda f, y: [f, y],
    "logits, auxiliary logits": lambda f, y: (y, -y),
    "logits, loss of each": lambda f, y: (y, y.mean(dim=1)),
}


@pytest.mark.parametrize("name", PLAIN)
def test_logits_are_taken_where_it_is_plain(name: str) -> None:
    images = pictures(2, 64)
    expected = explain(network("resnet10t"), images, 8, raw=True)
    assert expected.max() > 0
    assert torch.allclose(explain(Returns(PLAIN[name]), images, 8, raw=True), expected, atol=1e-6)


UNCLEAR: dict[str, tuple[Callable[[torch.Tensor, torch.Tensor], Any], str]] = {
    "embedding, logits": (lambda f, y: (f.mean((2, 3)), y), r"float32 \(1, 512\) and float32 \(1, 10\)"),
    "logits, embedding": (lambda f, y: (y, f.mean((2, 3))), "wrap the network"),
    "logits of each place": (lambda f, y: f, r"float32 \(1, 512, 2, 2\)"),
    "class numbers": (lambda f, y: y.argmax(dim=1), r"int64 \(1,\)"),
    "words": (lambda f, y: "bee", "returns str"),
    "nothing": (lambda f, y: (), "returns tuple"),
}


@pytest.mark.parametrize("name", UNCLEAR)
@pytest.mark.parametrize("method", ["gradcam", "rise"])
def test_what_cannot_be_told_is_an_error(name: str, method: str) -> None:
    make, message = UNCLEAR[name]
    message = message if method == "gradcam" else "wrap the network"
    with pytest.raises(ConfigError, match=message):
        explain(Returns(make), pictures(2, 64), 8, method, **({"masks": 4} if method == "rise" else {}))


def test_one_logit_may_come_without_an_axis() -> None:
    flat = Returns(lambda f, y: y[:, 3])
    images = pictures(2, 64)
    expected = explain(network("resnet10t"), images, 3, raw=True)
    assert torch.allclose(explain(flat, images, raw=True), expected, atol=1e-6)
    assert as_logits(torch.zeros(4)).shape == (4, 1)


@pytest.mark.parametrize("method", ["gradcam", "integrated_gradients", "rise", "deeplift"])
def test_the_number_of_classes_is_that_of_the_logits(method: str) -> None:
    few = {"rise": {"masks": 4}, "integrated_gradients": {"steps": 2}}.get(method, {})
    for stale in (2, 1000):  # what timm was asked for, before the user put on a layer of five classes
        model = timm.create_model("resnet10t", num_classes=stale)
        model.fc = nn.Linear(512, 5)
        assert explain(model.eval(), pictures(2, 64), 4, method, **few).shape == (2, 64, 64)
        with pytest.raises(ConfigError, match="class 5; the network has classes 0 to 4"):
            explain(model, pictures(2, 64), [0, 5], method, **few)


# -- pictures --------------------------------------------------------------------------------------------------------

FEW = {"samples": 3, "steps": 3, "masks": 3, "segments": 4, "window": 0.5, "stride": 0.5}


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("method", sorted(EXPLAINERS))
def test_any_number_of_channels(method: str, channels: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        small = SmallCnn(num_classes=10, widths=(6, 8, 8), strides=(2, 2, 1), in_chans=channels)
        vit = timm.models.vision_transformer.VisionTransformer(
            img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=10, in_chans=channels
        )
    model = randomised(vit if method in ("attention_rollout", "transformer_relevance") else small)
    images = pictures(2, 32)[:, [0, 1, 2, 0][:channels]]
    few = {name: value for name, value in FEW.items() if name in EXPLAINERS[method].model_fields}
    layer = {"layer": "first"} if method == "internal_influence" else {}
    maps = torch.stack(
        [
            explain(model, images, target, method, references=images.flip(0), **layer, **few)
            for target in (1, 2)
        ]
    )
    assert maps.shape == (2, 2, 32, 32)
    assert maps.isfinite().all()
    assert maps.max() > 0


def test_the_map_of_a_grey_picture_is_grad_cam() -> None:
    model = randomised(SmallCnn(num_classes=10, widths=(6, 8, 8), strides=(2, 2, 1), in_chans=1))
    images = pictures(2, 32)[:, :1]
    expected = plain_grad_cam(model, model.stages, images, 1)
    assert torch.allclose(explain(model, images, 1, raw=True), expected, atol=1e-6)


@pytest.mark.parametrize("method", ["gradcam", "integrated_gradients", "rise", "deeplift"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_picture_that_is_not_finite_is_named(method: str, value: float) -> None:
    images = pictures(3, 64)
    images[1, 2, 10, 10] = value
    with pytest.raises(ConfigError, match="picture 1"):
        explain(network("resnet10t"), images, 2, method)


def test_a_network_that_answers_nonsense_is_named() -> None:
    broken = Returns(lambda f, y: (y - y.max()).log())
    with pytest.raises(ConfigError, match="not finite for picture 0"):
        explain(broken, pictures(2, 64), 2)


@pytest.mark.parametrize("shape", [(2, 1, 64, 64), (2, 64, 64, 3), (2, 3, 1, 1)])
def test_pictures_that_the_network_cannot_take(shape: tuple[int, ...]) -> None:
    model = timm.create_model("vit_tiny_patch16_224", num_classes=3, depth=1).eval()
    with pytest.raises(ConfigError, match="VisionTransformer cannot take pictures"):
        explain(model, torch.zeros(shape), 1)


# -- first, second, last ---------------------------------------------------------------------------------------------

PLACES = {
    "efficientnet_b0": ("bn1", "blocks.0"),
    "tf_efficientnetv2_b0": ("bn1", "blocks.0"),
    "mobilenetv2_050": ("bn1", "blocks.0"),
    "mobilenetv3_small_100": ("bn1", "blocks.0"),
    "mobilenetv3_large_100": ("bn1", "blocks.0"),
    "resnet10t": ("act1", "layer1"),
    "resnet18": ("act1", "layer1"),
    "densenet121": ("features.norm0", "features.denseblock1"),
    "regnety_002": ("stem", "s1"),
    "convnext_atto": ("stem", "stages.0"),
    "swin_tiny_patch4_window7_224": ("patch_embed", "layers.0"),
    "vit_tiny_patch16_224": ("norm_pre", "blocks.0"),
    "hiera_tiny_224": ("patch_embed", "blocks.0"),
    "twins_svt_small": ("pos_drops.0", "blocks.0.1"),
    "xception41": ("stem", "blocks.0.stack.act3"),
    "tresnet_m": ("body.conv1", "body.layer1"),
    "foveate_small_cnn": ("stages.0", "stages.1"),
    "foveate_inception_like": ("stages.0", "stages.1"),
    "foveate_three_conv": ("stages.0", "stages.1"),
}


@pytest.mark.parametrize("name", PLACES)
def test_first_is_the_stem_and_second_the_first_stage(name: str) -> None:
    model = timm.create_model(name, num_classes=2).eval()
    size = model.pretrained_cfg["input_size"][1] if model.pretrained_cfg.get("fixed_input_size") else 96
    probe, images = Probe(model), torch.zeros(1, 3, size, size)
    paths = tuple(probe.resolve(layer, images) for layer in ("first", "second"))
    assert paths == PLACES[name]
    order: list[str] = []
    for path in paths:
        model.get_submodule(path).register_forward_hook(lambda *_, path=path: order.append(path))
    with torch.no_grad():
        maps = probe.tapped(images, paths)[2]
    assert order == list(paths), "the stem comes before the first stage"
    assert maps[paths[0]].shape[2] >= maps[paths[1]].shape[2]


def test_the_layers_of_an_efficientnet_are_those_of_the_scenes_report() -> None:
    """features.0, features.1 and features.8 of torchvision's EfficientNet-B0, with the same weights."""
    theirs = torchvision.models.efficientnet_b0(num_classes=5).eval()
    ours = timm.create_model("efficientnet_b0", num_classes=5).eval()
    pairs = zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)  # the same order
    ours.load_state_dict(dict(zip(ours.state_dict(), (theirs for _, theirs in pairs), strict=True)))
    images = pictures(2, 64)
    expected: list[torch.Tensor] = []
    for index in (0, 1, 8):
        theirs.features[index].register_forward_hook(lambda m, i, output: expected.append(output))
    probe = Probe(ours)
    paths = [probe.resolve(layer, images) for layer in ("first", "second", "last")]
    with torch.no_grad():
        logits, _, maps = probe.tapped(images, paths)
        assert torch.allclose(logits, theirs(images), atol=1e-4)
    for path, map_ in zip(paths, expected, strict=True):
        assert torch.allclose(maps[path], map_, atol=1e-4 * float(map_.abs().max())), path


def test_hieras_shuffled_tokens_are_no_map() -> None:
    model = timm.create_model("hiera_tiny_224", num_classes=2).eval()
    with pytest.raises(ConfigError, match="no map"):
        explain(model, torch.zeros(1, 3, 224, 224), 1, layer="blocks.1.norm1")
