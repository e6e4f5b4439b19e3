"""Class images: the score rises, the regularisation does what it says, the report's recipe equals its routine."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from torch import nn

from foveate.core.errors import ConfigError
from foveate.explanation.inversion import clipped, invert, smoothed
from foveate.models.modes import evaluating

HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
QUICK: dict[str, Any] = {"size": 32, "scales": (0.5, 1.0), "steps": 6, "jitter": 2, **HALF}


class Small(nn.Module):
    """Three classes; batch norm with statistics."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
            nn.Conv2d(8, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.head = nn.Linear(6, 3)
        nn.init.normal_(self.head.weight)
        for norm in (self.body[1], self.body[4]):
            norm.running_mean.normal_(0, 0.2)
            norm.running_var.uniform_(0.1, 0.5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images).mean((2, 3)))


@pytest.fixture
def model() -> nn.Module:
    return Small().eval()


def test_scores_rise_for_every_class_in_one_batch(model: nn.Module) -> None:
    found = invert(model, **{**QUICK, "steps": 15}, statistics=0)
    assert found.images.shape == (3, 3, 32, 32)
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    assert found.scores.shape == (30, 3)
    assert (found.final > found.scores[0]).all()
    assert found.probabilities is not None
    with torch.no_grad():
        logits = model((found.images - 0.5) / 0.5)
    assert torch.allclose(logits.diagonal(), found.final, atol=1e-4)
    assert torch.allclose(logits.softmax(1).diagonal(), found.probabilities, atol=1e-5)


def test_a_picture_does_not_depend_on_its_batch_and_is_drawn_by_the_seed(model: nn.Module) -> None:
    whole = invert(model, [0, 2, 2], **QUICK, chunk=2)
    assert torch.allclose(whole.images[1], whole.images[2], atol=1e-4)
    assert torch.allclose(invert(model, 2, **QUICK).images[0], whole.images[1], atol=1e-4)
    assert torch.equal(invert(model, [0, 2, 2], **QUICK, chunk=2).images, whole.images)
    assert not torch.allclose(invert(model, 2, **QUICK, seed=1).images[0], whole.images[1], atol=1e-2)


@settings(max_examples=12, deadline=None)
@given(
    recipe=st.sampled_from(["default", "scenes"]), training=st.booleans(), frozen=st.booleans(), layer=st.booleans()
)  # fmt: skip
def test_the_network_is_left_as_it_was(recipe: Any, training: bool, frozen: bool, layer: bool) -> None:
    model = Small().train(training).requires_grad_(not frozen)
    model.head.weight.grad = torch.ones_like(model.head.weight)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    options: dict[str, Any] = {"steps": 2, "scales": (1.0,)} if recipe == "default" else {"iterations": 3}
    wanted: dict[str, Any] = {"layer": "body.3", "channels": [1]} if layer else {"targets": [1]}
    invert(model, **wanted, recipe=recipe, size=16, **HALF, **options)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(module.training == training for module in model.modules())
    assert all(p.requires_grad != frozen for p in model.parameters())
    assert torch.equal(model.head.weight.grad, torch.ones_like(model.head.weight))
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("unit", ["channel", "centre"])
def test_channels_of_a_layer(model: nn.Module, unit: Any) -> None:
    found = invert(
        model,
        layer="body.3",
        channels=[0, 4],
        unit=unit,
        **{**QUICK, "scales": (1.0,), "steps": 20, "jitter": 0},
    )
    assert found.layer == "body.3"
    assert found.numbers == (0, 4)
    assert found.probabilities is None
    with torch.no_grad():
        maps = model.body[:4]((found.images - 0.5) / 0.5)[torch.arange(2), torch.tensor([0, 4])]
    expected = maps.mean((1, 2)) if unit == "channel" else maps[:, 8, 8]
    assert torch.allclose(found.final, expected, atol=1e-4)
    assert (found.final > found.scores[0]).all()


def test_gradients_are_clipped_by_picture() -> None:
    gradient = torch.randn(3, 3, 8, 8) * torch.tensor([0.1, 1.0, 5.0]).view(3, 1, 1, 1)
    found = clipped(gradient, 0.5)
    assert torch.equal(found[0], gradient[0])
    assert torch.allclose(found[1:].square().mean((1, 2, 3)).sqrt(), torch.tensor(0.5))
    assert torch.allclose(found[2] / gradient[2], (found[2] / gradient[2]).mean(), atol=1e-6)


def test_first_update_is_what_the_settings_say(model: nn.Module) -> None:
    """Without blur, jitter and mixing: plain gradient ascent with weight decay."""
    options: dict[str, Any] = {
        "size": 16, "scales": (1.0,), "steps": 1, "blur_every": 0, "jitter": 0, "spectrum": 0, "colour": 0,
        "statistics": 0, "noise": 0, "decay": 0.25, "clip": None, "lr": 0.5, "mean": (0.4, 0.5, 0.6),
        "std": (0.5, 0.25, 0.5),
    }  # fmt: skip
    mean, std = (
        torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1),
        torch.tensor([0.5, 0.25, 0.5]).view(1, 3, 1, 1),
    )
    start = ((0.5 - mean) / std).expand(1, 3, 16, 16).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(start)[0, 1], start)
    expected = ((start.detach() * 0.75 + 0.5 * gradient) * std + mean).clamp(0, 1)
    assert torch.allclose(invert(model, 1, **options).images, expected, atol=1e-5)
    small = invert(model, 1, **{**options, "clip": 1e-3}).images
    moved = (small - (start.detach() * 0.75 * std + mean).clamp(0, 1)) / std
    assert moved.square().mean().sqrt() <= 0.5 * 1e-3 * 1.001


