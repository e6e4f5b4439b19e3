"""A loss that keeps the vectors of a class together."""

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives.classification import one_hot
from foveate.objectives.term import Context, Progress, TermConfig


class Centre(nn.Module):
    """Squared distance of a picture's vector to the centre of its class, mean over the batch (Wen et al., ECCV 2016).

    After each training step a centre moves by ``rate`` of the mean difference to the vectors of its class, and by no
    gradient. The centres begin at 0 and are part of the checkpoint. A mixed picture's
    centre is mixed of those of its classes.
    """

    class Config(TermConfig):
        kind: Literal["centre"] = "centre"
        rate: float = Field(default=0.05, ge=0, le=1)

    taps: tuple[str, ...] = ()
    centres: torch.Tensor

    def __init__(self, config: Config, context: Context) -> None:
        """Raises ConfigError: what the loss is on are no vectors."""
        super().__init__()
        vectors: dict[str, int] = getattr(context.network, "vectors", {})
        if config.on not in vectors:
            known = f"set 'on' to {', '.join(vectors)}" if vectors else "the network 'cal' has some"
            raise ConfigError(
                f"The loss 'centre' needs a branch of vectors, which '{config.on}' is not; {known}."
            )
        self.rate = config.rate
        self.register_buffer("centres", torch.zeros(len(context.classes), vectors[config.on]))

    def forward(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        """See the class; in eval mode nothing moves."""
        vectors = output.logits.float()  # (B, D)
        shares = one_hot(batch.targets, len(self.centres)).to(vectors)  # (B, C)
        loss = (vectors - shares @ self.centres).square().sum(dim=1).mean()
        if self.training:
            with torch.no_grad():
                weight = shares.sum(dim=0)[:, None]
                moved = shares.T @ vectors - weight * self.centres
                self.centres += self.rate * moved / weight.clamp(min=1)
        return loss
