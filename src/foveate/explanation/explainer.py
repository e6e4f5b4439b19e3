"""The contract of an explainer: one class in one file, one line in the table ``EXPLAINERS``."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch

from foveate.core.config import Config
from foveate.explanation.probe import Probe

PIXELS = ""
"""The key of a map that belongs to the picture and to no layer."""


class Explainer(Config, ABC):
    """One method: ``kind`` is its name, and its settings are its fields; it may be asked about any network."""

    kind: str = ""

    layered: ClassVar[bool] = False
    """Whether the map is made at a feature map of the network, so that layers can be chosen."""
    slow: ClassVar[bool] = False
    """Whether one picture takes dozens of passes: progress is worth showing."""
    in_place: ClassVar[bool] = True
    """False: in-place activations are switched off meanwhile (libraries that hook modules)."""
    chunk: ClassVar[int] = 32
    """Pictures in one pass through the network, unless the caller says otherwise."""
    predicts: ClassVar[bool] = False
    """Whether ``targets`` may be ``PREDICTED``, since the method's own pass tells the predicted class."""
    signed: ClassVar[bool] = False
    """Whether raw values below zero mean evidence against the class."""

    @property
    def compares(self) -> bool:
        """Whether reference pictures are needed."""
        return "pictures" in (getattr(self, "baseline", None), getattr(self, "hidden", None))

    @abstractmethod
    def __call__(
        self, probe: Probe, images: torch.Tensor, targets: torch.Tensor, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        """Raw maps {layer: (B, h, w)}, or {PIXELS: (B, H, W)} where ``layered`` is False; float32.

        The network is in eval mode with frozen parameters (see ``foveate.models.modes.untouched``); gradients come from
        ``torch.autograd.grad`` with respect to pictures or taps. What is drawn at random comes from
        ``probe.generator`` and is the same for every picture, so that a picture's map does not depend on its batch.

        Args:
            images: (B, 3, H, W) normalised, B at most ``probe.chunk``.
            targets: (B,) int64, the class whose evidence is wanted; where ``predicts`` it may be ``PREDICTED``, the
                class that the network names (see ``probe.score_of``).
            layers: paths of modules, resolved; empty where ``layered`` is False.

        Raises:
            ConfigError: the method means nothing for this network (its name, the reason, what to use instead).
        """
        ...


class PictureExplainer(Explainer):
    """Base of methods that know no layers and give one map over the picture."""

    def __call__(
        self, probe: Probe, images: torch.Tensor, targets: torch.Tensor, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        return {PIXELS: self.map(probe, images, targets)}

    @abstractmethod
    def map(self, probe: Probe, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(B, H, W) or coarser, float32, for images (B, 3, H, W) and classes (B,)."""
        ...
