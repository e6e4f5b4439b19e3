"""foveate plan as a user types it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foveate.cli.main import app
from foveate.studies.power import plan, reading


def said(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["plan", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def test_what_can_be_seen(tmp_path: Path) -> None:
    status, text = said("--pictures", 73, "--json", tmp_path / "plan.json")
    assert status == 0
    made = plan(73, 5, 0.9)
    assert made.designs[2].detectable is not None
    assert (
        f"5 trainings each, on the same test pictures {made.designs[2].detectable * 100:.1f} points" in text
    )
    assert "one training each, on the same test pictures none" in text
    assert text.endswith(reading(made))
    kept = json.loads((tmp_path / "plan.json").read_text())
    assert kept["designs"][2]["detectable"] == made.designs[2].detectable
    assert kept["reading"] == reading(made)


def test_what_it_takes() -> None:
    made = plan(300, 10, 0.85, arms=4, difference=0.03, spread=0.02, correlation=0.6)
    status, text = said(
        "--pictures", 300, "--seeds", 10, "--accuracy", 0.85, "--arms", 4, "--difference", 0.03, "--spread", 0.02,
        "--correlation", 0.6,
    )  # fmt: skip
    assert status == 0
    assert f"points {made.designs[1].pictures} -" in text
    assert f"points - {made.designs[2].seeds}" in text
    assert "2.0 points (given)" in text
    assert "alpha 0.05 / 4 arms" in text


@pytest.mark.parametrize("arguments", [("--accuracy", 90), ("--seeds", 0), ("--difference", 0.2)])
def test_what_cannot_be(arguments: tuple[object, ...]) -> None:
    status, text = said("--pictures", 73, *arguments)
    assert status == 1
    assert text.startswith("error")
