"""Corrected labels come back from every program to the right pictures, or it is said why not; pictures stay."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drawn import draw_tree
from foveate.core.errors import ConfigError, DataError
from foveate.core.files import write_csv
from foveate.data.catalog import Catalog, Sample
from foveate.data.discover import discover
from foveate.data.label_corrections import changes, match, read_corrections, write_corrected
from foveate.evaluation.prediction_files import LAYOUTS
from foveate.evaluation.predictions import PredictionTable

WRONG = "images/class0/001.png"
"""It is of class1."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return draw_tree(tmp_path / "pictures", classes=2, each=4)


def predictions(catalog: Catalog) -> PredictionTable:
    """All right, as the folders say."""
    paths = [sample.path for sample in catalog.samples]
    return PredictionTable.from_logits(
        np.eye(2)[catalog.labels] * 3, catalog.labels, paths, catalog.class_ids
    )


def as_table(catalog: Catalog, out: Path) -> Path:
    rows = [(s.path, "class1" if s.path == WRONG else "") for s in catalog.samples]
    write_csv(out / "p.csv", ("path", "corrected"), rows)
    return out / "p.csv"


def as_fiftyone(catalog: Catalog, out: Path) -> Path:
    file = out / "samples.json"
    LAYOUTS["fiftyone"].write(predictions(catalog), file, catalog.root)
    document = json.loads(file.read_text())
    for sample in document["samples"]:
        if sample["filepath"].endswith(WRONG):
            sample["prediction"]["label"] = "class1"
    file.write_text(json.dumps(document))
    return file


def as_label_studio(catalog: Catalog, out: Path) -> Path:
    """The export of tasks that were imported, each accepted or corrected by a person."""
    file = out / "tasks.json"
    LAYOUTS["labelstudio"].write(predictions(catalog), file, catalog.root)
    tasks = json.loads(file.read_text())
    for number, task in enumerate(tasks, start=1):
        result = task["predictions"][0]["result"]
        if task["data"]["image"].endswith(WRONG):
            result[0]["value"]["choices"] = ["class1"]
        skipped = {"was_cancelled": True, "result": [{**result[0], "value": {"choices": ["class0"]}}]}
        task |= {"id": number, "annotations": [skipped, {"was_cancelled": False, "result": result}]}
    file.write_text(json.dumps(tasks))
    return file


def as_minimal(catalog: Catalog, out: Path) -> Path:
    tasks = [
        {
            "image": f"/data/local-files/?d=pictures/{s.path}", "id": number, "annotator": 1, "annotation_id": number,
            "label": "class1" if s.path == WRONG else catalog.classes[s.label], "created_at": "2026-01-01",
        }
        for number, s in enumerate(catalog.samples)
    ]  # fmt: skip
    (out / "min.json").write_text(json.dumps(tasks))
    return out / "min.json"


@pytest.mark.parametrize("make", [as_table, as_fiftyone, as_label_studio, as_minimal])
def test_one_correction_comes_back(make: Callable[[Catalog, Path], Path], data: Path, tmp_path: Path) -> None:
    catalog = discover(data).catalog
    found = match(catalog, read_corrections(make(catalog, tmp_path)))
    assert (found.left, found.by_name) == ({}, 0)
    assert changes(catalog, found.labels) == [(WRONG, "class0", "class1")]
    write_corrected(catalog, found.labels, data / "labels.csv")
    read = discover(data / "labels.csv").catalog
    truth = {s.path: "class1" if s.path == WRONG else s.path.split("/")[1] for s in catalog.samples}
    assert {s.path: read.classes[s.label] for s in read.samples} == truth
    assert {s.path: s.mask for s in read.samples} == {s.path: s.mask for s in catalog.samples}
    assert discover(data).catalog.counts().tolist() == [3, 5], "the folder is read by its table from now on"


def test_pictures_are_added_and_splits_kept(data: Path) -> None:
    catalog = discover(data).catalog
    new = "later/100.png"
    (data / "later").mkdir()
    (data / WRONG).rename(data / "later" / "100.png")
    catalog = catalog.subset([row for row, s in enumerate(catalog.samples) if s.path != WRONG])
    found = match(catalog, {str(data / new): ["class1"]})
    splits = {s.path: ("train", "test")[row % 2] for row, s in enumerate(catalog.samples)}
    write_corrected(catalog, found.labels, data / "labels.csv", splits)
    read = discover(data / "labels.csv").catalog
    assert {s.path: s.split for s in read.samples} == splits | {new: ""}
    assert changes(catalog, found.labels) == [(new, "", "class1")]


