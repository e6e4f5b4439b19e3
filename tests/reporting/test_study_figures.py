"""Drawings of a study: the right values at the right places."""

import csv
import html
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from foveate.reporting.canvas import PAGE, drawing
from foveate.reporting.study_drawings import (
    Drawing,
    block_drawings,
    column_title,
    curve_drawings,
    difference_drawings,
    primary_drawing,
)
from foveate.reporting.study_figures import differences, elide, mean_curve, two_lines
from foveate.studies.analysis import analyse
from foveate.studies.learning_curves import mean_curves
from study_helpers import analysed, simulate


def figure_of(draw: object, **rest: object) -> Figure:
    with drawing(PAGE):
        return draw(PAGE, **rest)  # type: ignore[operator,no-any-return]


def test_dots_are_the_seeds_and_the_line_is_the_interval() -> None:
    results, analysis = analysed(2, seeds=5)
    metric = results.metrics[0]
    row = ("arm 1", results, analysis, "arm 1")
    (axes,) = figure_of(lambda colours: differences([row], metric, colours)).axes
    baseline, ours, _ = results.paired(metric.name, "arm 1")
    dots = axes.collections[0].get_offsets()
    np.testing.assert_allclose(np.asarray(dots)[:, 0], 100 * (ours - baseline))
    c = analysis.comparisons[metric.name]["arm 1"]
    lines = [np.asarray(line.get_xdata(), dtype=float).tolist() for line in axes.lines]
    assert c.low is not None
    assert c.high is not None
    assert pytest.approx([100 * c.low, 100 * c.high]) in lines
    assert pytest.approx([100 * float(c.difference or 0)]) in lines
    (bar,) = axes.patches
    assert bar.get_width() == pytest.approx(200 * float(c.detectable.smallest or 0))  # type: ignore[attr-defined]


def test_pairs_are_joined() -> None:
    results, analysis = analysed(3, seeds=5)
    metric = results.metrics[0]
    rows = [(arm, results, analysis, arm) for arm in ("arm 1", "arm 2")]
    right, left = figure_of(lambda colours: differences(rows, metric, colours, pairs=True)).axes
    assert "difference in points" in right.get_xlabel()
    found = [np.sort(np.asarray(line.get_xdata(), dtype=float)).tolist() for line in left.lines]
    expected = [
        sorted((100 * a, 100 * b))
        for _, _, _, arm in rows
        for a, b in zip(*results.paired(metric.name, arm)[:2], strict=True)
    ]
    assert found == [pytest.approx(pair) for pair in expected]
    dots = [np.asarray(dots.get_offsets())[:, 0] for dots in left.collections]
    np.testing.assert_allclose(dots[0], dots[2], err_msg="the baseline's values stand in every row")


def test_curves_hold_the_means_and_the_bands() -> None:
    results = simulate({"plain": 0.0, "guided": 0.03}, epochs=8)
    curves = mean_curves(results, "val_accuracy")
    (axes,) = figure_of(lambda colours: mean_curve(curves, "plain", colours)).axes
    for line, curve in zip(axes.lines, curves.values(), strict=True):
        np.testing.assert_allclose(line.get_ydata(), curve.mean)
    for band, curve in zip(axes.collections, curves.values(), strict=True):
        heights = band.get_paths()[0].vertices[:, 1]  # type: ignore[index]
        assert heights.min() == pytest.approx((curve.mean - curve.std).min())
        assert heights.max() == pytest.approx((curve.mean + curve.std).max())


def test_many_arms_have_a_panel_each_beside_the_baseline() -> None:
    results = simulate({f"arm {i}": 0.005 * i for i in range(8)}, (1, 2), epochs=6)
    curves = mean_curves(results, "val_loss")
    figure = figure_of(lambda colours: mean_curve(curves, "arm 0", colours))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [f"arm {i}" for i in range(1, 8)]
    for axes in figure.axes:
        np.testing.assert_allclose(axes.lines[0].get_ydata(), curves["arm 0"].mean)
        assert len(axes.lines) == 2


