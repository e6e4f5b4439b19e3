"""Spatial losses: they compare where a network looks with a mask.

Every one of them makes a map of one or several taps, brings map and mask to the same scale and size, and says for each
picture how far they are apart. Pictures without a mask, or with a mask in which nothing is left, take no part.

Shapes: a tap is (B, K, h, w), a map (B, h, w), a mask (B, 1, H, W) with 1 = object.
"""

from typing import ClassVar, Literal

import torch
from pydantic import field_validator, model_validator
from torch import nn

from foveate.core.errors import ConfigError
from foveate.core.rng import torch_seeded
from foveate.data.batch import Batch
from foveate.explanation.maps import class_maps, full
from foveate.models.output import Output
from foveate.objectives.maps import SCALES, ClassActivation, aggregate
from foveate.objectives.masks import MaskConfig, Resize, prepare_masks, resize_masks
from foveate.objectives.term import Context, ModuleTerm, Progress, nothing

EPSILON = 1e-6
MARGIN = 1e-3
"""How far a map is kept from 0 and 1 where a logarithm is taken: min-max pins one place at each, whatever the network
is sure of, and without a margin that place alone would decide."""


class SpatialConfig(MaskConfig):
    """Settings that all spatial losses share."""

    scales: ClassVar[tuple[str, ...]] = tuple(SCALES)
    """Values of ``normalise`` that the loss can work with, and why in words."""
    why: ClassVar[str] = ""

    tap: str | tuple[str, ...] = "late"
    """Feature map: a module name, "stage:K", or early / middle / late. Several: the mean of their losses."""
    aggregate: Literal["mean", "max", "projection", "gradcam", "signed_gradcam", "cam"] = "mean"
    """How a tap becomes one map: mean or maximum over channels; a 1x1 convolution that is learned with the network
    (with its bias); Grad-CAM of the true class; the same before its ReLU; CAM of the true class (a linear head on the
    mean of this tap)."""
    normalise: Literal["minmax", "zscore", "sigmoid", "none"] = "minmax"
    """Each map's scale: stretched to [0, 1]; mean 0 and variance 1, for map and mask alike; the logistic function, for
    a projection that is to mean a probability; as it is."""
    resize: Resize = "area"
    """How the mask comes to the map's size."""

    @field_validator("tap")
    @classmethod
    def _some(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not value:
            raise ValueError("name at least one tap")
        return value

    @model_validator(mode="after")
    def _scale_fits(self) -> "SpatialConfig":
        if self.normalise not in self.scales:
            raise ValueError(
                f"normalise '{self.normalise}' does not fit: {self.why}; choose of {self.scales}"
            )
        return self


class SpatialTerm(ModuleTerm):
    """Base of the spatial losses; a loss adds its ``Config`` and ``compare``."""

    def __init__(self, config: SpatialConfig, context: Context) -> None:
        """Raises ConfigError: a projection or CAM that this network cannot have."""
        super().__init__(config, context)
        taps = (config.tap,) if isinstance(config.tap, str) else config.tap
        self.taps = tuple(dict.fromkeys(taps))
        self.differentiates = config.aggregate in ("gradcam", "signed_gradcam", "cam")
        self.cam = ClassActivation(context.head) if config.aggregate == "cam" else None
        self.projections = nn.ModuleList(
            [_projection(tap, context) for tap in self.taps] if config.aggregate == "projection" else []
        )

    def forward(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        """Scalar: mean over the pictures that take part, then over taps."""
        if not bool(batch.has_mask.any()):
            return nothing(output)
        masks = prepare_masks(batch.masks, self.config)
        return torch.stack([self._at(maps, masks, batch, output) for maps in self.maps(output, batch)]).mean()

    def maps(self, output: Output, batch: Batch) -> list[torch.Tensor]:
        """The (B, h, w) map of each tap, before it is scaled."""
        how = self.config.aggregate
        if how in ("gradcam", "signed_gradcam"):
            return class_maps(output, batch.targets, self.taps, signed=how == "signed_gradcam")
        if self.cam is not None:
            return self.cam(output, batch, self.taps)
        if how == "projection":
            pairs = zip(self.taps, self.projections, strict=True)
            return [full(projection(full(output.taps[tap])))[:, 0] for tap, projection in pairs]
        return [aggregate(output.taps[tap], how) for tap in self.taps]

    def compare(self, maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """(b, h, w) scaled maps and (b, h, w) masks with something in each -> (b,)."""
        raise NotImplementedError

    def _at(self, maps: torch.Tensor, masks: torch.Tensor, batch: Batch, output: Output) -> torch.Tensor:
        small = resize_masks(masks, (maps.shape[1], maps.shape[2]), self.config.resize).to(maps.dtype)
        chosen = batch.has_mask & (small.sum(dim=(1, 2)) > 0)
        if not bool(chosen.any()):
            return nothing(output)
        scale, small = SCALES[self.config.normalise], small[chosen]
        if self.config.normalise == "zscore":
            small = scale(small)
        return self.compare(scale(maps[chosen]), small).mean()


def _projection(tap: str, context: Context) -> nn.Conv2d:
    if context.tap_channels is None:
        raise ConfigError(f"aggregate 'projection' at tap '{tap}' needs a network with feature maps.")
    channels = context.tap_channels(tap)
    with torch_seeded(context.seed, "projection", tap):
        return nn.Conv2d(channels, 1, kernel_size=1)


_UNIT = ("minmax", "sigmoid")


class SpatialMSE(SpatialTerm):
    """Mean squared difference between map and mask.

    Source: Learn 2 Look (spatial loss on feature maps): aggregate the tap over channels, min-max each map to [0, 1],
    bring the mask to the map's size, mean over places and pictures. With aggregate "gradcam" it is the external
    supervision of GAIN_ext, L_e (Li et al., Tell Me Where to Look, CVPR 2018, equation 7).
    """

    class Config(SpatialConfig):
        kind: Literal["spatial_mse"] = "spatial_mse"

    def compare(self, maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        return (maps - masks).square().mean(dim=(1, 2))


class SpatialL1(SpatialTerm):
    """Mean absolute difference between map and mask: places that are far off pull no harder than the others.

    Source: one of the localisation losses compared by Rao et al., Studying How to Efficiently and Effectively Guide
    Models with Explanations, ICCV 2023.
    """

    class Config(SpatialConfig):
        kind: Literal["spatial_l1"] = "spatial_l1"

    def compare(self, maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        return (maps - masks).abs().mean(dim=(1, 2))


class SpatialBCE(SpatialTerm):
    """Binary cross-entropy of every place, -s log m - (1 - s) log(1 - m), mean over places.

    Source: the pixel-wise cross-entropy of segmentation (Long et al., Fully Convolutional Networks, CVPR 2015; here one
    class), also compared by Rao et al., ICCV 2023. The map is first drawn in to [MARGIN, 1 - MARGIN].
    """

    class Config(SpatialConfig):
        scales = _UNIT
        why = "binary cross-entropy needs maps in [0, 1]"
        kind: Literal["spatial_bce"] = "spatial_bce"

    def compare(self, maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        maps = MARGIN + (1 - 2 * MARGIN) * maps
        return -(masks * maps.log() + (1 - masks) * (1 - maps).log()).mean(dim=(1, 2))


class SpatialDice(SpatialTerm):
    """1 - Dice, Dice = 2 Σ m s / (Σ m² + Σ s²).

    Source: Milletari et al., V-Net, 3DV 2016. With the squares the minimum is at m = s for cells that are partly object
    too; with plain sums it is not.
    """

    class Config(SpatialConfig):
        scales = _UNIT
        why = "Dice needs maps in [0, 1]"
        kind: Literal["spatial_dice"] = "spatial_dice"

    def compare(self, maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        both, either = _overlap(maps, masks)
        return 1 - 2 * both / either


class SpatialIoU(SpatialTerm):
    """1 - soft IoU, IoU = Σ m s / (Σ m² + Σ s² - Σ m s).

    Source: Rahman and Wang, Optimizing Intersection-Over-Union in Deep Neural Networks, ISVC 2016, with squares in the
    union as in the Tanimoto loss (Diakogiannis et al., ResUNet-a, 2020): the same for binary masks, and the minimum
    is at m = s for cells that are partly object.
    """

    class Config(SpatialConfig):
        scales = _UNIT
        why = "IoU needs maps in [0, 1]"
        kind: Literal["spatial_iou"] = "spatial_iou"

    def compare(self, maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        both, either = _overlap(maps, masks)
        return 1 - both / (either - both)


class SpatialKL(SpatialTerm):
    """Kullback-Leibler divergence Σ p log(p / q) of the map q from the mask p, each a distribution over places.

    Source: the KL score of saliency models (Bylinskii et al., What do different evaluation metrics tell us about
    saliency models?, TPAMI 2019). It asks for evidence on the whole object, evenly; scale does not matter. Negative
    values of the map count as zero; q is mixed with a share MARGIN of the even distribution, so that it is finite, and
    a map without anything is even.
    """

    class Config(SpatialConfig):
        scales = ("minmax", "sigmoid", "none")
        why = "a distribution has no negative values"
        kind: Literal["spatial_kl"] = "spatial_kl"

    def compare(self, maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        maps, cells = maps.clamp(min=0), maps[0].numel()
        total = maps.sum(dim=(1, 2), keepdim=True)
        some = total > EPSILON
        shares = torch.where(some, maps / torch.where(some, total, 1.0), 1 / cells)
        shares = (1 - MARGIN) * shares + MARGIN / cells
        wanted = masks / masks.sum(dim=(1, 2), keepdim=True)
        return (torch.xlogy(wanted, wanted) - wanted * shares.log()).sum(dim=(1, 2))


class SpatialEnergy(SpatialTerm):
    """Share of the map's energy that falls outside the mask, 1 - Σ m s / Σ m; of Grad-CAM unless told otherwise.

    Source: the energy loss of Rao et al., ICCV 2023, on the energy-based pointing game of Wang et al., Score-CAM, 2020:
    the scale-free form of "right for the right reasons" on a map. It says only where evidence may come from, not that
    the whole object must light up. Negative values of the map count as zero.

    Trap: a rectified map of which nothing is left costs nothing, and a network finds that: with Grad-CAM at weight 1
    half to three quarters of the demo's maps end up empty. In the signed map with ``normalise: minmax``, as in the
    guide ``class-map``, there is always something to move.
    """

    class Config(SpatialConfig):
        scales = ("minmax", "sigmoid", "none")
        why = "energy has no negative values"
        kind: Literal["spatial_energy"] = "spatial_energy"
        aggregate: Literal["mean", "max", "projection", "gradcam", "signed_gradcam", "cam"] = "gradcam"
        """As in the other spatial losses."""
        normalise: Literal["minmax", "zscore", "sigmoid", "none"] = "none"
        """As in the other spatial losses. A map that can be negative everywhere (a linear tap) needs minmax."""

    def compare(self, maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        maps = maps.clamp(min=0)
        total = maps.sum(dim=(1, 2))
        inside = (maps * masks).sum(dim=(1, 2))
        # A map that is zero everywhere has no evidence to move; it counts as neither inside nor outside.
        return torch.where(total > EPSILON, 1 - inside / total.clamp(min=EPSILON), torch.zeros_like(total))


def _overlap(maps: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(Σ m s, Σ m² + Σ s²), each (b,); the second is never zero, for a mask has something in it."""
    return (maps * masks).sum(dim=(1, 2)), (maps.square() + masks.square()).sum(dim=(1, 2))
