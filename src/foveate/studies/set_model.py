"""All sets in one model: how much sets differ beside seeds, and what that says of the mean difference."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import statsmodels.api as sm
from scipy.stats import norm
from statsmodels.tools.sm_exceptions import ConvergenceWarning, SingularMatrixWarning

FEW_SETS = 10
"""Below, the model's interval is too narrow, since it takes the spread between sets for known: in simulated studies
with 5 seeds it held the truth in 80 to 87 % (3 sets), 86 to 91 % (5), 92 to 94 % (10), 94 to 95 % (20); the t interval
over the sets' means in 92 to 96 % whatever their number."""


@dataclass(frozen=True)
class SetModel:
    """Paired differences of several sets: a fixed mean and a random intercept for each set, by REML.

    On differences a random intercept is the random slope of the arm: each set has an effect of its own.
    """

    difference: float
    low: float
    """95 % interval of the mean, normal (Wald)."""
    high: float
    between: float
    """Standard deviation of the sets' true differences."""
    within: float
    """Standard deviation of the pairs' differences within a set."""
    sets: int
    pairs: int


def set_model(differences: Sequence[np.ndarray]) -> SetModel | None:
    """Fit the model to the differences of each set's pairs.

    None where it cannot be told: fewer than 3 sets, no set with two pairs, or no spread.
    """
    y = np.concatenate([np.zeros(0), *differences])
    sizes = [len(one) for one in differences if len(one)]
    if (
        len(sizes) < 3
        or max(sizes) < 2
        or not all(np.ptp(one) for one in (y, np.concatenate(_centred(differences))))
    ):
        return None
    scale = float(y.std())
    groups = np.repeat(np.arange(len(differences)), [len(one) for one in differences])
    with warnings.catch_warnings():
        # The spread between sets is 0 as often as not, which is the edge of what may be.
        for kind in (ConvergenceWarning, SingularMatrixWarning, RuntimeWarning):
            warnings.simplefilter("ignore", kind)
        fit = sm.MixedLM(y / scale, np.ones(len(y)), groups=groups).fit(reml=True, method="powell")
        # The error of the mean alone: that of the spread between sets is not defined at its edge.
        error = float(np.sqrt(fit.cov_params()[0, 0]))
    low, high = (float(v) * scale for v in norm.interval(0.95, fit.params[0], error))
    between, within = (float(np.sqrt(max(v, 0.0))) * scale for v in (fit.cov_re[0, 0], fit.scale))
    return SetModel(float(fit.params[0]) * scale, low, high, between, within, len(sizes), len(y))


def _centred(differences: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [one - one.mean() for one in differences if len(one)]