@pytest.mark.parametrize(
    ("said", "options", "why"),
    [
        ({"001.png": ["class1"]}, {}, "it may be images/class0/001.png or images/class1/001.png; write the folder"),
        ({"/data/upload/3/0a1b2c3d-001.png": ["class1"]}, {}, "it may be images/class0/001.png or"),
        ({"other/001.png": ["class1"]}, {}, "is called so"),
        ({"class0/009.png": ["class1"]}, {}, "is called so"),
        ({"class0/001.png": ["class1", "class0"]}, {}, "several classes (class1, class0)"),
        ({"class0/001.png": ["clas1"]}, {}, "'clas1' is no class here"),
        ({"class0/001.png": ["wasp"]}, {"new_classes": True}, ""),
        ({"class0/001.png": ["class1"], WRONG: ["class0"]}, {}, "is told twice"),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_left_with_its_reason(
    said: dict[str, list[str]], options: dict[str, Any], why: str, data: Path
) -> None:
    found = match(discover(data).catalog, said, **options)
    if why:
        assert not found.labels
        assert found.left.keys() == said.keys()
        assert all(why in reason for reason in found.left.values())
    else:
        assert (found.labels, found.left, found.by_name) == ({WRONG: "wasp"}, {}, 0)


def test_names_of_uploads_and_of_another_disk_are_found(data: Path) -> None:
    (data / WRONG).rename(data / "images/class0/my wren (1).png")
    catalog = discover(data).catalog
    for name, by_name in (
        ("data/upload/3/0a1b2c3d-my_wren_1.png", 1),
        ("my wren (1).png", 1),
        ("C:\\photos\\images\\class0\\my wren (1).png", 0),
        ("/mnt/x/images/class0/my wren (1).png", 0),
    ):
        found = match(catalog, {name: ["class1"]})
        assert (found.labels, found.by_name) == ({"images/class0/my wren (1).png": "class1"}, by_name), name


def test_several_fields_are_asked_about(data: Path, tmp_path: Path) -> None:
    file = as_fiftyone(discover(data).catalog, tmp_path)
    document = json.loads(file.read_text())
    document["samples"][0]["truth"] = {"_cls": "Classification", "label": "class1"}
    file.write_text(json.dumps(document))
    with pytest.raises(
        ConfigError, match=r"labels in .*prediction.*; name the one that counts, with --field"
    ):
        read_corrections(file)
    assert list(read_corrections(file, "truth").values()) == [["class1"]]
    with pytest.raises(ConfigError, match="--field"):
        read_corrections(file, "nothing")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.csv", "path,prediction\na.png,x\n", "needs one for the path and 'corrected'"),
        ("t.json", '[{"id": 1, "data": {"text": "x"}, "annotations": []}]', "task 1 names no picture"),
        ("t.json", '[{"id": 1, "data": {"image": "a.png"}, "annotations": []}]', "holds no corrected label"),
        ("t.json", '[{"data": 3}]', "malformed as JSON of Label Studio"),
        (
            "t.json",
            '[{"id": 1, "data": {"image": "a.png"}, "annotations": [{"result": [{"type": "choices", "value": '
            '{"choices": 3}}]}]}]',
            "the choices of task 1 are 3, not a list",
        ),
        ("s.json", '{"labels": {}}', "neither JSON of Label Studio"),
        ("s.json", '{"samples": [3]}', "sample 1 has no filepath"),
    ],
)
def test_other_files_are_refused(name: str, content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words):
        read_corrections(tmp_path / name)


def test_nothing_is_written_over_or_elsewhere(data: Path, tmp_path: Path) -> None:
    catalog = discover(data).catalog
    for out, words in (
        (tmp_path / "labels.csv", "the table belongs there"),
        (data / "labels.txt", "is no .csv file"),
        (data / "taken.csv", "exists already"),
    ):
        (data / "taken.csv").write_text("mine")
        with pytest.raises(ConfigError, match=words):
            write_corrected(catalog, {}, out)
    assert (data / "taken.csv").read_text() == "mine"


def test_a_class_that_a_table_cannot_hold_is_refused(tmp_path: Path) -> None:
    for name in ("bee", "null"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "1.png")
    catalog = discover(tmp_path).catalog
    assert catalog.classes == ("bee", "null")
    with pytest.raises(DataError, match=r"cannot hold bee/1\.png with the class .null."):
        write_corrected(catalog, {"bee/1.png": "null"}, tmp_path / "labels.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bee", "null"]


def test_a_word_that_means_two_classes_is_not_guessed(tmp_path: Path) -> None:
    samples = tuple(Sample(f"{k}.png", k) for k in range(3))
    catalog = Catalog(tmp_path, ("1", "2", "3"), samples, ("0", "1", "2"))
    found = match(catalog, {"0.png": ["1"], "1.png": ["0"], "2.png": ["1_2"]})
    assert found.labels == {"1.png": "1", "2.png": "2"}
    assert found.left == {"0.png": "'1' is the id of one class and the name of another; write 1_2 or 0_1"}


def test_killed_while_it_writes_it_leaves_all_as_it_was(data: Path, tmp_path: Path) -> None:
    def state() -> dict[str, str]:
        return {
            str(path.relative_to(data)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in data.rglob("*")
            if path.is_file() and path.suffix != ".tmp"
        }

    before, file = state(), as_table(discover(data).catalog, tmp_path)
    kill = "import os, signal; os.replace = lambda *a: os.kill(os.getpid(), signal.SIGKILL)"
    call = "from foveate.cli.main import app; app(['labels', 'apply', *map(str, sys.argv[1:])])"
    words = [sys.executable, "-c", f"import sys; {kill}; {call}", file, data, "--out", data / "labels.csv"]
    assert subprocess.run(words, check=False).returncode == -9
    assert state() == before
    catalog = discover(data).catalog
    write_corrected(catalog, match(catalog, read_corrections(file)).labels, data / "labels.csv")
    assert state().keys() == before.keys() | {"labels.csv"}
    assert discover(data).catalog.counts().tolist() == [3, 5]
