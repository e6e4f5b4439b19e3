"""Phases: training is a list of them. Each has its own trainable part, optimizer, learning rates and end."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from foveate.core.config import Config
from foveate.core.registry import by_kind
from foveate.training.optimizers import AdamW, AnyOptimizer
from foveate.training.schedules import AnySchedule, Constant


class EarlyStopping(Config):
    """Stop a phase when a metric has not improved for ``patience`` epochs."""

    metric: str = "val_loss"
    """A column of history.csv; larger is better for accuracies and F1, smaller for losses and their terms. With spatial
    terms watch "val_classification": the whole loss also moves with the weights."""
    patience: int = Field(default=10, ge=1, le=100_000)
    """Epochs without a better value."""


class Until(Config):
    """Stop a phase once a metric reaches a value."""

    metric: str = "val_accuracy"
    """A column of history.csv; "reached" is >= for accuracies and F1, <= for losses and their terms."""
    value: float


class PhaseConfig(Config):
    """One stage of training, with an optimizer of its own."""

    name: str = "train"
    """Shown in history and report."""
    epochs: int = Field(default=30, ge=1, le=1_000_000)
    """At most."""
    trainable: str = "all"
    """"head", "all", "from:MODULE", "until:MODULE" (frozen up to it), "after:N" or "after:P%" (see
    foveate.models.freeze)."""
    freeze_bn: bool | Literal["all"] = True
    """True: frozen layers run in eval mode, so that their BatchNorm statistics stay; "all": every BatchNorm of the
    backbone does; False: frozen layers' statistics keep moving (as some published pipelines do)."""
    optimizer: AnyOptimizer = AdamW()
    lr: Annotated[float, Field(gt=0, le=1000)] | Literal["auto"] = 1e-3
    """Peak learning rate; "auto" asks the learning-rate finder."""
    lr_factors: dict[str, Annotated[float, Field(ge=0, le=1e6)]] = Field(default={})
    """{module prefix: factor}, the longest matching prefix wins, for example {"backbone": 0.1}; "objective" is the
    prefix of what the objective learns (projections, weights)."""
    layer_decay: float | None = Field(default=None, gt=0, le=1)
    """Learning rate multiplied by this for every layer group further from the head (timm's grouping)."""
    schedule: AnySchedule = Constant()
    early_stopping: EarlyStopping | None = None
    until: Until | None = None
    restore_best: str | None = "val_loss"
    """Go back to the weights of the best epoch by this column when the phase ends; None keeps the last ones."""
    views: Annotated[int, Field(ge=1, le=1000)] | Literal["auto"] = "auto"
    """With a frozen backbone: augmented views stored for each picture. auto: 1 without augmentation, else 8 or the
    number of epochs if that is smaller."""

    _by_kind = field_validator("schedule", mode="before")(by_kind)

    def watched(self) -> list[str]:
        """The columns of the history that decide something."""
        watched = [m for m in (self.restore_best, self.early_stopping and self.early_stopping.metric) if m]
        watched += [self.until.metric] if self.until else []
        return watched + ([self.schedule.watched] if self.schedule.watched else [])

    def consumes(self) -> tuple[str, ...]:
        beginnings = {"attribute labels": "val_worst_", "validation labels": "val_"}
        return tuple(
            what
            for what, start in beginnings.items()
            if any(name.startswith(start) for name in self.watched())
        )


def higher_is_better(metric: str) -> bool:
    """Accuracies and F1 should rise; every other column of the history is a loss or a term of it."""
    return metric.endswith(("accuracy", "f1"))


def better(metric: str, value: float, than: float | None) -> bool:
    """Whether ``value`` beats ``than`` for this column of the history."""
    return than is None or (value > than if higher_is_better(metric) else value < than)


def reached(until: Until, row: dict[str, Any]) -> bool:
    """Whether the phase's goal is met."""
    value = row[until.metric]
    return bool(value >= until.value if higher_is_better(until.metric) else value <= until.value)
