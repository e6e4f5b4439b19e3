"""Score-CAM, Ablation-CAM, occlusion and RISE against pytorch-grad-cam, torchcam, captum and slow plain versions."""

import time

import captum.attr
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import foveate.core.torchvision_guard  # noqa: F401  (before pytorch_grad_cam)
from explanation.networks import NAMES, network, pictures, tokens_to_map
from foveate.explanation import explain
from foveate.explanation.maps import min_max
from foveate.explanation.occlusion import coarse_masks, starts
from foveate.explanation.probe import Probe
from foveate.explanation.scorecam import live_channels
from foveate.explanation.scorer import TOLERANCE, WORTH, Scorer, fused_copy

import pytorch_grad_cam  # isort: skip
import torchcam.methods  # isort: skip
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # isort: skip

LAYERS = {
    "resnet18": "layer2",
    "mobilenetv3_small_100": "blocks.2",
    "efficientnet_b0": "blocks.2",
    "vit_tiny_patch16_224": "blocks.11.norm1",
}
"""With few channels or few places, so that hundreds of passes stay cheap."""


@pytest.mark.parametrize("name", NAMES)
def test_scorecam_equals_pytorch_grad_cam(name: str) -> None:
    model, images = network(name), pictures(1)
    reshape = tokens_to_map if name.startswith("vit") else None
    with pytorch_grad_cam.ScoreCAM(
        model, [model.get_submodule(LAYERS[name])], reshape_transform=reshape
    ) as cam:
        theirs = torch.from_numpy(cam(images, [ClassifierOutputTarget(2)]))
    ours = explain(model, images, 2, "scorecam", LAYERS[name], corners=True)
    assert torch.allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("name", NAMES[:3])
def test_scorecam_scaled_before_equals_torchcam(name: str) -> None:
    model, images = network(name), pictures(1)
    with torchcam.methods.ScoreCAM(model, LAYERS[name]) as extractor:
        theirs = extractor(2, model(images))[0]
    ours = explain(model, images, 2, "scorecam", LAYERS[name], scale="before", raw=True)
    assert torch.allclose(min_max(ours), theirs, atol=1e-4)


