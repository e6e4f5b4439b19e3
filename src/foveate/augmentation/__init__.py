"""Batch transforms: augmentations that need the whole batch, its masks, or the network.

A transform is built as ``(config, counts)``, counts: training pictures a class, and called as
``(batch, model, rng, progress) -> batch`` on a prepared batch, which is its own and may be changed in place; ``rng`` is
keyed by seed and step, ``progress`` says where training stands. The batch may come back with several linked views of
every picture (``Batch.views``), or with changes of feature maps inside the network (``Batch.edits``).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from foveate.augmentation.attentive_cutmix import AttentiveCutMix
from foveate.augmentation.attribute_mix import AttributeMix
from foveate.augmentation.augmix import AugMix
from foveate.augmentation.autoaugment import AutoAugment
from foveate.augmentation.background_swap import BackgroundSwap
from foveate.augmentation.co_mixup import CoMixup
from foveate.augmentation.combine import Combine
from foveate.augmentation.context_paste import ContextPaste
from foveate.augmentation.cow_mask import CowMix, CowOut
from foveate.augmentation.cut_paste import CutPaste
from foveate.augmentation.cutmix import CutMix
from foveate.augmentation.cutout import Cutout
from foveate.augmentation.elastic import Elastic
from foveate.augmentation.grid_mask import GridMask
from foveate.augmentation.hide_and_seek import HideAndSeek
from foveate.augmentation.keep_augment import KeepAugment
from foveate.augmentation.manifold_mixup import ManifoldMixup
from foveate.augmentation.minority_mix import MinorityMix
from foveate.augmentation.mixup import Mixup
from foveate.augmentation.pairs import Counts
from foveate.augmentation.part_swap import PartSwap
from foveate.augmentation.perspective import Perspective
from foveate.augmentation.puzzle_mix import PuzzleMix
from foveate.augmentation.randaugment import RandAugment
from foveate.augmentation.random_erasing import RandomErasing
from foveate.augmentation.remix import Remix
from foveate.augmentation.resizemix import ResizeMix
from foveate.augmentation.ricap import Ricap
from foveate.augmentation.saliencymix import SaliencyMix
from foveate.augmentation.sample_pairing import SamplePairing
from foveate.augmentation.shuffle_tiles import ShuffleTiles
from foveate.augmentation.smoothmix import SmoothMix
from foveate.augmentation.smote import Smote
from foveate.augmentation.snapmix import SnapMix
from foveate.augmentation.spec_augment import SpecAugment
from foveate.augmentation.trivialaugment import TrivialAugment
from foveate.core.progress import Progress
from foveate.core.registry import Registry
from foveate.data.batch import Batch

BatchTransform = Callable[[Batch, nn.Module, np.random.Generator, Progress], Batch]

# A new augmentation: one class in one file, one line here.
TRANSFORMS = Registry(
    "batch transform",
    AttentiveCutMix,
    AttributeMix,
    AugMix,
    AutoAugment,
    BackgroundSwap,
    CoMixup,
    Combine,
    ContextPaste,
    CowMix,
    CowOut,
    CutMix,
    CutPaste,
    Cutout,
    Elastic,
    GridMask,
    HideAndSeek,
    KeepAugment,
    ManifoldMixup,
    MinorityMix,
    Mixup,
    PartSwap,
    Perspective,
    PuzzleMix,
    RandAugment,
    RandomErasing,
    Remix,
    ResizeMix,
    Ricap,
    SaliencyMix,
    SamplePairing,
    ShuffleTiles,
    SmoothMix,
    Smote,
    SnapMix,
    SpecAugment,
    TrivialAugment,
    formerly="transform",
)

if TYPE_CHECKING:
    BatchTransformConfig = Any
else:
    BatchTransformConfig = TRANSFORMS.settings
    Combine.Config.model_rebuild(_types_namespace={"AnyTransform": BatchTransformConfig})


def build_transforms(configs: tuple[Any, ...], counts: Counts) -> tuple[BatchTransform, ...]:
    """The transforms of an experiment, in order; counts: (C,) training pictures a class."""
    return tuple(TRANSFORMS.build(config, counts) for config in configs)


__all__ = ["TRANSFORMS", "BatchTransform", "BatchTransformConfig", "build_transforms"]
