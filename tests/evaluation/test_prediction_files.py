"""Predictions written for others carry the data set's own ids, not our row numbers, and are what others read."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from foveate.evaluation.answer_rule import AnswerRule
from foveate.evaluation.prediction_files import LAYOUTS
from foveate.evaluation.predictions import PredictionTable

LOGITS = np.array([[0.0, 0.0, 9.0], [9.0, 0.0, 0.0]])
NAMES = ("test/a & b.png", "test/c.png")


@pytest.fixture
def table() -> PredictionTable:
    return PredictionTable.from_logits(LOGITS, np.array([-1, -1]), NAMES, ("17", "4780", "93"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "new"
    (folder / "test").mkdir(parents=True)
    for name in NAMES:
        exif = Image.Exif()
        exif[274] = 6  # turned by a quarter
        Image.new("RGB", (8, 4)).save(folder / name, exif=exif)
    return folder


def written(layout: str, table: PredictionTable, root: Path) -> Any:
    LAYOUTS[layout].write(table, root.parent / "out.json", root)
    return json.loads((root.parent / "out.json").read_text(encoding="utf-8"))


def test_competition_has_the_original_ids(table: PredictionTable, root: Path) -> None:
    LAYOUTS["competition"].write(table, root.parent / "answers.csv", root)
    with open(root.parent / "answers.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert rows == [{"file": "a & b.png", "class_id": "93"}, {"file": "c.png", "class_id": "17"}]
    assert written("competition", table, root) == rows


def test_table_as_json_names_the_class(table: PredictionTable, root: Path) -> None:
    rows = written("table", table, root)
    assert [row["prediction"] for row in rows] == ["93", "17"]
    assert rows[0]["probabilities"].keys() == {"17", "4780", "93"}


def test_what_is_known_beside_the_class_goes_with_it(table: PredictionTable, root: Path) -> None:
    judged = AnswerRule(0.95, 20, 1.0, 0.9, 0.1).on(replace(table, look={"distance": np.array([0.5, 1.5])}))
    for layout, of_first in (
        ("table", lambda found: found[0]),
        ("fiftyone", lambda found: found["samples"][0]),
        ("labelstudio", lambda found: found[0]["data"]),
        ("coco", lambda found: found["annotations"][0]["attributes"]),
    ):
        further = of_first(written(layout, judged, root))
        assert (further["not_sure"], further["distance"], further["possible"]) == (0, 0.5, ["93"]), layout


def test_fiftyone_finds_pictures_and_classifications(table: PredictionTable, root: Path) -> None:
    samples = written("fiftyone", table, root)["samples"]
    assert all(Path(sample["filepath"]).is_file() for sample in samples)
    first = samples[0]["prediction"]
    assert (first["_cls"], first["label"]) == ("Classification", "93")
    assert first["confidence"] == pytest.approx(1 / (1 + 2 * np.exp(-9)), rel=1e-6)


def test_label_studio_serves_the_pictures_and_knows_the_control(table: PredictionTable, root: Path) -> None:
    tasks = written("labelstudio", table, root)
    for task in tasks:
        # As its local-files view does, the document root being the folder in which that of the pictures lies.
        place = parse_qs(urlsplit(task["data"]["image"]).query)["d"][0]
        assert (root.parent / place).is_file()
    (prediction,) = tasks[1]["predictions"]
    (choice,) = prediction["result"]
    interface = ElementTree.parse(root.parent / "out.xml").getroot()
    control, shown = interface.find("Choices"), interface.find("Image")
    assert control is not None
    assert shown is not None
    assert (control.get("name"), control.get("toName")) == (choice["from_name"], choice["to_name"])
    assert shown.get("value") == "$image"
    assert [found.get("value") for found in control] == list(table.class_ids)
    assert choice["value"]["choices"] == ["17"]
    assert 0 < prediction["score"] <= 1


def test_coco_is_read_by_its_own_tools(table: PredictionTable, root: Path) -> None:
    written("coco", table, root)
    read = COCO(str(root.parent / "out.json"))
    (category,) = read.getCatIds(catNms=["93"])
    (image,) = read.loadImgs(read.getImgIds(catIds=[category]))
    assert (image["file_name"], image["width"], image["height"]) == (NAMES[0], 4, 8)
    (annotation,) = read.loadAnns(read.getAnnIds(imgIds=[image["id"]]))
    assert annotation["score"] == pytest.approx(float(table.confidence[0]))
