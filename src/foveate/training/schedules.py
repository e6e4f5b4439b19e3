"""Learning-rate schedules: pure functions of the step within a phase, hence nothing to save and nothing to lose.

Each class has a ``Config`` and ``factor(step, steps_per_epoch, total_steps, lr)``, by which every group's learning rate
is multiplied. ``lr`` is the phase's (peak) learning rate, for schedules whose range is given in absolute values.
"""

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field

from foveate.core.config import Config
from foveate.core.registry import Registry


class Schedule(Config):
    """See the module."""

    def factor(self, step: int, steps_per_epoch: int, total_steps: int, lr: float) -> float:
        """Multiplier of the learning rate for optimizer step ``step`` (from 0) of ``total_steps``."""
        return 1.0

    @property
    def watched(self) -> str | None:
        """The column of the history that decides something, if any."""
        return None

    def replay(self, values: list[float]) -> float:
        """A further factor after these values of ``watched`` in the phase, oldest first."""
        return 1.0


class Constant(Schedule):
    """The same learning rate throughout."""

    kind: Literal["constant"] = "constant"


class Cosine(Schedule):
    """Linear warm-up, then half a cosine down to ``final``. Source: Loshchilov & Hutter, SGDR, ICLR 2017."""

    kind: Literal["cosine"] = "cosine"
    warmup_epochs: float = Field(default=0.0, ge=0, le=100_000)
    """Epochs of linear rise from ``lr / 100``."""
    final: float = Field(default=0.0, ge=0, le=1)
    """Share of the learning rate left at the end."""

    def factor(self, step: int, steps_per_epoch: int, total_steps: int, lr: float) -> float:
        warmup = min(round(self.warmup_epochs * steps_per_epoch), total_steps)
        if step < warmup:
            return 0.01 + 0.99 * step / warmup
        done = (step - warmup) / max(1, total_steps - warmup)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


class OneCycle(Schedule):
    """Up and down once, cosine-shaped. Source: Smith & Topin, Super-Convergence, 2017; as torch's OneCycleLR."""

    kind: Literal["one_cycle"] = "one_cycle"
    rise: float = Field(default=0.25, ge=0, le=1)
    """Share of the steps spent rising."""
    start: float = Field(default=0.04, ge=0, le=1)
    """Learning rate at the start, as a share of the peak."""
    final: float = Field(default=4e-6, ge=0, le=1)
    """Learning rate at the end, as a share of the peak."""

    def factor(self, step: int, steps_per_epoch: int, total_steps: int, lr: float) -> float:
        top = self.rise * total_steps - 1  # torch counts steps this way; equality is tested
        if step <= top:
            low, high, done = self.start, 1.0, step / max(top, 1e-12)
        else:
            low, high, done = 1.0, self.final, (step - top) / max(total_steps - 1 - top, 1e-12)
        return high + (low - high) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


class Step(Schedule):
    """Multiplied by ``gamma`` every ``every_epochs`` epochs."""

    kind: Literal["step"] = "step"
    every_epochs: int = Field(default=10, ge=1, le=100_000)
    gamma: float = Field(default=0.1, gt=0, le=1)

    def factor(self, step: int, steps_per_epoch: int, total_steps: int, lr: float) -> float:
        return float(self.gamma ** (step // (self.every_epochs * steps_per_epoch)))


class Milestones(Schedule):
    """Multiplied by ``gamma`` at the end of each of these epochs of the phase (torch's MultiStepLR)."""

    kind: Literal["milestones"] = "milestones"
    epochs: tuple[Annotated[int, Field(ge=1, le=100_000)], ...] = (60, 100)
    gamma: float = Field(default=0.1, gt=0, le=1)

    def factor(self, step: int, steps_per_epoch: int, total_steps: int, lr: float) -> float:
        return float(self.gamma ** sum(step >= epoch * steps_per_epoch for epoch in self.epochs))


class CosineWave(Schedule):
    """Half a cosine down to 0 and up again, over and over: torch's CosineAnnealingLR stepped with every batch.

    So programs have it that meant one fall over all epochs (FBSD's); ``cosine`` is that.
    """

    kind: Literal["cosine_wave"] = "cosine_wave"
    half_period: int = Field(default=200, ge=1, le=10_000_000)
    """Optimizer steps from the top to the bottom."""

    def factor(self, step: int, steps_per_epoch: int, total_steps: int, lr: float) -> float:
        return 0.5 * (1 + math.cos(math.pi * step / self.half_period))


class Cyclical(Schedule):
    """Triangles between ``lower`` and the phase's ``lr``. Source: Smith, Cyclical Learning Rates, WACV 2017.

    cycle = floor(1 + t / 2s), x = |t / s - 2 cycle + 1|, lr = lower + (lr - lower) max(0, 1 - x) scale, with
    scale = 1 (triangular), 1 / 2^(cycle - 1) (triangular2) or gamma^t (exp_range); t and s in optimizer steps.
    """

    kind: Literal["cyclical"] = "cyclical"
    lower: float = Field(ge=0, le=1000)
    """Lowest learning rate, absolute; the phase's ``lr`` is the highest."""
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    half_cycle_epochs: float = Field(default=5.0, gt=0, le=100_000)
    """s: epochs from the lowest to the highest rate (2 to 8 are usual)."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """For exp_range: decay a step."""
    offset_epochs: float = Field(default=0.0, ge=0, le=100_000)
    """Epochs already cycled before this phase, when only the range was switched."""

    def factor(self, step: int, steps_per_epoch: int, total_steps: int, lr: float) -> float:
        t = step + self.offset_epochs * steps_per_epoch
        s = self.half_cycle_epochs * steps_per_epoch
        cycle = math.floor(1 + t / (2 * s))
        x = abs(t / s - 2 * cycle + 1)
        scale = {"triangular": 1.0, "triangular2": 0.5 ** (cycle - 1), "exp_range": self.gamma**t}[self.mode]
        return (self.lower + (lr - self.lower) * max(0.0, 1 - x) * scale) / lr


class Plateau(Schedule):
    """Multiplied by ``reduce`` after ``patience`` epochs without a better validation value (torch's ReduceLROnPlateau).

    The factor is replayed from the phase's history, so that nothing needs to be saved.
    """

    kind: Literal["plateau"] = "plateau"
    metric: str = "val_loss"
    """A column of history.csv; larger is better for accuracies and F1, smaller for losses and their terms."""
    reduce: float = Field(default=0.2, gt=0, lt=1)
    patience: int = Field(default=5, ge=0, le=100_000)
    """Epochs."""
    threshold: float = Field(default=1e-4, ge=0, lt=1)
    """Smallest relative improvement that counts."""
    lowest: float = Field(default=0.0, ge=0, le=1)
    """Factor below which the rate is not reduced."""

    @property
    def watched(self) -> str:
        return self.metric

    def replay(self, values: list[float]) -> float:
        """The factor after these validation values of the phase, oldest first."""
        dummy = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
            dummy, "max" if self.metric.endswith(("accuracy", "f1")) else "min", self.reduce, self.patience,
            self.threshold, min_lr=self.lowest,
        )  # fmt: skip
        for value in values:
            scheduler.step(value)
        return float(dummy.param_groups[0]["lr"])


# A new schedule: one class here or in a file of its own, one line in this table.
SCHEDULES = Registry(
    "schedule",
    Constant,
    Cosine,
    OneCycle,
    Step,
    Milestones,
    CosineWave,
    Cyclical,
    Plateau,
    formerly="schedule",
)

if TYPE_CHECKING:
    AnySchedule = Any
else:
    AnySchedule = SCHEDULES.settings
