"""Batch transforms: augmentations that need the whole batch, its masks, or the network.

A transform is called as ``(batch, model, rng) -> batch`` on a prepared batch; ``rng`` is keyed by seed and step.
"""

from collections.abc import Callable
from typing import Annotated, Any, Union

import numpy as np
from pydantic import Field
from torch import nn

from foveate.augmentation.backgrounds import BackgroundSwap
from foveate.data.batch import Batch

BatchTransform = Callable[[Batch, nn.Module, np.random.Generator], Batch]

# A new augmentation: one class in one file, one line here.
TRANSFORMS: dict[str, type[Any]] = {
    "background_swap": BackgroundSwap,
}

# With one entry in the table a union is that entry, which pydantic does not accept as discriminated.
_CONFIGS = tuple(transform.Config for transform in TRANSFORMS.values())
BatchTransformConfig = (
    Annotated[Union[_CONFIGS], Field(discriminator="transform")] if len(_CONFIGS) > 1 else _CONFIGS[0]  # noqa: UP007
)


def build_transforms(configs: tuple[Any, ...]) -> tuple[BatchTransform, ...]:
    """The transforms of an experiment, in order."""
    return tuple(TRANSFORMS[config.transform](config) for config in configs)


__all__ = ["TRANSFORMS", "BatchTransform", "BatchTransformConfig", "build_transforms"]
