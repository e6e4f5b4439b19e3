"""The pictures of each class: how many there are, by split, and a few of them to look at."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from foveate.core.rng import numpy_generator
from foveate.reporting.canvas import PAGE, drawing, svg
from foveate.reporting.matrix import shorten
from foveate.reporting.pictures import thumbnail
from foveate.reporting.text import thousands

NAMED = 60
"""Classes up to which each has a bar with its name; more are sorted by size and have no names."""
SAMPLED = 24
"""Classes of which pictures are shown, at most."""
EACH = 6
"""Pictures shown of a class."""
SIDE = 140
"""Longest side of a shown picture in pixels."""
SPLITS = (("train", "training"), ("val", "validation"), ("test", "test"), ("", "no split"))


def class_pictures(
    root: Path | None, classes: Sequence[str], rows: Sequence[tuple[str, int, str]]
) -> dict[str, Any]:
    """What the macro in classes.html.j2 shows.

    Args:
        root: where the pictures are; None: none is shown.
        classes: names, by label.
        rows: (path, label, split) of every labelled picture.
    """
    counts = {
        split: np.bincount([label for _, label, own in rows if own == split], minlength=len(classes))
        for split, _ in SPLITS
    }
    total = np.sum(list(counts.values()), axis=0)
    shown, sampled = [], ""
    if root is not None:
        chosen = range(min(len(classes), SAMPLED))
        shown = [
            {"name": classes[k], "count": int(total[k]), "uris": samples(root, classes[k], rows, k)}
            for k in chosen
        ]
        sampled = f"{EACH} pictures of each class, drawn at random, the same in every report" + (
            "." if len(classes) <= SAMPLED else f"; of the first {SAMPLED} classes."
        )
    return {
        "figure": distribution(classes, {name: counts[split] for split, name in SPLITS}),
        "words": words(classes, total),
        "samples": shown,
        "sampled": sampled,
    }


def words(classes: Sequence[str], total: np.ndarray) -> str:
    """The distribution in a sentence; total: (C,) pictures a class."""
    low, high = int(total.argmin()), int(total.argmax())
    if total[low] == total[high]:
        return f"{len(classes)} classes of {thousands(int(total[high]))} pictures each."
    ratio = f"{total[high] / total[low]:.1f}" if total[low] else "1.0"
    times = "" if ratio == "1.0" else f", {ratio} times as many"
    return (
        f"{len(classes)} classes; the smallest, {classes[low]}, has {thousands(int(total[low]))} pictures, the "
        f"largest, {classes[high]}, {thousands(int(total[high]))}{times}. Always answering the largest would be "
        f"right for {100 * total[high] / total.sum():.1f} %."
    )


def distribution(
    classes: Sequence[str], counts: Mapping[str, np.ndarray], name: str = "distribution"
) -> Markup:
    """Bars of the pictures a class, stacked by split, or by where their masks come from.

    Args:
        counts: {part's name: (C,) pictures a class}; parts without pictures are left out.
        name: of the drawing, unique on the page.
    """
    counts = {part: values for part, values in counts.items() if values.any()}
    total = np.sum(list(counts.values()), axis=0)
    named = len(classes) <= NAMED
    order = np.arange(len(classes)) if named else np.argsort(-total, kind="stable")
    with drawing():
        height = 0.7 + 0.26 * len(classes) if named else 3.0
        figure = Figure(figsize=(7.4, height), layout="constrained")
        axes = figure.add_subplot()
        start, place = np.zeros(len(classes), dtype=np.int64), np.arange(len(classes))
        for color, (part, values) in zip(PAGE.series, counts.items(), strict=False):
            look: dict[str, Any] = {"color": color, "alpha": 0.75, "linewidth": 0, "label": part}
            if named:
                axes.barh(place, values[order], left=start, height=0.7, **look)
            else:
                axes.bar(place, values[order], bottom=start, width=1.0, **look)
            start = start + values[order]
        (axes.xaxis if named else axes.yaxis).set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.grid(visible=False, axis="y" if named else "x")
        if named:
            axes.set_yticks(place, [shorten(name) for name in classes])
            axes.invert_yaxis()
            axes.set_xlabel("pictures")
            for row, value in enumerate(total.tolist()):
                at: dict[str, Any] = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
                axes.annotate(str(value), (value, row), fontsize=9, **at)
            axes.set_xlim(0, max(1, total.max()) * 1.08)
            axes.tick_params(axis="y", length=0)
        else:
            axes.set_xlabel("classes, largest first")
            axes.set_ylabel("pictures")
        if len(counts) > 1:
            # In inches above the axes, so that it does not move with the number of classes.
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1 + 0.06 / height), ncols=4, handlelength=1.2)
        label = "Pictures a class: " + ", ".join(f"{classes[k]} {total[k]}" for k in order[:NAMED].tolist())
        data = (("class", *counts), zip(classes, *counts.values(), strict=True))
        return svg(figure, name=name, label=label, data=data)


def samples(root: Path, name: str, rows: Sequence[tuple[str, int, str]], label: int) -> list[tuple[str, str]]:
    """(data URI, path) of up to ``EACH`` pictures of a class, drawn by the class's name alone; unreadable ones are
    passed over (the check names them)."""
    paths = sorted(path for path, own, _ in rows if own == label)
    found: list[tuple[str, str]] = []
    for k in numpy_generator("class pictures", name).permutation(len(paths)):
        if len(found) == EACH:
            break
        uri, _ = thumbnail(root / paths[k], SIDE)
        if uri is not None:
            found.append((uri, paths[k]))
    return found
