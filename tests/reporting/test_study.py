"""The report of a study: verdicts first, true numbers, one file, and text that stays text."""

import base64
import dataclasses
import hashlib
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from foveate.core.errors import StudyError
from foveate.reporting.study import build_study_report, write_figures
from foveate.reporting.study_folder import arm_differences, publish_study
from foveate.studies import tables
from foveate.studies.analysis import analyse
from foveate.studies.guides import with_guides
from foveate.studies.number_format import digits
from foveate.studies.results import StudyResults
from foveate.studies.specification import Study
from foveate.studies.statistics import Detectable
from foveate.studies.tables import Measured
from study_helpers import analysed, simulate

from .conftest import Page

FAILED = {("weight 5", 2): "TrainingError: the loss is not finite in epoch 7."}
INFO: dict[str, Any] = {
    "command": "foveate study run weights.yaml --data bees --out weights",
    "environment": {"versions": {"torch": "2.13.0"}},
    "arm_differences": {"weight 1": ["objective.spatial.weight: 0 → 1"]},
    "costs": {
        "train_seconds": {"weight 0": 83.0, "weight 1": 12.0},
        "peak_memory": {"weight 0": 1_234_567_890},
    },
    "split_hashes": {"": {1: "abc123", 2: "abc123", 3: "abc123"}},
    "experiment": "seed: 0\n",
}


def study(arms: dict[str, float], **rest: Any) -> tuple[StudyResults, Any]:
    results = simulate(arms, (1, 2, 3), epochs=8, **({"metrics": 2} | rest))
    return results, analyse(results)


@pytest.fixture(scope="module")
def measured() -> Measured:
    arms = {"weight 0": 0.0, "weight 1": 0.04, "weight 5": -0.08}
    axes: dict[str, dict[str, str | float]] = {arm: {"weight": float(arm[-1])} for arm in arms}
    return {"": study(arms, failures=FAILED, axes=axes, metrics=4)}


