"""Drawings: well-formed SVG, the right values at the right places, colours left to the page."""

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest

from foveate.evaluation.calibration import reliability
from foveate.reporting import figures, matrix
from foveate.reporting.page import templates

SVG = "{http://www.w3.org/2000/svg}"
HISTORY = [
    {
        "epoch": e,
        "phase": "a" if e < 4 else "b",
        "train_loss": 1 / e,
        "val_loss": None if e == 2 else 2 / e,
        "lr": 0.1**e,
    }
    for e in range(1, 8)
]


def test_curve_is_svg_whose_colours_follow_the_page() -> None:
    drawn = figures.curve(HISTORY, figures.loss_lines(HISTORY), name="loss", title="Loss", kept=5)
    assert drawn is not None
    root = ElementTree.fromstring(drawn)
    assert root.get("aria-label") == "Loss over 7 epochs: training ends at 0.143; validation ends at 0.286"
    assert root.get("width") is None
    assert root.get("viewBox")
    assert "var(--series-1)" in drawn
    assert not re.search(r"#0101\d\d", drawn)
    texts = ["".join(t.itertext()) for t in root.iter(f"{SVG}text")]
    assert {"training", "validation", "epoch", "kept: 5"} <= set(texts)
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert all(str(i).startswith("loss-") for i in ids)


def test_the_drawn_line_has_the_values_of_the_history() -> None:
    rows = [{"epoch": e, "phase": "", "val_accuracy": v} for e, v in [(1, 0.0), (2, 1.0), (3, 0.5)]]
    drawn = figures.curve(
        rows, [("val_accuracy", "validation", "solid")], name="x", title="Accuracy", percent=True
    )
    assert drawn is not None
    paths = [
        p.get("d", "")
        for p in ElementTree.fromstring(drawn).iter(f"{SVG}path")
        if "series-1" in p.get("style", "")
    ]
    points = [tuple(map(float, m)) for m in re.findall(r"[ML] ([\d.]+) ([\d.]+)", max(paths, key=len))]
    (x1, y1), (x2, y2), (x3, y3) = points
    assert x2 - x1 == pytest.approx(x3 - x2)
    assert y1 > y3 > y2  # SVG counts downwards
    assert y3 == pytest.approx((y1 + y2) / 2, abs=0.01)


def test_no_values_no_drawing() -> None:
    assert figures.curve(HISTORY, [("nothing", "nothing", "solid")], name="x", title="X") is None


def test_log_ticks_are_plain_numbers() -> None:
    drawn = figures.curve(HISTORY, figures.rate_lines(HISTORY), name="rate", title="Rate", log=True)
    assert drawn is not None
    assert "mathdefault" not in drawn
    assert "1e-05" in drawn


def test_phases_and_lines() -> None:
    assert figures.phases(HISTORY) == [("a", 1, 3), ("b", 4, 7)]
    assert figures.series(HISTORY, "val_loss") == [(e, 2 / e) for e in (1, 3, 4, 5, 6, 7)]
    row = {
        "epoch": 1,
        "train_loss": 1.0,
        "train_cross_entropy": 0.5,
        "train_spatial": 0.5,
        "train_accuracy": 1.0,
    }
    assert [label for _, label, _ in figures.loss_lines([row])] == [
        "training",
        "validation",
        "cross entropy",
        "spatial",
    ]
    del row["train_spatial"]  # one term is the total
    assert [label for _, label, _ in figures.loss_lines([row])] == ["training", "validation"]
    rates = [{"epoch": 1, "lr_head": 0.1, "lr_backbone": 0.1}]
    assert figures.rate_lines(rates) == [("lr_head", "head", "solid"), ("lr_backbone", "backbone", "dashed")]


def test_shares_and_weights_are_no_terms_and_have_panels_of_their_own() -> None:
    rows: list[dict[str, Any]] = [
        {"epoch": 1, "phase": "head", "train_loss": 1.0, "train_classification": 1.0}
    ]
    for epoch, share in ((2, 0.1), (3, 0.4)):
        shares = {
            "train_share_classification": 1 - share,
            "train_share_spatial": share,
            "train_share_look": 0.0,
        }
        weights = {"train_weight_classification": 1.0, "train_weight_spatial": 5.0, "train_weight_look": 0.0}
        losses = {"train_loss": 1.0, "train_classification": 1 - share, "train_spatial": share / 5}
        rows.append({"epoch": epoch, "phase": "all", **losses, **shares, **weights})
    columns = list(dict.fromkeys(name for row in rows for name in row))
    rows = [{name: row.get(name) for name in columns} for row in rows]
    labels = [label for _, label, _ in figures.loss_lines(rows)]
    assert labels == ["training", "validation", "classification", "spatial"]
    drawn = figures.shares(rows, name="shares", title="Share")
    assert drawn is not None
    assert (
        'aria-label="Share in epochs 2 to 3: classification from 90% to 60%; spatial from 10% to 40%"'
        in drawn
    )
    assert figures.weight_lines(rows) == []
    rows[-1]["train_weight_spatial"] = 2.0
    assert [label for _, label, _ in figures.weight_lines(rows)] == ["classification", "spatial", "look"]
    alone = [{name: row[name] for name in columns if "spatial" not in name} for row in rows]
    assert figures.shares(alone, name="shares", title="Share") is None
    assert figures.shares([], name="shares", title="Share") is None


