"""Attention mining: what is left of a picture without the places of the class map may not show the class any more."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.explanation.maps import class_maps, full, min_max
from foveate.models.output import Output
from foveate.objectives.classification import one_hot
from foveate.objectives.term import Context, Progress, Term, TermConfig, nothing


class AttentionMining(Term):
    """Score of the true class on the picture with its class map erased, mean over pictures. Needs no masks.

    Source: Li et al., Tell Me Where to Look: Guided Attention Inference Network (GAIN), CVPR 2018:

        L_am = mean over pictures of s_y(I · (1 - T(A)))      T(A) = 1 / (1 + exp(-omega (A - sigma)))

    A: Grad-CAM of the true class, brought to the picture's size (bilinear) and stretched to [0, 1]. Both the map and
    the second pass through the network are differentiated, with the same weights. Erased pixels get the mean colour,
    which is 0 after normalisation. A picture whose map is constant has nothing to erase and takes no part.

    The map grows over the whole of what shows the class, which may be more than the object: it does not know where
    that ends. The paper's other term, external supervision L_e, is ``spatial_mse`` with aggregate "gradcam".
    """

    class Config(TermConfig):
        kind: Literal["attention_mining"] = "attention_mining"
        tap: str = "late"
        """Feature map at which the class map is computed."""
        sigma: float = 0.5
        """Height of the map, in [0, 1], from which places are erased."""
        omega: float = Field(default=10.0, gt=0)
        """Steepness of the step at ``sigma``."""
        score: Literal["probability", "logit"] = "probability"
        """What is lowered: the probability of the true class, or its logit (which has no lower end)."""

    differentiates = True
    asks_again = True

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self.taps = (config.tap,)

    def __call__(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        """Raises ConfigError: there is no network to ask again, or it does not depend on the tap."""
        if output.again is None:
            raise ConfigError(
                "attention_mining needs a network that it can ask again; stored features have none."
            )
        maps = class_maps(output, batch.targets, self.taps)[0]
        # Stretched after it is enlarged: otherwise no pixel of it would reach 1.
        maps = min_max(F.interpolate(maps[:, None], batch.images.shape[-2:], mode="bilinear")[:, 0])
        chosen = maps.detach().amax(dim=(1, 2)) > 0
        if not bool(chosen.any()):
            return nothing(output)
        erased = torch.sigmoid(self.config.omega * (maps - self.config.sigma))[:, None]
        # All pictures go in, so that BatchNorm sees the batch it saw in the first pass.
        logits = full(output.again(batch.images * (1 - erased)))
        scores = logits.softmax(dim=1) if self.config.score == "probability" else logits
        return (scores * one_hot(batch.targets, scores.shape[1]).to(scores)).sum(dim=1)[chosen].mean()