def test_smoothing_divides_by_the_frequency() -> None:
    wave = torch.cos(2 * torch.pi * torch.arange(32) * 4 / 32).expand(1, 3, 32, 32)
    assert torch.allclose(smoothed(wave, 1.0, 0.0), wave * 32 / 4, atol=1e-3)
    assert torch.allclose(smoothed(wave, 2.0, 0.0), wave * (32 / 4) ** 2, atol=1e-2)
    red = torch.zeros(1, 3, 4, 4)
    red[:, 0] = 1
    mixed = smoothed(red, 0.0, 0.9)
    assert torch.allclose(mixed[0, :, 0, 0], torch.tensor([1.0, 0.9, 0.9]))


def test_statistics_bring_maps_near_what_is_stored(model: nn.Module) -> None:
    def distance(images: torch.Tensor) -> float:
        with torch.no_grad():
            maps = model.body[0]((images - 0.5) / 0.5)
        norm: Any = model.body[1]
        deviation = norm.running_var.sqrt()
        mean = (maps.mean((0, 2, 3)) - norm.running_mean) / deviation
        return float((mean.square() + (maps.std((0, 2, 3)) / deviation - 1).square()).mean())

    plain = invert(model, 1, **{**QUICK, "steps": 20}, statistics=0).images
    assert distance(invert(model, 1, **{**QUICK, "steps": 20}, statistics=10.0).images) < distance(plain)
    with pytest.raises(ConfigError, match="has no batch norm; leave it at 0"):
        invert(
            nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            0,
            **QUICK,
            statistics=1.0,
        )


@pytest.mark.parametrize(("clip", "statistics"), [(None, "own"), (0.1, "own"), (None, "imagenet")])
def test_recipe_of_the_report_equals_its_routine(model: nn.Module, clip: Any, statistics: Any) -> None:
    """The routine as it is described: PIL blur of bytes, a fresh SGD for one step, back to bytes."""
    options: dict[str, Any] = {"iterations": 10, "clip": clip, "statistics": statistics}
    found = invert(model, 2, recipe="scenes", size=16, **HALF, **options, lr=20.0)
    begin = invert(model, 2, recipe="scenes", size=16, **HALF, iterations=2, lr=1e-9, weight_decay=0.0)
    picture = begin.images[0].permute(1, 2, 0).mul(255).round().byte().numpy()  # the noise it starts from
    imagenet = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    mean, std = map(np.array, imagenet if statistics == "imagenet" else ([0.5] * 3, [0.5] * 3))
    scores = []
    for i in range(1, 10):
        if i % 4 == 0:
            picture = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1)))
        x = torch.tensor(((picture / 255 - mean) / std).transpose(2, 0, 1)[None], dtype=torch.float32)
        x.requires_grad_()
        optimizer = torch.optim.SGD([x], lr=20.0, weight_decay=1e-4)
        loss = -model(x)[0, 2]
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_([x], clip)
        scores.append(-loss.item())
        optimizer.step()
        values = x.detach()[0].permute(1, 2, 0).numpy() * std + mean
        picture = np.round(values.clip(0, 1) * 255).astype(np.uint8)
    model.zero_grad()
    assert np.abs(found.scores[:, 0].numpy() - scores).max() < 1e-2
    difference = np.abs(found.images[0].permute(1, 2, 0).mul(255).round().numpy() - picture)
    assert (difference <= 1).mean() > 0.99  # a level at the border may be rounded otherwise
    assert torch.equal(found.images, (found.images * 255).round() / 255)


def test_published_recipe_has_149_updates(model: nn.Module) -> None:
    assert invert(model, [0, 1], recipe="scenes", size=16, **HALF).scores.shape == (149, 2)


def test_networks_of_one_size_are_drawn_at_several() -> None:
    import timm

    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=2).eval()
    assert invert(vit, 0, **QUICK).images.shape == (1, 3, 32, 32)


def test_progress_counts_all_updates(model: nn.Module) -> None:
    seen: list[tuple[int, int]] = []
    invert(model, [0, 1, 2], **QUICK, chunk=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(step, 24) for step in range(1, 25)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": [3]}, r"targets holds 3; the network has classes 0 to 2"),
        ({"targets": []}, r"targets is empty"),
        ({"targets": 0, "layer": "body.0", "channels": [0]}, r"not both"),
        ({"layer": "body.0"}, r"Which channels of layer 'body.0'\? Give channels"),
        ({"channels": [0]}, r"channels belong to a layer; name it"),
        ({"layer": "body.0", "channels": [8]}, r"channels holds 8; layer 'body.0' has channels 0 to 7"),
        ({"targets": 0, "recipe": "other"}, r"recipe is 'other'; choose default or scenes"),
        ({"targets": 0, "scales": (0.5,)}, r"should be shares of the size that end with 1"),
        ({"targets": 0, "step": 1}, r"step is no setting"),
        ({"targets": 0, "size": None}, r"The picture size of Small is not known; give size=224"),
        ({"targets": 0, "mean": None}, r"The mean that Small was trained with is not known"),
        ({"targets": 0, "chunk": 0}, r"chunk is 0"),
        ({"targets": 0, "unit": "all"}, r"unit is 'all'; choose channel or centre"),
    ],
)
def test_wrong_settings(model: nn.Module, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message), evaluating(model):
        invert(model, **{**QUICK, **options})
