"""Control maps against their formulas."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from foveate.explanation.controls import centred_gaussian, control_maps, edge_maps, random_maps


def test_gaussian_is_centred_and_symmetric() -> None:
    g = centred_gaussian(8, 12)
    assert torch.allclose(g, g.flip(0))
    assert torch.allclose(g, g.flip(1))
    y, x = 2, 9
    v, u = (y + 0.5) / 8 - 0.5, (x + 0.5) / 12 - 0.5
    assert float(g[y, x]) == pytest.approx(math.exp(-(v * v + u * u) / (2 * 0.25**2)), rel=1e-5)


def test_random_maps_belong_to_the_picture_not_to_the_batch() -> None:
    several = random_maps(["a", "b", "c"], (20, 30))
    assert several.shape == (3, 20, 30)
    assert torch.equal(random_maps(["c"], (20, 30))[0], several[2])
    assert not torch.equal(several[0], several[1])
    assert not torch.equal(random_maps(["a"], (20, 30), seed=1)[0], several[0])


def test_edges_are_sobel() -> None:
    images = torch.rand(2, 3, 12, 15, generator=torch.Generator().manual_seed(0))
    grey = images.mean(dim=1).numpy()
    for found, plain in zip(edge_maps(images).numpy(), grey, strict=True):
        strength = np.hypot(ndimage.sobel(plain, 0, mode="nearest"), ndimage.sobel(plain, 1, mode="nearest"))
        expected = (strength - strength.min()) / (strength.max() - strength.min())
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_controls_of_a_batch() -> None:
    found = control_maps(torch.rand(2, 3, 16, 16))
    assert list(found) == ["random map", "centred Gaussian", "edges"]
    assert all(maps.shape == (2, 16, 16) and maps.min() >= 0 and maps.max() <= 1 for maps in found.values())
