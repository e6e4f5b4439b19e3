"""Feature maps of a run's network before training, on the way and after it, of a few pictures with their masks.

They are kept in the run folder as ``feature_maps.npz``, for the report to draw. What lies on the way are the networks
that ``training.keep_every`` left.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch

from foveate.core.errors import RunError
from foveate.data.batch import Batch
from foveate.evaluation.gallery import FIXED, read_arrays, write_arrays
from foveate.experiment.run_folder import RunFolder
from foveate.experiment.subjects import measured, subject_of_run
from foveate.explanation.maps import min_max
from foveate.models.build import build_network
from foveate.models.modes import evaluating
from foveate.models.networks import Network
from foveate.models.store import load_model
from foveate.training.loop import EPOCHS

FILE = "feature_maps.npz"
TAPS = ("early", "middle", "late")
BEFORE, AFTER = "before", "after"
COUNT = 4
"""Pictures."""
ON_THE_WAY = 6
"""Kept epochs that are shown, at most, spread evenly."""


@dataclass(frozen=True)
class FeatureStages:
    """n pictures."""

    index: np.ndarray
    """(n,) int64, row in the Catalog."""
    image: np.ndarray
    """(n, H, W, 3) uint8."""
    mask: np.ndarray
    """(n, H, W) uint8, 255 = object; zero where there is no mask."""
    maps: dict[str, dict[str, np.ndarray]]
    """{tap: {stage: (n, h, w) float16 in [0, 1]}}: mean over the channels, each map stretched."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            RunError: the file is damaged or lacks an array.
        """
        arrays = read_arrays(path, FIXED)
        fixed = {name: arrays.pop(name) for name in FIXED}
        maps: dict[str, dict[str, np.ndarray]] = {}
        for name, values in arrays.items():
            tap, _, stage = name.partition("|")
            maps.setdefault(tap, {})[stage] = values
        return cls(**fixed, maps=maps)

    def save(self, path: Path) -> None:
        """Write one compressed ``.npz`` without pickled objects."""
        flat = {f"{tap}|{stage}": v for tap, stages in self.maps.items() for stage, v in stages.items()}
        write_arrays(path, {"index": self.index, "image": self.image, "mask": self.mask, **flat})


def feature_stages(run: RunFolder, device: str = "auto") -> FeatureStages:
    """Compute them, of the first pictures that ``maps.npz`` holds.

    Raises:
        RunError: nothing is known of the network before training, or of pictures to show.
        WeightsError: the weights that training began with are not where they were.
    """
    if run.experiment.task is not None or run.experiment.start is not None:
        raise RunError(
            f"{run.folder} is a pretext run or began with one; its network before training is not kept."
        )
    if run.maps is None:
        raise RunError(
            f"{run.folder} has no maps.npz, which says what pictures to show; evaluate the run again."
        )
    rows = run.maps.index[:COUNT]
    subject = subject_of_run(run, measured(run.catalog, run.experiment), device)
    batches = list(subject.batches(rows, "feature maps"))
    maps: dict[str, dict[str, np.ndarray]] = {tap: {} for tap in TAPS}
    for stage, network in _networks(run):
        network.to(subject.device)
        found = [_mean_maps(network, batch, subject.device) for batch in batches]
        for tap in TAPS:
            maps[tap][stage] = np.concatenate([of_batch[tap] for of_batch in found])
    masks = [batch.masks[:, 0] * batch.has_mask.view(-1, 1, 1) for batch in batches]
    images = [batch.images.permute(0, 2, 3, 1) for batch in batches]
    return FeatureStages(rows, torch.cat(images).numpy(), torch.cat(masks).numpy(), maps)


def _networks(run: RunFolder) -> Iterator[tuple[str, Network]]:
    e = run.experiment
    yield BEFORE, build_network(
        e.model, len(run.catalog.classes), e.data.size, e.seed, run.catalog.class_ids
    ).eval()  # fmt: skip
    kept = sorted(folder for folder in (run.folder / EPOCHS).glob("*") if folder.is_dir())
    spread = np.unique(np.linspace(0, len(kept) - 1, min(len(kept), ON_THE_WAY)).round().astype(int))
    for k in spread.tolist() if kept else ():
        yield f"epoch {int(kept[k].name)}", load_model(kept[k]).eval()
    yield AFTER, run.model


def _mean_maps(network: Network, batch: Batch, device: torch.device) -> dict[str, np.ndarray]:
    """{tap: (B, h, w)}."""
    images = batch.prepare(device, network.mean, network.std).images
    with evaluating(network), torch.no_grad():
        taps = network(images, taps=TAPS).taps
    return {tap: min_max(taps[tap].float().mean(1)).cpu().numpy().astype(np.float16) for tap in TAPS}
