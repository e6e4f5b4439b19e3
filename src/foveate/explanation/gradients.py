"""Gradients of the class's score with respect to the pixels, and what every method that ends at pixels shares."""

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from pydantic import Field

from foveate.core.errors import ConfigError
from foveate.explanation.explainer import PictureExplainer
from foveate.explanation.probe import PREDICTED, Probe, score_of


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


class DeepFool(LargestOfColours):
    """|r|, r the smallest change after which the network, taken as linear again and again, names another class.

    Each step goes to the nearest of the linearised borders: r += (|f_k - f_0| / |w|²) w with w = d(f_k - f_0)/dx, f_0
    the class named so far; it ends when the network itself names another one. Where ``targets`` is a class that the
    network does not name, r leads to that class. Source: Moosavi-Dezfooli et al., CVPR 2016 (arXiv 1511.04599).
    """

    kind: Literal["deepfool"] = "deepfool"
    classes: int = Field(default=10, ge=2, le=10_000)
    """Other answers are sought among so many, the most likely at the beginning."""
    steps: int = Field(default=50, ge=1, le=10_000)
    """Most linearisations; a picture that keeps its class gets the change up to there."""
    overshoot: float = Field(default=0.02, ge=0, le=1)
    """Share by which r is longer, so that the border is passed."""

    slow = True

    def attribute(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            logits = probe.logits(images.clone())
        named = logits.argmax(dim=1)
        wanted = torch.where(targets == named, PREDICTED, targets)  # PREDICTED: any other class
        rivals = logits.topk(min(self.classes, logits.shape[1]), dim=1).indices
        rivals = torch.where(wanted[:, None] == PREDICTED, rivals, wanted[:, None])
        change = torch.zeros(images.shape, device=images.device)
        left = torch.arange(len(images), device=images.device)
        for step in range(self.steps):
            moved = images[left].float() + (1 + self.overshoot) * change[left]
            now, nearest = self._nearest(probe, moved.to(images.dtype), rivals[left])
            there = torch.where(wanted[left] == PREDICTED, now != named[left], now == wanted[left])
            change[left[~there]] += nearest[~there]
            left = left[~there]
            probe.report(step + 1, self.steps)
            if not len(left):
                break
        return (1 + self.overshoot) * change

    def _nearest(
        self, probe: Probe, images: torch.Tensor, rivals: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(the class that is named (B,), the step (B, 3, H, W) to the nearest linearised border with a rival)."""
        with torch.enable_grad():
            pixels = images.requires_grad_()
            logits = probe.logits(pixels.clone(memory_format=probe.memory_format))
            now = logits.argmax(dim=1)
            best = torch.full((len(images),), torch.inf, device=images.device)
            nearest = torch.zeros(images.shape, device=images.device)
            for rival in rivals.unbind(dim=1):
                gap = (logits.gather(1, rival[:, None]) - logits.gather(1, now[:, None]))[:, 0]
                slope = torch.autograd.grad(gap.sum(), pixels, retain_graph=True)[0].float()
                length = slope.flatten(1).norm(dim=1)
                distance = torch.where(length > 0, gap.detach().abs() / length, torch.inf)
                nearer = (rival != now) & (distance < best)
                best = torch.where(nearer, distance, best)
                # A little more than the distance, as in the authors' code: a border that is touched is not passed.
                step = ((distance + 1e-4) / length)[:, None, None, None] * slope
                nearest = torch.where(nearer[:, None, None, None], step, nearest)
        return now, nearest


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
