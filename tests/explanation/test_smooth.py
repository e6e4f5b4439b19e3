"""SmoothGrad and its kin against captum's gradients of the same noisy pictures, joined by numpy."""

import captum.attr
import numpy as np
import pytest
import torch

from explanation_helpers import Tiny, assert_close, pictures, quiet
from foveate.core.errors import ConfigError
from foveate.explanation import explain
from foveate.explanation.probe import Probe


@pytest.mark.parametrize("method", ["smoothgrad", "smoothgrad_squared", "vargrad"])
@pytest.mark.parametrize("base", ["gradient", "input_x_gradient"])
def test_equal_to_captum_on_each_noisy_picture(method: str, base: str) -> None:
    model, images, count, sigma = Tiny(), pictures(2, 16), 7, 0.3
    generator = Probe(model, seed=5).generator("smoothgrad")
    spread = images.amax(dim=(1, 2, 3), keepdim=True) - images.amin(dim=(1, 2, 3), keepdim=True)
    theirs = []
    for _ in range(count):
        noisy = images + sigma * spread * torch.randn(images.shape[1:], generator=generator)
        with quiet():
            if base == "gradient":
                theirs.append(captum.attr.Saliency(model).attribute(noisy, 2, abs=False).numpy())
            else:
                theirs.append(captum.attr.InputXGradient(model).attribute(noisy, 2).detach().numpy())
    values = np.stack(theirs).astype(float)
    combined = {
        "smoothgrad": values.mean(axis=0),
        "smoothgrad_squared": (values**2).mean(axis=0),
        "vargrad": values.var(axis=0),
    }[method]
    expected = np.abs(combined).max(axis=1) if base == "gradient" else combined.sum(axis=1)
    ours = explain(model, images, 2, method, raw=True, seed=5, samples=count, sigma=sigma, base=base)
    assert_close(ours, torch.from_numpy(expected), 1e-5)


def test_many_samples_in_one_pass_or_one_by_one() -> None:
    model, images = Tiny(), pictures(2, 16)
    one = explain(model, images, 1, "vargrad", raw=True, samples=5, chunk=1)
    assert_close(explain(model, images, 1, "vargrad", raw=True, samples=5, chunk=64), one, 1e-5)


def test_another_seed_is_another_noise() -> None:
    model, images = Tiny(), pictures(1, 16)
    first, again, other = (explain(model, images, 1, "smoothgrad", samples=3, seed=s) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-3)


def test_an_unknown_base_is_named() -> None:
    with pytest.raises(ConfigError, match="base"):
        explain(Tiny(), pictures(1, 16), 0, "smoothgrad", base="gradcam")
