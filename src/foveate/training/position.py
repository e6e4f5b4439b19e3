"""Where training stands, apart from tensors."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Position:
    """Where training stands; everything that is not a tensor and that a resumed run needs."""

    phase: int = 0
    phase_epoch: int = 0
    batch: int = 0
    epoch: int = 0
    step: int = 0
    phase_step: int = 0
    seconds: float = 0.0
    feedback_seconds: float = 0.0
    stale: int = 0
    best_metric: str | None = None
    best_value: float | None = None
    best_epoch: int | None = None
    scaler: dict[str, float] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of the history that belong to the present phase."""
        return self.history[len(self.history) - self.phase_epoch :]
