"""Linked views of one picture should be answered alike."""

from typing import Literal

import torch

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives.term import Context, Progress, TermConfig, nothing


class JensenShannon:
    """All views of a picture should be answered alike: the Jensen-Shannon divergence of their probabilities.

    JS(p_1 .. p_V) = (1/V) sum_v KL(p_v || m), m the mean of the V views' probabilities; mean over pictures.

    m is clamped to [1e-7, 1]. Where a batch holds one view of each picture (validation) the loss is 0.

    Source: Hendrycks et al., AugMix, ICLR 2020, equation 2; it weighs 12 there, beside the plain view's cross-entropy.
    """

    class Config(TermConfig):
        kind: Literal["jensen_shannon"] = "jensen_shannon"

    taps: tuple[str, ...] = ()

    def __init__(self, config: Config, context: Context) -> None:
        if config.on:
            raise ConfigError(
                "jensen_shannon compares all views of a picture; it cannot be 'on' some of them."
            )

    def __call__(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        if batch.views == 1:
            return nothing(output)
        log_p = output.logits.float().log_softmax(dim=1).unflatten(0, (-1, batch.views))  # (B, V, C)
        mean = log_p.exp().mean(dim=1, keepdim=True).clamp(1e-7, 1).log()
        return (log_p.exp() * (log_p - mean)).sum(dim=2).mean()
