"""Which drawings a study's report has, by section; each goes into the page or into files."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from foveate.reporting.canvas import PAGE, PRINT, Colours, CsvTable, drawing, save, svg
from foveate.reporting.study_figures import TOGETHER, Points, Row, along, differences, forest, mean_curve
from foveate.studies import arm_axes as axes
from foveate.studies import tables
from foveate.studies.analysis import Analysis
from foveate.studies.learning_curves import Curve, Trim, columns, mean_curves, phase_starts
from foveate.studies.number_format import digits
from foveate.studies.results import Metric, StudyResults
from foveate.studies.specification import PLACEBO, POOLED
from foveate.studies.tables import Measured, heading, judged

MAIN_COLUMNS = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")
_NOT_DRAWN = ("seconds", "images_per_second", "val_balanced_accuracy", "val_macro_f1")
_AXES = {"train_per_class": "training pictures per class"}


@dataclass(frozen=True)
class Drawing:
    """One figure of a report, which can also be written as a file."""

    name: str
    """Of the file, and the beginning of ids."""
    title: str
    label: str
    """What it shows, in words, for those who do not see it."""
    draw: Callable[[Colours], Figure]
    data: CsvTable
    """(header, rows) of what is drawn; shares are between 0 and 1."""
    wide: bool = False
    """Takes the whole width of the page."""

    def inline(self) -> Markup:
        """SVG in the page's colours."""
        with drawing(PAGE):
            return svg(self.draw(PAGE), name=self.name, label=self.label, data=self.data)

    def write(self, folder: Path, endings: Sequence[str] = ("svg", "png")) -> list[Path]:
        """``name``.svg, .png or .pdf in ``folder``, for print."""
        paths = [folder / f"{self.name}.{ending}" for ending in endings]
        for path in paths:
            with drawing(PRINT):
                save(self.draw(PRINT), path)
        return paths


def difference_drawings(results: StudyResults, analysis: Analysis, number: int = 1) -> list[Drawing]:
    """Paired differences, a drawing for each metric; ``number`` is the block's."""
    found = []
    for i, metric in enumerate(judged(results), start=1):
        known, words = _known(analysis, metric)
        if known:
            label = f"{metric.title}, paired differences from {results.baseline}: {'; '.join(words)}"
            name = f"differences-{number}-{i}-{_slug(metric.name)}"
            rows = [(arm, results, analysis, arm) for arm in known]
            draw = partial(differences, rows, metric)
            found.append(Drawing(name, heading(metric), label, draw, _pairs(rows, metric)))
    return found


def primary_drawing(measured: Measured) -> Drawing | None:
    """The study's one figure: the primary metric's pairs and their differences; None where nothing can be compared."""
    rows, words = list[Row](), []
    metric = None
    for name, results, analysis in tables.primary_blocks(measured):
        metric = metric or tables.primary_metric(results, analysis)
        arms = tables.primary_arms(results, analysis, metric) if metric else []
        known = _known(analysis, metric)[0] if metric else []
        beside = [shown for one in arms for shown in (one, f"{one}{PLACEBO}") if shown in known]
        for arm in dict.fromkeys(beside):
            rows.append((", ".join(filter(None, (name, arm))), results, analysis, arm))
            words.append(f"{rows[-1][0]}: {analysis.verdicts[metric.name][arm]}" if metric else "")
    if not rows or not metric:
        return None
    label = f"{metric.title}, pairs and differences from {rows[0][1].baseline}: {'; '.join(words)}"
    draw = partial(differences, rows, metric, pairs=True)
    return Drawing("primary", heading(metric), label, draw, _pairs(rows, metric), wide=True)


def _pairs(rows: Sequence[Row], metric: Metric) -> CsvTable:
    """Each seed's pair, beside the mean difference and its interval."""
    found = []
    for name, results, analysis, arm in rows:
        c = analysis.comparisons[metric.name][arm]
        before, after, seeds = results.paired(metric.name, arm)
        for seed, *values in zip(seeds, before.tolist(), after.tolist(), strict=True):
            found.append((name, seed, *values, c.difference, c.low, c.high))
    return ("arm", "seed", "baseline", "value", "mean_difference", "low", "high"), found


