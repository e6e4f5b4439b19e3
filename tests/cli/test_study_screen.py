"""What ``foveate study show`` prints fits the screen and says what matters."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from foveate.cli.study_screen import Screen, show, show_next
from foveate.studies import tables
from foveate.studies.analysis import analyse
from foveate.studies.expectation import Expectation
from foveate.studies.tables import Measured
from study_helpers import analysed, simulate


def printed(measured: Measured, width: int = 100, *, everything: bool = True) -> list[str]:
    stream = io.StringIO()
    show(
        measured, Path("my study"), Console(file=stream, width=width, highlight=False), everything=everything
    )
    return stream.getvalue().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("n", [2, 5, 10])
def test_lines_fit_and_no_number_is_cut(n: int, width: int) -> None:
    results, analysis = analysed(n, metrics=5)
    lines = printed({"a block": (results, analysis)}, width)
    assert max(len(line.rstrip()) for line in lines) <= width
    text = "\n".join(lines)
    assert "…" not in text
    assert "guided bees, a block" in text
    (table,) = tables.overview_tables(results, analysis, across=9)
    for row in table.rows:
        for cell in row[1:]:
            assert str(cell) in text


def test_marks_verdicts_failures() -> None:
    results = simulate(
        {"plain": 0.0, "guided": 0.1, "[red]x": -0.1}, metrics=2, failures={("[red]x", 3): "[bold] lost"}
    )
    lines = printed({"": (results, analyse(results))})
    text = "\n".join(lines)
    assert "✓" in text
    assert "✗" in text
    assert "[red]x" in text
    assert "failed [red]x, seed 3: [bold] lost" in text
    assert "guided: better: higher by" in text


def test_a_study_without_results() -> None:
    arms = {"a": 0.0, "b": 0.0}
    results = simulate(arms, metrics=1, failures={(arm, seed): "no" for arm in arms for seed in range(1, 6)})
    lines = printed({"": (results, analyse(results))})
    assert sum(line.startswith("failed ") for line in lines) == 10


@pytest.mark.parametrize("n", [2, 9])
def test_the_primary_metric_stands_first_and_one_more_table(n: int) -> None:
    results, analysis = analysed(n, metrics=5)
    results = replace(results, primary="test.swapped")
    lines = printed({"": (results, analysis)}, 80, everything=False)
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert len(lines) < 30 + 2 * n
    head = next(i for i, line in enumerate(lines) if "difference" in line)
    assert lines[head].startswith("Swapped backgrounds (%)")
    (compared,) = (
        [
            row
            for row in tables.comparisons_table(results, analysis).rows
            if row[:2] == ("Swapped backgrounds (%)", arm)
        ]
        for arm in ["arm 1"]
    )
    row = next(line for line in lines[head:] if line.startswith("arm 1 "))
    for cell in compared[0][3:6]:
        assert (cell or "–").replace("-", "−") in row
    text = "\n".join(lines)
    assert text.count("arm 1 ") - text.count("arm 1 is") >= 1
    assert "Test accuracy (%)" in text or "Test" in text
    assert lines[-1].endswith("all verdicts and notes: foveate study show 'my study' --all")


def test_the_verdict_of_the_primary_arm_is_told_whatever_it_is() -> None:
    results = simulate({"plain": 0.0, "guided": 0.0, "other": 0.1}, metrics=2)
    results = replace(results, primary="test.swapped", primary_arm="guided")
    text = " ".join(printed({"": (results, analyse(results))}, 80, everything=False))
    assert "guided: no detectable difference (this design would see" in text
    assert "other: better: higher by" in text
    many = simulate(
        {"plain": 0.0, "guided": 0.0, "low": -0.1} | {f"more {k}": 0.1 for k in range(3)}, metrics=2
    )
    many = replace(many, primary="test.swapped", primary_arm="guided")
    text = " ".join(printed({"": (many, analyse(many))}, 80, everything=False))
    assert "Of the 4 other arms 1 is worse, 3 are better." in text
    assert text.index("✓ better, ✗ worse") < text.index("guided: no detectable difference")


@pytest.mark.parametrize(("gain", "arm"), [(0.1, "guided"), (0.0, "plain"), (-0.1, "plain")])
def test_the_next_step_trains_what_was_shown_to_be_better_else_the_baseline(gain: float, arm: str) -> None:
    results = simulate({"plain": 0.0, "guided": gain}, metrics=2)
    lost = simulate({"plain": 0.0, "guided": gain}, metrics=2, failures={("guided", 3): "not yet"})
    said = []
    for one in (results, lost):
        stream = io.StringIO()
        show_next({"": (one, analyse(one))}, Path("a study"), Console(file=stream, width=300))
        said.append(stream.getvalue().strip())
    assert said[0].endswith(f"foveate study final 'a study' --arm {arm} --out RUN")
    assert not said[1]


def test_of_several_that_are_better_it_says_that_none_was_compared_with_the_others() -> None:
    results = simulate({"plain": 0.0, "more": 0.08, "most": 0.12}, metrics=2)
    stream = io.StringIO()
    show_next({"": (results, analyse(results))}, Path("a study"), Console(file=stream, width=300))
    assert (
        "of 2 shown to be better it gained most; they were not compared with each other" in stream.getvalue()
    )
    assert stream.getvalue().strip().endswith("--arm most --out RUN")


def test_what_the_marks_of_an_unfinished_study_mean_stands_below_its_first_table() -> None:
    lost = {("guided", seed): "not yet" for seed in (3, 4, 5)}
    results = simulate({"plain": 0.0, "guided": 0.0}, metrics=2, failures=lost)
    lines = printed({"": (results, analyse(results))}, 120, everything=False)
    mark = next(i for i, line in enumerate(lines) if line.rstrip().endswith("?"))
    assert lines[mark + 1] == "? too few seeds to tell"
    assert any(line.startswith("Means are over all finished seeds") for line in lines)


def test_what_is_ahead_is_an_upper_bound_with_its_assumption(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().expected(Expectation(2, 600.0, 1, True, "test.accuracy", "Assuming."))
    text = " ".join(capsys.readouterr().out.split())
    assert (
        "2 trainings ahead: about 10 min at most, usually much less, since training stops early (from" in text
    )
    assert "Assuming. foveate plan tells other cases." in text


def test_blocks_have_one_table_of_the_primary_metric_each() -> None:
    lines = printed(
        {name: analysed(3, salt=k) for k, name in enumerate(("few", "many"))}, 80, everything=False
    )
    assert [line.split(",")[0] for line in lines if "mean ± std" in line] == ["few", "many"]
    assert lines[-1].startswith("1 more metrics, 2 tables, all verdicts")
