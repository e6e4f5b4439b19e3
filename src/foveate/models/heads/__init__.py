"""Heads: what turns the backbone's features (B, F) into logits (B, C)."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from foveate.core.registry import Registry, by_kind
from foveate.core.rng import torch_seeded
from foveate.models.heads.cosine import CosineHead
from foveate.models.heads.head import DeepHead, Head, HeadConfig, LinearHead
from foveate.models.heads.mlp import MlpHead

# A new head: one class in one file, one line here.
HEADS = Registry("head", LinearHead, DeepHead, MlpHead, CosineHead, formerly="name")

if TYPE_CHECKING:
    AnyHeadConfig = Any
else:
    AnyHeadConfig = Annotated[HEADS.settings, BeforeValidator(partial(by_kind, otherwise="linear"))]


def build_head(config: Any, features: int, classes: int, seed: int) -> Head:
    """A head F -> C whose weights depend on ``seed`` and its settings only, not on random draws made before."""
    with torch_seeded(seed, "head"):
        head: Head = HEADS.build(config, features, classes)
    return head


__all__ = [
    "HEADS", "AnyHeadConfig", "CosineHead", "DeepHead", "Head", "HeadConfig", "LinearHead", "MlpHead", "build_head",
]  # fmt: skip
