"""Commands on a finished run of which a file was changed by hand: refused, named, nothing written."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foveate.cli.main import app
from foveate.experiment import Run


@pytest.fixture
def copy(finished: Run, tmp_path: Path) -> Path:
    shutil.copytree(finished.folder, tmp_path / "run", ignore=shutil.ignore_patterns("report.html"))
    return tmp_path / "run"


def swap_classes(folder: Path) -> str:
    """Rename the classes; every file can still be read."""
    file = folder / "environment.json"
    values = json.loads(file.read_text(encoding="utf-8"))
    values["classes"] = values["classes"][::-1]
    file.write_text(json.dumps(values), encoding="utf-8")
    return file.name


def move_to_test(folder: Path) -> str:
    """Count training pictures as test."""
    file = folder / "catalog.csv"
    file.write_text(file.read_text(encoding="utf-8").replace(",train,", ",test,"), encoding="utf-8")
    return file.name


def turn_a_bit(folder: Path) -> str:
    """Another value of one weight."""
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(bytes(content))
    return file.name


def other_mean(folder: Path) -> str:
    """Another normalisation in the card."""
    file = folder / "model.json"
    values = json.loads(file.read_text(encoding="utf-8"))
    values["mean"] = [0.1, 0.1, 0.1]
    file.write_text(json.dumps(values), encoding="utf-8")
    return file.name


def better_history(folder: Path) -> str:
    """One epoch less."""
    file = folder / "history.csv"
    file.write_text("\n".join(file.read_text(encoding="utf-8").splitlines()[:-1]) + "\n", encoding="utf-8")
    return file.name


def no_mistakes(folder: Path) -> str:
    """One prediction less."""
    file = folder / "predictions.csv"
    file.write_text("\n".join(file.read_text(encoding="utf-8").splitlines()[:-1]) + "\n", encoding="utf-8")
    return file.name


def invoke(*words: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize("change", [swap_classes, move_to_test, turn_a_bit, other_mean])
def test_predict_and_evaluate_refuse(copy: Path, tree: Path, tmp_path: Path, change: object) -> None:
    assert callable(change)
    name = change(copy)
    for words in (("predict", copy, tree / "images", "--out", tmp_path / "p.csv"), ("evaluate", copy)):
        status, output = invoke(*words)
        assert status == 1
        assert f"{name} was changed" in output
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize("change", [swap_classes, move_to_test, other_mean, better_history, no_mistakes])
def test_report_refuses(copy: Path, change: object) -> None:
    assert callable(change)
    name = change(copy)
    status, output = invoke("report", copy)
    assert status == 1
    assert f"{name} was changed" in output
    assert not (copy / "report.html").exists()


@pytest.mark.parametrize("change", [turn_a_bit, other_mean])
def test_another_run_does_not_start_from_changed_weights(
    copy: Path, tree: Path, tmp_path: Path, change: object
) -> None:
    assert callable(change)
    name = change(copy)
    for words in (("--from", copy), ("--weights", copy), ("--weights", copy / "model.safetensors")):
        status, output = invoke("train", tree, *words, "--out", tmp_path / "next", "--size", "32")
        assert status == 1
        assert f"{name} was changed" in output


def test_training_again_does_not_call_a_changed_run_finished(copy: Path, tree: Path) -> None:
    name = no_mistakes(copy)
    values = Run(copy).experiment
    (copy / "again.yaml").write_text(values.to_yaml(), encoding="utf-8")
    status, output = invoke("train", tree, "--config", copy / "again.yaml", "--out", copy)
    assert status == 1, output
    assert f"{name} was changed" in output


def test_changed_records_are_told_where_they_do_not_matter(copy: Path, tree: Path, tmp_path: Path) -> None:
    better_history(copy)
    status, output = invoke("predict", copy, tree / "images", "--out", tmp_path / "p.csv")
    assert status == 0
    assert "finished, history.csv was changed" in output
    assert (tmp_path / "p.csv").is_file()


def test_a_run_without_manifest_is_used_and_that_is_said(copy: Path, tree: Path, tmp_path: Path) -> None:
    (copy / "manifest.json").unlink()
    for words in (("predict", copy, tree / "images", "--out", tmp_path / "p.csv"), ("report", copy)):
        status, output = invoke(*words)
        assert status == 0
        assert "has no manifest.json" in output
    assert "has no manifest.json" in (copy / "report.html").read_text(encoding="utf-8")


def test_a_whole_run_says_nothing(copy: Path) -> None:
    status, output = invoke("report", copy)
    assert status == 0
    assert "manifest.json" not in output + (copy / "report.html").read_text(encoding="utf-8")
