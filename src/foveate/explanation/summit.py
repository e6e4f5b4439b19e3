"""Summit's two aggregations: which channels matter for a class, and which of one layer feed which of the next.

found = summit(model, lambda: ((images, labels, index) for ...), classes=15, layers=("stage:2", "last"))
found.channels_of(3, found.layers[1])

Source: Hohman et al., Summit, IEEE TVCG 2020 (arXiv 1904.02323).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from pydantic import Field
from torch import nn

from foveate.core.config import Config
from foveate.core.errors import ConfigError, DataError
from foveate.explanation.probe import Probe
from foveate.models.modes import untouched
from foveate.models.taps import capture_taps

Pictures = Callable[[], Iterable[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]]
"""Gives the same batches at every call: images (B, 3, H, W) normalised, labels (B,), numbers of the pictures (B,)."""


class SummitConfig(Config):
    """What counts."""

    top: int = Field(default=5, ge=1, le=10_000)
    """Of each picture so many channels count: those with the largest maxima."""
    share: float | None = Field(default=None, gt=0, le=1)
    """Instead of ``top``: the smallest set of channels that holds this share of the sum of all maxima (the paper's
    second way, with 0.03). Maxima below zero count as zero."""
    channels: int = Field(default=8, ge=1, le=10_000)
    """Channels of each class and layer that are listed, by the number of pictures that they count in."""
    examples: int = Field(default=9, ge=1, le=1000)
    """Pictures kept for each channel: those with its largest maxima."""


@dataclass(frozen=True)
class Channel:
    """A channel that matters for a class."""

    label: int
    layer: str
    channel: int
    rank: int
    """From 1."""
    pictures: int
    """In how many of the class's pictures it counts."""
    share: float
    """The same as a share of the class's pictures."""
    mean: float
    """Mean over the class's pictures of its maximum over places."""
    elsewhere: float
    """In which share of the other classes' pictures it counts: near ``share``, the channel says little of the class."""


@dataclass(frozen=True)
class Influence:
    """How much a channel of one layer feeds a channel of the next, in the pictures of a class."""

    label: int
    lower: str
    source: int
    upper: str
    target: int
    pictures: int
    """In how many pictures ``source`` is among the largest contributions to ``target``."""
    share: float
    strength: float
    """Mean contribution to the target's maximum, as a share of the sum of all that raise it."""


@dataclass(frozen=True)
class Summit:
    """The result."""

    layers: tuple[str, ...]
    """Modules, from the input to the output."""
    pictures: torch.Tensor
    """(C,) pictures of each class."""
    counts: dict[str, torch.Tensor]
    """{layer: (C, K)}: pictures of the class in which the channel counts."""
    channels: tuple[Channel, ...]
    influences: tuple[Influence, ...]
    examples: dict[tuple[str, int], tuple[int, ...]] = field(repr=False)
    """{(layer, channel): numbers of the pictures with its largest maxima, the largest first}; for listed channels."""

    def channels_of(self, label: int, layer: str) -> list[Channel]:
        """Listed channels of a class, the most important first."""
        return [c for c in self.channels if (c.label, c.layer) == (label, layer)]

    def graph(self, class_names: Sequence[str]) -> dict[str, object]:
        """Node-link form, as ``networkx.node_link_graph(..., edges="edges")`` reads it."""
        nodes = [
            {"id": f"{class_names[c.label]}/{c.layer}/{c.channel}", "class": class_names[c.label], "layer": c.layer,
             "channel": c.channel, "rank": c.rank, "pictures": c.pictures, "share": c.share, "mean": c.mean}
            for c in self.channels
        ]  # fmt: skip
        edges = [
            {"source": f"{class_names[e.label]}/{e.lower}/{e.source}",
             "target": f"{class_names[e.label]}/{e.upper}/{e.target}",
             "pictures": e.pictures, "share": e.share, "strength": e.strength}
            for e in self.influences
        ]  # fmt: skip
        return {
            "directed": True,
            "multigraph": False,
            "graph": {"layers": list(self.layers)},
            "nodes": nodes,
            "edges": edges,
        }


