"""Gradients of the class's score with respect to the pixels, and what every method that ends at pixels shares."""

from collections.abc import Iterator

import torch

from foveate.core.errors import ConfigError
from foveate.explanation.explainer import PIXELS, Explainer
from foveate.explanation.probe import Probe


class PixelExplainer(Explainer):
    """Base of methods that give each pixel and colour channel a value; a map joins the colour channels."""

    def __call__(
        self, probe: Probe, images: torch.Tensor, targets: torch.Tensor | None, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        return {PIXELS: self.join(self.attribute(probe, images, targets))}

    def attribute(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor | None) -> torch.Tensor:
        """Signed values (B, 3, H, W) float32 for images (B, 3, H, W) and classes (B,)."""
        raise NotImplementedError

    def join(self, values: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, H, W): the sum, so that a pixel has what its colour channels add to the score."""
        return values.sum(dim=1)


class Gradient(PixelExplainer):
    """The largest |dS/dx| of a pixel's colour channels. Source: Simonyan et al., 2013 (arXiv 1312.6034)."""

    predicts = True

    def attribute(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor | None) -> torch.Tensor:
        return pixel_gradients(probe, images, targets)

    def join(self, values: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, H, W) >= 0: the largest absolute value."""
        return values.abs().amax(dim=1)


class InputXGradient(PixelExplainer):
    """x dS/dx, x in normalised units: 0 is the mean colour. Source: Shrikumar et al., 2016 (arXiv 1605.01713)."""

    signed = True
    predicts = True

    def attribute(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor | None) -> torch.Tensor:
        return images.float() * pixel_gradients(probe, images, targets)


def pixel_gradients(probe: Probe, images: torch.Tensor, targets: torch.Tensor | None) -> torch.Tensor:
    """dS/dx, (B, 3, H, W) float32. S is the logit of ``targets`` (B,), or of the predicted class where they are None.

    Raises:
        ConfigError: the logits do not depend on the pixels.
    """
    with torch.enable_grad():
        pixels = images.detach().requires_grad_()
        # A copy goes in: a network may begin with an in-place operation, which a leaf cannot take.
        logits = probe.logits(pixels.clone())
        classes = logits.argmax(dim=1) if targets is None else targets
        score = logits.gather(1, classes[:, None]).sum()
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


def sampled_gradients(
    probe: Probe, samples: torch.Tensor, targets: torch.Tensor | None
) -> torch.Tensor:  # fmt: skip
    """Gradients (k, B, 3, H, W) float32 of k variants (k, B, 3, H, W) of B pictures, in one pass."""
    k = len(samples)
    flat = samples.flatten(0, 1).contiguous(memory_format=probe.memory_format)
    classes = None if targets is None else targets.repeat(k)
    return pixel_gradients(probe, flat.to(probe.dtype), classes).unflatten(0, (k, -1))
