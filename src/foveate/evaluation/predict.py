"""From batches to predictions: the one forward loop that evaluation, prediction and reports use."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from foveate.data.batch import Batch
from foveate.evaluation.tta import views
from foveate.models.modes import evaluating
from foveate.models.output import Output


class Network(Protocol):
    """What evaluation needs of a classifier (any ``foveate.models`` network is one)."""

    mean: torch.Tensor
    std: torch.Tensor
    training: bool

    def __call__(self, images: torch.Tensor, taps: Sequence[str] = ()) -> Output:
        """Forward (B, 3, H, W) normalised images."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Switch between training and evaluation mode."""
        ...

    def eval(self) -> Any:
        """Switch to evaluation mode."""
        ...


@dataclass(frozen=True)
class Predictions:
    """What the network says about N pictures, in the order of the batches."""

    index: np.ndarray
    """(N,) int64, row in the Catalog."""
    log_probabilities: np.ndarray
    """(N, C) float64; with test-time augmentation the logarithm of the mean probability."""


def predict_batches(
    model: Network,
    batches: Iterable[Batch],
    *,
    device: torch.device | str,
    tta: Any = "none",
    size: int | None = None,
    resample: str = "bilinear",
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Predictions:
    """Predict every picture of ``batches`` once.

    Args:
        model: gives ``Output`` with logits (B, C); already on ``device``.
        batches: uint8 batches as a loader yields them.
        device: where to compute.
        tta: as ``foveate.evaluation.tta.parse_tta`` takes it; the views' probabilities are averaged.
        size: side in px that the network sees, where ``batches`` have another (the side that ``tta`` asks for).
        resample: how they are then resized, bilinear or bicubic.
        memory_format: as in training.

    Raises:
        ConfigError: no such test-time augmentation.
    """
    index: list[np.ndarray] = []
    logs: list[np.ndarray] = []
    # Not inference_mode: what a network caches in it could not be used in a backward pass afterwards.
    with evaluating(model), torch.no_grad():
        for batch in batches:
            images = batch.prepare(device, model.mean, model.std, memory_format).images
            # Moved before it is widened: not every device has float64.
            found = [
                model(view).logits.float().cpu().double().log_softmax(1)
                for view in views(tta, images, size, resample)
            ]
            stacked = torch.stack(found)
            # log(mean(exp)) without leaving the log domain, so that tiny probabilities survive.
            logs.append((stacked.logsumexp(0) - np.log(len(found))).numpy())
            index.append(batch.index.cpu().numpy())
    return Predictions(
        index=np.concatenate(index) if index else np.zeros(0, dtype=np.int64),
        log_probabilities=np.concatenate(logs) if logs else np.zeros((0, 0)),
    )
