"""Pictures that a network answers with a class, or with a unit of one of its layers (model inversion).

found = invert(model, [3, 7])                          # two classes, in one batch
found = invert(model, layer="stage:2", channels=[11])  # a channel of a feature map
found.images                                           # (n, 3, H, W) in [0, 1]
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import nn
from torch.nn import functional
from torchvision.transforms.v2.functional import gaussian_blur

from foveate.core import providers
from foveate.core.config import Config, parse
from foveate.core.errors import ConfigError
from foveate.explanation.baselines import normalisation
from foveate.explanation.probe import Probe, Progress
from foveate.models.modes import untouched
from foveate.models.taps import capture_taps

ScoreFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(pictures (b, 3, h, w) normalised, numbers (b,) of classes or channels) -> (b,), what is to become large."""
Routine = Callable[..., tuple[torch.Tensor, torch.Tensor]]
"""(score, numbers, size, mean, std, config, probe, report) -> images (b, 3, size, size) in [0, 1], scores (updates, b).
"""


class InversionConfig(Config):
    """Gradient ascent on the pixels, held to what looks like a picture. Sizes are in pixels, values in normalised units
    (a picture spans about -2 to 2)."""

    scales: tuple[float, ...] = (0.5, 0.75, 1.0)
    """Sizes in turn, as shares of the final one: what is large is settled first; each begins with the last result."""
    steps: int = Field(default=40, ge=1, le=100_000)
    """Updates at each size."""
    lr: float = Field(default=60.0, gt=0)
    """An update moves the pixels by lr times the gradient; it falls to half of that in the course of a size."""
    clip: float | None = Field(default=1e-3, gt=0)
    """Largest root mean square of a picture's gradient; a larger gradient is scaled down to it. None: never."""
    decay: float = Field(default=0.0, ge=0, lt=1)
    """Weight decay: the share of each value that an update takes away."""
    blur_every: int = Field(default=4, ge=0, le=100_000)
    """Gaussian blur after every so many updates; 0: never."""
    blur: tuple[float, float] = (1.2, 0.6)
    """Standard deviation of that blur at the beginning and at the end of a size."""
    jitter: int = Field(default=8, ge=0, le=512)
    """The picture is moved by up to so many pixels, round its edges, before each update."""
    spectrum: float = Field(default=1.3, ge=0)
    """The gradient is divided by (spatial frequency) ** spectrum, as pictures have little of what is fine; 0: not."""
    colour: float = Field(default=0.9, ge=0, lt=1)
    """The gradient's colours are mixed as if they had this correlation, near 0.9 in photographs; 0: not."""
    statistics: float | None = Field(default=None, ge=0)
    """Weight of the distance between the picture's channel means and deviations and those that batch norms have
    stored (Yin et al., CVPR 2020); for classes. None: 1 in a network with batch norm, else 0."""
    noise: float = Field(default=0.05, ge=0)
    """Standard deviation of the noise at the beginning, round the mean grey."""
    objective: Literal["logit", "log_probability"] = "logit"
    """Of a class: what is made large."""

    @model_validator(mode="after")
    def _check(self) -> "InversionConfig":
        if not self.scales or any(not 0 < scale <= 1 for scale in self.scales) or self.scales[-1] != 1:
            raise ValueError(f"scales {self.scales} should be shares of the size that end with 1")
        if min(self.blur) <= 0:
            raise ValueError(f"blur {self.blur} should be above 0; switch it off with blur_every=0")
        return self


@dataclass(frozen=True)
class Inversion:
    """n pictures and how they came about."""

    images: torch.Tensor
    """(n, 3, H, W) float32 in [0, 1], on the CPU."""
    numbers: tuple[int, ...]
    """n classes, or n channels of ``layer``."""
    layer: str | None
    """The module that the channels belong to; None: they are classes."""
    scores: torch.Tensor
    """(updates, n) float32: the score before each update, of the picture as it was moved for it."""
    final: torch.Tensor
    """(n,) float32: the score of ``images``."""
    probabilities: torch.Tensor | None
    """(n,) softmax probability of the class for ``images``; None for channels."""
    settings: dict[str, Any]
    """Recipe, settings, seed, mean and std."""


