"""How the tables of results/ write figures."""

from statistics import mean, stdev

from foveate.studies.picture_comparison import PictureComparison


def percent(values: list[float]) -> str:
    """Mean of shares, and their standard deviation over the seeds."""
    spread = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.1f}{spread}"


def points(share: float, sign: str = "") -> str:
    """Percentage points."""
    return f"{100 * share:{sign}.1f}".replace("-", "−")


def p_value(p: float | None) -> str:
    """Two digits; nothing where there is none."""
    return "" if p is None else "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def flips(found: PictureComparison) -> str:
    """Pictures gained and lost, seed by seed."""
    return "; ".join(f"{one.gained}, {one.lost}" for one in found.by_seed.values())
