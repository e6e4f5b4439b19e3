"""Statistics on pictures: two arms' right and wrong answers to the same test pictures.

Which uncertainty answers which question:

- McNemar, one seed: do *these two networks* differ on pictures of this kind? Training again may turn it round.
- A t test over seeds that share one test set: would training again differ on *these pictures*? Others may differ.
- Over seeds and pictures together (``low``, ``high``, ``p`` here): would training again, tested on other pictures
  of the same kind, differ? That is the question a reader of a paper has.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import statsmodels.api as sm
from scipy.stats import t as student_t
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.sandwich_covariance import cov_cluster_2groups

from foveate.core.errors import DataError
from foveate.studies.results import Pictures
from foveate.studies.statistics import Detectable, detectable_effect


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
    """Mean over seeds of the difference of test accuracies, arm minus baseline."""
    low: float | None
    """Interval for training again and other pictures of the same kind (see ``compare_pictures``); None with one seed,
    or when the arms differ on no picture or alike on all."""
    high: float | None
    p: float | None
    """Of the same; None where ``low`` is, but 1 when no answer differs."""
    p_holm: float | None
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
    detectable: Detectable
    """Without ``seeds``, which ``statistics.compare`` knows."""
    by_seed: dict[int, McNemar] = field(default_factory=dict)


def same_pictures(baseline: Mapping[int, Pictures], arm: Mapping[int, Pictures]) -> bool:
    """Whether every seed that both have was tested on the same pictures in both."""
    return all(arm[seed].path == baseline[seed].path for seed in baseline if seed in arm)


def compare_pictures(
    baseline: Mapping[int, Pictures], arm: Mapping[int, Pictures], *, alpha: float = 0.05, family: int = 1
) -> PictureComparison | None:
    """Compare the answers of two arms picture by picture; None when no seed has both.

    With d_si = +1, 0, -1 the answer of seed s to picture i (gained, alike, lost), seeds and pictures are two crossed
    random factors, as readers and cases in studies of medical diagnosis (Hillis 2007, Statistics in Medicine
    26:596-619). The variance of the mean of d is V = max(V_s + max(V_i - V_si, 0), V_i), where V_s, V_i, V_si are
    cluster-robust variances by seed, by picture and by both (Cameron, Gelbach, Miller 2011; statsmodels), V_s times
    S / (S - 1); t with (S - 1) (V / V_s)^2 degrees of freedom. In simulations with 3 to 10 seeds and 73 to 300
    pictures a 95 % interval held the truth in 92 to 99 % of the studies.

    McNemar's test is exact, one for each seed.

    Args:
        baseline: {seed: answers}.
        arm: {seed: answers} to the same pictures.
        family: arms that Holm will count, for what is detectable.

    Raises:
        DataError: a seed was tested on other pictures in the arm than in the baseline, or on none.
    """
    seeds = [seed for seed in baseline if seed in arm]
    if not seeds:
        return None
    for seed in seeds:
        if arm[seed].path != baseline[seed].path or not arm[seed].path:
            raise DataError(
                f"Seed {seed}: the arm was tested on {len(arm[seed].path)} pictures and the baseline on "
                f"{len(baseline[seed].path)} or on others; compare arms that share a split."
            )
    right_a, right_b, tested = _aligned([baseline[seed] for seed in seeds], [arm[seed] for seed in seeds])
    d = right_b.astype(np.int64) - right_a  # (S, N)
    sizes = tested.sum(axis=1)
    accuracy = float(((right_a + right_b.astype(np.int64)).sum(axis=1) / (2 * sizes)).mean())
    low = high = p = None
    seen = Detectable(None)
    if len(seeds) > 1 and tested.shape[1] > 1 and np.ptp(d[tested]) > 0:
        low, high, p, seen = _over_both(d, tested, alpha, family)
    elif len(seeds) > 1 and not d.any():
        p = 1.0
    return PictureComparison(
        float((d.sum(axis=1) / sizes).mean()), low, high, p, p_holm=p, seeds=len(seeds), pictures=tested.shape[1],
        shared=bool(tested.all()), resolution=float(1 / sizes.mean()),
        standard_error=float(np.sqrt(accuracy * (1 - accuracy) / sizes.mean())), detectable=seen,
        by_seed={seed: _mcnemar(baseline[seed].correct, arm[seed].correct) for seed in seeds},
    )  # fmt: skip


def _aligned(a: list[Pictures], b: list[Pictures]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(S, N) right in a, right in b, tested, over the N different pictures of all seeds."""
    column = {path: index for index, path in enumerate(sorted(set().union(*(cell.path for cell in a))))}
    right = np.zeros((2, len(a), len(column)), dtype=bool)
    tested = np.zeros((len(a), len(column)), dtype=bool)
    for row, (ours, theirs) in enumerate(zip(a, b, strict=True)):
        columns = [column[path] for path in ours.path]
        right[0, row, columns], right[1, row, columns] = ours.correct, theirs.correct
        tested[row, columns] = True
    return right[0], right[1], tested


def _over_both(
    d: np.ndarray, tested: np.ndarray, alpha: float, family: int
) -> tuple[float, float, float, Detectable]:
    """Interval, p and what is detectable, with seeds and pictures as crossed random factors."""
    seeds, pictures = len(d), d.shape[1]
    weights = (tested / tested.sum(axis=1, keepdims=True))[tested]
    row, column = np.nonzero(tested)
    fit = sm.WLS(d[tested].astype(np.float64), np.ones(len(row)), weights=weights).fit()
    joint, by_seed, by_picture = (
        float(v[0, 0]) for v in cov_cluster_2groups(fit, row, column, use_correction=False)
    )
    cell = by_seed + by_picture - joint
    v_seed = by_seed * seeds / (seeds - 1)
    variance = max(v_seed + max(by_picture - cell, 0.0), by_picture)
    # By chance every seed may differ by the same amount: then only pictures vary, and t becomes normal.
    df = min((seeds - 1) * (variance / v_seed) ** 2, 1e6) if v_seed > 1e-12 * variance else 1e6
    difference, error = float(fit.params[0]), float(np.sqrt(variance))
    low, high = student_t.interval(1 - alpha, df, loc=difference, scale=error)
    p = 2 * student_t.sf(abs(difference) / error, df)
    both, alone = (
        deviation * np.sqrt(n) * detectable_effect(n, alpha / family)
        for deviation, n in ((error, df + 1), (np.sqrt(by_picture), pictures))
    )
    return float(low), float(high), float(p), Detectable(None, pictures=float(alone), both=float(both))


def _mcnemar(a: np.ndarray, b: np.ndarray) -> McNemar:
    gained, lost = int((b & ~a).sum()), int((a & ~b).sum())
    table = [[int((a & b).sum()), lost], [gained, int((~a & ~b).sum())]]
    return McNemar(len(a), gained, lost, float(mcnemar(table, exact=True).pvalue))
