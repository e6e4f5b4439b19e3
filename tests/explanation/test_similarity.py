"""Rank correlation and SSIM against SciPy and scikit-image."""

import numpy as np
import torch
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity

from foveate.explanation.similarity import similarity, spearman, ssim, top_overlap


def maps(seed: int, side: int = 40) -> torch.Tensor:
    found = torch.randn(4, side, side, generator=torch.Generator().manual_seed(seed))
    return torch.where(found.abs() < 0.4, 0.0, found)  # ties


def test_spearman_is_that_of_scipy() -> None:
    a, b = maps(0), maps(1) + 0.5 * maps(0)
    expected = [spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(spearman(a, b).numpy(), expected, atol=1e-6)
    absolute = [spearmanr(x.abs().ravel(), y.abs().ravel()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(similarity(a, b).absolute.numpy(), absolute, atol=1e-6)
    assert torch.allclose(spearman(a, -a), torch.full((4,), -1.0))


def test_ssim_is_that_of_scikit_image() -> None:
    a, b = maps(2).abs(), maps(3).abs() + maps(2).abs()

    def stretched(x: torch.Tensor) -> np.ndarray:
        return ((x - x.min()) / (x.max() - x.min())).numpy()

    expected = [
        structural_similarity(stretched(x), stretched(y), data_range=1.0) for x, y in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(ssim(a, b).numpy(), expected, atol=1e-6)
    small = torch.rand(2, 7, 7)
    assert torch.allclose(ssim(small, small), torch.ones(2))


def test_constant_maps() -> None:
    flat, other = torch.ones(1, 9, 9), torch.rand(1, 9, 9)
    assert similarity(flat, flat).spearman.isnan().all()
    assert similarity(flat, flat).ssim.isnan().all()
    assert (similarity(flat, other).spearman == 0).all()
    assert (similarity(flat, other).ssim == 0).all()
    assert top_overlap(flat, other).isnan().all()


def test_top_overlap() -> None:
    a = torch.arange(100.0).view(1, 10, 10)
    assert float(top_overlap(a, a)) == 1
    assert float(top_overlap(a, -a)) == 1  # by absolute value
    assert float(top_overlap(a, a.flip(1, 2))) == 0
    b = a.clone()
    b.view(-1)[95:] = 0
    assert float(top_overlap(a, b)) == 0.5
