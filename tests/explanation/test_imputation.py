"""The batched solver against a dense solution and pytorch-grad-cam's."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import spsolve

from foveate.core import torchvision_guard  # noqa: F401  (before pytorch_grad_cam, which imports torchvision)
from foveate.explanation.imputation import impute

from pytorch_grad_cam.metrics.road import NoisyLinearImputer  # isort: skip


def dense(image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """One equation a missing pixel, solved directly."""
    _, height, width = image.shape
    number = {tuple(at): i for i, at in enumerate(np.argwhere(missing))}
    matrix, right = np.zeros((len(number), len(number))), np.zeros((len(number), 3))
    for (y, x), i in number.items():
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                at = (y + dy, x + dx)
                if (dy, dx) == (0, 0) or not (0 <= at[0] < height and 0 <= at[1] < width):
                    continue
                weight = 1 / 12 if dy and dx else 1 / 6
                matrix[i, i] += weight
                if at in number:
                    matrix[i, number[at]] -= weight
                else:
                    right[i] += weight * image[:, at[0], at[1]]
    result = image.copy()
    for at, value in zip(number, np.linalg.solve(matrix, right), strict=True):
        result[:, at[0], at[1]] = value
    return result


@pytest.mark.parametrize("size", [(24, 24), (17, 22), (33, 9), (3, 5)])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_it_solves_the_system(size: tuple[int, int], share: float) -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 3, *size))
    missing = rng.random((3, *size)) < share
    missing[0] = False
    missing[0, : max(1, int(share * size[0]))] = True  # one piece at the border
    missing[:, -1, -1] = False
    found = impute(torch.tensor(images).float(), torch.tensor(missing), tolerance=1e-6).numpy()
    for image, hole, mine in zip(images, missing, found, strict=True):
        np.testing.assert_allclose(mine, dense(image, hole), atol=1e-4)


def test_it_is_that_of_pytorch_grad_cam() -> None:
    image = torch.randn(3, 40, 40, generator=torch.Generator().manual_seed(0))
    missing = torch.zeros(40, 40, dtype=torch.bool)
    missing[5:30, 8:] = True
    # Its own call does not run with NumPy 2; what it solves does.
    matrix, right = NoisyLinearImputer.setup_sparse_system(
        (~missing).numpy(), image.numpy(), NoisyLinearImputer().weighting
    )
    expected = image.clone()
    expected[:, missing] = torch.tensor(spsolve(matrix.tocsc(), right), dtype=torch.float32).T
    found = impute(image[None], missing[None])[0]
    assert float((found - expected).abs().mean()) < 2e-3
    assert torch.equal(found[:, ~missing], image[:, ~missing])


def test_nothing_missing_and_everything_missing() -> None:
    image = torch.rand(2, 3, 10, 10)
    missing = torch.zeros(2, 10, 10, dtype=torch.bool)
    missing[1] = True
    found = impute(image, missing)
    assert torch.equal(found[0], image[0])
    assert (found[1] == 0).all()
