"""Every picture a dot that opens it: over confidence, by where the network looked or by class."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from foveate.core.files import csv_text
from foveate.core.rng import numpy_generator
from foveate.evaluation.evaluators.look import ENERGY
from foveate.evaluation.predictions import PredictionTable
from foveate.reporting.matrix import shorten
from foveate.reporting.page import templates

MOST = 1500
"""Dots drawn, at most: wrong answers first, then any."""
MARKS = np.array([0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999])
"""On the axis of probabilities, which is one of log-odds: most answers are nearly sure."""
FROM = 3
"""The mark, of one half, from which the axis goes where all are surer."""
CLASSES = 30
"""Without look scores each class has a row; with more classes nothing is drawn."""


def dots_svg(rows: PredictionTable, names: Sequence[str]) -> tuple[Markup, str] | None:
    """(the drawing, what it shows in words) of labelled pictures; None where there is nothing to lay them out by.

    A dot's ``row`` is its place in ``rows``.
    """
    look = rows.look.get(ENERGY)
    known = np.flatnonzero(np.isfinite(look)) if look is not None else np.arange(len(rows))
    if not len(known) or (look is None and len(names) > CLASSES):
        return None
    rng = numpy_generator("dots", len(rows))
    mixed = known[rng.permutation(len(known))]
    shown = np.sort(mixed[np.argsort(rows.correct[mixed], kind="stable")][:MOST])
    of_label = rows.probabilities[np.arange(len(rows)), rows.label]
    if look is not None:
        x, y, ticks = rows.confidence, 1 - look, []
        across, down, height = "confidence", "energy on the object", 320
        words = (
            "Each dot is a picture: how sure the answer is, and how much of the class map lies on the object."
        )
    else:
        x, across, down, height = of_label, "probability of the true class", "", 60 + 34 * len(names)
        # Within a class's row dots lie one over the other without some shaking.
        y = (rows.label + 0.5 + rng.uniform(-0.34, 0.34, len(rows))) / len(names)
        ticks = [((k + 0.5) / len(names), shorten(name)) for k, name in enumerate(names)]
        words = "Each dot is a picture: the probability that its true class got."
    if len(shown) < len(known):
        words += f" {len(shown)} of {len(known)} are drawn, wrong answers first."
    places = _log_odds(np.append(MARKS, x))
    lowest = places[len(MARKS) :][shown].min()
    first = min(max(0, int(np.searchsorted(places[: len(MARKS)], lowest, "right")) - 1), FROM)
    low, high = places[first], places[len(MARKS) - 1]
    places = (places - low) / (high - low)
    marks = [(float(places[k]), f"{100 * MARKS[k]:g} %") for k in range(first, len(MARKS))]
    place = places[len(MARKS) :]
    points = [
        {
            "row": int(i), "x": float(place[i]), "y": float(y[i]), "right": bool(rows.correct[i]),
            "words": f"{rows.path[i]}: {names[rows.label[i]]}, "
            f"{'right' if rows.correct[i] else 'taken for ' + names[rows.prediction[i]]}, {100 * x[i]:.0f} %",
        }
        for i in shown.tolist()
    ]  # fmt: skip
    header = (
        "path",
        "true",
        "predicted",
        "confidence",
        "probability_of_true",
        *([ENERGY] if look is not None else []),
    )
    table = [
        (
            rows.path[i], names[rows.label[i]], names[rows.prediction[i]], rows.confidence[i], of_label[i],
            *([look[i]] if look is not None else []),
        )
        for i in known.tolist()
    ]  # fmt: skip
    draw = templates().get_template("drawings.svg.j2").module.dots  # type: ignore[attr-defined]
    return Markup(draw(points, marks, ticks, height, across, down, csv_text(header, table))), words


def _log_odds(share: np.ndarray) -> np.ndarray:
    inside = np.clip(share.astype(np.float64), MARKS[0], MARKS[-1])
    return np.asarray(np.log(inside / (1 - inside)))
