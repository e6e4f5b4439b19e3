"""Right for the right reasons: the prediction may not change with what lies outside the mask."""

from typing import Literal

import torch

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.explanation.maps import full
from foveate.models.output import Output
from foveate.objectives.classification import one_hot
from foveate.objectives.masks import MaskConfig, prepare_masks
from foveate.objectives.term import Progress, Term, nothing


class RightReasons(Term):
    """Gradient of the prediction with respect to the pixels outside the mask, mean over pictures.

    Source: Ross, Hughes and Doshi-Velez, Right for the Right Reasons, IJCAI 2017:

        Σ (A · d/dx Σ_k log p_k)²      A = 1 outside the mask

    over pixels and colours. With ``per_value`` it is divided by ΣA, here for each picture; the authors' code
    (``normalize``) does so for the batch as a whole. The weight is to bring the term to the order of the cross-entropy
    (the paper: 1000). On leaf pictures of 192 px the sum began at 0.6, the mean at 0.00002: it needs a weight of
    10 000 or more. Gradients are per unit of the normalised picture, and they are differentiated again, through the
    whole network: a step takes about four times as long.
    """

    class Config(MaskConfig):
        kind: Literal["right_reasons"] = "right_reasons"
        score: Literal["log_probabilities", "true_class"] = "log_probabilities"
        """What is differentiated: the sum of all classes' log-probabilities, or the true class's logit."""
        norm: Literal["squared", "share"] = "squared"
        """"squared": as in the paper; "share": the share of the absolute gradient that lies outside, in [0, 1], which a
        network cannot lower by being flatter everywhere."""
        per_value: bool = False
        """Divide the squares by the number of values outside the mask, three a pixel. Of no effect on "share"."""

    differentiates = True
    needs_input_gradient = True

    def __call__(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        """Raises ConfigError: the pictures have no graph to the logits."""
        masks = prepare_masks(batch.masks, self.config)
        chosen = batch.has_mask & (masks.sum(dim=(1, 2, 3)) > 0)
        if not bool(chosen.any()):
            return nothing(output)
        gradient = full(self._gradient(output, batch, chosen))[chosen]
        masks = masks[chosen].to(gradient.dtype)
        if self.config.norm == "share":
            size = gradient.abs().sum(dim=1, keepdim=True)
            total, inside = size.sum(dim=(1, 2, 3)), (size * masks).sum(dim=(1, 2, 3))
            some = total > 0
            return torch.where(some, 1 - inside / torch.where(some, total, 1.0), 0.0).mean()
        outside = 1 - masks
        values = (outside * gradient).square().sum(dim=(1, 2, 3))
        if self.config.per_value:
            # A mask that covers everything forbids nothing: 0 / 1.
            values = values / (gradient.shape[1] * outside.sum(dim=(1, 2, 3))).clamp(min=1)
        return values.mean()

    def _gradient(self, output: Output, batch: Batch, chosen: torch.Tensor) -> torch.Tensor:
        logits = full(output.logits)[chosen]
        if self.config.score == "log_probabilities":
            score = logits.log_softmax(dim=1).sum()
        else:
            score = (logits * one_hot(batch.targets[chosen], logits.shape[1]).to(logits)).sum()
        gradient = None
        if batch.images.requires_grad and score.requires_grad:
            (gradient,) = torch.autograd.grad(
                score, batch.images, create_graph=torch.is_grad_enabled(), allow_unused=True
            )
        if gradient is None:
            raise ConfigError(
                "right_reasons needs pictures that require a gradient and a network that was run on them (images "
                "(B, 3, H, W)); stored features have none."
            )
        return gradient