def forest_drawings(measured: Measured) -> list[Drawing]:
    """Each set's paired difference and all sets together: one for each metric and pooled table, if there are sets."""
    found = []
    for number, (name, (results, analysis)) in enumerate(measured.items(), start=1):
        sets = results.names.values() if results.unit == "set" else ()
        rows = [(place, measured[name.removesuffix(POOLED) + place][1]) for place in sets]
        for i, metric in enumerate(judged(results) if rows else (), start=1):
            known, words = _known(analysis, metric, " over {} sets")
            if known:
                title = heading(metric) + (f", {name}" if name != POOLED else "")
                label = f"{metric.title}, differences from {results.baseline}: {'; '.join(words)}"
                places = [*rows, (POOLED, analysis)]
                compared = (
                    (arm, place, one.comparisons.get(metric.name, {}).get(arm))
                    for arm in known
                    for place, one in places
                )
                table = [(arm, place, c.difference, c.low, c.high) for arm, place, c in compared if c]
                data = ("arm", "set", "difference", "low", "high"), table
                draw = partial(forest, places, metric, known)
                found.append(Drawing(f"forest-{number}-{i}", title, label, draw, data))
    return found


def _known(analysis: Analysis, metric: Metric, pairs: str = "") -> tuple[list[str], list[str]]:
    """Arms with a difference, and these differences in words."""
    known = analysis.comparisons.get(metric.name, {}).items()
    compared = {arm: c for arm, c in known if c.difference is not None}
    form = digits(analysis, metric)
    words = [
        f"{arm} {form.difference(c.difference, sign=True)}{pairs.format(c.n)}" for arm, c in compared.items()
    ]
    return list(compared), words


def curve_drawings(results: StudyResults, trim: Trim, number: int = 1) -> tuple[list[Drawing], list[Drawing]]:
    """Mean curves: the main columns of history.csv, then all terms of the losses and their shares."""
    known = [c for c in columns(results) if c not in _NOT_DRAWN and not c.startswith("lr")]
    ordered = [c for c in MAIN_COLUMNS if c in known] + [c for c in known if c not in MAIN_COLUMNS]
    drawn: dict[str, dict[str, Curve]] = {}
    for column in ordered:
        curves = mean_curves(results, column, trim)
        # The only term of a loss is the loss.
        if curves and not any(_equal(curves, other) for other in drawn.values()):
            drawn[column] = curves
    starts = phase_starts(results)
    main, terms = list[Drawing](), list[Drawing]()
    for i, (column, curves) in enumerate(drawn.items(), start=1):
        title, percent = column_title(column)
        ends = "; ".join(f"{arm} ends at {c.mean[-1]:.3g}" for arm, c in curves.items())
        last = max(int(c.epoch[-1]) for c in curves.values())
        label = f"{title}, mean over seeds, to epoch {last}: {ends}"
        begun = [epoch for epoch in starts if epoch <= last]
        draw = partial(mean_curve, curves, results.baseline, percent=percent, phases=begun)
        data = (
            ("arm", "epoch", "mean", "std"),
            [
                (arm, *point)
                for arm, c in curves.items()
                for point in zip(c.epoch.tolist(), c.mean.tolist(), c.std.tolist(), strict=True)
            ],
        )
        name = f"curve-{number}-{i}-{_slug(column)}"
        found = Drawing(name, title, label, draw, data, wide=len(curves) > TOGETHER)
        (main if column in MAIN_COLUMNS else terms).append(found)
    return main, terms


