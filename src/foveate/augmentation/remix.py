"""Remix: mixup whose label leans to the rarer class."""

from typing import Literal

import torch
from pydantic import Field

from foveate.augmentation.mixup import Mixup
from foveate.augmentation.pairs import Counts


class Remix(Mixup):
    """Pictures as in mixup; the label of a pair is the rare class's alone where the common one has far more pictures.

        n_own / n_partner >= kappa and lambda < tau          -> the partner's label
        n_own / n_partner <= 1 / kappa and 1 - lambda < tau  -> the own label
        otherwise                                            -> lambda own + (1 - lambda) partner's

    n: training pictures of the class. Source: Chou et al., Remix: Rebalanced Mixup, ECCV 2020 workshops.
    """

    class Config(Mixup.Config):
        kind: Literal["remix"] = "remix"  # type: ignore[assignment]
        kappa: float = Field(default=3.0, ge=1)
        """How many times more pictures the common class has, at least. Trap: below the data's own ratio nothing but
        mixup remains (foveate check tells the counts)."""
        tau: float = Field(default=0.5, ge=0, le=1)
        """Share of the picture below which the common class loses its share of the label."""

    def __init__(self, config: Config, counts: Counts) -> None:
        super().__init__(config, counts)
        self.kappa, self.tau = config.kappa, config.tau
        self.counts = torch.tensor(list(counts), dtype=torch.float32)

    def label_share(self, labels: torch.Tensor, partner: torch.Tensor, kept: float) -> torch.Tensor:
        counts = self.counts.to(labels.device)
        ratio = counts[labels] / counts[labels[partner]].clamp(min=1)
        share = super().label_share(labels, partner, kept)
        if kept < self.tau:
            share[ratio >= self.kappa] = 0.0
        if 1 - kept < self.tau:
            share[ratio <= 1 / self.kappa] = 1.0
        return share
