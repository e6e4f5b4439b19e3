"""What ``foveate study show`` prints fits the screen and says what matters."""

import io

import pytest
from rich.console import Console

from foveate.cli.study_screen import show
from foveate.studies import tables
from foveate.studies.analysis import analyse
from foveate.studies.tables import Measured
from study_helpers import analysed, simulate


def printed(measured: Measured, width: int = 100) -> list[str]:
    stream = io.StringIO()
    show(measured, Console(file=stream, width=width, highlight=False))
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
