"""Pictures that a run has learnt are recognised by their bytes, told, and not measured."""

import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foveate.cli.main import app
from foveate.core.errors import DataError
from foveate.experiment import Run
from foveate.experiment.known_pictures import learnt_before, without_training


def renamed_copies(run: Run, splits: set[str], folder: Path) -> dict[str, str]:
    """Copies of the run's pictures under other names; {name below ``folder``: the run's own path}."""
    names = {}
    for number, sample in enumerate(run.catalog.samples):
        if sample.split in splits:
            name = f"{run.catalog.classes[sample.label]}/copy{number}.png"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run.catalog.root / sample.path, folder / name)
            names[name] = sample.path
    return names


def paths_of(run: Run, split: str) -> list[str]:
    return sorted(s.path for s in run.catalog.samples if s.split == split)


def test_renamed_copies_are_left_out_and_validation_is_measured_apart(finished: Run, tmp_path: Path) -> None:
    names = renamed_copies(finished, {"train", "val", "test"}, tmp_path / "data")
    told: list[str] = []
    table = finished.evaluate(tmp_path / "data", told=told.append)
    for split in ("val", "test"):
        found = [names[path] for path in table.path[table.split == split].tolist()]
        assert sorted(found) == paths_of(finished, split)
        own = finished.predictions.of_split(split)
        assert table.of_split(split).correct.mean() == pytest.approx(own.correct.mean())
    trained = len(paths_of(finished, "train"))
    assert len(told) == 2
    assert f"{trained} of {len(names)} pictures of {tmp_path / 'data'} are left out" in told[0]
    assert f" and {trained - 5} more." in told[0]
    assert f"{len(paths_of(finished, 'val'))} are the run's validation pictures" in told[1]


def test_the_same_name_with_other_bytes_is_another_picture(finished: Run, tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree / "images", tmp_path / "data")
    trained = finished.catalog.samples[finished.catalog.indices("train")[0]].path
    file = tmp_path / "data" / Path(*Path(trained).parts[-2:])
    file.write_bytes(file.read_bytes() + b"\0")
    table = finished.evaluate(tmp_path / "data")
    assert len(table) == len(paths_of(finished, "val")) + len(paths_of(finished, "test")) + 1
    assert file.relative_to(tmp_path / "data").as_posix() in table.path[table.split == "test"].tolist()


def test_nothing_but_training_pictures(finished: Run, tmp_path: Path) -> None:
    renamed_copies(finished, {"train"}, tmp_path / "data")
    with pytest.raises(DataError, match="was trained on every picture of"):
        finished.evaluate(tmp_path / "data")
    with pytest.raises(DataError, match="was trained on every picture of"):
        finished.look(tmp_path / "data", limit=1)


def test_training_pictures_that_are_gone_are_told(finished: Run, tmp_path: Path) -> None:
    known = replace(finished.catalog, root=tmp_path / "gone")
    told: list[str] = []
    left = without_training(finished.catalog, known, finished.folder, told.append)
    assert len(left) == len(finished.catalog)
    assert {s.split for s in left.samples} == {"test"}
    (sentence,) = told
    assert (
        f"{len(paths_of(finished, 'train'))} of the pictures that the network was trained on are no longer"
        in sentence
    )


def test_the_command_says_it(finished: Run, tree: Path) -> None:
    own = CliRunner().invoke(app, ["evaluate", str(finished.folder)])
    assert own.exit_code == 0, own.output
    assert "left out" not in own.output
    other = CliRunner().invoke(app, ["evaluate", str(finished.folder), "--data", str(tree)])
    assert other.exit_code == 0, other.output
    assert "are left out, for the network was trained on them" in other.output
    lines = [line for line in own.output.splitlines() if line.startswith(("test:", "val:"))]
    assert len(lines) == 2
    assert [line for line in other.output.splitlines() if line.startswith(("test:", "val:"))] == lines


def test_a_run_that_starts_from_another_is_told_what_that_one_has_learnt(finished: Run) -> None:
    assert learnt_before(finished.catalog, "none") is None
    assert learnt_before(finished.catalog, str(finished.folder)) is None
    swap = {"train": "test", "test": "train", "val": "val"}
    turned = finished.catalog.with_splits([swap.get(s.split, s.split) for s in finished.catalog.samples])
    n = len(paths_of(finished, "train"))
    told = str(learnt_before(turned, str(finished.folder)))
    assert told.startswith(f"{n} of {n} test pictures are among those that {finished.folder} was trained on")


def test_classes_that_differ_by_unicode_form_only_are_the_same(finished: Run, tmp_path: Path) -> None:
    """macOS writes an accent as a character of its own."""
    from foveate.api.runs import _class_numbers

    forms = [unicodedata.normalize(form, "Käfer") for form in ("NFC", "NFD")]
    assert forms[0] != forms[1]
    assert _class_numbers([forms[1]], ["Biene", forms[0]]) == [1]
    assert _class_numbers([forms[0]], ["Biene", forms[1]]) == [1]
