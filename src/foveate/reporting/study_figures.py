"""Drawings of a study: paired differences, mean curves with bands, a metric along an axis.

Each function makes a figure in the colours it is given, inside ``canvas.drawing`` of the same colours.
"""

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from foveate.reporting.canvas import NARROW_PERCENT, Colours
from foveate.studies.analysis import Analysis
from foveate.studies.learning_curves import Curve
from foveate.studies.number_format import Digits, digits
from foveate.studies.results import Metric, StudyResults
from foveate.studies.specification import POOLED
from foveate.studies.statistics import Comparison
from foveate.studies.tables import heading
from foveate.studies.verdict import SEEN

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

Points = Sequence[tuple[float, float, float, float]]
"""(place, mean, low, high) along an axis, in the unit that people read."""
DrawLine = Callable[[Axes, str, str, Any, int, float], None]
"""(axes, name of the line, colour, dashes, number of its marker, how far it stands aside)."""


Row = tuple[str, StudyResults, Analysis, str]
"""(its name, results and analysis, the arm)."""


def differences(rows: Sequence[Row], metric: Metric, colours: Colours, *, pairs: bool = False) -> Figure:
    """Rows below each other: dots are seeds, the diamond is their mean, the line its interval.

    The shaded stretch around zero holds the differences that this design cannot show.

    Args:
        pairs: beside it, each seed as a line from the baseline's value (open) to the arm's.
    """
    height = max(0.4, 1.5 / len(rows)) if pairs else 0.38
    figure, axes = _below([two_lines(name) for name, *_ in rows], height, metric, colours)
    axes.use_sticky_edges = False
    if pairs:
        _joined(figure, axes, rows, metric, colours)
    for row, (_, results, analysis, arm) in enumerate(rows):
        form = digits(analysis, metric)
        c = analysis.comparisons[metric.name][arm]
        outcome = analysis.outcomes[metric.name][arm]
        known = {"better": colours.good, "worse": colours.miss, "different": colours.arms[0]}
        color = known.get(outcome, colours.muted)
        unseen = c.detectable.smallest if c.detectable.room is None else c.detectable.room
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
        filling = color if outcome in SEEN else colours.paper
        _interval(
            axes, form, c, row - 0.1, color, 2.4, marker="D", markersize=6.5, markerfacecolor=filling,
            markeredgewidth=1.6,
        )  # fmt: skip
    return figure


def _joined(figure: Figure, axes: Axes, rows: Sequence[Row], metric: Metric, colours: Colours) -> None:
    """A panel to the left of ``axes``: values of the baseline and the arm, each pair on a line of its own."""
    figure.set_size_inches(7.6, figure.get_figheight())
    names = [label.get_text() for label in axes.get_yticklabels()]
    grid = figure.add_gridspec(1, 2)
    axes.set_subplotspec(grid[0, 1])
    left = figure.add_subplot(grid[0, 0], sharey=axes)
    for row, (_, results, analysis, arm) in enumerate(rows):
        form = digits(analysis, metric)
        baseline, ours, seeds = results.paired(metric.name, arm)
        heights = row + (np.linspace(-0.3, 0.3, len(seeds)) if len(seeds) > 1 else np.zeros(len(seeds)))
        before, after = (np.array([form.shown(float(v)) for v in values]) for values in (baseline, ours))
        left.plot([before, after], [heights, heights], color=colours.muted, linewidth=1, zorder=1)
        common: dict[str, Any] = {"s": 17, "zorder": 2, "linewidths": 1.1, "edgecolors": colours.arms[0]}
        left.scatter(before, heights, color=colours.paper, **common)
        left.scatter(after, heights, color=colours.arms[0], **common)
    left.set_yticks(range(len(names)), names, color=colours.ink, fontsize=10 - 1.5 * ("\n" in "".join(names)))
    left.tick_params(axis="y", length=0)
    left.grid(visible=False, axis="y")
    left.xaxis.set_major_locator(MaxNLocator(nbins=6))
    left.set_xlabel(f"{heading(metric)}\n{rows[0][1].baseline} (open) and the arm (filled)")
    axes.tick_params(axis="y", labelleft=False)
    axes.set_xlabel(axes.get_xlabel().replace("percentage ", ""))


def forest(
    rows: Sequence[tuple[str, Analysis]], metric: Metric, arms: Sequence[str], colours: Colours
) -> Figure:
    """Squares are sets with their intervals over seeds, the diamond is their mean with its interval over sets."""
    lines = [
        (arm, name, analysis)
        for arm in arms
        for name, analysis in ([("", None)] if len(arms) > 1 else []) + list(rows)
    ]
    figure, axes = _below([name or arm for arm, name, _ in lines], 0.28, metric, colours)
    for line, (arm, name, analysis) in enumerate(lines):
        c = analysis and analysis.comparisons.get(metric.name, {}).get(arm)
        if analysis and c and c.difference is not None:
            pooled = name == POOLED
            color, width = (colours.arms[0], 2.4) if pooled else (colours.muted, 1.4)
            _interval(axes, digits(analysis, metric), c, line, color, width, marker="D" if pooled else "s")
    return figure


