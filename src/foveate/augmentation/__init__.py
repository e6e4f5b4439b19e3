"""Batch transforms: augmentations that need the whole batch, its masks, or the network.

A transform is built as ``(config, counts)``, counts: training pictures a class, and called as
``(batch, model, rng, progress) -> batch`` on a prepared batch, which is its own and may be changed in place; ``rng`` is
keyed by seed and step, ``progress`` says where training stands. The batch may come back with several linked views of
every picture (``Batch.views``; its class says ``makes_views = True``), or with changes of feature maps inside the
network (``Batch.edits``).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from foveate.augmentation.augmix import AugMix
from foveate.augmentation.background_swap import BackgroundSwap
from foveate.augmentation.co_mixup import CoMixup
from foveate.augmentation.combine import Combine
from foveate.augmentation.cow_mask import CowMix, CowOut
from foveate.augmentation.cutmix import CutMix, MinorityMix, ResizeMix, Ricap
from foveate.augmentation.distortions import Elastic, Perspective
from foveate.augmentation.erasing import Cutout, RandomErasing, SpecAugment
from foveate.augmentation.grids import GridMask, HideAndSeek, ShuffleTiles
from foveate.augmentation.guided_boxes import AttentiveCutMix, SaliencyMix, SnapMix
from foveate.augmentation.keep_augment import KeepAugment
from foveate.augmentation.mixing import Counts
from foveate.augmentation.mixup import ManifoldMixup, Mixup, Remix, SamplePairing, SmoothMix
from foveate.augmentation.parts import AttributeMix, PartSwap
from foveate.augmentation.pasting import ContextPaste, CutPaste
from foveate.augmentation.policies import AutoAugment, RandAugment, TrivialAugment
from foveate.augmentation.puzzle_mix import PuzzleMix
from foveate.augmentation.smote import Smote
from foveate.core.progress import Progress
from foveate.core.registry import Registry
from foveate.data.batch import Batch

BatchTransform = Callable[[Batch, nn.Module, np.random.Generator, Progress], Batch]

# A new augmentation: one class, and one line here.
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
