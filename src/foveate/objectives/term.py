"""What a loss term is, and what it may ask for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from pydantic import field_validator
from torch import nn

from foveate.core.config import Config
from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives.progress import Progress
from foveate.objectives.weighting import AnyWeightingConfig, Constant

__all__ = ["Context", "Progress", "Term", "TermConfig", "nothing"]


@dataclass(frozen=True)
class Context:
    """What a term may know when it is built."""

    classes: tuple[str, ...]
    """Class names, in label order."""
    counts: Sequence[int]
    """Training pictures a class, in label order."""
    head: nn.Module | None = None
    """The classifier's head, for penalties on it."""
    tap_channels: Callable[[str], int] | None = None
    """{tap name} -> K, the channels of that feature map; None where there is no network."""
    seed: int = 0
    """Of a term's own random parameters."""
    network: nn.Module | None = None
    """The network that is trained, for terms that keep an average of it."""


class TermConfig(Config):
    """Settings every term has; each loss adds its own and a ``loss`` name."""

    weight: float = 1.0
    """Factor of this term in the sum that is differentiated; 0 measures without training on it."""
    weighting: AnyWeightingConfig = Constant.Config()
    """How the factor changes over time, by ``kind``; it multiplies ``weight``."""

    @field_validator("weighting", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value


class Term(Protocol):
    """One named summand of the objective: a class with a ``Config`` and this call.

    ``taps`` are the feature maps it needs (names as in ``foveate.models.taps``). A term with parameters is a
    ``torch.nn.Module`` as well. Optional attributes:

    - ``differentiates = True``: it takes gradients of the network (class maps), so validation keeps graphs too, and
      taps require a gradient even where the network is frozen;
    - ``needs_input_gradient = True``: ``batch.images`` requires a gradient before the forward pass;
    - ``asks_again = True``: it calls ``output.again``, which is None where features are stored; so they are not.
    """

    Config: ClassVar[type[TermConfig]]
    taps: tuple[str, ...]

    def __call__(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        """A scalar, averaged over the pictures that take part; zero (with a graph) when none does."""
        ...


def nothing(output: Output) -> torch.Tensor:
    """A zero that is connected to the graph, for batches in which no picture takes part."""
    return output.logits.sum() * 0.0
