"""A contrastive loss: which of the other views in the batch shows the same picture."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives.term import Context, Progress, TermConfig


def require_pairs(batch: Batch, loss: str) -> None:
    """Views 2k and 2k + 1 must be of one picture.

    Raises:
        ConfigError: they are not; so the pictures come from no task that makes pairs.
    """
    if len(batch) % 2 or not bool((batch.index[0::2] == batch.index[1::2]).all()):
        raise ConfigError(
            f"The loss '{loss}' needs two views of each picture; use a pretext task that makes pairs."
        )


class NTXent:
    """Normalised temperature-scaled cross-entropy (SimCLR; Chen et al., ICML 2020).

    z = normalised logits (2N, D), views 2k and 2k + 1 of one picture; s = z zT / temperature
    loss = mean over i of -log( exp s[i, partner(i)] / sum over j != i of exp s[i, j] )
    """

    class Config(TermConfig):
        kind: Literal["nt_xent"] = "nt_xent"
        temperature: float = Field(default=0.2, gt=0)
        """Lower values look at the hardest pairs only; small batches want no very low one."""

    taps: tuple[str, ...] = ()

    def __init__(self, config: Config, context: Context) -> None:
        self.temperature = config.temperature

    def __call__(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        require_pairs(batch, "nt_xent")
        z = F.normalize(output.logits.float(), dim=1)
        similarity = z @ z.T / self.temperature  # (2N, 2N)
        similarity.fill_diagonal_(float("-inf"))
        partner = torch.arange(len(z), device=z.device) ^ 1
        return F.cross_entropy(similarity, partner)