def test_drawings_are_svg_with_their_own_ids_and_words() -> None:
    results = simulate({"plain": 0.0, "guided <b>": 0.03}, (1, 2), epochs=6, metrics=2)
    analysis = analyse(results)
    main, terms = curve_drawings(results, "shortest")
    drawings = [*difference_drawings(results, analysis), *main, *terms]
    assert len({d.name for d in drawings}) == len(drawings)
    for one in drawings:
        root = ElementTree.fromstring(one.inline())
        assert "guided <b>" in str(root.get("aria-label"))
        assert all(str(e.get("id")).startswith(f"{one.name}-") for e in root.iter() if e.get("id"))
        assert re.fullmatch(r"[A-Za-z0-9-]+", one.name)


def saved(one: Drawing) -> list[dict[str, str]]:
    """The rows that the page saves as CSV."""
    found = re.search('data-csv="([^"]*)"', one.inline())
    assert found
    return list(csv.DictReader(io.StringIO(html.unescape(found[1]))))


def test_what_is_drawn_can_be_saved_as_csv() -> None:
    results = simulate({"plain": 0.0, "guided": 0.03}, (1, 2, 3), epochs=6)
    analysis = analyse(results)
    metric = results.metrics[0].name
    primary = primary_drawing({"": (results, analysis)})
    assert primary is not None
    before, after, seeds = results.paired(metric, "guided")
    for one in (difference_drawings(results, analysis)[0], primary):
        rows = saved(one)
        assert [int(row["seed"]) for row in rows] == list(seeds)
        assert [float(row["baseline"]) for row in rows] == pytest.approx(before.tolist())
        assert [float(row["value"]) for row in rows] == pytest.approx(after.tolist())
        c = analysis.comparisons[metric]["guided"]
        assert {float(row["mean_difference"]) for row in rows} == {c.difference}
        assert {(float(row["low"]), float(row["high"])) for row in rows} == {(c.low, c.high)}
    curve = mean_curves(results, "val_accuracy")["guided"]
    rows = [row for row in saved(curve_drawings(results, "shortest")[0][0]) if row["arm"] == "guided"]
    assert [float(row["mean"]) for row in rows] == pytest.approx(curve.mean.tolist())
    assert [int(row["epoch"]) for row in rows] == curve.epoch.tolist()
    study = results, analysis
    rows = saved(block_drawings({"15": study, "50": study})[0])
    assert [row["block"] for row in rows if row["line"] == "guided"] == ["15", "50"]
    assert float(rows[-1]["mean"]) == pytest.approx(analysis.summaries[metric]["guided"].mean)


def test_blocks_need_two() -> None:
    study = analysed(2)
    assert block_drawings({"": study}) == []
    first = block_drawings({"15": study, "50": study})[0]
    mean = 100 * study[1].summaries["test.accuracy"]["arm 0"].mean
    assert f"arm 0: {mean:.4g} at 15, {mean:.4g} at 50" in first.label


@pytest.mark.parametrize(
    ("column", "title", "percent"),
    [
        ("val_accuracy", "Validation accuracy", True),
        ("train_loss", "Training loss", False),
        ("train_share_spatial", "Share of the training loss: spatial", True),
        ("val_cross_entropy", "Validation: cross entropy", False),
        ("seconds", "seconds", False),
    ],
)
def test_columns_have_titles(column: str, title: str, percent: bool) -> None:
    assert column_title(column) == (title, percent)


def test_long_names_keep_their_ends() -> None:
    assert elide("short") == "short"
    long = "no guidance with a very long story, 10 a class"
    assert len(elide(long, 20)) == 20
    assert elide(long, 20).endswith("a class")
    assert two_lines("one two", 25) == "one two"
    lines = two_lines(long * 2, 20).split("\n")
    assert len(lines) == 2
    assert max(map(len, lines)) <= 20
    assert lines[1].endswith("a class")
