"""Statistics over seeds: means with intervals, paired differences, and what a design could have detected."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """Values of one metric in one arm, over its seeds."""

    n: int
    mean: float
    std: float | None
    """Sample standard deviation (ddof 1); None with one value."""
    low: float | None
    """Interval of the mean; None with one value."""
    high: float | None


@dataclass(frozen=True)
class Detectable:
    """The smallest true difference that a design shows with power 0.8, in the metric's own unit."""

    seeds: float | None
    """By the spread of the paired differences over seeds: training again, on these test pictures."""
    pictures: float | None = None
    """By the number of test pictures: other pictures of the same kind, these trained networks. None: no predictions."""
    both: float | None = None
    """Other pictures and training again. None: no predictions."""
    note: str = ""
    """Why ``seeds`` is None, in a sentence; empty otherwise."""

    @property
    def smallest(self) -> float | None:
        """What to print: the difference that all known sources of chance together would let us see."""
        known = [value for value in (self.seeds, self.pictures, self.both) if value is not None]
        return max(known) if known and self.seeds is not None else None


@dataclass(frozen=True)
class Comparison:
    """One arm against the baseline, paired by seed. Differences are arm minus baseline, in the metric's own unit."""

    n: int
    """Pairs."""
    baseline: float | None
    """Mean of the baseline over the pairs; None without pairs."""
    arm: float | None
    difference: float | None
    std: float | None
    """Of the differences (ddof 1); None with fewer than 2 pairs."""
    low: float | None
    """Interval of the mean difference, for this comparison alone; None with fewer than 2 pairs."""
    high: float | None
    p: float | None
    """Two-sided, before Holm; None with fewer than 2 pairs."""
    p_holm: float | None
    """After Holm over the arms of this metric; equal to ``p`` for a lone comparison."""
    cohen_d: float | None
    """d_z: mean difference over the standard deviation of the differences; None where that is 0."""
    hedges_g: float | None
    """d_z corrected for few pairs."""
    detectable: Detectable
    test: str = "t"
    """The test that ``p`` comes from: t, sign-flip, wilcoxon."""
    note: str = ""
    """What a reader must know, in a sentence: too few pairs, the same difference in every seed, missing seeds."""
