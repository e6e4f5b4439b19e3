"""Drawings of a study: paired differences, mean curves with bands, a metric along an axis.

Each function makes a figure in the colours it is given, inside ``canvas.drawing`` of the same colours.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from foveate.reporting.canvas import NARROW_PERCENT, Colours
from foveate.studies.analysis import Analysis
from foveate.studies.learning_curves import Curve
from foveate.studies.number_format import digits
from foveate.studies.results import Metric, StudyResults
from foveate.studies.tables import SEEN

TOGETHER = 6
"""More arms than this are drawn one by one, each beside the baseline."""
PANELS = 4
"""Panels beside each other."""
DASHES: tuple[Any, ...] = (
    "solid",
    (0, (5, 2)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (1.5, 1.5)),
    (0, (8, 2, 2, 2, 2, 2)),
)
MARKERS = ("o", "s", "^", "D", "v", "P")


@dataclass(frozen=True)
class Line:
    """Means with intervals at places along an axis, in the unit that people read."""

    name: str
    baseline: bool
    points: tuple[tuple[float, float, float, float], ...]
    """(place, mean, low, high)"""


def differences(results: StudyResults, analysis: Analysis, metric: Metric, colours: Colours) -> Figure:
    """Arms below each other: dots are seeds, the diamond is their mean, the line its interval.

    The shaded stretch around zero holds the differences that this design cannot show.
    """
    form = digits(analysis, metric)
    comparisons = analysis.comparisons[metric.name]
    arms = [arm for arm in results.arms if arm in comparisons and comparisons[arm].difference is not None]
    names = [two_lines(arm) for arm in arms]
    figure = Figure(figsize=(5.4, 0.95 + 0.38 * len(arms)), layout="constrained")
    axes = figure.add_subplot()
    axes.use_sticky_edges = False
    axes.axvline(0, color=colours.ink, linewidth=1)
    for row, arm in enumerate(arms):
        c = comparisons[arm]
        outcome = analysis.outcomes[metric.name][arm]
        known = {"better": colours.good, "worse": colours.miss, "different": colours.arms[0]}
        color = known.get(outcome, colours.muted)
        unseen = c.detectable.smallest
        if unseen is not None and math.isfinite(unseen):
            wide = form.shown(unseen)
            axes.barh(row, 2 * wide, left=-wide, height=0.8, color=colours.band, linewidth=0, zorder=0)
        baseline, ours, seeds = results.paired(metric.name, arm)
        points = [form.shown(value) for value in (ours - baseline).tolist()]
        # A little below the interval, at different heights so that equal seeds do not hide each other.
        spread = np.linspace(-1, 1, len(seeds)) if len(seeds) > 1 else np.zeros(len(seeds))
        axes.scatter(
            points, row + 0.2 + 0.12 * spread, s=13, color=colours.muted, alpha=0.75, linewidths=0, zorder=2
        )
        if c.low is not None and c.high is not None:
            ends = (form.shown(c.low), form.shown(c.high))
            axes.plot(ends, (row - 0.1,) * 2, color=color, linewidth=2.4, solid_capstyle="butt", zorder=3)
        axes.plot(
            form.shown(c.difference or 0.0), row - 0.1, marker="D", markersize=6.5, color=color, zorder=4,
            markerfacecolor=color if outcome in SEEN else colours.paper, markeredgewidth=1.6,
        )  # fmt: skip
    size = 8.5 if any("\n" in name for name in names) else 10
    axes.set_yticks(range(len(arms)), names, color=colours.ink, fontsize=size, linespacing=0.95)
    axes.set_ylim(len(arms) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+g}".replace("-", "−") if x else "0"))
    unit = "difference in percentage points" if metric.percent else "difference"
    axes.set_xlabel(
        unit + {"higher": ", higher is better", "lower": ", lower is better", "neither": ""}[metric.better]
    )
    return figure


def mean_curve(
    curves: dict[str, Curve],
    baseline: str,
    colours: Colours,
    *,
    percent: bool = False,
    phases: Sequence[int] = (),
) -> Figure:
    """All arms in one panel, or, for many arms, a panel for each with the baseline behind it.

    ``phases``: epochs at which a phase begins, marked by a line before them.
    """
    others = [arm for arm in curves if arm != baseline]
    if len(curves) <= TOGETHER:
        figure, (axes,) = _panels(1)
        for arm, curve in curves.items():
            if arm == baseline:
                _band(axes, curve, colours.ink, "solid")
            else:
                i = others.index(arm)
                _band(axes, curve, colours.arms[i % len(colours.arms)], DASHES[i % len(DASHES)])
        _legend(axes, len(curves))
    else:
        figure, panels = _panels(len(others))
        for axes, arm in zip(panels, others, strict=True):
            if baseline in curves:
                _band(axes, curves[baseline], colours.ink, DASHES[1])
            _band(axes, curves[arm], colours.arms[0], "solid")
            axes.set_title(two_lines(arm, 32), loc="left", fontsize=9, color=colours.arms[0])
    for axes in figure.axes:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
        axes.margins(x=0.01)
        for epoch in phases:
            axes.axvline(epoch - 0.5, color=colours.muted, linewidth=0.9, linestyle=(0, (2, 3)), zorder=0.5)
        if percent:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g}{NARROW_PERCENT}"))
    _finish(figure, "epoch")
    return figure


def along(
    lines: Sequence[Line], ticks: Sequence[tuple[float, str]], title: str, colours: Colours, *, percent: bool
) -> Figure:
    """Means with intervals over ``ticks`` (place, name); many lines stand one by one beside the baseline's."""
    places = [place for place, _ in ticks]
    gap = min((b - a for a, b in pairwise(sorted(places))), default=1.0)
    base = [line for line in lines if line.baseline]
    if len(lines) <= TOGETHER:
        figure, (axes,) = _panels(1)
        others = [line.name for line in lines if not line.baseline]
        for i, line in enumerate(lines):
            # Moved apart, so that intervals do not hide each other.
            aside = (i - (len(lines) - 1) / 2) * gap * 0.4 / max(len(lines), 1)
            k = others.index(line.name) if not line.baseline else -1
            color = colours.ink if line.baseline else colours.arms[k % len(colours.arms)]
            _intervals(axes, line, color, DASHES[k % len(DASHES)] if k >= 0 else "solid", MARKERS[i], aside)
        if len(lines) > 1:
            _legend(axes, len(lines))
    else:
        rest = [line for line in lines if not line.baseline]
        figure, panels = _panels(len(rest))
        for axes, line in zip(panels, rest, strict=True):
            for reference in base:
                _intervals(axes, reference, colours.ink, DASHES[1], MARKERS[1], -0.06 * gap)
            _intervals(axes, line, colours.arms[0], "solid", MARKERS[0], 0.06 * gap)
            axes.set_title(two_lines(line.name, 32), loc="left", fontsize=9, color=colours.arms[0])
    longest = max(len(name) for _, name in ticks)
    crowded = longest * len(ticks) > (56 if len(lines) <= TOGETHER else 22)
    for axes in figure.axes:
        axes.xaxis.set_major_locator(FixedLocator(places))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([elide(name, 22) for _, name in ticks])
        if crowded:
            axes.tick_params(axis="x", labelrotation=30)
        axes.yaxis.set_major_formatter(
            FuncFormatter(lambda v, _: f"{v:g}" + (NARROW_PERCENT if percent else ""))
        )
    _finish(figure, title)
    return figure


