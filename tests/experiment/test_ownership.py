"""A run folder belongs to the first experiment that really began in it."""

from pathlib import Path

import pytest

from foveate.core.errors import RunError
from foveate.core.files import write_json
from foveate.experiment import Experiment, Run
from foveate.experiment.ownership import claim


def test_a_command_that_failed_before_training_does_not_take_the_folder(tmp_path: Path) -> None:
    out = tmp_path / "run"
    claim(Experiment(seed=1), out)
    claim(Experiment(seed=2), out)
    assert Experiment.from_yaml(out / "experiment.yaml").seed == 2


def test_what_was_refused_before_the_first_epoch_leaves_nothing_of_its_settings(tmp_path: Path) -> None:
    out = tmp_path / "run"
    claim(Experiment(seed=1), out)
    left = [out / name for name in ("environment.json", "decisions.json")]
    for file in left:
        write_json(file, {})
    claim(Experiment(seed=1), out)
    assert all(file.exists() for file in left), "the same command goes on with them"
    claim(Experiment(seed=2), out)
    assert not any(file.exists() for file in left)


@pytest.mark.parametrize("sign", ["history.csv", "checkpoint", "result.json"])
def test_once_begun_the_folder_is_taken_and_the_difference_named(tmp_path: Path, sign: str) -> None:
    out = tmp_path / "run"
    claim(Experiment(seed=1), out)
    (out / sign).mkdir()
    claim(Experiment(seed=1), out)
    with pytest.raises(RunError, match="seed is 1 there and 2 now"):
        claim(Experiment(seed=2), out)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(RunError, match="not a run folder"):
        claim(Experiment(), tmp_path)


def test_the_network_of_an_unfinished_run_is_asked_for_in_vain(tmp_path: Path) -> None:
    claim(Experiment(seed=1), tmp_path / "run")
    with pytest.raises(RunError, match="is unfinished; run the same train command again"):
        _ = Run.open(tmp_path / "run").model
