"""Drawings of a study: paired differences, mean curves with bands, metrics along a numeric axis.

Each function makes a figure in the colours it is given, inside ``canvas.drawing`` of the same colours.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from foveate.reporting.canvas import PAGE, PRINT, Colours, drawing, save, svg
from foveate.reporting.matrix import shorten
from foveate.studies.analysis import Analysis
from foveate.studies.axes import along
from foveate.studies.curves import Curve
from foveate.studies.digits import digits
from foveate.studies.results import Metric, StudyResults

TOGETHER = 6
"""More arms than this are drawn one by one, each beside the baseline."""
DASHES: tuple[Any, ...] = (
    "solid",
    (0, (5, 2)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (1.5, 1.5)),
    (0, (8, 2, 2, 2, 2, 2)),
)
MARKERS = ("o", "s", "^", "D", "v", "P")


@dataclass(frozen=True)
class Drawing:
    """One figure of a report, which can also be written as a file."""

    name: str
    """Of the file, and the beginning of ids."""
    title: str
    label: str
    """What it shows, in words, for those who do not see it."""
    draw: Callable[[Colours], Figure]
    wide: bool = False
    """Takes the whole width of the page."""

    def inline(self) -> Markup:
        """SVG in the page's colours."""
        with drawing(PAGE):
            return svg(self.draw(PAGE), name=self.name, label=self.label)

    def write(self, folder: Path) -> list[Path]:
        """``name``.svg and ``name``.png in ``folder``, for print."""
        paths = [folder / f"{self.name}.{ending}" for ending in ("svg", "png")]
        for path in paths:
            with drawing(PRINT):
                save(self.draw(PRINT), path)
        return paths


