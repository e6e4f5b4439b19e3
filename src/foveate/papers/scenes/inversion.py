"""Model inversion exactly as the Scenes report ran it, to compare with; ``InversionConfig`` is the one to use.

Source: the routine of utkuozbulak/pytorch-cnn-visualizations, after Yosinski et al., 2015 (arXiv 1506.06579).
"""

from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageFilter
from pydantic import Field

from foveate.core.config import Config
from foveate.explanation.inversion import ROUTINES, ScoreFunction
from foveate.explanation.probe import Probe, Progress

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class ScenesConfig(Config):
    """The published values. The picture is rounded to whole grey levels after every update, so small updates vanish;
    the optimiser is new every time, so there is no momentum."""

    iterations: int = Field(default=150, ge=2, le=100_000)
    """One more than there are updates."""
    lr: float = Field(default=6.0, gt=0)
    """Learning rate of plain SGD."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """SGD's weight decay, of the normalised picture."""
    blur_every: int = Field(default=4, ge=1, le=100_000)
    """Gaussian blur before every so many updates."""
    blur_radius: float = Field(default=1.0, ge=0)
    """Its radius in px."""
    clip: float | None = None
    """Largest norm of the picture's gradient. None is what the report ran: it clipped the gradients of the network's
    parameters, to 0.1, which changes nothing."""
    statistics: Literal["own", "imagenet"] = "own"
    """Normalise with the network's own mean and std, or with ImageNet's. The report used ImageNet's for networks that
    were trained with 0.5 and 0.5."""


def scenes_inversion(
    score: ScoreFunction, numbers: torch.Tensor, size: int, mean: torch.Tensor, std: torch.Tensor,
    config: ScenesConfig, probe: Probe, report: Progress,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """(images (b, 3, size, size) in [0, 1], whole grey levels; scores (updates, b)). All start from the same noise."""
    if config.statistics == "imagenet":
        mean, std = (torch.tensor(v, device=probe.device).view(1, 3, 1, 1) for v in IMAGENET)
    rng = np.random.default_rng(probe.generator("inversion", "scenes").initial_seed())
    start = rng.uniform(0, 255, (size, size, 3)).astype(np.uint8)
    pictures = [start] * len(numbers)
    history = []
    for i in range(1, config.iterations):
        if i % config.blur_every == 0:
            blur = ImageFilter.GaussianBlur(config.blur_radius)
            pictures = [np.asarray(Image.fromarray(picture).filter(blur)) for picture in pictures]
        values = torch.from_numpy(np.stack(pictures)).to(probe.device).permute(0, 3, 1, 2).float() / 255
        with torch.enable_grad():
            x = ((values - mean) / std).requires_grad_()
            scores = score(probe.place(x), numbers)
            (gradient,) = torch.autograd.grad(-scores.sum(), x)
        history.append(scores.detach())
        if config.clip is not None:
            norm = gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            gradient = gradient * (config.clip / norm.clamp(min=config.clip))
        x = x.detach() - config.lr * (gradient + config.weight_decay * x.detach())
        levels = ((x * std + mean).clamp(0, 1) * 255).round().byte()
        pictures = list(levels.permute(0, 2, 3, 1).cpu().numpy())
        report(i, config.iterations - 1)
    found = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    return found.to(probe.device), torch.stack(history)


ROUTINES["scenes"] = (ScenesConfig, scenes_inversion)
