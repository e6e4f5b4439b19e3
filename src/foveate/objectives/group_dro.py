"""Group DRO: the loss of the pictures that are worst served counts most."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives.term import Context, ModuleTerm, Progress, TermConfig


class GroupDRO(ModuleTerm):
    """Cross-entropy in which each class with each value of an attribute has a weight that grows with its own loss.

        q_g <- q_g exp(step (L_g + adjustment / sqrt(n_g))), divided by the sum;  loss = sum_g q_g L_g

    L_g: mean cross-entropy of the batch's pictures of subgroup g, 0 where it has none; n_g: training pictures of it.
    The weights q begin equal and are part of the checkpoint. In evaluation: the mean over all pictures. The authors
    also draw all subgroups equally often, as the feedback ``class_sampling`` with ``by`` and ``power: 0`` does.

    Source: Sagawa et al., Distributionally robust neural networks for group shifts, ICLR 2020, algorithm 1 as in their
    code (kohpangwei/group_DRO).
    """

    class Config(TermConfig):
        kind: Literal["group_dro"] = "group_dro"
        attribute: str
        """An attribute of the pictures (``data.layout.attributes``); unknown values are one value."""
        step: float = Field(default=0.01, gt=0, le=10)
        """How fast the weights move."""
        adjustment: float = Field(default=0.0, ge=0, le=100)
        """C of the paper: small subgroups, whose training loss says less, count as worse than they are."""

        def consumes(self) -> tuple[str, ...]:
            return ("attribute labels",)

    weights: torch.Tensor
    counts: torch.Tensor
    subgroup: torch.Tensor

    def __init__(self, config: Config, context: Context) -> None:
        """Raises ConfigError: the pictures do not have the attribute."""
        super().__init__(config, context)
        catalog = context.catalog
        if catalog is None or config.attribute not in catalog.attributes:
            known = ", ".join(catalog.attributes if catalog else ()) or "none"
            raise ConfigError(
                f"The loss 'group_dro' is asked for by the attribute '{config.attribute}', but the pictures have "
                f"{known}; name it in data.layout.attributes (--attribute)."
            )
        rows = catalog.indices("train")
        _, places, counts = np.unique(
            catalog.subgroups(config.attribute)[rows], return_inverse=True, return_counts=True
        )
        subgroup = torch.full((len(catalog),), -1)
        subgroup[rows] = torch.from_numpy(places)
        self.register_buffer("weights", torch.full((len(counts),), 1 / len(counts)))
        self.register_buffer("counts", torch.from_numpy(counts).float(), persistent=False)
        self.register_buffer("subgroup", subgroup, persistent=False)

    def forward(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        """See the class.

        Raises:
            ConfigError: a batch transform has mixed pictures of several subgroups.
        """
        losses = F.cross_entropy(output.logits.float(), batch.targets, reduction="none")
        if not self.training:
            return losses.mean()
        if batch.targets.is_floating_point():
            raise ConfigError(
                "The loss 'group_dro' cannot say to which subgroup a mixed picture belongs; leave the transform out."
            )
        member = F.one_hot(self.subgroup[batch.index.to(losses.device)], len(self.weights)).to(losses)
        sums = losses @ member  # (G,)
        pictures = torch.full_like(sums, len(losses))
        seen = self.total(torch.stack([sums.detach(), member.sum(dim=0), pictures]))
        count, share = seen[1].clamp(min=1), pictures / seen[2]
        worse = seen[0] / count + self.config.adjustment / self.counts.sqrt()
        weights = self.weights * (self.config.step * worse).exp()
        weights = weights / weights.sum()
        self.weights.copy_(weights)
        # A process's loss will weigh as many pictures as it has; here the subgroups' means are over all pictures.
        return (weights * (sums / count / share)).sum()
