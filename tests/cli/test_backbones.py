"""foveate compare-backbones: what it prints and writes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foveate.cli import backbones
from foveate.cli.main import app
from foveate.models import weights
from foveate.studies import backbone_comparison
from foveate.studies.backbone_comparison import CONTROL, BackboneComparison, BackboneRow

import timm  # isort: skip


def row(name: str, rank: int | None, probe: float, behind_low: float) -> BackboneRow:
    return BackboneRow(
        backbone=name, rank=rank, rank_low=rank and 1, rank_high=rank and 2, probe=probe, probe_low=probe - 0.03,
        probe_high=probe + 0.03, behind=0.9 - probe, behind_low=behind_low, behind_high=0.2, neighbours=0.5,
        neighbours_low=0.4, neighbours_high=0.6, features=8, parameters=1_500_000, memory=2**30, epoch_seconds=12.0,
        feature_seconds=None, probe_seconds=1.0, size=96, pictures=300,
    )  # fmt: skip


def comparison(second: float, control: float) -> BackboneComparison:
    rows = (
        row("a", 1, 0.9, 0.0),
        row("weights/b.safetensors", 2, 0.88, second),
        row(CONTROL, None, 0.4, control),
    )
    return BackboneComparison(rows, 0.15, ("A note.",), {"c": "It has no weights."}, 5, ("x", "y"))


def test_the_reading_says_who_may_be_taken() -> None:
    assert backbones._reading(comparison(0.01, 0.3)) == "a is ahead of all others on these pictures."
    assert backbones._reading(comparison(-0.01, 0.3)) == (
        "a is first; b is not clearly behind: take the cheapest of them."
    )
    alone = replace(comparison(0.01, 0.3), rows=(row("a", 1, 0.9, 0.0), row(CONTROL, None, 0.4, 0.3)))
    assert "a was compared with nothing but the control" in backbones._reading(alone)
    assert "not clearly ahead of 8 x 8 pixels" in backbones._reading(comparison(-0.01, -0.1))


def test_the_command(tree: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app,
        ["compare-backbones", str(tree), "--backbones", "foveate_small_cnn:none, nonsense", "--size", "32", "--folds",
         "3", "--device", "cpu", "--json", str(tmp_path / "b.json"), "--csv", str(tmp_path / "b.csv")],
    )  # fmt: skip
    assert result.exit_code == 1, result.output
    text = " ".join(result.output.split())
    values = json.loads((tmp_path / "b.json").read_text())
    best = values["rows"][0]
    assert f"{100 * best['probe']:.1f} ({100 * best['probe_low']:.1f}-{100 * best['probe_high']:.1f})" in text
    assert "foveate_small_cnn:none" in text
    assert CONTROL in text
    assert "not compared nonsense: timm knows no backbone" in text
    table = [line for line in result.output.splitlines() if line.startswith(("rank", "   1", "backbone"))]
    assert len(table) == 3
    assert max(map(len, table)) <= 80
    assert (tmp_path / "b.csv").is_file()


def test_without_names_those_are_compared_whose_weights_can_be_had(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_reachable", lambda endpoint: False)
    assert all(timm.models.get_pretrained_cfg(name).has_weights for name in backbone_comparison.USUAL)
    foundation = backbone_comparison.USUAL[1:]
    command = ["compare-backbones", str(tree), "--size", "32", "--folds", "3", "--device", "cpu"]
    monkeypatch.setattr(backbone_comparison, "USUAL", ("foveate_small_cnn:none", *foundation))
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    missing = (
        f"Not compared, for their weights are not here and cannot be downloaded: {', '.join(foundation)}."
    )
    assert missing in text
    assert "foveate_small_cnn:none (1 of 4)" in text
    monkeypatch.setattr(backbone_comparison, "USUAL", foundation)
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert (
        "No backbone could be used. vit_small_patch14_dinov2.lvd142m: The pretrained weights of"
        in " ".join(result.output.split())
    )


def test_errors_are_one_sentence(tree: Path) -> None:
    result = CliRunner().invoke(
        app, ["compare-backbones", str(tree), "--backbones", "nonsense", "--size", "32"]
    )
    assert result.exit_code == 1
    assert "No backbone could be used" in result.output
