"""FullGrad: the parts sum to the score; pytorch-grad-cam finds the same parts and scales them otherwise."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from explanation_helpers import Tiny, assert_close, network, pictures, quiet
from foveate.explanation import explain
from foveate.explanation.fullgrad import full_gradients
from foveate.explanation.maps import min_max, upsample
from foveate.explanation.probe import Probe
from foveate.models.modes import untouched

import pytorch_grad_cam  # isort: skip
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # isort: skip


def parts_of(model: nn.Module, images: torch.Tensor, target: int) -> list[torch.Tensor]:
    parts: list[torch.Tensor] = []
    with untouched(model):
        full_gradients(Probe(model), images, torch.full((len(images),), target), parts.append)
    return parts


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    style=st.sampled_from(["modules", "in_place", "functional", "reused"]),
    target=st.integers(0, 3),
)
def test_the_parts_sum_to_the_score(seed: int, style: str, target: int) -> None:
    model, images = Tiny(style, seed).double(), pictures(2, 16, seed).double()
    parts = parts_of(model, images, target)
    assert len(parts) == 6  # five layers and the pixels
    total = sum(part.flatten(1).sum(dim=1) for part in parts)
    assert torch.allclose(total.double(), model(images)[:, target].detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_the_parts_sum_to_the_score_of_known_networks(name: str) -> None:
    model, images = network(name), pictures(2, 32)
    total = sum(part.flatten(1).double().sum(dim=1) for part in parts_of(model, images, 3))
    assert torch.allclose(total.float(), model(images)[:, 3].detach(), rtol=1e-3, atol=1e-3)


def test_equal_to_pytorch_grad_cam_with_its_scaling() -> None:
    """It scales every channel by itself, so that a channel of noise counts like the strongest; the paper and we scale a
    layer as a whole. Parts (before the scaling) are the same, so its map follows from ours."""
    model, images = network("resnet18"), pictures(2, 64)
    parts = [part for part in parts_of(model, images, 3) if part.ndim == 4]
    total = torch.zeros(2, 64, 64)
    for part in parts:
        channels = part.abs().flatten(0, 1)
        low, high = channels.amin(dim=(1, 2), keepdim=True), channels.amax(dim=(1, 2), keepdim=True)
        channels = upsample((channels - low) / (1e-7 + (high - low)), (64, 64))
        total += channels.unflatten(0, (2, -1)).sum(dim=1)
    with quiet(), pytorch_grad_cam.FullGrad(model, []) as cam:
        theirs = cam(images.clone(), [ClassifierOutputTarget(3)] * 2)
    assert_close(min_max(total), torch.from_numpy(np.array(theirs)))


def test_the_map_is_the_papers() -> None:
    """Each layer's |parts| to [0, 1] as a whole, upsampled, summed; from plain loops."""
    model, images = Tiny(), pictures(2, 16)
    expected = torch.zeros(2, 16, 16)
    for part in parts_of(model, images, 1):
        if part.ndim != 4:
            continue
        for i, values in enumerate(part.abs()):
            values = (values - values.min()) / (values.max() - values.min())
            for channel in values:
                expected[i] += upsample(channel[None], (16, 16))[0]
    assert_close(explain(model, images, 1, "fullgrad", raw=True), expected, 1e-5)


@pytest.mark.parametrize(("name", "places"), [("test_vit", 2), ("test_convnext", 2)])
def test_tokens_and_channels_last_have_places(name: str, places: int) -> None:
    kwargs = {"img_size": 32} if name == "test_vit" else {}
    found = parts_of(network(name, **kwargs), pictures(2, 32), 1)
    maps = [part for part in found if part.ndim == 4]
    assert len(maps) > places
    assert all(part.shape[0] == 2 and part.shape[2] == part.shape[3] for part in maps)
