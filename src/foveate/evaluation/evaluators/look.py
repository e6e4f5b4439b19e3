"""Does the network look at the object: the share of a map's energy inside the mask, beside its chance level.

Two maps are measured at a tap: the class map, Grad-CAM for the true class, and the tap map, the mean over the channels
scaled to [0, 1], as the spatial loss of the Learn 2 Look report trains it (its sign is arbitrary). A map is upsampled
bilinearly to the size of the mask, so a coarse one bleeds over the edge of a small object and stays below 1. Chance is
the mask's share of the picture; a centred Gaussian is the control for objects that sit in the middle anyway. Without a
mask, or with a map that is constant: NaN.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from foveate.core import config
from foveate.data.batch import Batch
from foveate.evaluation.evaluators.evaluator import Evaluator
from foveate.evaluation.gallery import choose_rows, compute_maps
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.subject import judged_split
from foveate.explanation.controls import centred_gaussian
from foveate.explanation.localisation import chance_energy, energy_in_mask
from foveate.explanation.maps import class_and_tap_map, min_max

ENERGY = "energy_in_mask"
TAP_ENERGY = "tap_energy_in_mask"
CHANCE = "energy_chance"
CENTRE = "energy_centre"
COLUMNS = (ENERGY, TAP_ENERGY, CHANCE, CENTRE)


class Look(Evaluator):
    """Whether class maps and feature maps lie on the object, and a few pictures with these maps."""

    class Config(config.Config):
        kind: Literal["look"] = "look"
        tap: str = "late"
        """Feature map at which it is measured."""

    def wants(self, rows: np.ndarray) -> bool:
        return any(self.subject.catalog.samples[row].mask for row in rows)

    def values(self, batch: Batch) -> dict[str, np.ndarray]:
        return energies(self.subject.model, batch, self.config.tap, self.subject.device)

    def run(self, table: PredictionTable, folder: Path | None) -> Iterator[tuple[str, Any]]:
        """No value. The gallery's pictures, half of them wrong, are known only now and are read again."""
        subject, split = self.subject, judged_split(self.subject.catalog)
        if folder is not None and len(subject.catalog.indices(split)):
            rows = choose_rows(table, subject.catalog, split=split)
            batches = map(subject.shown, subject.batches(rows, "maps to look at"))
            maps = compute_maps(subject.model, batches, device=subject.device, tap=self.config.tap)
            maps.save(folder / "maps.npz")
        return iter(())


def energies(model: Any, batch: Batch, tap: str, device: torch.device | str) -> dict[str, np.ndarray]:
    """{column: (B,) float32} of a batch of bytes; NaN: not measurable. Without any mask nothing is computed."""
    if not batch.has_mask.any():
        return dict.fromkeys(COLUMNS, np.full(len(batch), np.nan, dtype=np.float32))
    prepared = batch.prepare(device, model.mean, model.std)
    masks = prepared.masks * prepared.has_mask.view(-1, 1, 1, 1)
    class_map, tap_map = class_and_tap_map(model, prepared.images, prepared.targets.clamp(min=0), tap)
    gaussian = centred_gaussian(*masks.shape[-2:]).to(masks).expand(len(masks), *masks.shape[-2:])
    found = {
        ENERGY: torch.where(prepared.targets >= 0, energy_in_mask(class_map, masks), torch.nan),
        TAP_ENERGY: energy_in_mask(min_max(tap_map), masks),
        CHANCE: chance_energy(masks),
        CENTRE: energy_in_mask(gaussian, masks),
    }
    return {name: values.float().cpu().numpy() for name, values in found.items()}
