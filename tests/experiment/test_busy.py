"""The same command twice at once: the second is told who works there, and nothing of the first is touched."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foveate.cli.main import app
from foveate.core.errors import BusyError
from foveate.core.lock import alone
from foveate.experiment import Run, run
from foveate.experiment.ownership import hold
from foveate.training import Observer
from training_helpers import experiment


class Second(Observer):
    """Starts the same run from another thread, at its first step."""

    def __init__(self, tree: Path, out: Path) -> None:
        self.tree, self.out, self.said = tree, out, ""

    def step(self, done: int, total: int, pictures: int) -> None:
        from concurrent.futures import ThreadPoolExecutor

        if not self.said:
            with ThreadPoolExecutor(1) as pool:
                error = pool.submit(run, experiment(), self.tree, self.out).exception()
            self.said = f"{type(error).__name__}: {error}"


def test_a_run_that_is_going_on_is_not_joined(tree: Path, tmp_path: Path) -> None:
    second = Second(tree, tmp_path / "run")
    finished = run(experiment(), tree, tmp_path / "run", observer=second)
    assert second.said.startswith(f"BusyError: Another process is at work in {tmp_path / 'run'}")
    assert f"(process {os.getpid()} on " in second.said
    assert finished.finished


def test_no_lock_is_left_in_a_folder_that_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(Exception, match="is not empty and is not a run folder"), hold(tmp_path):
        pytest.fail("taken")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "command", ["train", "track", "pretext", "study", "explain", "look", "invert", "summit", "propose"]
)
def test_every_command_that_fills_a_folder(command: str, finished: Run, tree: Path, tmp_path: Path) -> None:
    out, pictures = tmp_path / "out", str(tree / "images" / "class0")
    network = ["--backbone", "foveate_small_cnn", "--weights", "none", "--size", "32"]
    words = {
        "train": ["train", str(tree), *network],
        "track": ["train", str(tree), *network, "--track", "tensorboard"],
        "pretext": ["pretext", str(tree), "--task", "rotation", *network],
        "study": ["study", "run", "guidance", "--data", str(tree), *network],
        "explain": ["explain", str(finished.folder), pictures],
        "look": ["look", str(finished.folder), "--methods", "gradcam", "--limit", "1"],
        "invert": ["invert", str(finished.folder)],
        "summit": ["summit", str(finished.folder)],
        "propose": ["masks", "propose", str(tree)],
    }[command]  # fmt: skip
    from concurrent.futures import ThreadPoolExecutor

    with alone(out), ThreadPoolExecutor(1) as pool:  # a lock belongs to a thread
        result = pool.submit(CliRunner().invoke, app, [*words, "--out", str(out)]).result()
    assert result.exit_code == 1, result.output
    assert f"at work in {out} (process {os.getpid()} on" in result.output
    assert [path.name for path in out.iterdir()] == [".lock"]


def test_busy_is_an_error_of_its_own(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with alone(tmp_path), ThreadPoolExecutor(1) as pool:
        error = pool.submit(run, experiment(), tmp_path, tmp_path).exception()
    assert isinstance(error, BusyError)
