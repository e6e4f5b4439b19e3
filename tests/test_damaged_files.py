"""Whatever becomes of a file of a run, a study or explanations, its reader gets the right thing or one sentence.

Damaged are true files: cut off, bytes changed, values of other types, entries missing, in another encoding.
"""

import json
import random
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner

import foveate
from damage import damaged_bytes, damaged_table, damaged_values, refused_or_read
from drawn import draw_tree
from foveate.cli.main import app
from foveate.cli.result_lines import result_lines
from foveate.core import manifest
from foveate.core.errors import ConfigError, DataError, RunError
from foveate.experiment import Experiment, Run
from foveate.models.store import load_model
from foveate.reporting.explanation_folder import Explanations
from foveate.reporting.report import build_report
from foveate.reporting.study_folder import measure_study, study_info
from foveate.studies.engine import run_study
from foveate.studies.metrics import choose_metrics, measure
from foveate.studies.search_target import Target
from foveate.studies.specification import Study
from foveate.studies.study_reader import open_study
from foveate.training.checkpoint import load_checkpoint, save_checkpoint
from foveate.training.decisions import Decisions
from training_helpers import experiment

SEEDS = 25
FEW = 2
"""Seeds of readers that take long."""


@pytest.fixture(scope="module")
def folder(finished: Run, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``run`` with explanations in it, and ``study`` with two cells."""
    root = tmp_path_factory.mktemp("whole")
    shutil.copytree(finished.folder, root / "run")
    foveate.explain_pictures(root / "run", sorted(tree.rglob("class0/*.png"))[:2])
    phases = [{"name": "head", "epochs": 1, "trainable": "head", "lr": 0.01}]
    study = Study(
        name="two", base=experiment(training={"phases": phases}).to_dict(),
        arms={"plain": {}, "other": {"training.phases.0.lr": 0.02}}, seeds=(0,),
    )  # fmt: skip
    run_study(study, tree, root / "study", jobs=0)
    # As of a run of before there were hashes: what is damaged must be noticed by who reads it.
    for hashes in (root / "run" / "manifest.json", *(root / "study" / "cells").glob("*/manifest.json")):
        hashes.unlink()
    return root


def damaged(file: Path, content: bytes, seed: int) -> bytes:
    """One of the ways in which this kind of file is damaged."""
    rng = random.Random(zlib.crc32(f"{file.name} {seed}".encode()))
    text = "" if file.suffix == ".npz" else content.decode()
    if not text or rng.random() < 0.4:
        return damaged_bytes(content, rng)
    if file.suffix == ".json":
        return json.dumps(damaged_values(json.loads(text), rng)).encode()
    if file.suffix == ".yaml":
        return yaml.safe_dump(damaged_values(yaml.safe_load(text), rng)).encode()
    return damaged_table(text, rng).encode()


def measured(folder: Path) -> None:
    run = Run(folder)
    measure(run, choose_metrics(()))
    Target("val_accuracy", "maximize", "val_accuracy").read(run)
    for split, metrics in run.result["metrics"].items():
        list(result_lines(split, metrics))


def explained(folder: Path) -> None:
    found = Explanations.open(folder / "explanations")
    for entry in found.manifest["pictures"] if found.sheets else ():
        found.maps(entry["path"])


QUICK: list[tuple[str, Callable[[Path], Any]]] = [
    ("experiment.yaml", lambda run: Run(run).experiment),
    ("environment.json", lambda run: Run(run).catalog),
    ("result.json", measured),
    ("history.csv", measured),
    ("catalog.csv", lambda run: Run(run).catalog),
    ("predictions.csv", lambda run: Run(run).predictions),
    ("model.json", load_model),
    ("decisions.json", Decisions),
    ("explanations/manifest.json", explained),
    ("explanations/maps/*.npz", explained),
]
REPORTED = (
    "experiment.yaml", "environment.json", "result.json", "history.csv", "catalog.csv", "predictions.csv", "model.json",
    "background_tests.csv", "background_tests.npz", "maps.npz", "explanations/manifest.json",
)  # fmt: skip


@pytest.mark.parametrize(("name", "read"), QUICK, ids=[name for name, _ in QUICK])
def test_a_run_is_read_or_refused(folder: Path, name: str, read: Callable[[Path], Any]) -> None:
    assert check(folder / "run", sorted((folder / "run").glob(name))[0], read, SEEDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", REPORTED)
def test_a_report_is_made_or_refused(folder: Path, tmp_path: Path, name: str) -> None:
    check(folder / "run", folder / "run" / name, lambda run: build_report(run, tmp_path / "r.html"), FEW)


@pytest.mark.parametrize(
    "name", ["result.json", "environment.json", "history.csv", "predictions.csv", "experiment.yaml"]
)
def test_a_study_is_read_or_refused(folder: Path, name: str) -> None:
    def read(study: Path) -> None:
        measure_study(study)
        study_info(study)

    check(folder / "study", next((folder / "study" / "cells").glob(f"*/{name}")), read, FEW)


def test_the_hashes_of_a_run_are_read_or_refused(finished: Run, tmp_path: Path) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    assert check(tmp_path / "run", tmp_path / "run" / "manifest.json", manifest.check, SEEDS)


def test_a_studys_specification_is_read_or_refused(folder: Path) -> None:
    check(
        folder / "study",
        folder / "study" / "study.yaml",
        lambda study: open_study(study).cells(),
        SEEDS,
        "study ",
    )


def check(folder: Path, file: Path, read: Callable[[Path], Any], seeds: int, *names: str) -> int:
    """Damage the file in ``seeds`` ways; what refuses it names it, its folder, or one of ``names``.

    Returns how often it was refused.
    """
    content = file.read_bytes()
    read(folder)
    refused = 0
    try:
        for seed in range(seeds):
            file.write_bytes(damaged(file, content, seed))
            refused += refused_or_read(lambda: read(folder), file, file.parent, *names)
    finally:
        file.write_bytes(content)
    return refused


@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, name: str) -> None:
    tensors = {"model.weight": torch.arange(6.0).reshape(2, 3)}
    position = {
        "phase": 1,
        "sums": {"loss": 0.1},
        "history": [{"epoch": 1, "train_loss": 1e-9, "phase": "head"}],
    }
    save_checkpoint(tmp_path, tensors, position)
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found[1] == position
    file = next(tmp_path.glob(f"saved-*/{name}"))
    content = file.read_bytes()
    for seed in range(SEEDS):
        bad = damaged_bytes(content, random.Random(seed))
        file.write_bytes(bad)
        if bad.split() != content.split():
            with pytest.raises(RunError, match=r"is damaged.*remove that folder to begin again") as caught:
                load_checkpoint(tmp_path)
            assert str(tmp_path) in str(caught.value)
            assert len(str(caught.value)) < 500


def test_a_checkpoint_without_a_seal_is_gone_on_with(tmp_path: Path) -> None:
    """Earlier versions wrote none."""
    save_checkpoint(tmp_path, {"a": torch.zeros(1)}, {"phase": 0})
    next(tmp_path.glob("saved-*/state.json")).write_text('{"phase": 0}')
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found[1] == {"phase": 0}


# -- settings and split files, as a user types them --------------------------------------------------------------------

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
SETTINGS = {
    "a bomb": (BOMB.encode(), "aliases stand for more"),
    "latin-1": ("seed: 1 # \u00e4".encode("latin-1"), "not UTF-8"),
    "utf-16": ("seed: 1".encode("utf-16"), "not UTF-8"),
    "deep": (b"[" * 3000, "nested more than"),
    "a date": (b"2024-01-01", "holds text"),
    "empty": (b"", "holds nothing"),
    "a list": (b"- 1", "holds a list"),
    "a number for a part": (b"training: 5", "training"),
    "a list for a part": (b"data: []", "data"),
    "nothing for a part": (b"training:", "training"),
    "no phases": (b"training: {phases: []}", "phases"),
    "a phase that is text": (b"training: {phases: [x]}", "training.phases."),
    "a date for a number": (b"seed: 2024-01-01", "seed"),
    "twice": (b"seed: 1\ndata: {size: 32}\nseed: 2", "line 3: 'seed' is given a second time"),
    "infinite": (b"seed: .inf", "no number that can be used"),
    "odd names": (b"1: 2\nnull: 3\nyes: 4", "yes is no setting"),
    "zeros": (bytes(30), "zero bytes"),
}


def said(*arguments: object) -> str:
    """What a command that fails says: one sentence or two, no traceback."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code not in (0, None), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert "Traceback" not in result.output
    text = " ".join(result.output.split())
    assert len(text.rpartition("error ")[2]) < 700, text
    return text


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("flags", [(), ("--epochs", 3, "--lr", 0.1, "--set", "training.phases.0.epochs=2")])
def test_settings_are_refused_in_a_sentence(
    tree: Path, tmp_path: Path, name: str, flags: tuple[object, ...]
) -> None:
    content, words = SETTINGS[name]
    file = tmp_path / "settings.yaml"
    file.write_bytes(content)
    assert words in said(
        "train", tree, "--config", file, "--out", tmp_path / "out", "--weights", "none", *flags
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a bomb", "latin-1", "deep", "empty", "a list", "twice", "zeros"])
def test_searches_and_studies_are_refused_in_a_sentence(tree: Path, tmp_path: Path, name: str) -> None:
    content, words = SETTINGS[name]
    file = tmp_path / "file.yaml"
    file.write_bytes(content)
    assert words in said("tune", tree, "--config", file, "--out", tmp_path / "out")
    assert words in said("study", "run", file, "--data", tree, "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("seed", "takes name.of.setting=value"),
        ("=1", "takes name.of.setting=value"),
        ("seed=[", "seed is not valid YAML"),
        ("seed={a: 1, a: 2}", "'a' is given a second time"),
        ("seed=!!python/object:os.system 1", "constructor"),
        ("seed=2024-01-01", "seed"),
        ("seed=" + "[" * 500, "nested more than"),
        ("seed=" + "9" * 5000, "no number"),
        ("training.phases.\u00b2.lr=1", "no '\u00b2' to go into"),
        ("training.phases.--1.lr=1", "no '--1' to go into"),
        ("training.phases.9.lr=1", "no '9' to go into"),
        ("training.phases=5", "training.phases"),
        ("training.phases=[]", "training.phases"),
        ("seed.x=1", "no 'seed' to go into"),
        ("training..epochs=1", "training"),
        ("x" * 3000 + "=1", "is no setting"),
        ("data.augment.preset=" + "y" * 3000, "preset"),
    ],
)
def test_assignments_are_refused_in_a_sentence(
    tree: Path, tmp_path: Path, assignment: str, words: str
) -> None:
    assert words in said("train", tree, "--out", tmp_path / "out", "--weights", "none", "--set", assignment)


def test_a_setting_is_what_was_typed() -> None:
    from foveate.experiment.specification import assign

    values = Experiment().to_dict()
    assert assign(values, " seed = 10")["seed"] == 10
    assert assign(values, "seed=010")["seed"] == "010"
    assert assign(values, "evaluation.look_tap=1:30")["evaluation"]["look_tap"] == "1:30"
    assert assign(values, "training.phases.-1.lr=0.5")["training"]["phases"][-1]["lr"] == 0.5


def test_an_arm_may_hold_any_text() -> None:
    """Text of an arm reaches the experiment as it stands, not by way of YAML."""
    taps = ["\U0001f600: no", "yes"]
    study = Study(
        name="s", arms={name: {"evaluation.look_tap": tap} for name, tap in zip("ab", taps, strict=True)}
    )
    assert [cell.experiment.evaluation.look_tap for cell in study.cells()][:2] == taps
    with pytest.raises(ConfigError, match=r"study 's', arm 'a': seed\.x"):
        Study(name="s", arms={"a": {"seed.x": 1}}).cells()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_split_file_is_followed_or_refused(
    tree: Path, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    from foveate.data.discover import discover
    from foveate.data.layout_settings import LayoutConfig
    from foveate.data.split import SplitConfig, split
    from foveate.data.split_file import load_split, save_split

    file = tmp_path_factory.getbasetemp() / f"split-{seed}.csv"
    catalog = discover(tree, LayoutConfig()).catalog
    save_split(split(catalog, SplitConfig()).catalog, file)
    file.write_bytes(damaged(file, file.read_bytes(), seed))
    refused_or_read(lambda: load_split(file, catalog), file)


def test_any_table_of_pictures_is_read_or_refused(tree: Path, tmp_path: Path) -> None:
    from foveate.data.table_catalog import read_manifest

    file = tree / "pictures.csv"
    whole = "path,label,split,group\n" + "".join(
        f"{path.relative_to(tree)},{path.parent.name},train,g\n"
        for path in sorted((tree / "images").rglob("*.png"))
    )
    try:
        for seed in range(2 * SEEDS):
            file.write_bytes(damaged(file, whole.encode(), seed))
            refused_or_read(lambda: read_manifest(file), file, tree)
    finally:
        file.unlink()


# -- what the system refuses -------------------------------------------------------------------------------------------


def test_places_that_cannot_be_written_are_refused_in_a_sentence(
    finished: Run, tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    picture = next((tree / "images").rglob("*.png"))
    long = tmp_path / ("x" * 300)
    below = tmp_path / "file" / "below"
    for place in (long, below):
        words = ("too long a name", "through a file", "exists already")
        for arguments in (
            ("train", tree, "--out", place, "--weights", "none"),
            ("predict", finished.folder, picture, "--out", place / "p.csv"),
            ("explain", finished.folder, picture, "--out", place),
            ("split", tree, "--out", place / "s.csv"),
            ("report", finished.folder, "--out", place / "r.html"),
        ):
            text = said(*arguments)
            assert any(word in text for word in words), (arguments, text)
            assert place.name[:50] in text
    assert "folder" in said("report", finished.folder, "--out", tmp_path)


def test_a_picture_with_the_longest_name_is_explained(finished: Run, tree: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    source = next((tree / "images").rglob("*.png"))
    names = ["a" * 251 + ".png", "a" * 250 + "b.png", "\u00e4" * 125 + ".png"]
    for name in names:
        shutil.copy(source, pictures / name)
    done = foveate.explain_pictures(finished, pictures, tmp_path / "out")
    assert sorted(entry["path"] for entry in done.manifest["pictures"]) == sorted(names)
    for name in names:
        assert done.maps(name)
    made = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len([path for path in made if path.suffix == ".npz"]) == len(names)


@pytest.mark.parametrize("name", ["experiment.yaml", "environment.json", "catalog.csv", "model.json"])
def test_commands_refuse_a_damaged_run_in_a_sentence(
    finished: Run, tree: Path, tmp_path: Path, name: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished.folder, run)
    (run / name).write_bytes((run / name).read_bytes()[:40])
    for command in (
        ("evaluate", run),
        ("predict", run, tree / "images", "--out", tmp_path / "p.csv"),
        ("explain", run, tree / "images" / "class0", "--out", tmp_path / "e"),
        ("look", run),
        ("train", tree, "--from", run, "--out", tmp_path / "next"),
    ):
        if command[0] == "train" and name in ("environment.json", "catalog.csv", "experiment.yaml"):
            continue  # it takes the weights and their card alone
        text = said(*command)
        assert name in text or run.name in text


def test_the_error_names_the_run(tmp_path: Path) -> None:
    draw_tree(tmp_path / "set", each=2)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "experiment.yaml").mkdir()
    with pytest.raises((RunError, DataError), match="run"):
        Run.open(tmp_path / "run")
