"""What stands for "nothing to see": the picture that attributions compare with."""

from typing import Any, Literal

import torch
from torch.nn import functional

from foveate.core.errors import ConfigError
from foveate.explanation.probe import Probe

Baseline = Literal["mean", "black", "white", "blurred", "noise", "pictures"]
"""mean: 0 after normalisation, the mean colour; black, white; blurred: the picture itself without its details; noise:
normal, as the normalised pictures are spread; pictures: those given as references. A pixel that equals the baseline
gets no attribution: with "black", black objects get none."""

BLUR = 1 / 8
"""Standard deviation of the blur as a share of the picture's shorter side."""


def baselines(probe: Probe, images: torch.Tensor, kind: Baseline, draws: int = 1) -> torch.Tensor:
    """(draws, B, C, H, W) in the network's normalised units; only "noise" and "pictures" differ from draw to draw.

    The draws are the same for every picture.

    Raises:
        ConfigError: black or white, and the network does not say how its pictures are normalised; or pictures, and
            there are none, or of another size.
    """
    if kind == "noise":
        generator = probe.generator("baseline")
        noise = torch.stack([torch.randn(images.shape[1:], generator=generator) for _ in range(draws)])
        return noise.to(images)[:, None].expand(draws, *images.shape)
    if kind == "pictures":
        return _references(probe, images, draws)
    if kind == "blurred":
        one = blurred(images, BLUR * min(images.shape[2:]))
    elif kind == "mean":
        one = torch.zeros_like(images)
    else:
        known = normalisation(probe, images.shape[1])
        if known is None:
            raise ConfigError(
                f"Baseline '{kind}': {type(probe.model).__name__} does not say with which mean and std its pictures "
                "are normalised; use 'mean', 'blurred' or 'noise'."
            )
        mean, std = known
        one = (((0.0 if kind == "black" else 1.0) - mean) / std).to(images).expand_as(images)
    return one.expand(draws, *images.shape)


def _references(probe: Probe, images: torch.Tensor, draws: int) -> torch.Tensor:
    """The reference pictures in random order, over and over."""
    known = probe.references
    if known is None or known.shape[1:] != images.shape[1:]:
        has = "there are none" if known is None else f"they have the shape {tuple(known.shape)}"
        raise ConfigError(
            f"Baseline 'pictures' compares with reference pictures (R, {', '.join(map(str, images.shape[1:]))}), and "
            f"{has}; give references=..., or take 'noise' or 'blurred'."
        )
    order = torch.randperm(len(known), generator=probe.generator("references"))
    chosen = order[torch.arange(draws) % len(known)].to(known.device)
    return known[chosen].to(images)[:, None].expand(draws, *images.shape)


def normalisation(probe: Probe, channels: int) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Mean and std of the C colour channels, (1, C, 1, 1) each in [0, 1] units; None where the network has none."""
    model: Any = probe.model
    if isinstance(getattr(model, "mean", None), torch.Tensor):  # ours
        pair = (model.mean, model.std)
    else:
        config: Any = getattr(probe.backbone, "pretrained_cfg", None) or {}
        if not config.get("mean") or not config.get("std"):
            return None
        pair = (torch.tensor(config["mean"]), torch.tensor(config["std"]))
    if any(values.numel() != channels for values in pair):
        return None
    mean, std = (values.detach().float().to(probe.device).view(1, channels, 1, 1) for values in pair)
    return mean, std


def unit_pictures(probe: Probe, images: torch.Tensor) -> torch.Tensor:
    """Pictures (B, C, H, W) as colours in [0, 1]; of a network without mean and std each is stretched to its range."""
    known = normalisation(probe, images.shape[1])
    if known is not None:
        return (images.float() * known[1] + known[0]).clamp(0, 1)
    low = images.float().amin(dim=(1, 2, 3), keepdim=True)
    high = images.float().amax(dim=(1, 2, 3), keepdim=True)
    return (images.float() - low) / (high - low).clamp(min=1e-12)


def blurred(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur, (B, C, H, W); ``sigma`` in pixels; edges repeat."""
    reach = max(1, round(3 * sigma))
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float32, device=images.device)
    kernel = torch.exp(-offsets.square() / (2 * sigma**2))
    channels = images.shape[1]
    kernel = (kernel / kernel.sum()).expand(channels, 1, -1)
    result = functional.pad(images.float(), (reach,) * 4, mode="replicate")
    result = functional.conv2d(result, kernel[:, :, None], groups=channels)
    return functional.conv2d(result, kernel[:, :, :, None], groups=channels).to(images.dtype)
