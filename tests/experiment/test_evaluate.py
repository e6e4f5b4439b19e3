"""A run applied to pictures: the same numbers again, class ids as the data set writes them, clear errors."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from drawn import draw_tree
from foveate.core.errors import DataError
from foveate.data.cache import DecodedPictures, Item
from foveate.data.catalog import Catalog, Sample
from foveate.evaluation.background_files import BackgroundSheet, BackgroundTable
from foveate.evaluation.measure import measure, predict
from foveate.experiment import Experiment, Run, run
from foveate.experiment.specification import merge
from foveate.experiment.subjects import evaluators_of, relabel, subject_of
from foveate.explanation.localisation import LOCALISATION
from training_helpers import experiment


def test_scores_of_explainers_flow_into_the_table_on_request(finished: Run) -> None:
    rows = finished.catalog.indices("test")
    values = merge(
        finished.experiment.to_dict(),
        {"evaluation": {"look_methods": ["gradcam", "eigencam"], "look_metrics": ["localisation"]}},
    )
    settings = Experiment.from_dict(values)
    subject = subject_of(settings, finished.model, finished.catalog, 32, torch.device("cpu"))
    table = predict(subject, rows, evaluators_of(settings, subject))
    assert "energy_in_mask" in table.look
    looked = finished.look(methods=("gradcam", "eigencam"), metrics=("localisation",), target="true")
    for method in ("gradcam", "eigencam"):
        for score in LOCALISATION:
            found = table.look[f"{method}_{score.name}"]
            np.testing.assert_allclose(found, looked.values[method][score.name], atol=1e-4)
    assert list(looked.paths) == table.path.tolist()


@pytest.mark.parametrize(("tta", "times"), [("flip", 1), ("flip@40", 2)])
def test_one_pass_serves_all_evaluators(
    finished: Run, monkeypatch: pytest.MonkeyPatch, tta: str, times: int
) -> None:
    read: Counter[int] = Counter()
    whole = DecodedPictures.read

    def counted(self: DecodedPictures, row: int) -> Item:
        read[row] += 1
        return whole(self, row)

    monkeypatch.setattr(DecodedPictures, "read", counted)
    settings = Experiment.from_dict(
        merge(finished.experiment.to_dict(), {"evaluation": {"neighbours": 3, "look_methods": ["gradcam"]}})
    )
    subject = subject_of(settings, finished.model, finished.catalog, 32, torch.device("cpu"), tta=tta)
    table, metrics = measure(subject, np.arange(48), evaluators_of(settings, subject)[:3])
    assert read == dict.fromkeys(range(48), times)  # pictures of another side are other pictures
    assert {"energy_in_mask", "gradcam_energy"} <= table.look.keys()
    assert "neighbours" in metrics["test"]


def test_evaluate_reproduces_the_predictions(finished: Run) -> None:
    again, before = finished.evaluate(), finished.predictions
    assert again.path.tolist() == before.path.tolist()
    assert again.split.tolist() == before.split.tolist()
    np.testing.assert_allclose(again.probabilities, before.probabilities, atol=1e-6)
    np.testing.assert_allclose(again.look["energy_in_mask"], before.look["energy_in_mask"], atol=1e-5)


def test_evaluate_reproduces_the_background_tests(finished: Run) -> None:
    again = finished.evaluate_backgrounds()
    assert again is not None
    before = BackgroundTable.from_csv(finished.folder / "background_tests.csv", finished.catalog.class_ids)
    assert again.table.background.tolist() == before.background.tolist()
    for test in before.prediction:
        np.testing.assert_array_equal(again.table.prediction[test], before.prediction[test])
        np.testing.assert_allclose(again.table.probability[test], before.probability[test], atol=1e-5)
    sheet = BackgroundSheet.load(finished.folder / "background_tests.npz")
    for test, images in sheet.pictures.items():
        np.testing.assert_array_equal(images, again.sheet.pictures[test])


def test_predict_a_folder_a_file_and_several(finished: Run) -> None:
    before = finished.predictions
    root = finished.catalog.root
    folder = finished.predict(root / "images")
    assert len(folder) == 48
    known = {
        Path(str(p)).as_posix()[-14:]: row for p, row in zip(folder.path, folder.probabilities, strict=True)
    }
    for path, row in zip(before.path, before.probabilities, strict=True):
        np.testing.assert_allclose(known[str(path)[-14:]], row, atol=1e-5)
    one = finished.predict(root / before.path[0])
    assert len(one) == 1
    np.testing.assert_allclose(one.probabilities[0], before.probabilities[0], atol=1e-5)
    assert not one.labelled.any()
    two = finished.predict([root / before.path[1], str(root / before.path[0])])
    assert len(two) == 2


def test_a_picture_that_cannot_be_read_is_named(finished: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.png"):
        finished.predict(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"No picture in .*empty"):
        finished.predict(tmp_path / "empty")
    with pytest.raises(DataError, match=r"nowhere"):
        finished.predict(tmp_path / "nowhere")


def test_another_data_set(finished: Run, tmp_path: Path) -> None:
    other = draw_tree(tmp_path / "other", classes=2, each=4, seed=9)
    table = finished.evaluate(other)
    assert len(table) == 8
    assert set(table.split) == {"test"}
    tests = finished.evaluate_backgrounds(other)
    assert tests is not None
    assert tests.table.path.tolist() == table.path.tolist()
    assert [finished.catalog.class_ids[k] for k in table.label] == ["class0"] * 4 + ["class1"] * 4
    shutil.move(other / "images" / "class1", other / "images" / "zebra")
    shutil.rmtree(other / "masks")
    with pytest.raises(DataError, match=r"\['zebra'\], which the run was not trained on"):
        finished.evaluate(other)


def test_ids_of_the_competition_come_back(tmp_path: Path) -> None:
    data = draw_tree(tmp_path / "data", classes=2, each=8)
    shutil.rmtree(data / "masks")
    (data / "images").rename(data / "train")
    for name, new in (("class0", "4780_Chestnut"), ("class1", "12_Oak")):
        (data / "train" / name).rename(data / "train" / new)
    settings = experiment(training={"phases": [{"name": "a", "epochs": 8, "trainable": "head", "lr": 0.05}]})
    finished = run(Experiment.from_dict(settings.to_dict()), data, tmp_path / "run")
    assert set(finished.catalog.class_ids) == {"4780", "12"}
    table = finished.predict(data / "train")
    table.to_csv(tmp_path / "out.csv")
    import csv

    with open(tmp_path / "out.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["prediction"] for row in rows} <= {"4780", "12"}
    assert {"prob_4780", "prob_12"} <= set(rows[0])


def test_classes_that_differ_in_unicode_form_only_are_the_same() -> None:
    composed, apart = "Zaunk\u00f6nig", "Zaunko\u0308nig"
    known = Catalog(Path("a"), ("Amsel", composed), ())
    other = Catalog(Path("b"), (apart,), (Sample("1.jpg", 0), Sample("2.jpg")))
    assert relabel(other, known).labels.tolist() == [1, -1]
    assert relabel(
        replace(known, samples=(Sample("1.jpg", 1),)), replace(known, classes=(apart,), class_ids=(apart,))
    ).labels.tolist() == [0]
    with pytest.raises(DataError, match="not trained on"):
        relabel(other, Catalog(Path("a"), ("Amsel",), ()))