def axis_drawings(results: StudyResults, analysis: Analysis, number: int = 1) -> list[Drawing]:
    """Metrics along each numeric axis of the arms, a line for each method."""
    found = []
    for k, axis in enumerate(axes.numeric_axes(results), start=1):
        methods = axes.along(results, axis)
        values = sorted({value for line in methods.values() for value, _ in line})
        # Sizes and weights are compared by ratio; a zero has no logarithm, so then steps are equally wide.
        place = {v: float(np.log2(v)) if values[0] > 0 else float(i) for i, v in enumerate(values)}
        below = axis_title(axis)
        for i, metric in enumerate(judged(results), start=1):
            lines = {
                method or metric.title: _points(
                    metric, ((place[value], analysis, arm) for value, arm in arms)
                )
                for method, arms in methods.items()
            }
            baseline = next(
                (m or metric.title for m, arms in methods.items() if results.baseline in dict(arms).values()),
                None,
            )
            name = f"axis-{number}-{k}-{i}-{_slug(metric.name)}"
            ticks = {place[v]: f"{v:g}" for v in values}
            found += _along(name, f"{heading(metric)} over {below}", lines, baseline, ticks, below, metric)
    return found


def block_drawings(measured: Measured) -> list[Drawing]:
    """Metrics over the blocks, a line for each arm; nothing without at least two blocks."""
    measured = {block: study for block, study in measured.items() if study[0].unit != "set"}
    if len(measured) < 2:
        return []
    first = next(results for results, _ in measured.values())
    ticks = {float(place): block for place, block in enumerate(measured)}
    analyses = [analysis for _, analysis in measured.values()]
    found = []
    for i, metric in enumerate(judged(first), start=1):
        lines = {
            arm: _points(metric, ((place, one, arm) for place, one in zip(ticks, analyses, strict=True)))
            for arm in first.arms
        }
        name = f"blocks-{i}-{_slug(metric.name)}"
        found += _along(name, heading(metric), lines, first.baseline, ticks, "", metric)
    return found


def _points(metric: Metric, arms: Iterable[tuple[float, Analysis, str]]) -> Points:
    """Of (place, analysis, arm), what was measured."""
    found = []
    for place, analysis, arm in arms:
        s = analysis.summaries.get(metric.name, {}).get(arm)
        if s:
            values = (s.mean if value is None else value for value in (s.mean, s.low, s.high))
            mean, low, high = (100 * value if metric.percent else value for value in values)
            found.append((place, mean, low, high))
    return found


def _along(
    name: str, title: str, lines: Mapping[str, Points], baseline: str | None, ticks: Mapping[float, str], below: str,
    metric: Metric,
) -> list[Drawing]:  # fmt: skip
    lines = {line: points for line, points in lines.items() if points}
    if not lines:
        return []
    words = "; ".join(
        f"{line}: " + ", ".join(f"{mean:.4g} at {ticks[place]}" for place, mean, *_ in points)
        for line, points in lines.items()
    )
    draw = partial(along, lines, baseline, ticks, below, percent=metric.percent)
    part = 100 if metric.percent else 1
    rows = [
        (line, ticks[place], *(value / part for value in values))
        for line, points in lines.items()
        for place, *values in points
    ]
    data = ("line", below or "block", "mean", "low", "high"), rows
    return [Drawing(name, title, f"{metric.title}. {words}", draw, data, wide=len(lines) > TOGETHER)]


def column_title(column: str) -> tuple[str, bool]:
    """A column of history.csv for people, and whether it is a share."""
    side, _, rest = column.partition("_")
    sides = {"train": "Training", "val": "Validation"}
    if side not in sides:
        return column.replace("_", " "), False
    if rest.startswith("share_"):
        return f"Share of the {sides[side].lower()} loss: {rest[6:].replace('_', ' ')}", True
    if rest in ("loss", "accuracy"):
        return f"{sides[side]} {rest}", rest == "accuracy"
    return f"{sides[side]}: {rest.replace('_', ' ')}", "accuracy" in rest


def axis_title(axis: str) -> str:
    """A setting's name for people; what has no name of its own is called as in the experiment."""
    return _AXES.get(axis.rpartition(".")[2], axis)


def _equal(a: dict[str, Curve], b: dict[str, Curve]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[arm].mean, b[arm].mean) for arm in a)


def _slug(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name)