def invert(
    model: nn.Module,
    targets: Sequence[int] | int | None = None,
    *,
    layer: str | None = None,
    channels: Sequence[int] | int | None = None,
    unit: Literal["channel", "centre"] = "channel",
    size: int | None = None,
    recipe: str = "default",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    chunk: int = 8,
    seed: int = 0,
    progress: Progress | None = None,
    **settings: Any,
) -> Inversion:
    """One picture for each class, or for each channel of a layer, that the network answers strongly.

    The network is left as it was. All pictures start from the same noise and are moved alike, so that a picture does
    not depend on which others are made with it.

    Args:
        model: ours, timm's, or any other (B, 3, H, W) -> logits (B, C).
        targets: classes; None: all of them, unless ``layer`` is given.
        layer: "last", "first", "stage:K", ..., or a module's path; then ``channels`` say which.
        unit: "channel": the mean of the channel's map; "centre": its value in the middle place.
        size: side of the picture in px; None: the network's own.
        recipe: a name of ``ROUTINES``: "default", or "scenes" (``foveate.papers.scenes.inversion``).
        mean, std: what pictures are normalised with, 3 values in [0, 1] units; None: the network's own.
        chunk: pictures at once, which bounds the memory.
        seed: of the noise and the moves.
        progress: called with (updates done, updates in all).
        settings: of the recipe: ``InversionConfig``, or that of the other routine.

    Raises:
        ConfigError: an unknown class, channel, layer or setting; mean and std, or the size, are not known.
    """
    providers.load()
    if recipe not in ROUTINES:
        raise ConfigError(f"recipe is '{recipe}'; choose {' or '.join(ROUTINES)}.")
    kind, routine = ROUTINES[recipe]
    config = parse(kind, settings, source=f"recipe '{recipe}'")
    if chunk < 1:
        raise ConfigError(f"chunk is {chunk}; it counts pictures and must be 1 or more.")
    if unit not in ("channel", "centre"):
        raise ConfigError(f"unit is '{unit}'; choose channel or centre.")
    probe = Probe(model, chunk=chunk, seed=seed, progress=progress)
    size = size or _own_size(probe)
    center, spread = (_three(probe, name, given) for name, given in (("mean", mean), ("std", std)))
    with untouched(model):
        blank = probe.place(torch.zeros(1, 3, size, size))
        numbers, path = _wanted(probe, blank, targets, layer, channels)
        if isinstance(config, InversionConfig) and config.statistics is None:
            normed = path is None and _batch_norms(model)
            config = config.model_copy(update={"statistics": 1.0 if normed else 0.0})
        score = partial(_score, probe, path, unit, getattr(config, "objective", "logit"))
        parts = list(probe.chunks(len(numbers)))
        images, scores, finals, probabilities = [], [], [], []
        for done, part in enumerate(parts):
            chosen = torch.tensor(numbers[part], device=probe.device)

            def report(step: int, steps: int, done: int = done) -> None:
                probe.report(done * steps + step, len(parts) * steps)

            found, history = routine(score, chosen, size, center, spread, config, probe, report)
            images.append(found.float().cpu())
            scores.append(history.float().cpu())
            with torch.no_grad():
                placed = probe.place((found - center) / spread)
                finals.append(score(placed, chosen).float().cpu())
                if path is None:
                    p = probe.logits(placed).softmax(dim=1)
                    probabilities.append(p.gather(1, chosen[:, None])[:, 0].cpu())
    return Inversion(
        torch.cat(images),
        tuple(numbers),
        path,
        torch.cat(scores, dim=1),
        torch.cat(finals),
        torch.cat(probabilities) if probabilities else None,
        {
            "recipe": recipe, **config.model_dump(mode="json"), "unit": unit if path else None, "size": size,
            "seed": seed, "mean": center.flatten().tolist(), "std": spread.flatten().tolist(),
        },
    )  # fmt: skip


