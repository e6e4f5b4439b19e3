"""Maps of where a network looks, differentiable: from a tap (B, K, h, w) to a map (B, h, w), and its scale."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.explanation.maps import FLAT, full, min_max, tap_gradients
from foveate.models.heads import LinearHead
from foveate.models.output import Output

# -- scales ------------------------------------------------------------------------------------------------------------


def z_score(maps: torch.Tensor) -> torch.Tensor:
    """Each map (B, h, w) shifted to mean 0, scaled to standard deviation 1; a constant one as in ``min_max``."""
    centred = maps - maps.mean(dim=(1, 2), keepdim=True)
    variance = centred.square().mean(dim=(1, 2), keepdim=True)
    varies = variance > (FLAT * maps.abs().amax(dim=(1, 2), keepdim=True)) ** 2
    # Trap: the root's gradient at zero is infinite, so the constant maps leave before it.
    return torch.where(varies, centred / torch.where(varies, variance, 1.0).sqrt(), 0.0)


SCALES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "minmax": min_max,
    "zscore": z_score,
    "sigmoid": torch.sigmoid,
    "none": lambda maps: maps,
}


# -- maps from channels ------------------------------------------------------------------------------------------------


def aggregate(tap: torch.Tensor, how: str) -> torch.Tensor:
    """(B, K, h, w) -> (B, h, w): "mean" or "max" over channels."""
    return full(tap).mean(dim=1) if how == "mean" else full(tap).amax(dim=1)


# -- maps of the true class --------------------------------------------------------------------------------------------


class ClassActivation:
    """CAM of the true class: M = sum_k W[y, k] A^k, (B, h, w), signed; differentiable.

    Source: Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016. It exists only where logits
    are W · mean over places of A + b, which is checked: the gradient dS_y / dA^k is then W[y, k] / (h w) everywhere,
    and the weights are taken from it. So they belong to the network that made the output (a copy, a moving average),
    and in training they carry the head's dropout, as the prediction did.
    """

    def __init__(self, head: nn.Module | None) -> None:
        """Raises ConfigError: the head is not one linear layer."""
        if not isinstance(head, LinearHead):
            raise ConfigError("aggregate 'cam' needs a head of one linear layer; take aggregate 'gradcam'.")
        self.head = head
        self.checked = False

    def __call__(self, output: Output, batch: Batch, taps: Sequence[str]) -> list[torch.Tensor]:
        """One map for each tap.

        Raises:
            ConfigError: the tap is not what the head's features are the mean of.
        """
        gradients = tap_gradients(output, batch.targets, taps)
        if not self.checked:
            for tap, gradient in zip(taps, gradients, strict=True):
                if not self._fits(gradient.detach(), batch):
                    raise ConfigError(
                        f"aggregate 'cam': the logits are not a linear layer on the mean of tap '{tap}'; tap the last "
                        "feature map (stage:-1; with model.features=pooled where layers follow the mean), or take "
                        "aggregate 'gradcam'."
                    )
            self.checked = True
        return [
            (gradient.sum(dim=(2, 3), keepdim=True) * full(output.taps[tap])).sum(dim=1)
            for tap, gradient in zip(taps, gradients, strict=True)
        ]

    def _fits(self, gradient: torch.Tensor, batch: Batch) -> bool:
        weight = self.head.classifier.weight.detach()
        if gradient.shape[1] != weight.shape[1]:
            return False
        own = batch.targets @ weight if batch.targets.is_floating_point() else weight[batch.targets]
        expected = own.to(gradient)[:, :, None, None] / (gradient.shape[2] * gradient.shape[3])
        tolerance = 0.02 * expected.abs().amax()  # half precision
        kept = 1 / (1 - self.head.dropout.p)
        # In training a dropped feature has gradient 0 and the others are larger.
        error = torch.minimum((gradient - expected).abs(), (gradient - kept * expected).abs())
        return bool((torch.minimum(error, gradient.abs()) <= tolerance).all())
