"""A command of which any part failed does not end with status 0."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from foveate.cli.main import app
from foveate.experiment import Run
from foveate.studies.engine import folder_of
from foveate.studies.specification import Study
from training_helpers import BASE

NETWORK = ["--backbone", "foveate_small_cnn", "--weights", "none", "--size", "32"]


def foveate(*words: object) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def said(result: Result) -> str:
    return " ".join(result.output.split())


def write_study(path: Path, **arms: dict[str, object]) -> Path:
    base = {name: value for name, value in BASE.items() if name != "seed"}
    base["training"] = {**base["training"], "phases": [{"name": "all", "epochs": 1, "lr": 0.003}]}
    base["objective"] = {"spatial": {"kind": "spatial_mse", "weight": 0}}
    path.write_text(yaml.safe_dump({"name": "s", "base": base, "arms": arms, "seeds": [0]}), encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_study_with_a_failed_cell(tree: Path, tmp_path: Path) -> None:
    file = write_study(tmp_path / "s.yaml", good={}, bad={"objective.spatial.tap": "nowhere"})
    command = ("study", "run", file, "--data", tree, "--out", tmp_path / "s", "--jobs", 0)
    first = foveate(*command)
    assert first.exit_code == 1
    assert "1 of 2 cells failed; the same command tries them again." in said(first)
    assert (tmp_path / "s" / "report.html").is_file()
    again = foveate(*command)
    assert again.exit_code == 1
    assert "1 of 2 cells are finished and kept: good (seed 0)." in said(again)


def test_a_study_whose_cells_all_failed(tree: Path, tmp_path: Path) -> None:
    file = write_study(tmp_path / "s.yaml", a={"objective.spatial.tap": "nowhere"})
    result = foveate("study", "run", file, "--data", tree, "--out", tmp_path / "s", "--jobs", 0)
    assert result.exit_code == 1
    assert "1 of 1 cells failed" in said(result)


@pytest.mark.slow
def test_a_study_goes_on_only_with_cells_as_they_were_written(tree: Path, tmp_path: Path) -> None:
    file = write_study(tmp_path / "s.yaml", a={})
    command = ("study", "run", file, "--data", tree, "--out", tmp_path / "s", "--jobs", 0)
    assert foveate(*command).exit_code == 0
    cell = folder_of(tmp_path / "s", Study.from_yaml(file).cells()[0])
    history = (cell / "history.csv").read_bytes()
    (cell / "history.csv").write_text("epoch,phase\n1,all\n", encoding="utf-8")
    for words in (command, ("study", "show", tmp_path / "s"), ("report", tmp_path / "s")):
        result = foveate(*words)
        assert result.exit_code == 1
        assert "history.csv was changed" in said(result)
    (cell / "history.csv").write_bytes(history)
    assert "manifest" not in said(foveate("study", "show", tmp_path / "s"))
    (cell / "manifest.json").unlink()
    result = foveate("study", "show", tmp_path / "s")
    assert result.exit_code == 0, result.output
    assert "1 cells have no manifest.json" in said(result)


def test_a_backbone_that_cannot_be_compared(tree: Path) -> None:
    result = foveate("compare-backbones", tree, "--backbones", "foveate_small_cnn:none,nonsense",
                     "--size", 32, "--folds", 3)  # fmt: skip
    assert result.exit_code == 1
    assert "1 of 2 backbones could not be compared." in said(result)


def test_a_picture_for_which_no_mask_can_be_proposed(tree: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(tree / "images" / "class0", tmp_path / "pictures" / "class0")
    whole = foveate("masks", "propose", tmp_path / "pictures", "--out", tmp_path / "a", "--limit", 2)
    assert whole.exit_code == 0, whole.output
    (tmp_path / "pictures" / "class0" / "000.png").write_bytes(b"\x89PNG broken")
    result = foveate("masks", "propose", tmp_path / "pictures", "--out", tmp_path / "b", "--limit", 2)
    assert result.exit_code == 1, result.output
    assert "1 of 2 pictures could not be worked on" in said(result)


def test_a_search_with_a_failed_trial(tree: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    search = {
        "experiment": {"training": {"precision": "fp32", "phases": [{"name": "only", "epochs": 1}]}},
        "space": {"objective.spatial.tap": {"choices": ["late", "nowhere"]}},
        "sampler": "grid",
        "pruner": "none",
    }
    search["experiment"]["objective"] = {"spatial": {"kind": "spatial_mse", "weight": 0}}
    (tmp_path / "search.yaml").write_text(yaml.safe_dump(search), encoding="utf-8")
    words = ("tune", tree, "--config", tmp_path / "search.yaml", "--out", tmp_path / "t", "--device", "cpu")
    result = foveate(*words, *NETWORK)
    assert result.exit_code == 1
    assert "1 of 2 trials failed; the others are ranked above." in said(result)
    assert (tmp_path / "t" / "best.yaml").is_file()


def test_what_went_well_is_status_0(finished: Run, tmp_path: Path) -> None:
    assert foveate("report", finished.folder, "--out", tmp_path / "report.html").exit_code == 0