class Sparse(nn.Module):
    """Half of its channels never fire, one is constant and not zero."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        with torch.no_grad():
            self.conv.bias[:4] = -100.0
            self.conv.weight[4] = 0
            self.conv.bias[4] = 0.7
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, 3)
        self.num_classes = 3

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.act(self.conv(images)).flatten(2).square().mean(dim=2))


def slow_scorecam(
    model: nn.Module, image: torch.Tensor, target: int, maps: torch.Tensor, *, probability: bool, softmax: bool,
    baseline: str, ones: bool,
) -> torch.Tensor:  # fmt: skip
    """One channel after the other, nothing skipped; maps (K, h, w)."""

    def score(picture: torch.Tensor) -> torch.Tensor:
        logits = model(picture[None])[0]
        return (logits.softmax(0) if probability else logits)[target]

    scores = []
    for one in maps:
        large = nn.functional.interpolate(one[None, None], image.shape[1:], mode="bilinear")[0, 0]
        span = large.max() - large.min()
        mask = (large - large.min()) / span if span > 0 else torch.zeros_like(large)
        scores.append(score(image * mask))
    values = torch.stack(scores)
    values = values - {"none": 0, "black": score(image * 0), "picture": score(image)}[baseline]
    weights = values.softmax(0) if softmax else values
    total = (weights[:, None, None] * maps).sum(0) + (1 if ones else 0)
    return total.relu()


@pytest.mark.parametrize("probability", [False, True])
@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("baseline", ["none", "black", "picture"])
@pytest.mark.parametrize("ones", [False, True])
def test_every_variant_of_scorecam_equals_the_slow_one(
    probability: bool, softmax: bool, baseline: str, ones: bool
) -> None:
    model, images = Sparse().eval(), pictures(3, 12)
    targets = torch.tensor([0, 2, 1])
    with torch.no_grad():
        maps = model.act(model.conv(images))
        expected = torch.stack(
            [
                slow_scorecam(
                    model, image, int(target), one, probability=probability, softmax=softmax, baseline=baseline,
                    ones=ones,
                )
                for image, target, one in zip(images, targets, maps, strict=True)
            ]
        )  # fmt: skip
    found = explain(
        model, images, targets, "scorecam", "act", raw=True, chunk=5,
        score="probability" if probability else "logit", weight="softmax" if softmax else "raw", baseline=baseline,
        start="ones" if ones else "zeros",
    )  # fmt: skip
    assert torch.allclose(found, expected, atol=1e-5)


def test_dead_channels_are_not_computed() -> None:
    model, images = Sparse().eval(), pictures(2, 12)
    seen: list[int] = []
    handle = model.conv.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    explain(model, images, 1, "scorecam", "act")
    handle.remove()
    with torch.no_grad():
        assert len(live_channels(model.act(model.conv(images)))) == 2 * 3
    assert sum(seen) == 2 + 1 + 2 * 3  # the maps, the black picture once, three live channels a picture


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "efficientnet_b0"])
def test_ablationcam_equals_the_slow_one(name: str) -> None:
    count, size = (1, 64) if name.startswith("vit") else (2, 32)
    model, images = network(name), pictures(count, size)
    layer, targets = LAYERS[name], torch.tensor([3, 0])[:count]
    layer = "layer1" if name == "resnet18" else layer
    found = explain(model, images, targets, "ablationcam", layer, raw=True, chunk=50)
    with torch.no_grad():
        logits, _, maps = Probe(model).tapped(images, [layer])
        for i, target in enumerate(targets):
            score = logits[i, target]
            total = torch.zeros(maps[layer].shape[2:])
            for k, one in enumerate(maps[layer][i]):
                total += (score - logits_without(model, layer, images[i : i + 1], k)[0, target]) / score * one
            assert torch.allclose(found[i], total.relu(), rtol=1e-2, atol=1e-4)


def logits_without(model: nn.Module, layer: str, image: torch.Tensor, channel: int) -> torch.Tensor:
    """Logits (1, C) with one channel of the layer's output at zero (of a ViT's patches, not of its class token)."""

    def hook(module: nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        edited = output.clone()
        if edited.ndim == 3:
            edited[:, 1:, channel] = 0
        else:
            edited[:, channel] = 0
        return edited

    handle = model.get_submodule(layer).register_forward_hook(hook)
    try:
        return model(image)
    finally:
        handle.remove()


@settings(max_examples=15, deadline=None)
@given(window=st.integers(1, 12), stride=st.integers(1, 12), seed=st.integers(0, 5))
def test_occlusion_equals_captum(window: int, stride: int, seed: int) -> None:
    stride = min(stride, window)  # captum divides by zero where windows leave gaps
    model, images = Sparse().eval(), pictures(2, 12, seed)
    peer = captum.attr.Occlusion(model)
    theirs = peer.attribute(images, (3, window, window), (3, stride, stride), target=1).mean(dim=1)
    ours = explain(
        model,
        images,
        1,
        "occlusion",
        raw=True,
        window=window / 12,
        stride=stride / 12,
        precision="float32",
        chunk=7,
    )
    assert torch.allclose(ours, theirs, atol=1e-5)


@given(length=st.integers(1, 60), window=st.integers(1, 60), stride=st.integers(1, 60))
def test_windows_reach_the_end(length: int, window: int, stride: int) -> None:
    places = starts(length, window, stride)
    assert places[0] == 0
    assert places[-1] + window >= length
    assert len(places) == 1 or places[-2] + window < length
    assert places == list(range(0, places[-1] + 1, stride))


def test_rise_equals_the_slow_one() -> None:
    model, images = Sparse().eval(), pictures(2, 12)
    found = explain(model, images, torch.tensor([0, 2]), "rise", raw=True, masks=40, chunk=7, seed=5)
    from foveate.explanation.occlusion import Rise

    cells, shifts = Rise(masks=40)._draw(Probe(model, seed=5).generator("rise", 40), 12, 12)
    masks = coarse_masks(cells, shifts, 12, 12)
    with torch.no_grad():
        for i, target in enumerate([0, 2]):
            total = torch.zeros(12, 12)
            for mask in masks:
                total += model((images[i] * mask)[None]).softmax(1)[0, target] * mask
            assert torch.allclose(found[i], total / (40 * 0.5), atol=1e-5)


def test_masks_of_rise_are_the_papers() -> None:
    cells = torch.tensor(np.random.default_rng(0).integers(0, 2, (6, 7, 7)), dtype=torch.float32)
    masks = coarse_masks(cells, torch.tensor([[0, 0], [3, 1], [4, 4], [0, 4], [2, 2], [1, 3]]), 35, 35)
    assert masks.shape == (6, 35, 35)
    assert float(masks.min()) >= 0
    assert float(masks.max()) <= 1
    whole = coarse_masks(torch.ones(1, 7, 7), torch.tensor([[2, 2]]), 35, 35)
    assert torch.allclose(whole, torch.ones_like(whole))


def test_rise_finds_the_only_place_that_matters() -> None:
    class Corner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Parameter(torch.ones(()))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            value = images[:, :, :8, :8].mean(dim=(1, 2, 3)) * self.one
            return torch.stack([value, -value], dim=1)

    images = torch.ones(1, 3, 32, 32)
    for method, extra in (("rise", {"masks": 300, "score": "logit"}), ("occlusion", {})):
        found = explain(Corner(), images, 0, method, **extra)[0]
        assert found[:8, :8].mean() > 2 * found[16:, 16:].mean()


def test_the_same_seed_gives_the_same_map_whatever_else_is_in_the_batch() -> None:
    model, images = Sparse().eval(), pictures(3, 12)
    together = explain(model, images, 1, "rise", masks=30)
    alone = explain(model, images[1:2], 1, "rise", masks=30)
    assert torch.allclose(together[1], alone[0], atol=1e-6)
    assert not torch.equal(alone, explain(model, images[1:2], 1, "rise", masks=30, seed=1))


class Rounded(nn.Module):
    """Logits whose half-precision version is off by a known share of their spread, and faster."""

    def __init__(self, error: float) -> None:
        super().__init__()
        self.error = error
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        exact = images.mean(dim=(1, 2, 3))
        if torch.is_autocast_enabled("cpu"):
            exact = exact + self.error * exact.std() * torch.tensor([1.0, -1.0]).repeat(len(images) // 2)
        else:
            time.sleep(0.01)
        return torch.stack([exact, -exact], dim=1)


@pytest.mark.parametrize(("error", "taken"), [(0.5 * TOLERANCE, True), (2 * TOLERANCE, False)])
def test_a_low_precision_is_taken_only_within_the_tolerance(error: float, taken: bool) -> None:
    images, targets = pictures(16, 8), torch.zeros(16, dtype=torch.long)
    scorer = Scorer(Probe(Rounded(error), precision="auto"), passes=WORTH)
    assert torch.equal(scorer(images, targets), images.mean(dim=(1, 2, 3)))
    assert (scorer.precision is not None) is taken


def test_float32_never_leaves_it() -> None:
    scorer = Scorer(Probe(Rounded(0.0)), passes=WORTH)
    scorer(pictures(16, 8), torch.zeros(16, dtype=torch.long))
    assert scorer.precision is None


@pytest.mark.parametrize("name", NAMES)
def test_the_folded_copy_is_the_same_network(name: str) -> None:
    model, images = network(name), pictures(2)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    twin = fused_copy(model, images[:1])
    if name.startswith("vit"):
        assert twin is None
        return
    assert twin is not None
    assert not any(isinstance(module, nn.BatchNorm2d) for module in twin.modules())
    with torch.no_grad():
        assert torch.allclose(twin(images), model(images), rtol=1e-3, atol=1e-4)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


class Shared(nn.Module):
    """Its convolution is read twice, so folding the norm into it changes the answer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        nn.init.uniform_(self.norm.weight, 2, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.conv(images)
        return (self.norm(found) + found).mean(dim=(2, 3))


def test_a_copy_that_differs_is_not_used() -> None:
    model, images = Shared().eval(), pictures(4, 8)
    scorer = Scorer(Probe(model), passes=WORTH)
    scorer(images, torch.zeros(4, dtype=torch.long))
    assert scorer.network is model
    plain = nn.Sequential(model.conv, model.norm, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    scorer = Scorer(Probe(plain), passes=WORTH)
    scorer(images, torch.zeros(4, dtype=torch.long))
    assert scorer.network is not plain


def test_progress_reaches_its_end() -> None:
    seen: list[tuple[int, int]] = []
    explain(
        Sparse().eval(),
        pictures(2, 12),
        0,
        "occlusion",
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
