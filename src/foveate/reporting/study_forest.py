"""Forest plots of a study over several sets: each set's paired difference, and all sets together below."""

from functools import partial

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from foveate.reporting.canvas import Colours
from foveate.reporting.study_drawings import Drawing, judged
from foveate.studies.analysis import Analysis
from foveate.studies.number_format import digits
from foveate.studies.results import Metric
from foveate.studies.specification import POOLED
from foveate.studies.tables import Measured, heading

Rows = list[tuple[str, Analysis]]


def forest_drawings(measured: Measured) -> list[Drawing]:
    """One for each metric and pooled table; nothing in a study of one folder."""
    found = []
    for number, (name, (results, analysis)) in enumerate(measured.items(), start=1):
        if results.unit != "set":
            continue
        rows = [(place, measured[name.removesuffix(POOLED) + place][1]) for place in results.names.values()]
        for i, metric in enumerate(judged(results), start=1):
            form = digits(analysis, metric)
            known = {
                arm: c
                for arm, c in analysis.comparisons.get(metric.name, {}).items()
                if c.difference is not None
            }
            words = "; ".join(
                f"{arm} {form.difference(c.difference, sign=True)} over {c.n} sets"
                for arm, c in known.items()
            )
            if known:
                draw = partial(forest, [*rows, (POOLED, analysis)], metric, list(known))
                title = f"{heading(metric)}, {name}" if name != POOLED else heading(metric)
                label = f"{metric.title}, differences from {results.baseline}: {words}"
                found.append(Drawing(f"forest-{number}-{i}", title, label, draw))
    return found


def forest(rows: Rows, metric: Metric, arms: list[str], colours: Colours) -> Figure:
    """Squares are sets with their intervals over seeds, the diamond is their mean with its interval over sets."""
    figure = Figure(figsize=(5.4, 0.95 + 0.28 * len(arms) * (len(rows) + 1)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=colours.ink, linewidth=1)
    names: list[tuple[int, str]] = []
    line = 0
    for arm in arms:
        if len(arms) > 1:
            names.append((line, arm))
            line += 1
        for name, analysis in rows:
            c, form = analysis.comparisons.get(metric.name, {}).get(arm), digits(analysis, metric)
            names.append((line, name))
            if c is not None and c.difference is not None:
                pooled = name == POOLED
                color = colours.arms[0] if pooled else colours.muted
                if c.low is not None and c.high is not None:
                    ends = (form.shown(c.low), form.shown(c.high))
                    axes.plot(ends, (line, line), color=color, linewidth=2.4 if pooled else 1.4)
                axes.plot(form.shown(c.difference), line, marker="D" if pooled else "s", color=color)
            line += 1
    axes.set_yticks([place for place, _ in names], [name for _, name in names], color=colours.ink)
    axes.set_ylim(line - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+g}".replace("-", "−") if x else "0"))
    axes.set_xlabel("difference in percentage points" if metric.percent else "difference")
    return figure
