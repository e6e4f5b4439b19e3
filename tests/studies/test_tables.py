"""The study's tables against numbers worked out by hand, and its files read back."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from foveate.reporting.table_files import COMPARISON_COLUMNS, write_tables
from foveate.studies import tables
from foveate.studies.analysis import analyse
from foveate.studies.results import Metric, StudyResults
from study_helpers import analysed, simulate

ACCURACY = Metric("test.accuracy", "Test accuracy", percent=True)
EPOCHS = Metric("convergence", "Convergence (epochs)", "lower")


def by_hand(**changes: object) -> StudyResults:
    """Accuracies 0.70, 0.72, 0.74 (mean 0.72, std 0.02) against 0.75, 0.76, 0.80 (mean 0.77, std 0.026458)."""
    values = {
        "test.accuracy": {"plain": {1: 0.70, 2: 0.72, 3: 0.74}, "guided": {1: 0.75, 2: 0.76, 3: 0.80}},
        "convergence": {"plain": {1: 30.0, 2: 28.0, 3: 35.0}, "guided": {1: 24.0, 2: 20.0, 3: 28.0}},
    }
    results = StudyResults("bees", ("plain", "guided"), "plain", (1, 2, 3), (ACCURACY, EPOCHS), values)
    return dataclasses.replace(results, **changes)  # type: ignore[arg-type]


def test_the_reports_layout() -> None:
    results = by_hand()
    table = tables.means_table(results, analyse(results))
    assert [(c.group, c.name) for c in table.columns] == [
        ("", "Metric"), ("plain", "Mean"), ("plain", "Std"), ("guided", "Mean"), ("guided", "Std"),
    ]  # fmt: skip
    assert table.rows == (
        ("Test accuracy (%)", "72.0", "2.0", "77.0", "2.6"),
        ("Convergence (epochs)", "31.0", "3.6", "24.0", "4.0"),
    )
    assert table.title == "bees: mean and standard deviation over 3 seeds"


def test_comparisons() -> None:
    results = by_hand()
    table = tables.comparisons_table(results, analyse(results))
    first, second = table.rows
    # Differences 0.05, 0.04, 0.06: mean 0.05, std 0.01; t interval with 2 degrees of freedom: 4.3027 * 0.01 / sqrt(3).
    assert first[:5] == ("Test accuracy (%)", "guided", "3", "+5.0", "2.5 to 7.5")
    assert first[-1] == "better"
    # t = 0.05 / (0.01 / sqrt(3)) = 8.66; p = 0.0131 two-sided with 2 degrees of freedom.
    assert first[5] == "0.013"
    # Differences -6, -8, -7: mean -7, std 1.
    assert second[3:5] == ("-7.0", "-9.5 to -4.5")
    assert second[-1] == "better"


def test_unequal_numbers_are_told() -> None:
    values = {"test.accuracy": {"plain": {1: 0.7, 2: 0.72, 3: 0.74}, "guided": {1: 0.75}}, "convergence": {}}
    results = by_hand(
        values={**values, "convergence": {"plain": {1: 3.0, 2: 3.0, 3: 4.0}, "guided": {1: 2.0}}},
        failures={("guided", 3): "out of memory"},
    )
    analysis = analyse(results)
    table = tables.means_table(results, analysis)
    assert [c.group for c in table.columns] == ["", *["plain (n = 3)"] * 2, *["guided (n = 1)"] * 2]
    assert table.rows[0] == ("Test accuracy (%)", "72.0", "2.0", "75.0", None)
    assert "1 of 6 cells are not finished." in table.notes
    assert "A single value has no standard deviation." in table.notes
    assert tables.failures(results) == ["guided, seed 3: out of memory"]
    assert tables.unfinished(results) == 1
    results = by_hand(values=values)
    table = tables.means_table(results, analyse(results))
    assert [c.name for c in table.columns[1:]] == ["Mean", "Std", "n"] * 2
    assert table.rows[1] == ("Convergence (epochs)", None, None, "0", None, None, "0")
    assert "A dash: no finished cell has measured this." in table.notes


def test_many_arms_stand_in_several_tables_beside_the_baseline() -> None:
    results, analysis = analysed(9)
    first, second = tables.means_tables(results, analysis)
    groups = [list(dict.fromkeys(c.group for c in t.columns[1:])) for t in (first, second)]
    assert groups == [[f"arm {i}" for i in range(6)], ["arm 0", "arm 6", "arm 7", "arm 8"]]
    assert first.title.endswith("(1 of 2)")
    assert not first.notes
    assert second.notes
    over = tables.overview_tables(results, analysis, across=1)
    assert [len(t.columns) for t in over] == [2, 2]
    assert over[0].rows[0][0] == "arm 0 (baseline)"
    mean, std = (np.mean, np.std)
    values = [100 * v for v in results.values["test.accuracy"]["arm 0"].values()]
    assert over[0].rows[0][1] == f"{mean(values):.1f} ± {std(values, ddof=1):.1f}"


def test_verdicts_name_the_arm() -> None:
    results = by_hand()
    analysis = analyse(results)
    ((title, (line,)), _) = tables.verdicts(results, analysis)
    assert title == "Test accuracy"
    assert line == f"guided: {analysis.verdicts['test.accuracy']['guided']}."
    assert tables.verdicts(results, analysis, ("none",)) == []


@pytest.mark.slow
def test_files_read_back_and_repeat(tmp_path: Path) -> None:
    results = simulate(
        {"plain": 0.0, "a & b_c": 0.03, "x": -0.02}, metrics=2, failures={("x", 2): "killed, seed\r2"}
    )
    measured = {"": (results, analyse(results))}
    paths = write_tables(tmp_path / "a", measured)
    assert [p.name for p in paths] == ["table.csv", "comparisons.csv", "table.md", "table.tex", "table.html"]
    again = simulate(
        {"plain": 0.0, "a & b_c": 0.03, "x": -0.02}, metrics=2, failures={("x", 2): "killed, seed\r2"}
    )
    for path, other in zip(paths, write_tables(tmp_path / "b", {"": (again, analyse(again))}), strict=True):
        assert path.read_bytes() == other.read_bytes()
    with open(tmp_path / "a" / "comparisons.csv", newline="") as stream:
        rows = {(row["metric"], row["arm"]): row for row in csv.DictReader(stream)}
    assert tuple(next(iter(rows.values()))) == COMPARISON_COLUMNS
    assert len(rows) == len(results.metrics) * 3
    _, analysis = measured[""]
    for (metric, arm), row in rows.items():
        summary = analysis.summaries[metric][arm]
        assert (int(row["n"]), float(row["mean"]), float(row["std"])) == (
            summary.n,
            summary.mean,
            summary.std,
        )
        assert summary.mean == pytest.approx(np.mean(list(results.values[metric][arm].values())))
        if arm == "plain":
            assert row["difference"] == row["p_holm"] == row["verdict"] == ""
        else:
            c = analysis.comparisons[metric][arm]
            assert (float(row["difference"]), float(row["p_holm"])) == (c.difference, c.p_holm)
            assert row["verdict"] == analysis.verdicts[metric][arm]
    with open(tmp_path / "a" / "table.csv", newline="") as stream:
        wide = list(csv.DictReader(stream))
    assert [row["Metric"] for row in wide] == [tables.heading(m) for m in results.metrics]
    assert [row["x n"] for row in wide] == ["4"] * 2
    accuracy = analysis.summaries["test.accuracy"]["x"].mean
    assert float(wide[0]["x Mean"]) == pytest.approx(100 * accuracy, abs=0.05)
    assert "- x, seed 2: killed, seed 2\n" in (tmp_path / "a" / "table.md").read_text()
    assert "% failed: x, seed 2: killed, seed 2" in (tmp_path / "a" / "table.tex").read_text()


def test_the_same_digits_in_every_format(tmp_path: Path) -> None:
    results = by_hand()
    write_tables(tmp_path, {"": (results, analyse(results))})
    for name in ("table.csv", "table.md", "table.tex", "table.html"):
        text = (tmp_path / name).read_text()
        for number in ("72.0", "2.0", "77.0", "2.6", "31.0", "3.6", "24.0", "4.0"):
            assert number in text, (name, number)


def test_blocks_stand_in_one_wide_table(tmp_path: Path) -> None:
    measured = {}
    for block in ("15 a class", "50 a class"):
        measured[block] = analysed(2, salt=15 if "15" in block else 50)
    write_tables(tmp_path, measured)
    with open(tmp_path / "table.csv", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["Block", "Metric", "arm 0 Mean", "arm 0 Std", "arm 1 Mean", "arm 1 Std"]
    assert [row[0] for row in rows[1:]] == ["15 a class"] * 2 + ["50 a class"] * 2
    with open(tmp_path / "comparisons.csv", newline="") as stream:
        assert [row["block"] for row in csv.DictReader(stream)] == ["15 a class"] * 4 + ["50 a class"] * 4
    assert "guided bees, 50 a class: mean and" in (tmp_path / "table.md").read_text()
