"""What a study's folder holds for a paper: the figure's files, and sentences that say what the verdict says."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from scipy import stats

from foveate.core.files import write_bytes
from foveate.reporting.canvas import PRINT, drawing
from foveate.reporting.paper import citation, write_paper
from foveate.reporting.study_drawings import primary_drawing
from foveate.studies.analysis import analyse
from foveate.studies.looks import Stage
from foveate.studies.paper_words import caption, findings, methods, noun
from foveate.studies.results import Metric, StudyResults
from study_helpers import simulate

METRIC = "test.accuracy"


def study(gain: float, seeds: int = 5, **changes: Any) -> StudyResults:
    results = simulate({"none": 0.0, "guided": gain}, tuple(range(seeds)), metrics=1)
    return replace(results, **{"primary": METRIC, "primary_arm": "guided"} | changes)


def said(results: StudyResults) -> str:
    return findings(results, analyse(results), results.metrics[0], [a for a in results.arms if a != "none"])


@pytest.mark.parametrize(
    ("results", "words"),
    [
        (study(0.15), "With guided, test accuracy was higher by "),
        (study(-0.15), "With guided, test accuracy was lower by "),
        (study(0.0), "No difference in test accuracy between guided and none was detected (difference "),
        (study(0.0), " By the spread over these 5 seeds and over pictures, a difference of "),
        (study(0.0), " points would have been found with a power of 0.8; smaller ones are not ruled out."),
        (
            study(0.15, margins={METRIC: 0.01}),
            "guided was not worse than none by more than the margin of 1.0 points.",
        ),
        (
            study(-0.15, margins={METRIC: 0.01}),
            "a loss of more than the margin of 1.0 points with guided is not ruled out.",
        ),
        (study(0.15, stage=Stage((9,), 5)), "Exploratory: 5 of 9 planned seeds are done"),
        (study(0.15, stage=Stage((3,), 5)), "Exploratory: the study was planned for 3 seeds, was looked at"),
        (study(0.15, seeds=2), "guided and none were compared in 2 pairs only, too few for a verdict."),
    ],
)
def test_results_say_what_the_verdict_says(results: StudyResults, words: str) -> None:
    assert words in said(results)


def test_the_numbers_are_those_of_the_test() -> None:
    results = study(0.15)
    before, after, _ = results.paired(METRIC, "guided")
    test = stats.ttest_rel(after, before)
    low, high = test.confidence_interval()
    text = said(results)
    assert f"higher by {100 * (after - before).mean():.1f} points than with none" in text
    assert f"95 % interval {100 * low:.1f} to {100 * high:.1f}" in text
    assert (
        f"{100 * after.mean():.1f} ± {100 * after.std(ddof=1):.1f} % against {100 * before.mean():.1f}"
        in text
    )


def test_the_placebo_stands_beside_its_arm() -> None:
    results = simulate({"none": 0.0, "guided": 0.15, "guided, placebo": 0.02}, metrics=1)
    results = replace(results, primary=METRIC, primary_arm="guided")
    analysis = analyse(results)
    measured = {"": (results, analysis)}
    text = findings(results, analysis, results.metrics[0], ["guided"])
    theirs, ours, _ = results.paired(METRIC, "guided", "guided, placebo")
    low, high = stats.ttest_rel(ours, theirs).confidence_interval()
    assert f"the difference of guided was +{100 * (ours - theirs).mean():.1f} points" in text
    assert f"95 % interval {100 * low:.1f} to {100 * high:.1f}" in text
    assert "Below an arm: its placebo" in caption(results, analysis, results.metrics[0], ["guided"])
    drawn = primary_drawing(measured)
    assert drawn is not None
    with drawing(PRINT):
        _, left = drawn.draw(PRINT).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["guided", "guided, placebo"]
    assert left.get_xlabel().startswith(f"{results.metrics[0].title} (%)\n")


def test_an_unfinished_study_counts_what_is_finished_and_tells_means_of_pairs() -> None:
    lost = {("guided", 4): "not yet", ("guided", 5): "not yet"}
    results = replace(simulate({"none": 0.0, "guided": 0.15}, metrics=1, failures=lost), primary=METRIC)
    analysis, metric = analyse(results), results.metrics[0]
    before, after, _ = results.paired(METRIC, "guided")
    text = methods(results, analysis, metric, ["guided"], named=True)
    assert "trained with 3 of 5 planned random seeds (unfinished);" in text
    assert "In it, 1 comparison with none was tested, without a correction." in text
    assert (
        f"{100 * after.mean():.1f} ± {100 * after.std(ddof=1):.1f} % against {100 * before.mean():.1f} ±"
        in said(results)
    )
    assert "n = 3 seeds; 73 test pictures in each." in caption(results, analysis, metric, ["guided"])


def test_many_arms_are_told_together() -> None:
    results = simulate({"none": 0.0, **{f"arm {k}": 0.15 * (k > 6) for k in range(1, 9)}}, metrics=1)
    text = said(replace(results, primary=METRIC))
    assert "With arm 7, " in text
    assert "With arm 8, " in text
    told = r"For the 6 other arms no difference from none was detected \(the design would see [\d.]+ to [\d.]+ points\)"
    assert re.search(told, text)
    assert text.count("With arm") == 2


def test_methods_name_what_was_planned() -> None:
    results = study(0.1, stage=Stage((5, 10), 5), margins={METRIC: 0.01})
    text = methods(results, analyse(results), results.metrics[0], ["guided"], named=True)
    for words in (
        "2 arms (baseline: none) were trained with 5 random seeds", "on 73 pictures", "named before the work, was test",
        "a paired t test, two-sided.", "A loss of up to 1.0 points", "looked at with 5 and 10 seeds", "O'Brien-Fleming",
    ):  # fmt: skip
        assert words in text, words
    folds = replace(results, unit="fold", overlap=0.25, stage=None)
    text = methods(folds, analyse(folds), results.metrics[0], ["guided"], named=False)
    assert "5 folds of cross-validation" in text
    assert "Nadeau and Bengio 2003" in text
    assert "a rule that does not look at results" in text
    assert noun(Metric("x", "Accuracy, swapped backgrounds")) == "accuracy (swapped backgrounds)"
    assert "99.69 % interval" in caption(results, analyse(results), results.metrics[0], ["guided"])


def test_files_are_written_and_repeat(tmp_path: Path) -> None:
    results = study(0.1, name="a *hostile* name")
    measured = {"": (results, analyse(results))}
    first, second = (
        write_paper(tmp_path / "1", measured, named=True),
        write_paper(tmp_path / "2", measured, named=True),
    )
    assert [path.name for path in first] == ["primary.pdf", "paper.md"]
    for name in ("figures/primary.pdf", "figures/primary.svg", "figures/primary.png", "paper.md"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert first[0].read_bytes().startswith(b"%PDF")
    with Image.open(tmp_path / "1" / "figures" / "primary.png") as picture:
        assert picture.width > 1000
    page = second[1].read_text(encoding="utf-8")
    assert "a \\*hostile\\* name" in page
    assert page.endswith(f"{citation()}\n")
    assert "(version 0.1.0). Computer software" in page


def test_nothing_measured_yet(tmp_path: Path) -> None:
    nothing = StudyResults("s", ("a", "b"), "a", (0,), (), {})
    old = tmp_path / "figures" / "primary.pdf"
    write_bytes(old, b"of cells that are no longer there")
    assert [path.name for path in write_paper(tmp_path, {"": (nothing, analyse(nothing))}, named=False)] == [
        "paper.md"
    ]
    text = (tmp_path / "paper.md").read_text(encoding="utf-8")
    assert "\n\nNothing can be compared yet.\n\n## Citation\n" in text
    assert not old.exists()


def test_the_citation_is_that_of_the_file() -> None:
    cff = yaml.safe_load((Path(__file__).parents[2] / "CITATION.cff").read_text(encoding="utf-8"))
    for part in (cff["title"], cff["version"], cff["authors"][0]["name"], str(cff["date-released"].year)):
        assert part in citation()
