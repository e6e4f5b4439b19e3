"""Gradients of the class's score with respect to the pixels, and what every method that ends at pixels shares."""

from collections.abc import Callable, Iterator
from typing import Literal

import torch

from foveate.core.errors import ConfigError
from foveate.explanation.explainer import PictureExplainer
from foveate.explanation.probe import Probe, score_of


class PixelExplainer(PictureExplainer):
    """Base of methods that give each pixel and colour channel a value; a map joins the colour channels."""

    def map(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self.join(self.attribute(probe, images, targets))

    def attribute(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Signed values (B, 3, H, W) float32 for images (B, 3, H, W) and classes (B,)."""
        raise NotImplementedError

    def join(self, values: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, H, W): the sum, so that a pixel has what its colour channels add to the score."""
        return values.sum(dim=1)


class LargestOfColours(PixelExplainer):
    """Base of methods whose values say how much a pixel matters, not what it adds."""

    predicts = True

    def join(self, values: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, H, W) >= 0: the largest absolute value."""
        return values.abs().amax(dim=1)


class Gradient(LargestOfColours):
    """The largest |dS/dx| of a pixel's colour channels. Source: Simonyan et al., 2013 (arXiv 1312.6034)."""

    kind: Literal["gradient"] = "gradient"

    def attribute(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return pixel_gradients(probe, images, targets)


class InputXGradient(PixelExplainer):
    """x dS/dx, x in normalised units: 0 is the mean colour. Source: Shrikumar et al., 2016 (arXiv 1605.01713)."""

    kind: Literal["input_x_gradient"] = "input_x_gradient"
    signed = True
    predicts = True

    def attribute(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return images.float() * pixel_gradients(probe, images, targets)


def pixel_gradients(probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """dS/dx, (B, 3, H, W) float32, for the logit S of ``targets`` (B,).

    Raises:
        ConfigError: the logits do not depend on the pixels.
    """
    with torch.enable_grad():
        pixels = images.detach().requires_grad_()
        # A copy goes in: a network may begin with an in-place operation, which a leaf cannot take.
        logits = probe.logits(pixels.clone())
        score = score_of(logits, logits, targets).sum()
        if not score.requires_grad:
            raise ConfigError(
                f"The logits of {type(probe.model).__name__} carry no gradient back to the pixels (a detach or no_grad "
                "inside?); use a method without gradients: occlusion, rise, lime."
            )
        return torch.autograd.grad(score, pixels)[0].float()


def groups(probe: Probe, count: int, pictures: int) -> Iterator[slice]:
    """Slices that cover ``range(count)`` so that each one's samples of all pictures fit into ``probe.chunk``."""
    step = max(1, probe.chunk // pictures)
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def summed(
    probe: Probe, images: torch.Tensor, count: int, of: Callable[[slice], torch.Tensor]
) -> torch.Tensor:
    """(B, 3, H, W) float32: the sum of what ``of`` gives for groups of ``count`` samples, (k, B, 3, H, W) each."""
    total = torch.zeros(images.shape, device=images.device)
    for part in groups(probe, count, len(images)):
        total += of(part).sum(dim=0)
        probe.report(part.stop, count)
    return total


def sampled_gradients(probe: Probe, samples: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Gradients (k, B, 3, H, W) float32 of k variants (k, B, 3, H, W) of B pictures, in one pass."""
    k = len(samples)
    flat = samples.flatten(0, 1).to(probe.dtype).contiguous(memory_format=probe.memory_format)
    return pixel_gradients(probe, flat, targets.repeat(k)).unflatten(0, (k, -1))


def noisy_copies(images: torch.Tensor, sigma: float, count: int, generator: torch.Generator) -> torch.Tensor:
    """(count, B, 3, H, W) float32: normal noise, ``sigma`` as a share of each picture's range, the same for every
    picture. One draw after the other, so that it does not depend on how many fit into one pass."""
    noise = torch.stack([torch.randn(images.shape[1:], generator=generator) for _ in range(count)])
    spread = images.float().amax(dim=(1, 2, 3)) - images.float().amin(dim=(1, 2, 3))
    return images.float() + (sigma * spread)[:, None, None, None] * noise.to(images.device)[:, None]
