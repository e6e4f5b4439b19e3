"""Control maps against their formulas."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import ndimage, spatial
from torch.nn import functional

from foveate.explanation import controls
from foveate.explanation.controls import centred_gaussian, control_maps, edge_maps, random_maps
from foveate.explanation.maps import min_max, upsample


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
    assert list(found) == [
        "random map", "centred Gaussian", "edges", "graph saliency", "whitening saliency"
    ]  # fmt: skip
    assert all(maps.shape == (2, 16, 16) and maps.min() >= 0 and maps.max() <= 1 for maps in found.values())


def scene(odd: bool, kind: str, at: tuple[int, int] = (2, 4)) -> torch.Tensor:
    """(1, 3, 96, 96): 6 x 6 marks alike, but for one with another colour or direction."""
    picture = np.full((96, 96, 3), 0.5)
    for row in range(6):
        for column in range(6):
            other = odd and (row, column) == at
            y, x = 16 * row + 8, 16 * column + 8
            height, width = (2, 6) if kind == "bar" and other else (6, 2)
            colour = (0.9, 0.2, 0.2) if kind == "colour" and other else (0.2, 0.7, 0.2)
            picture[y - height : y + height, x - width : x + width] = colour
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float()


@pytest.mark.parametrize("kind", ["bar", "colour"])
@pytest.mark.parametrize("saliency", [controls.graph_saliency, controls.whitening_saliency])
def test_what_is_unlike_the_rest_stands_out(
    saliency: Callable[[torch.Tensor], torch.Tensor], kind: str
) -> None:
    found = saliency(scene(True, kind))[0]
    assert found.shape == (96, 96)
    assert found.min() == 0
    assert found.max() == 1
    cells = found.unflatten(1, (6, 16)).unflatten(0, (6, 16)).amax(dim=(1, 3))
    assert int(cells.argmax()) == 2 * 6 + 4
    alike = saliency(scene(False, kind))[0]
    assert float(alike[32:48, 64:80].max()) < 0.999


def test_graph_saliency_is_the_equilibrium_of_its_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both chains written out and walked until nothing moves."""
    monkeypatch.setattr(controls, "GRID", 8)
    images = torch.rand(2, 3, 16, 12, generator=torch.Generator().manual_seed(1))
    found = controls.graph_saliency(images)

    def walked(weights: np.ndarray) -> np.ndarray:
        chain = weights / weights.sum(axis=1, keepdims=True)
        state = np.full(len(chain), 1 / len(chain))
        for _ in range(20_000):
            state = (state + state @ chain) / 2  # a lazy walk: it has the same equilibrium, and no period
        return state

    places = np.array([(y, x) for y in range(8) for x in range(6)]) / 8
    far = spatial.distance.cdist(places, places)
    for image, mine in zip(images, found, strict=True):
        maps = (
            functional.adaptive_avg_pool2d(controls.features(image[None]), (8, 6))[0]
            .flatten(1)
            .double()
            .numpy()
        )
        total = np.zeros(48)
        for m in maps:
            first = walked(np.abs(m[:, None] - m[None]) * np.exp(-(far**2) / (2 * 0.15**2)))
            total += walked(first[None] * np.exp(-(far**2) / (2 * 0.06**2)))
        expected = min_max(upsample(torch.from_numpy(total.reshape(1, 8, 6)), (16, 12)))[0]
        assert torch.allclose(mine, expected.float(), atol=1e-3)


def test_edges_of_the_graph_have_directions() -> None:
    """A vertical border is an edge across, and none along."""
    image = torch.zeros(1, 3, 8, 8)
    image[..., 4:] = 1
    across, slanted, along, _ = controls.features(image)[0, 3:, 4, 3]
    assert across == pytest.approx(0.5)
    assert slanted == pytest.approx(0.5 * math.cos(math.pi / 4))
    assert along == pytest.approx(0, abs=1e-6)
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert controls.features(red)[0, :3, 0, 0].tolist() == pytest.approx([1 / 3, 1.0, -0.5])


def test_whitened_lengths_are_mahalanobis_distances() -> None:
    values = torch.randn(2, 4, 300, generator=torch.Generator().manual_seed(0)).cumsum(dim=1)
    found = controls.whitened(values)
    for mine, own in zip(found.numpy(), values.double().numpy(), strict=True):
        np.testing.assert_allclose(np.cov(mine, bias=True), np.eye(4), atol=1e-4)
        inverse = np.linalg.inv(np.cov(own, bias=True))
        expected = [spatial.distance.mahalanobis(point, own.mean(axis=1), inverse) for point in own.T]
        np.testing.assert_allclose(np.linalg.norm(mine, axis=0), expected, rtol=1e-4)


def test_saliency_without_anything_to_see_is_flat() -> None:
    grey = torch.linspace(0, 1, 24)[:, None].expand(1, 3, 24, 24) * torch.linspace(0, 1, 24)
    for saliency in (controls.graph_saliency, controls.whitening_saliency):
        assert (saliency(torch.full((1, 3, 20, 30), 0.3)) == 0).all()
        assert saliency(grey).isfinite().all()
        assert saliency(torch.rand(1, 1, 20, 30)).shape == (1, 20, 30)