@pytest.fixture(scope="module")
def page(measured: Measured, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(build_study_report(measured, tmp_path_factory.mktemp("study") / "report.html", INFO))


def test_what_arms_change_add_and_leave_out() -> None:
    swap = {"transforms": [{"kind": "background_swap", "p": 0.5}]}
    slower = {"training.batch_size": 8}
    found = arm_differences(Study(name="s", arms={"base": {}, "swap": {**swap, **slower}}))
    assert found["base"] == []
    assert found["swap"][0].startswith("training.batch_size: 8 (baseline: ")
    assert {"transforms.0.kind: background_swap", "transforms.0.p: 0.5"} == set(found["swap"][1:]), "as named"
    assert not [line for line in found["swap"] if line.startswith("transforms: ") or "None" in line]
    turned = arm_differences(Study(name="s", arms={"swap": swap, "base": {}}))
    assert "without transforms.0.kind: background_swap" in turned["base"]
    arms = with_guides({"base": {}, "both": {"guide": "backgrounds+spatial"}})
    guided = arm_differences(Study(name="s", arms=arms))
    assert guided["both"][0] == (
        "MSE between the late feature map and the mask (Learn 2 Look), weight 1; and another picture's background "
        "behind the object, always (p 1)"
    )
    assert guided["both, placebo"][0] == "the same with the masks of other pictures"


@pytest.mark.slow
def test_what_it_says(page: Page, measured: Measured) -> None:
    results, analysis = measured[""]
    for words in (
        "3 arms with 3 seeds each, compared with weight 0", "8 of 9 finished, 1 failed", INFO["command"],
        "1 min 23 s", "objective.spatial.weight: 0 → 1", "one for all seeds, abc123", "weight 5, seed 2: TrainingError",
        "Validation accuracy", "Share of the training loss: spatial", "torch", "Test accuracy (%) over weight",
    ):  # fmt: skip
        assert words in page.text, words
    for title, lines in tables.verdicts(results, analysis):
        assert title in page.text
        for line in lines:
            assert line in page.text
    form_of = tables.means_table(results, analysis)
    for row in form_of.rows:
        for cell in row[1:]:
            assert str(cell).replace("-", "−") in page.text
    assert (
        page.text.index("Verdicts")
        < page.text.index("What was compared")
        < page.text.index("Learning curves")
    )


def test_an_arm_that_no_gain_would_tell_apart_is_named_beside_the_others(tmp_path: Path) -> None:
    results, analysis = study({"none": 0.0, "one": 0.1, "two": 0.1})
    metric = results.metrics[0]
    both = analysis.comparisons[metric.name]
    beyond = dataclasses.replace(both["two"], detectable=Detectable(0.5, room=0.05))
    comparisons = analysis.comparisons | {metric.name: {**both, "two": beyond}}
    changed = dataclasses.replace(analysis, comparisons=comparisons)
    text = Page(build_study_report({"": (results, changed)}, tmp_path / "report.html")).text
    seen = digits(changed, metric).difference(both["one"].detectable.smallest)
    assert f"{seen} points, or more than any gain possible" in text


def test_the_tally_is_that_of_the_outcomes(page: Page, measured: Measured) -> None:
    counts = Counter(o for by_arm in measured[""][1].outcomes.values() for o in by_arm.values())
    assert f"Of {sum(counts.values())} comparisons with weight 0" in page.text
    for outcome in ("better", "worse"):
        if counts[outcome]:
            assert f"{counts[outcome]} {outcome}" in page.text


def test_one_file_without_a_network(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "img"), tag
        for name in ("src", "href", "xlink:href", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith("#"), value
    assert not re.search(r"url\((?!#)", page.source)
    assert "@import" not in page.source
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.source


def test_ids_are_unique_links_lead_somewhere_and_drawings_are_named(page: Page) -> None:
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert [name for name, n in Counter(ids).items() if n > 1] == []
    links = [(a.get("href") or a.get("xlink:href") or "")[1:] for t, a in page.elements if t in ("a", "use")]
    assert links
    assert set(links) <= set(ids)
    drawings = [a for tag, a in page.elements if tag == "svg" and a.get("role") == "img"]
    assert len(drawings) > 8
    assert all(a.get("aria-label") for a in drawings)
    assert not re.search(r"#0101\d\d", page.source)


EVIL = ("<script>alert(1)</script>", '" onmouseover="alert(1)', "$\\frac{a}{b}$ & <b>")


@pytest.mark.slow
def test_names_are_text_and_never_code(tmp_path: Path) -> None:
    results, analysis = study(
        {EVIL[0]: 0.0, EVIL[1]: 0.05, EVIL[2]: -0.1},
        failures={(EVIL[2], 3): "</p><script>f</script>"},
        name=EVIL[0],
    )
    info = {
        "command": "</pre><script>c</script>", "environment": {"<svg onload=x>": "<i>"},
        "arm_differences": {EVIL[1]: ["</td><script>d</script>"]}, "name": EVIL[2],
        "split_hashes": {"": {1: "<h>"}},
    }  # fmt: skip
    page = Page(build_study_report({"<b>block</b>": (results, analysis)}, tmp_path / "r.html", info))
    assert len(page.scripts) == 1
    assert "alert" not in page.scripts[0]
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    for name in (*EVIL, "</td><script>d</script>", "</p><script>f</script>"):
        assert name in page.text, name


def test_the_same_results_give_the_same_page_and_files(measured: Measured, tmp_path: Path) -> None:
    first = build_study_report(measured, tmp_path / "1.html", INFO).read_bytes()
    assert build_study_report(measured, tmp_path / "2.html", INFO).read_bytes() == first
    results, analysis = analysed(2)
    results = dataclasses.replace(results, metrics=results.metrics[:1])
    small = {"": (dataclasses.replace(results, histories={}), analysis)}
    ones, twos = write_figures(tmp_path / "1", small), write_figures(tmp_path / "2", small)
    assert [p.name for p in ones] == [p.name for p in twos]
    assert {p.suffix for p in ones} == {".csv", ".svg", ".png"}
    for one, two in zip(ones, twos, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.name
    drawn = next(p for p in ones if p.suffix == ".svg").read_text()
    assert "var(" not in drawn
    assert not re.search(r"#0101\d\d", drawn)


@pytest.mark.slow
@pytest.mark.parametrize("arms", [2, 8])
def test_blocks_have_their_own_verdicts(arms: int, tmp_path: Path) -> None:
    blocks = {f"{size} a class": analysed(arms, salt=size) for size in (15, 50)}
    slim = {
        block: (dataclasses.replace(results, metrics=results.metrics[:1], histories={}), analysis)
        for block, (results, analysis) in blocks.items()
    }
    page = Page(build_study_report(slim, tmp_path / "r.html"))
    assert f"{arms} arms in 2 blocks" in page.text
    assert "Over the blocks" in page.text
    for block, (_, analysis) in blocks.items():
        assert page.text.count(block) >= 4
        assert any(verdict in page.text for verdict in analysis.verdicts["test.accuracy"].values())
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))


def test_a_study_that_has_just_begun(tmp_path: Path) -> None:
    results = simulate(
        {"a": 0.0, "b": 0.1}, (1, 2, 3), failures={(arm, s): "no" for arm in "ab" for s in (1, 2, 3)}
    )
    nothing = dataclasses.replace(results, failures={}, metrics=())
    page = Page(build_study_report({"": (nothing, analyse(nothing))}, tmp_path / "0.html"))
    assert "Nothing can be compared yet" in page.text
    assert "6 of 6 cells are not finished" in page.text
    one = simulate({"a": 0.0, "b": 0.1}, (1,), epochs=8, metrics=1)
    page = Page(build_study_report({"": (one, analyse(one))}, tmp_path / "1.html"))
    assert "with too few seeds to tell" in page.text
    alone = simulate({"a": 0.0}, (1, 2), epochs=8, metrics=1)
    assert (
        "1 arm with 2 seeds"
        in Page(build_study_report({"": (alone, analyse(alone))}, tmp_path / "2.html")).text
    )


def test_recorded_tables_are_not_overwritten_by_empty_ones(tmp_path: Path) -> None:
    recorded = Path(__file__).parents[2] / "results" / "studies" / "plants-tta"
    folder = Path(shutil.copytree(recorded, tmp_path / "recorded"))
    with pytest.raises(StudyError, match=r"without its runs.*read .*table\.md"):
        publish_study(folder)
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == {
        f.name: f.read_bytes() for f in recorded.iterdir()
    }
