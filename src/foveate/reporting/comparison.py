"""Two runs on the same pictures -> one page: who is right where the other is wrong, and where each looks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from scipy.stats import bootstrap

from foveate.core import manifest
from foveate.core.errors import DataError, RunError
from foveate.core.files import write_text
from foveate.core.intervals import of_mean
from foveate.core.rng import numpy_generator
from foveate.evaluation.attributes import accuracy_of
from foveate.evaluation.evaluators.look import ENERGY
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment.run_folder import RunFolder
from foveate.reporting.answers import Answers, answers, first_rows, page_json
from foveate.reporting.canvas import PAGE, drawing, svg
from foveate.reporting.explanations import run_names
from foveate.reporting.matrix import shorten
from foveate.reporting.page import leaves, render_page
from foveate.reporting.report import SPLIT_NAMES, judged, readable_run
from foveate.reporting.text import value_text
from foveate.studies.picture_comparison import compare_pictures
from foveate.studies.results import Pictures

RESAMPLES = 5000
DRAWN = 40
"""Classes up to which the differences are drawn."""
EXPLAINED = 200
"""Pictures that are explained for a page, at most."""
BOTH_WAYS = (-1.0, 1.0)


def build_comparison(
    run_folder: Path, other_folder: Path, out: Path | None = None, *, assets: bool = False
) -> Path:
    """Write the page and return its path (``comparison.html`` in the first run's folder unless ``out`` is given).

    Raises:
        RunError: as ``build_report``.
        DataError: the runs have other classes, no common test picture, or one has another label in each.
    """
    runs = [readable_run(Path(folder)) for folder in (run_folder, other_folder)]
    names = run_names([run.folder for run in runs])
    target = Path(out) if out is not None else runs[0].folder / "comparison.html"
    beside = target.with_name(f"{target.stem}_pictures") if assets else None
    split, tables, left_out = same_pictures(*runs)
    shown = [Answers(name, run, rows) for name, run, rows in zip(names, runs, tables, strict=True)]
    held = answers(shown, assets=beside, split=SPLIT_NAMES[split])
    context = {
        "title": " and ".join(names), "names": names, "split_name": SPLIT_NAMES[split], "left_out": left_out,
        **compare(tables[0], tables[1], runs[0].class_names), "differing": differing(*runs), "answers": page_json(held),
        "beside": assets, "unchecked": [note for run in runs if (note := manifest.unchecked(run.folder))],
    }  # fmt: skip
    write_text(target, render_page("comparison.html.j2", context))
    return target


def same_pictures(first: RunFolder, second: RunFolder) -> tuple[str, list[PredictionTable], list[int]]:
    """(split, both tables of the pictures that both were measured on, sorted by path, how many more each had)."""
    tables = [run.predictions for run in (first, second)]
    if tables[0].class_ids != tables[1].class_ids:
        raise DataError(
            f"{first.folder} and {second.folder} know other classes ({len(tables[0].class_ids)} and "
            f"{len(tables[1].class_ids)}); compare runs on the same ones."
        )
    split = next((s for s in ("test", "val") if all(s in table.splits for table in tables)), None)
    if split is None:
        raise DataError(f"{first.folder} and {second.folder} have no labelled test or validation pictures.")
    rows = [table.of_split(split) for table in tables]
    common, *places = np.intersect1d(rows[0].path, rows[1].path, return_indices=True)
    if not len(common):
        raise DataError(
            f"{first.folder} and {second.folder} were measured on different {SPLIT_NAMES[split]} pictures; train both "
            "with the same --split file."
        )
    aligned = [own.subset(place) for own, place in zip(rows, places, strict=True)]
    changed = np.flatnonzero(aligned[0].label != aligned[1].label)
    if len(changed):
        path = aligned[0].path[changed[0]]
        raise DataError(
            f"{path} has another label in {first.folder} than in {second.folder}; mend one of them."
        )
    return split, aligned, [len(own) - len(common) for own in rows]


def shown_first(runs: Sequence[RunFolder]) -> list[Path]:
    """Up to ``EXPLAINED`` pictures that the page of one run or of two shows, wrong answers first.

    Raises:
        RunError: where the pictures were is not recorded.
    """
    if len(runs) == 2:
        tables = same_pictures(runs[0], runs[1])[1]
    else:
        table = runs[0].predictions
        split = judged(table)
        tables = [table.of_split(split) if split else table]
    root = runs[0].data_root
    if root is None:
        raise RunError(f"{runs[0].folder} does not say where its pictures were, so none can be explained.")
    return sorted(root / str(tables[0].path[row]) for row in first_rows(tables)[:EXPLAINED])


def compare(first: PredictionTable, second: PredictionTable, names: Sequence[str]) -> dict[str, Any]:
    """Every figure of the page; differences are the first run minus the second."""
    a, b, groups = first.correct, second.correct, first.group
    test = compare_pictures({0: _pictures(second)}, {0: _pictures(first)})
    assert test is not None
    both_look = None
    if ENERGY in first.look and ENERGY in second.look:
        gap = first.look[ENERGY].astype(np.float64) - second.look[ENERGY]
        known = np.isfinite(gap)
        both_look = {
            "n": int(known.sum()), "means": [float(t.look[ENERGY][known].mean()) for t in (first, second)],
            "interval": of_mean(gap[known], span=BOTH_WAYS, groups=groups[known]),
            "difference": float(gap[known].mean()),
        } if known.any() else None  # fmt: skip
    classes = [_of_class(k, names[k], first, second) for k in np.unique(first.label).tolist()]
    return {
        "n": len(first), "accuracies": [accuracy_of(t.correct, groups) for t in (first, second)],
        "difference": float(a.mean() - b.mean()), "interval": paired_bootstrap(a, b, groups),
        "test": test.by_seed[0], "both": int((a & b).sum()), "neither": int((~a & ~b).sum()),
        "agree": float((first.prediction == second.prediction).mean()), "look": both_look, "classes": classes,
        "grouped": bool((groups != "").any()), "drawing": _drawn(classes) if 1 < len(classes) <= DRAWN else None,
    }  # fmt: skip


def paired_bootstrap(a: np.ndarray, b: np.ndarray, groups: np.ndarray) -> tuple[float, float] | None:
    """95 % interval of the difference of two accuracies on the same pictures (n,) bool: pictures, or whole groups, are
    drawn again with both answers (Efron's percentiles). None for fewer than two groups."""
    members = [name or k for k, name in enumerate(groups.tolist())]
    index = {name: k for k, name in enumerate(dict.fromkeys(members))}
    of = np.array([index[name] for name in members])
    if len(index) < 2:
        return None
    gains, sizes = np.bincount(of, weights=a.astype(float) - b), np.bincount(of).astype(float)

    def difference(gain: np.ndarray, size: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(gain.sum(axis=axis) / size.sum(axis=axis))

    found = bootstrap(
        (gains, sizes), difference, paired=True, vectorized=True, n_resamples=RESAMPLES, batch=100,
        method="percentile", rng=numpy_generator("paired bootstrap", len(a)),
    ).confidence_interval  # fmt: skip
    return float(found.low), float(found.high)


def differing(first: RunFolder, second: RunFolder) -> list[tuple[str, str, str]]:
    """(setting, its value in each) of all settings that differ."""
    own, others = (dict(leaves(run.settings)) for run in (first, second))

    def text(values: dict[str, Any], name: str) -> str:
        return value_text(values[name]) if name in values else "not set"

    return [
        (name, text(own, name), text(others, name))
        for name in dict.fromkeys([*own, *others])
        if own.get(name) != others.get(name)
    ]


def _pictures(table: PredictionTable) -> Pictures:
    return Pictures(tuple(table.path.tolist()), table.correct)


def _of_class(k: int, name: str, first: PredictionTable, second: PredictionTable) -> dict[str, Any]:
    rows = first.label == k
    a, b = (table.correct[rows].astype(np.float64) for table in (first, second))
    return {
        "label": k, "name": name, "n": int(rows.sum()), "recalls": (float(a.mean()), float(b.mean())),
        "difference": float((a - b).mean()), "interval": of_mean(a - b, span=BOTH_WAYS, groups=first.group[rows]),
        "gained": int((a > b).sum()), "lost": int((a < b).sum()),
    }  # fmt: skip


def _drawn(classes: Sequence[dict[str, Any]]) -> Markup:
    """Differences of recall with their intervals, the largest gain first."""
    ordered = sorted(classes, key=lambda c: -c["difference"])
    with drawing():
        figure = Figure(figsize=(7.4, 1.0 + 0.3 * len(ordered)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0, color=PAGE.muted, linewidth=1, linestyle=(0, (4, 3)))
        for row, one in enumerate(ordered):
            if one["interval"] is not None:
                axes.plot(
                    [100 * end for end in one["interval"]], (row, row), color=PAGE.series[0], linewidth=2
                )
            axes.plot(100 * one["difference"], row, "o", color=PAGE.series[0], markersize=6)
        axes.set_yticks(range(len(ordered)), [shorten(one["name"]) for one in ordered])
        axes.set_ylim(len(ordered) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("difference of recall in points")
        rows = [
            (one["name"], one["n"], *one["recalls"], one["difference"], *(one["interval"] or ("", "")))
            for one in ordered
        ]
        label = "Difference of recall of each class in points: " + "; ".join(
            f"{one['name']} {100 * one['difference']:+.1f}" for one in ordered
        )
        header = ("class", "pictures", "recall_first", "recall_second", "difference", "low", "high")
        return svg(figure, name="classes-compared", label=label, data=(header, rows))
