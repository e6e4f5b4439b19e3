"""Without its object a picture may not show the class any more: the background is made to say nothing."""

from typing import Literal

import torch

from foveate.augmentation.background_swap import without_object
from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.explanation.maps import full
from foveate.models.output import Output
from foveate.objectives.classification import one_hot
from foveate.objectives.masks import MaskConfig, prepare_masks
from foveate.objectives.term import Progress, Term, nothing


class Counterfactual(Term):
    """-log(1 - p_y) of the picture with its object painted out, mean over the pictures with a mask.

    Where labels are mixed: sum over the classes of their shares times -log(1 - p_c). A picture that its mask fills has
    nothing left and takes no part. The test "object removed" shows the very pictures that this term trains on, so it is
    no evidence for a network that was trained with it.

    Source: Chang, Adam and Goldenberg, Towards robust classification model by counterfactual and invariant data
    generation, CVPR 2021 (the counterfactual term; the hole is filled from its surroundings here).
    """

    class Config(MaskConfig):
        kind: Literal["counterfactual"] = "counterfactual"

    asks_again = True

    def __call__(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        """Raises ConfigError: there is no network to ask again."""
        if output.again is None:
            raise ConfigError(
                "counterfactual needs a network that it can ask again; stored features have none."
            )
        masks = prepare_masks(batch.masks, self.config)
        shown = masks.flatten(1).amax(dim=1) > 0
        left = masks.flatten(1).amin(dim=1) < 1
        chosen = batch.has_mask & shown & left
        if not bool(chosen.any()):
            return nothing(output)
        images = batch.images.clone()
        images[chosen] = without_object(batch.images[chosen], masks[chosen])
        # All pictures go in, so that BatchNorm sees as many as in the first pass.
        logits = full(output.again(images))[chosen]
        shares = one_hot(batch.targets, logits.shape[1]).to(logits)[chosen]
        row, label = shares.nonzero(as_tuple=True)
        # log(1 - p_c) from the other classes' logits: exact where p_c is nearly 1, and its gradient is there too.
        others = logits[row].scatter(1, label[:, None], -torch.inf).logsumexp(dim=1)
        losses = logits[row].logsumexp(dim=1) - others
        return (shares[row, label] * losses).sum() / len(logits)