def _below(names: Sequence[str], height: float, metric: Metric, colours: Colours) -> tuple[Figure, Axes]:
    """A row for each name, around a line at a difference of zero."""
    figure = Figure(figsize=(5.4, 0.95 + height * len(names)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=colours.ink, linewidth=1)
    size = 8.5 if any("\n" in name for name in names) else 10
    axes.set_yticks(range(len(names)), names, color=colours.ink, fontsize=size, linespacing=0.95)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+g}".replace("-", "−") if x else "0"))
    unit = "difference in percentage points" if metric.percent else "difference"
    good = {"higher": ", higher is better", "lower": ", lower is better", "neither": ""}[metric.better]
    axes.set_xlabel(unit + good)
    return figure, axes


def _interval(
    axes: Axes, form: Digits, c: Comparison, row: float, color: str, width: float, **marker: Any
) -> None:
    if c.low is not None and c.high is not None:
        ends = (form.shown(c.low), form.shown(c.high))
        axes.plot(ends, (row, row), color=color, linewidth=width, solid_capstyle="butt", zorder=3)
    axes.plot(form.shown(c.difference or 0.0), row, color=color, zorder=4, **marker)


def mean_curve(
    curves: Mapping[str, Curve],
    baseline: str,
    colours: Colours,
    *,
    percent: bool = False,
    phases: Sequence[int] = (),
) -> Figure:
    """All arms in one panel, or, for many arms, a panel for each with the baseline behind it.

    ``phases``: epochs at which a phase begins, marked by a line before them.
    """

    def band(axes: Axes, arm: str, color: str, dashes: Any, number: int, aside: float) -> None:
        curve = curves[arm]
        spread = np.nan_to_num(curve.std)
        if spread.any():
            low, high = curve.mean - spread, curve.mean + spread
            axes.fill_between(curve.epoch, low, high, color=color, alpha=0.13, linewidth=0)
        marker = "o" if len(curve.epoch) < 3 else None
        line: dict[str, Any] = {"linestyle": dashes, "linewidth": 1.8, "marker": marker, "markersize": 4}
        axes.plot(curve.epoch, curve.mean, color=color, label=elide(arm), **line)

    figure = _panels(list(curves), baseline, "epoch", colours, band)
    for axes in figure.axes:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
        axes.margins(x=0.01)
        for epoch in phases:
            axes.axvline(epoch - 0.5, color=colours.muted, linewidth=0.9, linestyle=(0, (2, 3)), zorder=0.5)
        if percent:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g}{NARROW_PERCENT}"))
    return figure


def along(
    lines: Mapping[str, Points],
    baseline: str | None,
    ticks: Mapping[float, str],
    title: str,
    colours: Colours,
    *,
    percent: bool,
) -> Figure:
    """Means with intervals over ``ticks`` {place: name}; many lines stand one by one beside the baseline's."""
    # Moved apart, so that intervals do not hide each other.
    gap = min((b - a for a, b in pairwise(sorted(ticks))), default=1.0)

    def intervals(axes: Axes, name: str, color: str, dashes: Any, number: int, aside: float) -> None:
        x, y, low, high = (np.array(values) for values in zip(*lines[name], strict=True))
        axes.errorbar(
            x + aside * gap, y, yerr=np.maximum((y - low, high - y), 0), color=color, linewidth=1.7, elinewidth=1.1,
            capsize=2.5, marker=MARKERS[number], markersize=5.5, label=elide(name), linestyle=dashes,
        )  # fmt: skip

    figure = _panels(list(lines), baseline, title, colours, intervals)
    longest = max(len(name) for name in ticks.values())
    crowded = longest * len(ticks) > (56 if len(lines) <= TOGETHER else 22)
    unit = NARROW_PERCENT if percent else ""
    for axes in figure.axes:
        axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([elide(name, 22) for name in ticks.values()])
        if crowded:
            axes.tick_params(axis="x", labelrotation=30)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}{unit}"))
    return figure


def _panels(
    names: Sequence[str], baseline: str | None, below: str, colours: Colours, draw: DrawLine
) -> Figure:
    """One panel of half the page's width, or rows of four small ones with common axes, each with the baseline."""
    others = [name for name in names if name != baseline]
    if len(names) <= TOGETHER:
        figure = Figure(figsize=(5.4, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for i, name in enumerate(names):
            k = 0 if name == baseline else others.index(name)
            color = colours.ink if name == baseline else colours.arms[k % len(colours.arms)]
            aside = (i - (len(names) - 1) / 2) * 0.4 / len(names)
            draw(axes, name, color, DASHES[k % len(DASHES)], i, aside)
        across = max(1, min(len(names), int(62 / (max(len(elide(name)) for name in names) + 9))))
        place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1.02), "borderaxespad": 0}
        if len(names) > 1:
            axes.legend(ncols=across, handlelength=2.6, **place)
    else:
        across, down = min(PANELS, len(others)), math.ceil(len(others) / PANELS)
        figure = Figure(figsize=(11, 0.5 + 2.1 * down), layout="constrained")
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
        for axes in grid[len(others) :]:
            axes.remove()
        for axes, name in zip(grid, others, strict=False):
            if baseline in names:
                draw(axes, str(baseline), colours.ink, DASHES[1], 1, -0.06)
            draw(axes, name, colours.arms[0], "solid", 0, 0.06)
            axes.set_title(two_lines(name, 32), loc="left", fontsize=9, color=colours.arms[0])
        for axes in figure.axes[-across:]:
            axes.tick_params(labelbottom=True)
    for axes in figure.axes:
        axes.grid(visible=False, axis="x")
    for axes in figure.axes[-PANELS:]:
        axes.set_xlabel(below)
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
