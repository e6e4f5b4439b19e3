"""Curves and the reliability diagram of one run, as inline SVG."""

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from foveate.reporting.canvas import PAGE, drawing, svg, whole_percent

Series = list[tuple[int, float]]

Line = tuple[str, str, str]
"""(column, label, style: "solid", "dashed", ...)"""
SHARE, WEIGHT = "train_share_", "train_weight_"
"""Columns of the history: a term's share of the weighted training loss, and its weight."""


def series(history: Sequence[dict[str, Any]], column: str) -> Series:
    """The finite values of ``column`` with their epochs."""
    return [
        (r["epoch"], r[column]) for r in history if r.get(column) is not None and math.isfinite(r[column])
    ]


def phases(history: Sequence[dict[str, Any]]) -> list[tuple[str, int, int]]:
    """(name, first epoch, last epoch) of each run of epochs with one phase name."""
    result: list[tuple[str, int, int]] = []
    for row in history:
        if result and result[-1][0] == row["phase"]:
            result[-1] = (row["phase"], result[-1][1], row["epoch"])
        else:
            result.append((row["phase"], row["epoch"], row["epoch"]))
    return result


def curve(
    history: Sequence[dict[str, Any]], lines: Sequence[Line], *, name: str, title: str, kept: int | None = None,
    percent: bool = False, log: bool = False,
) -> Markup | None:  # fmt: skip
    """One panel over epochs; None without any value. Phases are shaded in turn; ``kept`` marks that of the weights."""
    drawn = [(label, style, series(history, column)) for column, label, style in lines]
    drawn = [(label, style, points) for label, style, points in drawn if points]
    if not drawn:
        return None
    with drawing():
        figure, axes = _panel(history)
        for color, (label, style, points) in zip(PAGE.series * len(drawn), drawn, strict=False):
            x, y = zip(*points, strict=True)
            marker: dict[str, Any] = {"marker": "o" if len(points) < 3 else None, "markersize": 4}
            axes.plot(x, y, color=color, linestyle=style, linewidth=1.8, label=label, **marker)
        first, last = history[0]["epoch"], history[-1]["epoch"]
        if kept is not None:
            axes.axvline(kept, color=PAGE.ink, linewidth=1, linestyle=(0, (2, 2)))
            right = kept > (first + last) / 2
            axes.annotate(
                f"kept: {kept}", (kept, 0 if percent else 1), xycoords=axes.get_xaxis_transform(),
                xytext=(-4 if right else 4, 5 if percent else -12), textcoords="offset points",
                ha="right" if right else "left", fontsize=9,
                bbox={"facecolor": PAGE.paper, "alpha": 0.8, "linewidth": 0, "pad": 1.5},
            )  # fmt: skip
        if percent:
            axes.yaxis.set_major_formatter(whole_percent())
        if log and all(value > 0 for _, _, points in drawn for _, value in points):
            axes.set_yscale("log")
            # The default writes powers as mathtext, which an SVG with real text cannot show.
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        _legend(axes, len(drawn))
        words = "; ".join(f"{label} ends at {points[-1][1]:.3g}" for label, _, points in drawn)
        columns = [column for column, _, _ in lines if series(history, column)]
        rows = [[row["epoch"], *(row.get(column) for column in columns)] for row in history]
        label = f"{title} over {last - first + 1} epochs: {words}"
        return svg(figure, name=name, label=label, data=(("epoch", *columns), rows))


def shares(history: Sequence[dict[str, Any]], *, name: str, title: str) -> Markup | None:
    """Stacked areas over epochs: what part of the weighted training loss each term is. None without shares.

    In epochs in which one term alone is trained nothing was recorded, and nothing is drawn.
    """
    columns = [c for c in _columns(history, SHARE) if any(value > 0 for _, value in series(history, c))]
    if len(columns) < 2:
        return None
    rows = {row["epoch"]: [row.get(c) or 0.0 for c in columns] for row in history}
    rows = {epoch: values for epoch, values in rows.items() if any(values)}
    labels = [_words(column, SHARE) for column in columns]
    with drawing():
        figure, axes = _panel(history)
        for number, (color, label) in enumerate(zip(PAGE.series * len(labels), labels, strict=False)):
            below = [sum(values[:number]) for values in rows.values()]
            own = [values[number] for values in rows.values()]
            axes.bar(
                list(rows), own, bottom=below, width=1.0, color=color, alpha=0.6, linewidth=0, label=label
            )
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(whole_percent())
        _legend(axes, len(labels))
        first, last = min(rows), max(rows)
        words = "; ".join(
            f"{label} from {begin:.0%} to {end:.0%}"
            for label, begin, end in zip(labels, rows[first], rows[last], strict=True)
        )
        table = [(epoch, *values) for epoch, values in rows.items()]
        label = f"{title} in epochs {first} to {last}: {words}"
        return svg(figure, name=name, label=label, data=(("epoch", *labels), table))


def _panel(history: Sequence[dict[str, Any]]) -> tuple[Figure, Axes]:
    """Axes over the epochs, every second phase shaded."""
    figure = Figure(figsize=(5.4, 3.1), layout="constrained")
    axes = figure.add_subplot()
    spans = phases(history)
    begin, end = history[0]["epoch"], history[-1]["epoch"]
    for number, (phase, first, last) in enumerate(spans):
        if number % 2:
            axes.axvspan(first - 0.5, last + 0.5, color=PAGE.band, linewidth=0, zorder=0)
        if len(spans) > 1 and (last - first + 1) / (end - begin + 1) > 0.012 * len(phase) + 0.02:
            axes.annotate(
                phase, (first - 0.5, 1), xycoords=axes.get_xaxis_transform(), xytext=(3, 2),
                textcoords="offset points", fontsize=8, color=PAGE.muted,
            )  # fmt: skip
    axes.set_xlim(begin - 0.5, end + 0.5)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.grid(visible=False, axis="x")
    return figure, axes