def differences(results: StudyResults, analysis: Analysis, metric: Metric, colours: Colours = PAGE) -> Figure:
    """Arms below each other: dots are seeds, the diamond is their mean, the line its interval.

    The shaded stretch around zero holds the differences that this design cannot show.
    """
    form = digits(analysis, metric)
    comparisons = analysis.comparisons[metric.name]
    arms = [arm for arm in results.arms if arm in comparisons and comparisons[arm].difference is not None]
    figure = Figure(figsize=(5.4, 0.95 + 0.36 * len(arms)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=colours.ink, linewidth=1)
    for row, arm in enumerate(arms):
        c = comparisons[arm]
        outcome = analysis.outcomes[metric.name][arm]
        color = _outcome_color(outcome, colours)
        unseen = c.detectable.smallest
        if unseen is not None and math.isfinite(unseen):
            wide = form.shown(unseen)
            axes.barh(row, 2 * wide, left=-wide, height=0.8, color=colours.band, linewidth=0, zorder=0)
        baseline, ours, seeds = results.paired(metric.name, arm)
        points = [form.shown(value) for value in (ours - baseline).tolist()]
        # A little below the interval, spread so that equal seeds do not hide each other.
        heights = row + 0.2 + 0.12 * _spread(len(seeds))
        axes.scatter(points, heights, s=13, color=colours.muted, alpha=0.75, linewidths=0, zorder=2)
        if c.low is not None and c.high is not None:
            ends = (form.shown(c.low), form.shown(c.high))
            axes.plot(ends, (row - 0.1,) * 2, color=color, linewidth=2.4, solid_capstyle="butt", zorder=3)
        seen = outcome in ("better", "worse", "different")
        axes.plot(
            form.shown(c.difference or 0.0), row - 0.1, marker="D", markersize=6.5, color=color, zorder=4,
            markerfacecolor=color if seen else colours.paper, markeredgewidth=1.6,
        )  # fmt: skip
    axes.set_yticks(range(len(arms)), [shorten(arm, 22) for arm in arms], color=colours.ink)
    axes.set_ylim(len(arms) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+g}".replace("-", "−") if x else "0"))
    unit = "difference in percentage points" if metric.percent else "difference"
    way = {"higher": ", higher is better", "lower": ", lower is better", "neither": ""}[metric.better]
    axes.set_xlabel(unit + way)
    return figure


def mean_curve(
    curves: dict[str, Curve], baseline: str, colours: Colours = PAGE, *, percent: bool = False
) -> Figure:
    """All arms in one panel, or, for many arms, a panel for each with the baseline behind it."""
    if len(curves) <= TOGETHER:
        figure = Figure(figsize=(5.4, 3.3), layout="constrained")
        axes = figure.add_subplot()
        others = [arm for arm in curves if arm != baseline]
        for arm, curve in curves.items():
            i = others.index(arm) if arm != baseline else -1
            color = colours.arms[i % len(colours.arms)] if i >= 0 else colours.ink
            _band(axes, curve, color, DASHES[i % len(DASHES)] if i >= 0 else "solid", shorten(arm))
        _epochs(axes, percent)
        _legend(axes, list(curves))
        return figure
    others = [arm for arm in curves if arm != baseline]
    across = 4
    down = math.ceil(len(others) / across)
    figure = Figure(figsize=(11, 0.4 + 2.05 * down), layout="constrained")
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for axes, arm in zip(grid.flat, others, strict=False):
        if baseline in curves:
            _band(axes, curves[baseline], colours.ink, DASHES[1], shorten(baseline))
        _band(axes, curves[arm], colours.arms[0], "solid", shorten(arm))
        axes.set_title(shorten(arm, 30), loc="left", fontsize=10, color=colours.arms[0])
        _epochs(axes, percent)
        if axes not in grid[-1] and len(others) > across:
            axes.set_xlabel("")
    for axes in list(grid.flat)[len(others) :]:
        axes.set_visible(False)
        # The panel above has no neighbour below that would show the epochs.
        above = grid[-2][list(grid[-1]).index(axes)] if down > 1 else None
        if above is not None:
            above.tick_params(labelbottom=True)
            above.set_xlabel("epoch")
    return figure


def along_axis(
    results: StudyResults, analysis: Analysis, metric: Metric, axis: str, colours: Colours = PAGE
) -> Figure:
    """A metric over the values of a numeric axis, one line for each method; bars are intervals of the mean."""
    form = digits(analysis, metric)
    lines = {method: line for method, line in along(results, axis).items() if line}
    values = sorted({value for line in lines.values() for value, _ in line})
    # Sizes are compared by ratio; a zero (a weight that is off) has no logarithm, so steps are drawn equally wide.
    log = values[0] > 0
    places = {value: math.log2(value) if log else float(i) for i, value in enumerate(values)}
    gap = min((b - a for a, b in pairwise(sorted(places.values()))), default=1.0)
    summaries = analysis.summaries.get(metric.name, {})
    figure = Figure(figsize=(5.4, 3.5), layout="constrained")
    axes = figure.add_subplot()
    names = []
    for i, (method, line) in enumerate(lines.items()):
        known = [(value, summaries[arm]) for value, arm in line if arm in summaries]
        if not known:
            continue
        first = any(arm == results.baseline for _, arm in line)
        color = colours.ink if first else colours.arms[i % len(colours.arms)]
        aside = (i - (len(lines) - 1) / 2) * gap * 0.4 / max(len(lines), 1)
        x = [places[value] + aside for value, _ in known]
        y = np.array([form.shown(s.mean) for _, s in known])
        low = np.array([form.shown(s.mean if s.low is None else s.low) for _, s in known])
        high = np.array([form.shown(s.mean if s.high is None else s.high) for _, s in known])
        names.append(method or metric.title)
        axes.errorbar(
            x, y, yerr=np.maximum((y - low, high - y), 0), color=color, linewidth=1.7, elinewidth=1.1, capsize=2.5,
            marker=MARKERS[i % len(MARKERS)], markersize=5.5, label=shorten(names[-1]),
            linestyle="solid" if first else DASHES[i % len(DASHES)],
        )  # fmt: skip
    axes.xaxis.set_major_locator(FixedLocator([places[value] for value in values]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{value:g}" for value in values])
    axes.grid(visible=False, axis="x")
    axes.set_xlabel(axis_title(axis))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda v, _: f"{v:g}" + ("\u202f%" if metric.percent else ""))
    )
    if len(names) > 1:
        _legend(axes, names)
    return figure


def axis_title(axis: str) -> str:
    """An axis for people: the last part of a setting's name."""
    last = axis.rpartition(".")[2]
    return {"train_per_class": "training pictures per class"}.get(last, last.replace("_", " "))


def _outcome_color(outcome: str, colours: Colours) -> str:
    known = {"better": colours.good, "worse": colours.miss, "different": colours.arms[0]}
    return known.get(outcome, colours.muted)


def _spread(n: int) -> np.ndarray:
    return np.linspace(-1, 1, n) if n > 1 else np.zeros(n)


def _band(axes: Axes, curve: Curve, color: str, dashes: Any, label: str) -> None:
    spread = np.nan_to_num(curve.std)
    if spread.any():
        low, high = curve.mean - spread, curve.mean + spread
        axes.fill_between(curve.epoch, low, high, color=color, alpha=0.13, linewidth=0)
    marker = "o" if len(curve.epoch) < 3 else None
    axes.plot(
        curve.epoch,
        curve.mean,
        color=color,
        linestyle=dashes,
        linewidth=1.8,
        label=label,
        marker=marker,
        markersize=4,
    )


def _epochs(axes: Axes, percent: bool) -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
    axes.grid(visible=False, axis="x")
    axes.margins(x=0.01)
    if percent:
        # Whole per cents where the ticks are whole, else as many decimals as tell them apart.
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g}\u202f%"))


def _legend(axes: Axes, names: Sequence[str]) -> None:
    longest = max(len(shorten(name)) for name in names)
    across = max(1, min(len(names), int(74 / (longest + 9))))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.02), ncols=across, handlelength=2.6, borderaxespad=0)
