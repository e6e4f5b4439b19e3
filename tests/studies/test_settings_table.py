"""The settings table says what was trained; the confusions are those of the cells' own tables."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from foveate.experiment import Experiment, Run
from foveate.reporting.study_confusion import confusions, pairs_table
from foveate.reporting.study_folder import publish_study
from foveate.studies.engine import folder_of, run_study
from foveate.studies.guides import with_guides
from foveate.studies.paper_setup import guides_in_words, setup
from foveate.studies.settings_table import _rates, pretext_table, settings_table
from foveate.studies.specification import Study
from training_helpers import BASE

HEAD: dict[str, Any] = {"name": "head", "epochs": 3, "trainable": "head", "lr": 0.01}


@pytest.fixture(scope="module")
def study() -> Study:
    training = {**BASE["training"], "phases": [{"name": "pretext", "epochs": 1, "lr": 0.003}]}
    start = {"task": {"kind": "rotation"}, "augment": {"preset": "none"}, "training": training}
    base = {name: value for name, value in BASE.items() if name != "seed"}
    base |= {
        "training": {**BASE["training"], "phases": [HEAD]},
        "model": {**BASE["model"], "head": {"kind": "linear"}},
        "evaluation": {"neighbours": 5},
    }
    sgd = {"training.phases.0.optimizer": {"name": "sgd", "momentum": 0.0}, "training.phases.0.lr": 0.1}
    arms = {
        "plain": {},
        "turned": {"start": start, "data.augment.preset": "none"},
        "drifting": {"start": start, "training.phases.0.freeze_bn": False, "model.head.kind": "deep"},
        "whole": {
            "training.phases.0.trainable": "all",
            "objective.classification.class_weights": {"class1": 1.5},
            "data.augment.steps": [{"kind": "hflip"}, {"kind": "rotate"}],
            **sgd,
        },
    }
    return Study.from_dict({"name": "tiny", "base": base, "arms": arms, "seeds": [0, 1], "split": "shared"})


@pytest.fixture(scope="module")
def folder(study: Study, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_study(study, tree, tmp_path_factory.mktemp("settings") / "study", jobs=0)


@pytest.mark.slow
def test_every_row_says_what_its_experiment_says(study: Study, folder: Path) -> None:
    table = settings_table(study, folder)
    names = [column.name for column in table.columns]
    rows = {row[0]: dict(zip(names, row, strict=True)) for row in table.rows}
    assert list(rows) == ["plain", "pretext rotation", "turned", "drifting", "whole"]
    assert rows["plain"]["Starts from"] == "random weights"
    assert rows["turned"]["Starts from"] == "pretext rotation"
    assert rows["turned"]["Backbone"] == "frozen"
    assert rows["drifting"]["Backbone"] == "weights frozen, BatchNorm statistics move"
    assert rows["whole"]["Backbone"] == rows["pretext rotation"]["Backbone"] == "trained"
    assert (rows["turned"]["Augmentation"], rows["whole"]["Augmentation"]) == ("none", "hflip, rotate")
    assert rows["whole"]["Loss"] == "cross entropy (class1 1.5)"
    assert (rows["whole"]["Optimizer"], rows["plain"]["Optimizer"]) == ("SGD", "Adamw")
    assert (rows["whole"]["Learning rate"], rows["plain"]["Learning rate"]) == ("0.1", "0.01")
    assert (rows["plain"]["Linear layers of the head"], rows["drifting"]["Linear layers of the head"]) == (
        "1",
        "3",
    )
    assert (rows["plain"]["Epochs"], rows["pretext rotation"]["Epochs"]) == ("3", "1")


def test_the_rates_of_all_stages_are_told() -> None:
    def told(*phases: tuple[str, float]) -> str:
        values = [{"name": str(k), "trainable": part, "lr": lr} for k, (part, lr) in enumerate(phases)]
        return _rates(Experiment.from_dict({"training": {"phases": values}}))

    assert told(("head", 0.1), ("all", 0.01)) == "0.01", "the head's own phase is another matter"
    assert told(("all", 0.0003), ("all", 0.003), ("all", 0.0003)) == "0.0003, then 0.003, then 0.0003"
    assert told(("all", 0.01), ("all", 0.01)) == "0.01"


def test_pretext_runs_are_told_with_their_own_accuracy(study: Study, folder: Path) -> None:
    table = pretext_table(study, folder)
    assert table is not None
    cell = next(c.start for c in study.cells() if c.start and c.seed == 1)
    metrics = Run(folder_of(folder, cell)).result["metrics"]["test"]
    row = next(row for row in table.rows if row[2] == "1")
    assert row[-2:] == (
        f"{100 * metrics['accuracy']:.1f}%",
        f"{100 * metrics['neighbours']['accuracy']:.1f}%",
    )
    assert len(table.rows) == 2


def test_confusions_are_the_sum_over_seeds(study: Study, folder: Path) -> None:
    found = {c.arm: c for c in confusions(study, folder)}
    assert list(found) == list(study.arms)
    for arm, confusion in found.items():
        expected = np.zeros((3, 3), dtype=np.int64)
        for cell in study.cells():
            if cell.arm == arm:
                rows = Run(folder_of(folder, cell)).predictions.of_split("test")
                expected += confusion_matrix(rows.label, rows.prediction, labels=[0, 1, 2])
        assert np.array_equal(confusion.counts, expected)
        assert confusion.seeds == 2
        for a, b, there, back, share in confusion.pairs:
            i, j = confusion.classes.index(a), confusion.classes.index(b)
            assert (there, back) == (expected[i, j], expected[j, i])
            assert share == pytest.approx((there + back) / (expected[i].sum() + expected[j].sum()))
        assert len(pairs_table(confusion).rows) == len(confusion.pairs)


@pytest.mark.slow
def test_publishing_writes_them(study: Study, folder: Path) -> None:
    page = publish_study(folder).read_text(encoding="utf-8")
    assert (folder / "settings.csv").read_text(encoding="utf-8").count("\n") == 6
    markdown = (folder / "settings.md").read_text(encoding="utf-8")
    assert "**Settings**" in markdown
    assert "**Pretext runs**" in markdown
    assert len(re.findall(r'aria-label="Confusion matrix of [a-z]+', page)) >= len(study.arms)
    assert "Settings of every model" in page


@pytest.mark.slow
def test_methods_say_what_the_runs_hold(study: Study, folder: Path) -> None:
    text = setup(study, folder)
    run = Run(folder_of(folder, study.cells()[0]))
    split = Counter(sample.split for sample in run.catalog.samples)
    assert (
        f"{len(run.catalog.samples)} pictures of 3 classes were used: {split['train']} for training" in text
    )
    assert f"{split['test']} for testing in each run." in text
    assert f"{run.card['architecture']} (from random weights" in text
    assert "(from pretext rotation" in text
    assert f"pictures of {run.environment['size']} x {run.environment['size']} pixels" in text
    phase, batch = (
        study.cells()[0].experiment.training.phases[0],
        study.cells()[0].experiment.training.batch_size,
    )
    rate = f"learning rate {phase.lr:g}, {phase.schedule.kind.replace('_', ' ')}"
    assert f"Training had 3 epochs (head: AdamW, {rate}), in batches of {batch}" in text
    assert "Augmentation of training pictures: " in text
    assert text in (publish_study(folder).parent / "paper.md").read_text(encoding="utf-8").replace("\\", "")


def test_methods_say_what_a_guide_does(study: Study, tmp_path: Path) -> None:
    arms = with_guides({"none": {"guide": "none"}, "other": {"guide": "backgrounds"}})
    assert guides_in_words(study.model_copy(update={"arms": arms})) == [
        "other: another picture's background behind the object, always (p 1). other, placebo: the same with the masks "
        "of other pictures."
    ]
    assert setup(study, tmp_path) == ""


def test_a_study_without_finished_cells_still_has_settings(study: Study, tmp_path: Path) -> None:
    table = settings_table(study, tmp_path)
    assert "at most 3" in {cell for row in table.rows for cell in row}
    assert pretext_table(study, tmp_path) is None
    assert confusions(study, tmp_path) == []