def test_the_drawn_shares_fill_the_panel_up_to_each_value() -> None:
    rows = [
        {"epoch": e, "phase": "", "train_share_a": 1 - s, "train_share_b": s}
        for e, s in [(1, 0.25), (2, 0.5)]
    ]
    drawn = figures.shares(rows, name="x", title="Share")
    assert drawn is not None
    bars = re.findall(
        r'd="M ([\d.]+) ([\d.]+) \s*L [\d.]+ [\d.]+ \s*L [\d.]+ ([\d.]+) [^"]*" [^>]*style="fill: var\(--series-(\d)\)',
        drawn,
    )
    heights = [abs(float(low) - float(high)) for _, low, high, _ in bars[:4]]
    assert [series for *_, series in bars[:4]] == ["1", "1", "2", "2"]
    assert [h / (heights[0] + heights[2]) for h in heights] == pytest.approx([0.75, 0.5, 0.25, 0.5], abs=1e-3)


def test_reliability_diagram() -> None:
    rng = np.random.default_rng(0)
    bins = [vars(b) for b in reliability(rng.random(50), rng.random(50) < 0.5)]
    drawn = figures.reliability_diagram(bins, name="r", label='a "quoted" <label>')
    assert ElementTree.fromstring(drawn).get("aria-label") == 'a "quoted" <label>'


@pytest.mark.parametrize("n", [2, 5, 12, 24, 40, 41, 200])
def test_matrix_draws_every_count_once(n: int) -> None:
    rng = np.random.default_rng(n)
    confusion = (rng.integers(0, 30, (n, n)) * (rng.random((n, n)) < 0.3)).tolist()
    names = [f"<class {i}>" for i in range(n)]
    root = ElementTree.fromstring(matrix.confusion_svg(confusion, names))
    cells = [g for g in root.iter(f"{SVG}g") if g.find(f"{SVG}rect") is not None]
    expected = [(i, j) for i in range(n) for j in range(n) if confusion[i][j]]
    assert len(cells) == len(expected)
    first = cells[0].find(f"{SVG}rect")
    assert first is not None
    side = float(first.get("width", 0))
    rects = [c.find(f"{SVG}rect") for c in cells]
    xs = [float(r.get("x", 0)) for r in rects if r is not None]
    ys = [float(r.get("y", 0)) for r in rects if r is not None]
    for (i, j), cell, x, y in zip(expected, cells, xs, ys, strict=True):
        count, row = confusion[i][j], sum(confusion[i])
        rect, title, text = cell.find(f"{SVG}rect"), cell.find(f"{SVG}title"), cell.find(f"{SVG}text")
        assert rect is not None
        assert title is not None
        assert rect.get("class") == ("hit" if i == j else "miss")
        assert float(rect.get("fill-opacity", 0)) == pytest.approx(0.1 + 0.9 * count / row, abs=1e-3)
        assert f": {count} of {row} (" in str(title.text)
        assert (text is None) == (n > 40)
        assert text is None or text.text == str(count)
        assert x - xs[0] == pytest.approx((j - expected[0][1]) * side, abs=0.11)
        assert y - ys[0] == pytest.approx((i - expected[0][0]) * side, abs=0.11)
    width = float(root.get("width", 0))
    assert max(xs) + side < width
    assert width < 1100 or n > 40


def test_intervals_and_scale() -> None:
    small: Any = templates().get_template("drawings.svg.j2").module
    assert small.interval(None, None, None).strip() == ""
    root = ElementTree.fromstring(small.interval(0.5, 0.25, 0.75, width=100))
    span = root.find("svg/line[@class='span']")
    assert span is not None
    assert "".join(root.itertext()).split() == ["25", "to", "75", "%"]
    assert (span.get("x1"), span.get("x2")) == ("25.0", "75.0")
    drawn = small.scale(0.8, 0.7, 0.9, [("a <b>", 0.1), ("c", 0.15)], label="x")
    circle = ElementTree.fromstring(drawn).find("circle")
    assert circle is not None
    assert float(circle.get("cx", 0)) == pytest.approx(14 + 0.8 * (560 - 28))
    assert "a &lt;b&gt;" in drawn


def test_long_names_are_cut() -> None:
    assert matrix.shorten("a" * 26) == "a" * 26
    assert matrix.shorten("a" * 27) == "a" * 25 + "…"