def two_lines(text: str, width: int = 25) -> str:
    """Broken into at most two lines; what is too long for that loses its middle, since names differ at the ends."""
    lines = textwrap.wrap(text, width)
    return "\n".join(lines) if len(lines) <= 2 else f"{text[: width - 1].rstrip()}…\n{text[-width:].lstrip()}"


def elide(text: str, length: int = 34) -> str:
    """The text, without its middle when longer than ``length``."""
    if len(text) <= length:
        return text
    return f"{text[: length // 2].rstrip()}…{text[-(length - length // 2 - 1) :].lstrip()}"


def _panels(n: int) -> tuple[Figure, list[Axes]]:
    """One panel of half the page's width, or rows of four small ones with common axes."""
    if n == 1:
        figure = Figure(figsize=(5.4, 3.4), layout="constrained")
        return figure, [figure.add_subplot()]
    across, down = min(PANELS, n), math.ceil(n / PANELS)
    figure = Figure(figsize=(11, 0.5 + 2.1 * down), layout="constrained")
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in grid[n:]:
        axes.remove()
    for axes in grid[max(0, n - across) : n]:
        axes.tick_params(labelbottom=True)
    return figure, list(grid[:n])


def _finish(figure: Figure, title: str) -> None:
    panels = figure.axes
    for axes in panels:
        axes.grid(visible=False, axis="x")
    for axes in panels[-PANELS:]:
        axes.set_xlabel(title)


def _band(axes: Axes, curve: Curve, color: str, dashes: Any) -> None:
    spread = np.nan_to_num(curve.std)
    if spread.any():
        low, high = curve.mean - spread, curve.mean + spread
        axes.fill_between(curve.epoch, low, high, color=color, alpha=0.13, linewidth=0)
    marker = "o" if len(curve.epoch) < 3 else None
    axes.plot(
        curve.epoch, curve.mean, color=color, linestyle=dashes, linewidth=1.8, label=elide(curve.arm), marker=marker,
        markersize=4,
    )  # fmt: skip


def _intervals(axes: Axes, line: Line, color: str, dashes: Any, marker: str, aside: float) -> None:
    x, y, low, high = (np.array(values) for values in zip(*line.points, strict=True))
    axes.errorbar(
        x + aside, y, yerr=np.maximum((y - low, high - y), 0), color=color, linewidth=1.7, elinewidth=1.1, capsize=2.5,
        marker=marker, markersize=5.5, label=elide(line.name), linestyle=dashes,
    )  # fmt: skip


def _legend(axes: Axes, n: int) -> None:
    longest = max(len(str(text)) for text in axes.get_legend_handles_labels()[1])
    across = max(1, min(n, int(62 / (longest + 9))))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.02), ncols=across, handlelength=2.6, borderaxespad=0)
