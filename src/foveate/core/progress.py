"""Where training stands."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where training stands, for terms and weights that change over time."""

    epoch: int = 0
    """Epochs finished over all phases."""
    share: float = 0.0
    """Share of the current phase that is done, in [0, 1]."""
    training: float = 0.0
    """Share of the whole training that is done, in [0, 1], all phases counted at their full number of epochs."""