def summit(
    model: nn.Module,
    pictures: Pictures,
    classes: int,
    layers: Sequence[str],
    config: SummitConfig | None = None,
) -> Summit:
    """Aggregate activations and influences over pictures, by their labels. The network is left as it was.

    A channel counts in a picture when its maximum over places is among the largest of its layer. A channel i of the
    layer below feeds channel j with sum over places of A_i ⊙ d(max A_j)/dA_i. Where the upper layer is a convolution of
    the lower, that is Summit's convolution of channel i with its slice of the kernel, at the place where j is largest;
    it holds for layers that are whole blocks apart as well. It counts where it is among the largest for j.

    Args:
        pictures: called once, and once more for the influences.
        classes: C; labels are 0 to C - 1.
        layers: two or more for influences, from the input to the output: "first", "stage:K", "last", module paths.

    Raises:
        ConfigError: a layer that does not exist or is named twice.
        DataError: there is no picture, or one without a label.
    """
    config = config or SummitConfig()
    probe = Probe(model)
    with untouched(model):
        first = next(iter(pictures()), None)
        if first is None:
            raise DataError("There is no picture to look at; the split or folder is empty.")
        paths = [probe.resolve(layer, probe.place(first[0][:1])) for layer in layers]
        if len(set(paths)) != len(paths) or not paths:
            raise ConfigError(
                f"layers {', '.join(layers)} should be different modules; they are {', '.join(paths)}."
            )
        seen = _activations(probe, pictures, classes, paths, config)
        listed = {path: _by_count(seen.counts[path], seen.sums[path])[:, : config.channels] for path in paths}
        influences = _influences(probe, pictures, paths, listed, seen, config)
    channels = []
    total = int(seen.pictures.sum())
    for label in range(classes):
        count = int(seen.pictures[label])
        if not count:
            continue
        for path in paths:
            for rank, number in enumerate(listed[path][label].tolist(), start=1):
                hits = int(seen.counts[path][label, number])
                if not hits:
                    continue
                others = int(seen.counts[path][:, number].sum()) - hits
                mean = float(seen.sums[path][label, number]) / count
                elsewhere = others / (total - count) if total > count else 0.0
                channels.append(Channel(label, path, number, rank, hits, hits / count, mean, elsewhere))
    examples = {(c.layer, c.channel): tuple(seen.best[c.layer][1][:, c.channel].tolist()) for c in channels}
    return Summit(tuple(paths), seen.pictures, seen.counts, tuple(channels), tuple(influences), examples)


def chosen(values: torch.Tensor, config: SummitConfig) -> torch.Tensor:
    """(B, K) -> bool: which channels count in each picture; nothing at or below zero does."""
    ordered, order = values.clamp(min=0).sort(dim=1, descending=True, stable=True)
    if config.share is None:
        kept = torch.arange(values.shape[1], device=values.device).expand_as(order) < config.top
    else:
        before = ordered.cumsum(dim=1) - ordered
        kept = before < config.share * ordered.sum(dim=1, keepdim=True)
    return torch.zeros_like(values, dtype=torch.bool).scatter(1, order, kept & (ordered > 0))


@dataclass
class _Seen:
    pictures: torch.Tensor
    counts: dict[str, torch.Tensor]
    sums: dict[str, torch.Tensor]
    best: dict[str, tuple[torch.Tensor, torch.Tensor]]
    """{layer: (maxima (n, K), numbers (n, K))}, the largest first."""


