"""What a loss term is, and what it may ask for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import field_validator
from torch import nn

from foveate.core.config import Config, Mark
from foveate.core.errors import ConfigError
from foveate.core.progress import Progress
from foveate.core.registry import by_kind
from foveate.data.batch import Batch
from foveate.data.catalog import Catalog
from foveate.models.heads import Head
from foveate.models.output import Output
from foveate.objectives.weighting import AnyWeightingConfig, Constant

__all__ = [
    "Context",
    "ModuleTerm",
    "Progress",
    "Term",
    "TermConfig",
    "Total",
    "addressed",
    "alone",
    "nothing",
]


Total = Callable[[torch.Tensor], torch.Tensor]


def alone(values: torch.Tensor) -> torch.Tensor:
    """The sum over one process."""
    return values


@dataclass(frozen=True)
class Context:
    """What a term may know when it is built."""

    classes: tuple[str, ...]
    """Class names, in label order."""
    counts: Sequence[int]
    """Training pictures a class, in label order."""
    head: Head | None = None
    """The classifier's head, for penalties on it."""
    tap_channels: Callable[[str], int] | None = None
    """{tap name} -> K, the channels of that feature map; None where there is no network."""
    seed: int = 0
    """Of a term's own random parameters."""
    network: nn.Module | None = None
    """The network that is trained, for terms that keep an average of it."""
    branches: tuple[str, ...] = ()
    """Further logits that the network gives, which a loss may be on."""
    catalog: Catalog | None = None
    """The pictures, of which ``Batch.index`` names the rows."""


class TermConfig(Config):
    """Settings every term has; each loss adds its own and its ``kind``."""

    weight: float = 1.0
    """Factor of this term in the sum that is differentiated; 0 measures without training on it."""
    on: Annotated[str, Mark.LATER] = ""
    """The logits that the loss is of: "" those that predict; "first" those of the first of several linked views (see
    ``Batch.views``); else a branch of the network, the labels repeated to fit. In evaluation a branch may be absent; so
    is the loss then."""
    weighting: AnyWeightingConfig = Constant.Config()
    """How the factor changes over time, by ``kind``; it multiplies ``weight``."""

    _by_kind = field_validator("weighting", mode="before")(by_kind)


class Term:
    """One named summand of the objective: a class with a ``Config`` and a call."""

    Config: ClassVar[type[TermConfig]]
    taps: tuple[str, ...] = ()
    """The feature maps it needs (names as in ``foveate.models.layer_names``)."""
    differentiates: bool = False
    """It takes gradients of the network (class maps), so validation keeps graphs too, and taps require a gradient even
    where the network is frozen."""
    needs_input_gradient: bool = False
    """``batch.images`` requires a gradient before the forward pass."""
    asks_again: bool = False
    """It calls ``output.again``, which is None where features are stored; so they are not."""

    needs_views: bool = False
    """It compares several linked views of each picture (``Batch.views``), and is 0 where there is one."""

    total: Total = staticmethod(alone)
    """Sum over the processes of a distributed run, of a tensor without gradient: what a term remembers must be of all
    pictures of a step. Asked in training mode only, equally often on every process."""

    def __init__(self, config: Any, context: Context) -> None:
        """Raises ConfigError: the network cannot give what the term asks for."""
        self.config = config

    def __call__(self, output: Output, batch: Batch, progress: Progress) -> torch.Tensor:
        """A scalar, averaged over the pictures that take part; zero (with a graph) when none does."""
        raise NotImplementedError

    @property
    def asks_network(self) -> bool:
        """Whether it looks at more of the network than logits and feature maps."""
        return self.differentiates or self.needs_input_gradient or self.asks_again

    @property
    def guides_nothing(self) -> bool:
        """Whether it looks at the logits alone."""
        return not self.taps and not self.asks_network


class ModuleTerm(nn.Module, Term):
    """A term with parameters or buffers, which are trained beside the network and kept in the checkpoint."""

    def __init__(self, config: Any, context: Context) -> None:
        """See ``Term``."""
        nn.Module.__init__(self)
        Term.__init__(self, config, context)


PER_PICTURE = ("targets", "masks", "has_mask", "index")


def addressed(output: Output, batch: Batch, on: str) -> tuple[Output, Batch] | None:
    """Output and batch as a loss ``on`` these logits sees them (see ``TermConfig.on``); None where they are absent.

    Raises:
        ConfigError: the branch does not hold the same number of logits for every picture.
    """
    if on == "first":
        if batch.views == 1:
            return output, batch
        first = slice(None, None, batch.views)
        part = batch.replace(
            views=1, **{name: getattr(batch, name)[first] for name in ("images", *PER_PICTURE)}
        )
        return replace(output, logits=output.logits[first], whole=None, taps={}), part
    if on not in output.branches:
        return None
    logits = output.branches[on]
    times, rest = divmod(len(logits), len(batch))
    if rest or not times:
        raise ConfigError(
            f"The branch '{on}' gives {len(logits)} rows of logits for {len(batch)} pictures, not as many for each."
        )
    repeated = {name: getattr(batch, name).repeat_interleave(times, 0) for name in PER_PICTURE}
    return replace(output, logits=logits, whole=None, taps={}), batch.replace(**repeated)


def nothing(output: Output) -> torch.Tensor:
    """A zero that is connected to the graph, for batches in which no picture takes part."""
    return output.logits.sum() * 0.0
