"""Model card and checklists: what is said stands in the files named, and the rest is blank."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from foveate.cli.main import app
from foveate.core.errors import RunError
from foveate.experiment import Run
from foveate.reporting.card import BLANK, CHECKLISTS, NEEDED, answers, write_card
from foveate.reporting.run_facts import facts_of

SIZES = {"dome": 47, "reforms": 32, "tripod-ai": 52, "claim": 44}
"""Items of the published lists; TRIPOD+AI's 27 with their parts."""
SHARES = {"dome": 0.7, "reforms": 0.5, "tripod-ai": 0.5, "claim": 0.5}
"""What is answered at least."""


def test_enough_is_answered_and_files_are_there(finished: Run, tmp_path: Path) -> None:
    _, found = write_card(finished.folder, tmp_path)
    for name in CHECKLISTS:
        about = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
        assert len(about["items"]) == SIZES[name]
        assert len({item["number"] for item in about["items"]}) == SIZES[name]
        assert (
            about["answered"]
            == sum(item["answer"] != "" for item in about["items"])
            >= SHARES[name] * SIZES[name]
        )
        for item in about["items"]:
            assert bool(item["answer"]) == bool(item["files"]), item
            missing = [file for file in item["files"] if not (finished.folder / file).is_file()]
            assert set(missing) <= {"report.html"}, item  # written by the command line, not by this fixture
        page = (tmp_path / f"{name}.md").read_text(encoding="utf-8")
        assert page.count(BLANK) == SIZES[name] - found[name].answered
        assert sum(line.startswith("| ") for line in page.splitlines()) == SIZES[name] + 1


def test_figures_are_those_of_the_run(finished: Run, tmp_path: Path) -> None:
    facts, result = facts_of(finished), finished.result["metrics"]["test"]
    assert (
        f"Accuracy {result['accuracy']:.3f} (95 % interval {result['accuracy_low']:.3f}"
        in facts["interval"].text
    )
    assert facts["counts"].text == "48 labelled pictures of 3 classes."
    sizes = [len(finished.catalog.indices(split)) for split in ("train", "val", "test")]
    assert (
        facts["split_sizes"].text == f"3 splits: training {sizes[0]}, validation {sizes[1]}, test {sizes[2]}."
    )
    count = sum(parameter.numel() for parameter in finished.model.parameters())
    assert facts["parameters"].text == f"{count:,} parameters."
    write_card(finished.folder, tmp_path)
    _, head, body = (tmp_path / "model_card.md").read_text(encoding="utf-8").split("---\n", 2)
    metrics = yaml.safe_load(head)["model-index"][0]["results"][0]["metrics"]
    assert metrics[0] == {"type": "accuracy", "name": "Accuracy", "value": round(result["accuracy"], 4)}
    assert f"- **Developed by:** {NEEDED}" in body
    assert f"{result['chance_majority']:.3f}" in body


def test_a_study_answers_what_is_asked_about_tests(finished: Run, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("arms: {plain: {}, guided: {}}\n")
    rows = [
        "metric,arm,verdict",
        "test.accuracy,plain,",
        "test.accuracy,guided,better: by 3 points",
        "val.f1,guided,no",
    ]
    (tmp_path / "comparisons.csv").write_text("\n".join(rows) + "\n")
    facts = facts_of(finished, tmp_path)
    assert facts["tested"].text == (
        "A study of 2 arms with paired seeds, compared by test.accuracy. guided: better: by 3 points."
    )
    before, after = answers("dome", facts_of(finished)), answers("dome", facts)
    assert after.answered == before.answered + 1


def test_names_cannot_break_a_table(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "class_names", ["a|b", "<script>alert(1)</script>", "c\nd"])
    write_card(finished.folder, tmp_path)
    for file in tmp_path.glob("*.md"):
        assert "<script" not in file.read_text(encoding="utf-8")
    page = (tmp_path / "dome.md").read_text(encoding="utf-8")
    assert sum(line.startswith("| ") for line in page.splitlines()) == 48


def test_the_command(finished: Run, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["card", str(finished.folder), "--out", str(tmp_path / "card")])
    assert result.exit_code == 0, result.output
    assert "of 47 items answered" in result.output
    assert (tmp_path / "card" / "model_card.md").is_file()
    with pytest.raises(RunError, match="not a run folder"):
        write_card(tmp_path)
