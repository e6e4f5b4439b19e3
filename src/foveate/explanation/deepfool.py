"""DeepFool: the smallest change of a picture that changes the answer, as a map."""

from typing import Literal

import torch
from pydantic import Field

from foveate.explanation.gradients import LargestOfColours
from foveate.explanation.probe import PREDICTED, Probe


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
