"""A comparison in words."""

from typing import Literal

from foveate.studies.results import Metric
from foveate.studies.statistics import Comparison

Outcome = Literal["better", "worse", "different", "none", "unknown"]
"""different: there is a difference in a metric without a good direction; none: no detectable difference;
unknown: too few seeds to tell."""


def outcome(comparison: Comparison, metric: Metric, alpha: float = 0.05) -> Outcome:
    """What the comparison shows."""
    raise NotImplementedError


def verdict(comparison: Comparison, metric: Metric, alpha: float = 0.05) -> str:
    """One sentence."""
    raise NotImplementedError