def _legend(axes: Axes, lines: int) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.06), ncols=min(4, lines), handlelength=1.6)


def reliability_diagram(bins: Sequence[dict[str, Any]], *, name: str, label: str) -> Markup:
    """Accuracy over confidence in the bins of ``summarise``'s ``reliability``; below the counts, to be clicked."""
    with drawing():
        figure = Figure(figsize=(4.6, 4.4), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [4, 1]})
        width = bins[0]["high"] - bins[0]["low"]
        filled = [b for b in bins if b["n"]]
        left = [b["low"] for b in filled]
        wide: dict[str, Any] = {"width": width, "align": "edge", "linewidth": 0}
        upper.bar(left, [b["accuracy"] for b in filled], color=PAGE.series[0], alpha=0.35, **wide)
        for b in filled:
            x = (b["low"], b["high"])
            upper.plot(x, (b["accuracy"],) * 2, color=PAGE.series[0], linewidth=2, solid_capstyle="butt")
            upper.plot(
                (b["confidence"],) * 2, (b["confidence"], b["accuracy"]), color=PAGE.series[1], linewidth=1.6
            )
        upper.plot((0, 1), (0, 1), color=PAGE.muted, linewidth=1, linestyle=(0, (4, 3)))
        upper.set_ylabel("accuracy")
        upper.set_ylim(0, 1)
        upper.set_xlim(0, 1)
        upper.yaxis.set_major_formatter(whole_percent())
        lower.bar(left, [b["n"] for b in filled], color=PAGE.muted, alpha=0.55, **wide)
        lower.set_ylabel("pictures")
        lower.set_xlabel("confidence")
        lower.xaxis.set_major_formatter(whole_percent())
        lower.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=2))
        picks = {}
        for number, b in enumerate(filled):
            # As high as the axes: a bar of one picture is too small to be hit.
            lower.axvspan(b["low"], b["high"], facecolor=PAGE.series[0], alpha=0.004, gid=f"bin-{number}")
            query = {"low": round(100 * b["low"], 4), "high": round(100 * b["high"], 4)}
            picks[f"bin-{number}"] = (
                query, f"{b['n']} pictures with {query['low']:.0f} to {query['high']:.0f} % confidence"
            )  # fmt: skip
        figure.align_ylabels()
        columns = ("low", "high", "n", "accuracy", "confidence")
        data = (columns, [[b[column] for column in columns] for b in bins])
        return svg(figure, name=name, label=label, data=data, picks=picks)


def loss_lines(history: Sequence[dict[str, Any]]) -> list[Line]:
    """The totals solid, each term of the objective dashed (a single term is the total, hence left out)."""
    totals = [("train_loss", "training", "solid"), ("val_loss", "validation", "solid")]
    metrics = ("accuracy", "f1", "recall", "precision", "auc")
    columns = [c for c in _columns(history, "train_") if not c.startswith((SHARE, WEIGHT))]
    columns = [c for c in columns if c != "train_loss" and not any(word in c for word in metrics)]
    terms = [(c, _words(c, "train_"), "dashed") for c in columns]
    return totals + (terms if len(terms) > 1 else [])


def branch_panels(history: Sequence[dict[str, Any]]) -> list[tuple[str, str, list[Line]]]:
    """(title, name, lines) of the validation figures of each of a network's branches; none where it has none."""
    panels = []
    for title, name, first in (
        ("Validation accuracy of each branch", "branches", "val_accuracy"),
        ("Validation loss of each branch", "branch_losses", "val_loss"),
    ):
        own = [column for column in history[-1] if column.startswith(f"{first}_")] if history else []
        lines = [(column, column.removeprefix(f"{first}_"), "dashed") for column in own]
        joint = [(first, "joint answer", "solid")] if first == "val_accuracy" else []
        panels += [(title, name, joint + lines)] if own else []
    return panels


def weight_lines(history: Sequence[dict[str, Any]]) -> list[Line]:
    """One line for each term's weight; none where no weight changes."""
    columns = _columns(history, WEIGHT)
    moving = any(len({round(v, 6) for _, v in series(history, c)}) > 1 for c in columns)
    return [(c, _words(c, WEIGHT), "solid") for c in columns] if moving else []


def rate_lines(history: Sequence[dict[str, Any]]) -> list[Line]:
    """One line for each learning rate; one that equals an earlier one is dashed, so that both are seen."""
    columns = _columns(history, "lr")
    points = [series(history, column) for column in columns]
    styles = ["dashed" if own in points[:i] else "solid" for i, own in enumerate(points)]
    labels = [column.removeprefix("lr").strip("_") or "learning rate" for column in columns]
    return list(zip(columns, labels, styles, strict=True))


def _columns(history: Sequence[dict[str, Any]], beginning: str) -> list[str]:
    return [c for c in history[0] if c.startswith(beginning)] if history else []


def _words(column: str, beginning: str) -> str:
    return column.removeprefix(beginning).replace("_", " ")
