"""Which weights a phase ends with: those of its best epoch, their running average, or the last."""

from typing import Any, cast

from foveate.core import torchvision_guard  # noqa: F401  (before timm)
from foveate.models.networks import Network
from foveate.training.checkpoint import Tensors, prefixed, without_prefix
from foveate.training.phases import better
from foveate.training.position import Position

from timm.utils import ModelEmaV3  # isort: skip


class KeptWeights:
    """The running average of ``model`` where a ``decay`` is given, and a copy of the best epoch so far."""

    def __init__(self, model: Network, decay: float | None) -> None:
        self._trained, self._decay = model, decay
        self._best: Tensors = {}
        self._average: ModelEmaV3 | None = None

    @property
    def model(self) -> Network:
        """The network that is validated and kept."""
        return self._trained if self._average is None else cast(Network, self._average.module)

    def begin(self, *, anew: bool = False) -> None:
        """Start the average, unless it runs; ``anew``: forget what there was."""
        if anew:
            self._best = {}
        if self._decay and (anew or self._average is None):
            self._average = ModelEmaV3(self._trained, decay=self._decay, use_warmup=True)

    def update(self, step: int) -> None:
        """Take the weights after a step into the average; step: number within the phase, from 1."""
        if self._average is not None:
            self._average.update(self._trained, step=step)

    def consider(self, metric: str, row: dict[str, Any], position: Position) -> None:
        """Copy the weights if the epoch ``row`` is the phase's best by ``metric``; ``position`` notes which it was."""
        if position.best_metric != metric:
            position.best_metric, position.best_value = metric, None
        if better(metric, row[metric], position.best_value):
            position.best_value, position.best_epoch = row[metric], row["epoch"]
            self._best = {
                name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()
            }

    def end(self, metric: str | None) -> bool:
        """Put what is kept into the trained network, and forget the average; whether it is that of the best epoch."""
        from_best = bool(metric and self._best)
        if from_best:
            self._trained.load_state_dict(self._best)
        elif self._average is not None:
            self._trained.load_state_dict(self._average.module.state_dict())
        self._average = None
        return from_best

    def state(self) -> Tensors:
        """For a checkpoint."""
        tensors = prefixed("best", self._best)
        if self._average is not None:
            tensors |= prefixed("ema", self._average.module.state_dict())
        return tensors

    def restore(self, tensors: Tensors) -> None:
        """From a checkpoint's tensors."""
        self._best = without_prefix("best", tensors)
        averaged = without_prefix("ema", tensors)
        if averaged and self._decay:
            self.begin()
            assert self._average is not None
            self._average.module.load_state_dict(averaged)
