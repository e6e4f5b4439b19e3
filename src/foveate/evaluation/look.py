"""Does the network look at the object: the share of a map's energy inside the mask, beside its chance level.

Two maps of each picture are measured at a tap (a feature map of the network):

- the **class map** is Grad-CAM for the true class (Selvaraju et al., ICCV 2017). It says what speaks for the
  class.
- the **tap map** is the mean over the channels, min-max scaled to [0, 1] for each picture, as the spatial
  loss of the Learn 2 Look report trains it. Its sign is arbitrary: an untrained network may well be "dark" on
  the object.

Energy in the mask is sum(map * mask) / sum(map) (relevance mass accuracy; the energy-based pointing game of
Wang et al., Score-CAM, 2020). The map is upsampled bilinearly to the size of the mask, as published figures
do and as people see it drawn; a coarse map therefore bleeds over the edge of a small object and stays
below 1.

Chance is the mask's mean share of the picture: what a uniform map reaches. A centred Gaussian is the control
for data in which the object sits in the middle anyway. A picture without a mask, with an empty mask, or with
a map that is zero or constant everywhere is not measurable: NaN.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.evaluation.inference import Network, evaluating
from foveate.explanation.controls import centred_gaussian
from foveate.explanation.localisation import chance_energy, energy_in_mask
from foveate.explanation.maps import grad_cam, min_max

ENERGY = "energy_in_mask"
TAP_ENERGY = "tap_energy_in_mask"
CHANCE = "energy_chance"
CENTRE = "energy_centre"


def class_maps(
    model: Network, images: torch.Tensor, targets: torch.Tensor, taps: Sequence[str]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Class map and tap map of each tap from one forward and one backward pass: two dicts of (B, h, w)
    float32.

    The class map is Grad-CAM: ReLU of sum_k a_k A_k, where A_k is channel k of the tap and a_k the mean over
    the places of d logit_target / d A_k. The tap map is the mean over the channels, unscaled. Nothing is left
    behind: no gradient, no hook, the same mode.

    Args:
        model: the network; its parameters may be frozen.
        images: (B, 3, H, W) prepared.
        targets: (B,) int64 class whose map is wanted.
        taps: names of feature maps.

    Raises:
        ConfigError: the logits do not depend on a tap.
    """
    with evaluating(model), torch.enable_grad():
        # A picture that wants gradients keeps the graph alive through a frozen network.
        output = model(images.detach().clone().requires_grad_(True), taps=tuple(taps))
        score = output.local.float().gather(1, targets.view(-1, 1)).sum()
        gradients = torch.autograd.grad(score, [output.taps[tap] for tap in taps], allow_unused=True)
    class_map, tap_map = {}, {}
    for tap, gradient in zip(taps, gradients, strict=True):
        if gradient is None:
            raise ConfigError(
                f"The prediction does not depend on tap '{tap}'; choose a tap before the classifier."
            )
        features = output.taps[tap].detach().float()
        class_map[tap] = grad_cam(features, gradient.float())
        tap_map[tap] = features.mean(1)
    return class_map, tap_map


def class_map(model: Network, images: torch.Tensor, targets: torch.Tensor, tap: str) -> torch.Tensor:
    """Grad-CAM of ``targets`` (B,) at ``tap``: (B, h, w) float32, not negative. See ``class_maps``."""
    return class_maps(model, images, targets, (tap,))[0][tap]


def measure_look(
    model: Network,
    batches: Iterable[Batch],
    *,
    device: torch.device | str,
    taps: Sequence[str],
    autocast: Callable[[], AbstractContextManager[Any]] | None = None,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Look columns of every picture: catalog rows (N,) and {column: (N,) float32}, in the order of the
    batches.

    Columns, all for the LAST of ``taps`` unless a tap is named: ``energy_in_mask`` (class map of the true
    class), ``tap_energy_in_mask`` (tap map), with several taps also ``energy_in_mask_<tap>`` and
    ``tap_energy_in_mask_<tap>`` for each; ``energy_chance`` and ``energy_centre`` (uniform and centred
    Gaussian map). Batches without any mask are not computed: NaN.
    """
    if not taps:
        raise ConfigError("Measuring where the network looks needs at least one tap.")
    index: list[np.ndarray] = []
    parts: list[dict[str, np.ndarray]] = []
    for batch in batches:
        index.append(batch.index.cpu().numpy())
        if not batch.has_mask.any():
            parts.append({})
            continue
        prepared = batch.prepare(device, model.mean, model.std)
        masks = prepared.masks * prepared.has_mask.view(-1, 1, 1, 1)
        known = prepared.targets >= 0
        with autocast() if autocast else nullcontext():
            class_map, tap_map = class_maps(model, prepared.images, prepared.targets.clamp(min=0), taps)
        columns = {
            CHANCE: chance_energy(masks),
            CENTRE: energy_in_mask(_gaussians(masks), masks),
        }
        for tap in taps:
            energy = energy_in_mask(class_map[tap], masks)
            columns[f"{ENERGY}_{tap}"] = torch.where(known, energy, torch.nan)
            columns[f"{TAP_ENERGY}_{tap}"] = energy_in_mask(min_max(tap_map[tap]), masks)
        parts.append({name: values.float().cpu().numpy() for name, values in columns.items()})
    return np.concatenate(index) if index else np.zeros(0, dtype=np.int64), _assemble(parts, index, taps)


def _gaussians(masks: torch.Tensor) -> torch.Tensor:
    height, width = masks.shape[-2:]
    return centred_gaussian(height, width).to(masks).expand(len(masks), height, width)


def _assemble(
    parts: Sequence[Mapping[str, np.ndarray]], index: Sequence[np.ndarray], taps: Sequence[str]
) -> dict[str, np.ndarray]:
    last = taps[-1]
    sources = {ENERGY: f"{ENERGY}_{last}", TAP_ENERGY: f"{TAP_ENERGY}_{last}", CHANCE: CHANCE, CENTRE: CENTRE}
    if len(taps) > 1:
        sources |= {f"{kind}_{tap}": f"{kind}_{tap}" for tap in taps for kind in (ENERGY, TAP_ENERGY)}
    result = {}
    for column, source in sources.items():
        pieces = [
            part.get(source, np.full(len(rows), np.nan)) for part, rows in zip(parts, index, strict=True)
        ]
        result[column] = (
            np.concatenate(pieces).astype(np.float32) if pieces else np.zeros(0, dtype=np.float32)
        )
    return result