def _ascend(
    score: ScoreFunction, numbers: torch.Tensor, size: int, mean: torch.Tensor, std: torch.Tensor,
    config: InversionConfig, probe: Probe, report: Progress,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """(images (b, 3, size, size) in [0, 1], scores (updates, b)): the default recipe."""
    generator = probe.generator("inversion")
    low, high = (0 - mean) / std, (1 - mean) / std
    embed: Any = getattr(probe.backbone, "patch_embed", None)
    fixed = _card(probe).get("fixed_input_size") or getattr(embed, "strict_img_size", False)
    sides = [max(round(size * scale / 16) * 16, 16) for scale in config.scales[:-1]] + [size]
    picture, history = torch.zeros(0), []
    for number, side in enumerate(sides):
        if number == 0:
            noise = torch.randn(1, 3, side, side, generator=generator).to(probe.device)
            grey = (0.5 - mean) / std
            picture = (grey + config.noise * noise).expand(len(numbers), 3, side, side).clone()
        else:
            picture = functional.interpolate(picture, (side, side), mode="bicubic", align_corners=False)
        for step in range(config.steps):
            part = step / max(config.steps - 1, 1)
            with torch.enable_grad(), _statistics(probe, config.statistics) as distance:
                picture = picture.detach().requires_grad_()
                moved = picture
                if config.jitter:
                    move = torch.randint(
                        -config.jitter, config.jitter + 1, (2,), generator=generator
                    ).tolist()
                    moved = picture.roll(move, (2, 3))
                if fixed and side != size:
                    moved = functional.interpolate(moved, (size, size), mode="bicubic", align_corners=False)
                values = score(probe.place(moved), numbers)
                (gradient,) = torch.autograd.grad((values - distance()).sum(), picture)
            history.append(values.detach())
            gradient = smoothed(gradient, config.spectrum, config.colour)
            if config.clip is not None:
                gradient = clipped(gradient, config.clip)
            picture = picture.detach() * (1 - config.decay) + config.lr * (1 - 0.5 * part) * gradient
            if config.blur_every and (step + 1) % config.blur_every == 0 and step + 1 < config.steps:
                sigma = config.blur[0] + part * (config.blur[1] - config.blur[0])
                picture = gaussian_blur(picture, [2 * math.ceil(3 * sigma) + 1] * 2, [sigma] * 2)
            picture = picture.clamp(low, high)
            report(number * config.steps + step + 1, len(sides) * config.steps)
    return (picture * std + mean).clamp(0, 1), torch.stack(history)


def clipped(gradient: torch.Tensor, largest: float) -> torch.Tensor:
    """Each picture's gradient (b, 3, h, w), scaled down where its root mean square is above ``largest``."""
    size = gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return gradient * (largest / size.clamp(min=largest))


def smoothed(gradient: torch.Tensor, spectrum: float, colour: float) -> torch.Tensor:
    """Less of high frequencies (Olah et al., Feature Visualization, Distill 2017), colours mixed."""
    h, w = gradient.shape[2:]
    if spectrum:
        down = torch.fft.fftfreq(h, device=gradient.device)[:, None]
        across = torch.fft.rfftfreq(w, device=gradient.device)[None]
        frequency = (down.square() + across.square()).sqrt().clamp(min=1 / max(h, w))
        gradient = torch.fft.irfft2(torch.fft.rfft2(gradient) / frequency**spectrum, s=(h, w))
    return (1 - colour) * gradient + colour * gradient.sum(dim=1, keepdim=True)


@contextmanager
def _statistics(probe: Probe, weight: float | None) -> Iterator[Callable[[], torch.Tensor | float]]:
    """Yields a function: weight times the distance (b,) of the last pass's maps from what batch norms have stored."""
    if not weight:
        yield lambda: 0.0
        return
    norms = _batch_norms(probe.model)
    if not norms:
        raise ConfigError(
            f"statistics is {weight}, but {type(probe.backbone).__name__} has no batch norm; leave it at 0."
        )
    found: list[torch.Tensor] = []

    def measure(norm: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        deviation = (norm.running_var + norm.eps).sqrt()
        mean = (inputs[0].mean(dim=(2, 3)) - norm.running_mean) / deviation
        ratio = inputs[0].var(dim=(2, 3), unbiased=False).clamp(min=1e-8).sqrt() / deviation
        found.append((mean.square() + (ratio - 1).square()).mean(dim=1))

    with ExitStack() as stack:
        for norm in norms:
            stack.callback(norm.register_forward_pre_hook(measure).remove)
        yield lambda: weight * torch.stack(found).sum(dim=0)


def _batch_norms(model: nn.Module) -> list[nn.Module]:
    modules = model.modules()
    return [m for m in modules if isinstance(m, nn.BatchNorm2d) and m.running_var is not None]


def _score(
    probe: Probe, path: str | None, unit: str, objective: str, pictures: torch.Tensor, numbers: torch.Tensor
) -> torch.Tensor:
    if path is None:
        logits = probe.logits(pictures)
        values = logits.log_softmax(dim=1) if objective == "log_probability" else logits
        return values.gather(1, numbers[:, None])[:, 0]
    with capture_taps(probe.root, [path], pictures) as maps:
        probe.logits(pictures)
    chosen = maps[path][torch.arange(len(numbers), device=numbers.device), numbers].float()  # (b, h, w)
    middle = chosen[:, chosen.shape[1] // 2, chosen.shape[2] // 2]
    return middle if unit == "centre" else chosen.mean(dim=(1, 2))


def _wanted(
    probe: Probe, blank: torch.Tensor, targets: Sequence[int] | int | None, layer: str | None,
    channels: Sequence[int] | int | None,
) -> tuple[list[int], str | None]:  # fmt: skip
    """(numbers of classes or channels, the layer's path or None)."""
    path = None
    if layer is None:
        if channels is not None:
            raise ConfigError("channels belong to a layer; name it, as layer='last'.")
        count = probe.logits(blank).shape[1]
        name, given, whole = "targets", targets, "the network has classes"
    else:
        if targets is not None:
            raise ConfigError("Give targets (classes), or layer and channels, not both.")
        if channels is None:
            raise ConfigError(f"Which channels of layer '{layer}'? Give channels, as channels=[0, 1].")
        path = probe.resolve(layer, blank)
        with torch.no_grad(), capture_taps(probe.root, [path], blank) as maps:
            probe.logits(blank)
        count = maps[path].shape[1]
        name, given, whole = "channels", channels, f"layer '{path}' has channels"
    values = list(range(count)) if given is None else [given] if isinstance(given, int) else list(given)
    if not values:
        raise ConfigError(f"{name} is empty; name at least one.")
    for value in values:
        if not isinstance(value, int) or not 0 <= value < count:
            raise ConfigError(f"{name} holds {value!r}; {whole} 0 to {count - 1}.")
    return values, path


def _own_size(probe: Probe) -> int:
    own = getattr(probe.model, "input_size", None)
    listed: Any = _card(probe).get("input_size")
    if not isinstance(own, int) and not listed:
        raise ConfigError(
            f"The picture size of {type(probe.model).__name__} is not known; give size=224 or another."
        )
    return own if isinstance(own, int) else int(listed[1])


def _card(probe: Probe) -> dict[str, Any]:
    return getattr(probe.backbone, "pretrained_cfg", None) or {}


def _three(probe: Probe, name: str, given: Sequence[float] | None) -> torch.Tensor:
    """(1, 3, 1, 1): mean or std, given or the network's own."""
    own = normalisation(probe, 3)
    if given is None and own is not None:
        return own[name == "std"]
    if given is None or len(given) != 3:
        raise ConfigError(
            f"The {name} that {type(probe.model).__name__} was trained with is not known; give {name}=(r, g, b)."
        )
    return torch.tensor(list(given), dtype=torch.float32, device=probe.device).view(1, 3, 1, 1)


ROUTINES: dict[str, tuple[type[Config], Routine]] = {"default": (InversionConfig, _ascend)}
"""{recipe: (its settings, what it does)}."""