def _activations(
    probe: Probe, pictures: Pictures, classes: int, paths: Sequence[str], config: SummitConfig
) -> _Seen:
    seen = _Seen(torch.zeros(classes, dtype=torch.long), {}, {}, {})
    for images, labels, index in pictures():
        if int(labels.min()) < 0 or int(labels.max()) >= classes:
            raise DataError(
                f"A picture has the label {int(labels.min())}; all need one of 0 to {classes - 1}."
            )
        placed = probe.place(images)
        with torch.no_grad(), capture_taps(probe.root, paths, placed) as maps:
            probe.logits(placed)
        seen.pictures += torch.bincount(labels, minlength=classes)
        for path in paths:
            maxima = maps[path].float().amax(dim=(2, 3)).cpu()  # (B, K)
            if path not in seen.counts:
                k = maxima.shape[1]
                seen.counts[path] = torch.zeros(classes, k, dtype=torch.long)
                seen.sums[path] = torch.zeros(classes, k)
                seen.best[path] = (torch.zeros(0, k), torch.zeros(0, k, dtype=torch.long))
            seen.counts[path].index_add_(0, labels, chosen(maxima, config).long())
            seen.sums[path].index_add_(0, labels, maxima)
            values = torch.cat([seen.best[path][0], maxima])
            numbers = torch.cat([seen.best[path][1], index[:, None].expand_as(maxima)])
            order = values.argsort(dim=0, descending=True, stable=True)[: config.examples]
            seen.best[path] = (values.gather(0, order), numbers.gather(0, order))
    return seen


def _by_count(counts: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """(C, K) channels, those that count in most pictures first; among equals the larger mean."""
    by_sum = sums.argsort(dim=1, descending=True, stable=True)
    return by_sum.gather(1, counts.gather(1, by_sum).argsort(dim=1, descending=True, stable=True))


def _influences(
    probe: Probe, pictures: Pictures, paths: Sequence[str], listed: dict[str, torch.Tensor], seen: _Seen,
    config: SummitConfig,
) -> list[Influence]:  # fmt: skip
    pairs = list(pairwise(paths))
    counts = {pair: torch.zeros(*listed[pair[1]].shape, seen.counts[pair[0]].shape[1]) for pair in pairs}
    strengths = {pair: torch.zeros_like(counts[pair]) for pair in pairs}
    for images, labels, _ in pictures() if pairs else ():
        placed = probe.place(images)
        with torch.enable_grad(), capture_taps(probe.root, paths, placed, require_grad=True) as maps:
            probe.logits(placed)
        for lower, upper in pairs:
            maxima = maps[upper].flatten(2).amax(dim=2)  # (B, K)
            for rank in range(listed[upper].shape[1]):
                wanted = listed[upper][labels, rank].to(maxima.device)
                score = maxima.gather(1, wanted[:, None]).sum()
                (gradient,) = torch.autograd.grad(score, maps[lower], retain_graph=True, allow_unused=True)
                if gradient is None:
                    raise ConfigError(
                        f"Layer '{upper}' does not depend on '{lower}'; name them from input to output."
                    )
                parts = (maps[lower] * gradient).detach().float().sum(dim=(2, 3)).cpu()  # (B, K below)
                positive = parts.clamp(min=0)
                shares = positive / positive.sum(dim=1, keepdim=True).clamp(min=1e-12)
                counts[lower, upper][:, rank].index_add_(0, labels, chosen(parts, config).float())
                strengths[lower, upper][:, rank].index_add_(0, labels, shares)
    found = []
    for (lower, upper), hits in counts.items():
        for label in range(len(seen.pictures)):
            count = int(seen.pictures[label])
            for rank, target in enumerate(listed[upper][label].tolist() if count else ()):
                if not seen.counts[upper][label, target]:
                    continue
                for source in listed[lower][label].tolist():
                    if seen.counts[lower][label, source] and hits[label, rank, source]:
                        number = int(hits[label, rank, source])
                        strength = float(strengths[lower, upper][label, rank, source]) / count
                        found.append(
                            Influence(label, lower, source, upper, target, number, number / count, strength)
                        )
    return found
