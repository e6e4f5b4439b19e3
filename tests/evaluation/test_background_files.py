"""The files of the background tests: they come back, every number follows from them, damage is named."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score

from foveate.core.errors import DataError, RunError
from foveate.evaluation.background_files import TESTS, BackgroundSheet, BackgroundTable

IDS = ("4780", "12", "7")


def make_table(n: int = 40, seed: int = 0) -> BackgroundTable:
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 3
    return BackgroundTable(
        class_ids=IDS,
        split="test",
        path=np.array([f'a "{i}", b.jpg' for i in range(n)]),
        label=label,
        background=np.array([f"{i}.jpg" for i in range(n)]),
        background_label=np.where(np.arange(n) < 4, label, (label + 1) % 3),
        prediction={test: rng.integers(0, 3, n) for test in TESTS},
        probability={test: rng.random(n).astype(np.float32) for test in TESTS},
    )


def test_every_number_follows_from_the_file(tmp_path: Path) -> None:
    table = make_table()
    table.to_csv(tmp_path / "t.csv")
    with open(tmp_path / "t.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    found = table.summary()
    labels = [row["label"] for row in rows]
    assert found["n"] == len(rows) == 40
    assert found["chance_majority"] == max(map(labels.count, IDS)) / 40
    assert found["chance_uniform"] == pytest.approx(1 / 3)
    for test in TESTS:
        hits = sum(row[f"{test}_prediction"] == row["label"] for row in rows)
        interval = binomtest(hits, 40).proportion_ci(method="wilson")
        assert found[test]["correct"] == hits
        assert found[test]["accuracy"] == hits / 40
        assert (found[test]["accuracy_low"], found[test]["accuracy_high"]) == pytest.approx(interval)
        answers = [row[f"{test}_prediction"] for row in rows]
        assert found[test]["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, answers))
        mean = np.mean([float(row[f"{test}_probability"]) for row in rows])
        assert found[test]["probability"] == pytest.approx(mean, rel=1e-6)
    foreign = [row for row in rows if row["background_label"] != row["label"]]
    assert len(foreign) == 36
    follows = sum(row["swapped_prediction"] == row["background_label"] for row in foreign)
    assert found["swapped"]["as_background"] == follows / 36


@pytest.mark.parametrize("single", [False, True])
def test_it_comes_back(tmp_path: Path, single: bool) -> None:
    table = make_table()
    if single:
        one = {name: getattr(table, name)[:1] for name in ("path", "label")}
        rest = [test for test in TESTS if test != "swapped"]
        table = BackgroundTable(
            IDS, "val", **one, background=np.array([""]), background_label=np.array([-1]),
            prediction={test: table.prediction[test][:1] for test in rest},
            probability={test: table.probability[test][:1] for test in rest},
        )  # fmt: skip
    table.to_csv(tmp_path / "t.csv")
    back = BackgroundTable.from_csv(tmp_path / "t.csv", IDS)
    assert (back.class_ids, back.split, len(back)) == (table.class_ids, table.split, len(table))
    for name in ("path", "label", "background", "background_label"):
        np.testing.assert_array_equal(getattr(back, name), getattr(table, name))
    assert list(back.prediction) == list(table.prediction)
    for test in table.prediction:
        np.testing.assert_array_equal(back.prediction[test], table.prediction[test])
        np.testing.assert_array_equal(back.probability[test], table.probability[test])
    assert back.summary() == table.summary()


def test_backgrounds_of_the_own_class_say_nothing_about_following() -> None:
    table = make_table()
    assert replace(table, background_label=table.label).summary()["swapped"]["as_background"] is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("swapped_probability", "other", "lacks the columns .*swapped_probability"),
        (",4780,", ",999,", "cannot be read"),
        ("path,split", "paths,split", "lacks the columns .*path"),
    ],
)
def test_damage_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "t.csv"
    make_table().to_csv(file)
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(DataError, match=message):
        BackgroundTable.from_csv(file, IDS)
    with pytest.raises(DataError, match="does not exist"):
        BackgroundTable.from_csv(tmp_path / "nowhere.csv", IDS)


def test_the_sheet_comes_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = {test: rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8) for test in TESTS}
    mask = rng.integers(0, 256, (2, 8, 8), dtype=np.uint8)
    BackgroundSheet(np.array(["a", "ü b"]), mask, pictures).save(tmp_path / "s.npz")
    back = BackgroundSheet.load(tmp_path / "s.npz")
    assert back.path.tolist() == ["a", "ü b"]
    np.testing.assert_array_equal(back.mask, mask)
    assert list(back.pictures) == list(TESTS)
    for test in TESTS:
        np.testing.assert_array_equal(back.pictures[test], pictures[test])
    (tmp_path / "s.npz").write_bytes(b"PK nonsense")
    with pytest.raises(RunError, match="cannot be read"):
        BackgroundSheet.load(tmp_path / "s.npz")
    np.savez(tmp_path / "other.npz", mask=mask)
    with pytest.raises(RunError, match=r"lacks \['path'\]"):
        BackgroundSheet.load(tmp_path / "other.npz")
