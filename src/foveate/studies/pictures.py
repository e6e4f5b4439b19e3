"""Statistics on pictures: two arms' right and wrong answers to the same test pictures."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class McNemar:
    """Exact test of two classifiers on the same pictures (McNemar 1947)."""

    n: int
    """Pictures."""
    gained: int
    """Right only in the arm."""
    lost: int
    """Right only in the baseline."""
    p: float


@dataclass(frozen=True)
class PictureComparison:
    """Accuracy of one arm against the baseline, picture by picture. Shares, not per cent."""

    difference: float
    """Mean over seeds of the difference of test accuracies."""
    low: float | None
    """Hierarchical bootstrap over seeds and pictures; None with one seed."""
    high: float | None
    seeds: int
    """Pairs."""
    pictures: int
    """Different test pictures."""
    shared: bool
    """Every seed was tested on the same pictures."""
    resolution: float
    """What one picture is worth in one seed's accuracy."""
    standard_error: float
    """Binomial standard error of one accuracy, at the mean accuracy of both arms."""
    by_seed: dict[int, McNemar] = field(default_factory=dict)
    majority: McNemar | None = None
    """On the answers of the majority of seeds; None unless ``shared``."""
