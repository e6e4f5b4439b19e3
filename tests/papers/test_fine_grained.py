"""The fine-grained studies say what the report did, and every arm can be built."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from foveate.core.errors import ConfigError
from foveate.experiment import Experiment, Run, run
from foveate.experiment.specification import merge
from foveate.models.build import build_network
from foveate.objectives import Context, Objective, Progress
from foveate.papers.fine_grained.recipes import NETWORKS
from foveate.recipes import STUDIES
from foveate.studies.specification import Study
from training_helpers import Heard, experiment, phase

NAMES = ["fine-grained-fbsd", "fine-grained-mmal", "fine-grained-compare", "fine-grained-transfer"]


@pytest.mark.parametrize("name", NAMES)
def test_every_arm_gives_what_its_losses_are_on(name: str) -> None:
    study: Study = STUDIES[name]()
    cells = study.cells()
    assert len(cells) == len(study.arms) * len(study.seeds)
    assert len({cell.key for cell in cells}) == len(cells), "every arm is an experiment of its own"
    for cell in cells[:: len(study.seeds)]:
        model = cell.experiment.model
        small = model.model_copy(update={"backbone": "foveate_small_cnn", "weights": "none"})
        network = build_network(small, 3, 32, 0).train()
        network.progress = Progress(epoch=1)
        context = Context(
            ("a", "b", "c"), (1, 1, 1), network.head, network.tap_channels, 0, network, network.branches
        )
        objective = Objective(cell.experiment.objective, context)
        with torch.no_grad():
            given = network(torch.rand(2, 3, 32, 32)).branches
        asked = {term.on for term in cell.experiment.objective.values()} - {""}
        assert asked <= set(given)
        assert objective.trains
        if network.branches:
            assert cell.experiment.objective["classification"].weight == 0


def test_the_milestones_are_at_the_shares_of_the_report() -> None:
    for cell in STUDIES["fine-grained-mmal"]().cells():
        (phase,) = cell.experiment.training.phases
        assert [epoch / phase.epochs for epoch in phase.schedule.epochs] == [60 / 200, 100 / 200]
        assert (phase.lr, phase.optimizer.weight_decay, phase.lr_factors) == (1e-3, 1e-4, {})


def test_equal_compute_is_three_times_the_epochs() -> None:
    epochs = {
        cell.arm: cell.experiment.training.phases[0].epochs
        for cell in STUDIES["fine-grained-compare"]().cells()
    }
    assert epochs["plain, three times the epochs"] == 3 * epochs["plain"] == 3 * epochs["MMAL"]


def test_fbsd_as_programmed_is_the_programs() -> None:
    arms = {cell.arm: cell.experiment for cell in STUDIES["fine-grained-fbsd"]().cells()}
    program, paper = arms["as programmed"], arms["as written"]
    (phase,) = program.training.phases
    assert (program.model.network.complement, program.model.network.pool) == (0.001, 5)
    assert (phase.schedule.kind, phase.schedule.half_period) == ("cosine_wave", 200)
    assert (phase.lr, phase.lr_factors) == (2e-3, {"backbone": 0.1})
    assert (paper.model.network.similarity, paper.model.network.pool) == ("inner", 0)
    assert arms["dropout 0.2"].model.network.dropout == 0.2


def small(kind: str) -> Experiment:
    """Two epochs with the authors' losses, mixed labels and a loss on where it looks."""
    own = {"network": {"kind": kind} | ({"width": 16} if kind == "fbsd" else {}), "head": "linear"}
    values = merge(experiment(training={"phases": [phase()]}).to_dict(), NETWORKS[kind] | {"model": own})
    values["objective"]["look"] = {"kind": "spatial_energy", "aggregate": "gradcam", "weight": 0.1}
    return Experiment.from_dict({**values, "transforms": [{"kind": "cutmix"}, {"kind": "background_swap"}]})


@pytest.fixture(scope="module")
def strange(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Classes whose folders are numbers far beyond the number of classes, as in the report's competition."""
    folder = tmp_path_factory.mktemp("strange")
    for kind in ("images", "masks"):
        for number, one in zip((4780, 17, 90210), sorted((tree / kind).iterdir()), strict=True):
            shutil.copytree(one, folder / kind / str(number))
    return folder


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_ids_beyond_the_number_of_classes_are_names(kind: str, strange: Path, tmp_path: Path) -> None:
    done: Run = run(small(kind), strange, tmp_path / "run")
    assert set(done.predictions.class_ids) == {"17", "4780", "90210"}
    assert done.predictions.probabilities.shape[1] == 3
    assert done.model.card.class_ids == ("17", "4780", "90210")
    assert set(done.catalog.labels.tolist()) == {0, 1, 2}
    again = done.predict(strange / "images" / "4780", device="cpu")
    assert set(again.class_ids) == {"17", "4780", "90210"}
    assert set(done.predictions.label) == {0, 1, 2}


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_no_part_is_drawn_anew_after_loading(kind: str, tree: Path, tmp_path: Path) -> None:
    done = run(small(kind), tree, tmp_path / "run")
    assert done.maps is not None
    own = set(done.maps.maps) - {"class map", "tap late"}
    assert own == {"mmal": {"object and parts"}, "cal": {"attention"}}.get(kind, set())
    again = Run(tmp_path / "run").evaluate(device="cpu")
    np.testing.assert_allclose(again.probabilities, done.predictions.probabilities, atol=1e-5)
    first, second = (Run(tmp_path / "run").model.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_validation_accuracy_is_not_that_of_the_training_pictures(tree: Path, tmp_path: Path) -> None:
    """The classes of the training pictures are exchanged: what is learnt is wrong for all others."""
    for number in range(3):
        for place, file in enumerate(sorted((tree / "images" / f"class{number}").iterdir())):
            split = "train" if place < 10 else "val" if place < 13 else "test"
            shown = (number + 1) % 3 if split == "train" else number
            other = tmp_path / "turned" / split / f"class{shown}" / file.name
            other.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, other)
    asked = experiment(training={"phases": [phase(epochs=25, lr=0.02)]})
    done = run(asked, tmp_path / "turned", tmp_path / "run")
    last = done.history[-1]
    assert last["train_accuracy"] > 0.6
    assert last["val_accuracy"] < 0.2
    assert done.result["metrics"]["val"]["accuracy"] == pytest.approx(last["val_accuracy"])


@pytest.mark.slow
def test_from_one_set_to_another(tree: Path, tmp_path: Path) -> None:
    """Five classes with the network of a run on three: what has a row for each class is new, and told."""
    first = run(small("fbsd"), tree, tmp_path / "first")
    for kind in ("images", "masks"):
        for number, file in enumerate(sorted((tree / kind).rglob("*.png"))):
            place = tmp_path / "five" / kind / f"kind {number % 5}" / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
    study = STUDIES["fine-grained-transfer"]()
    arms = {cell.arm: cell.experiment.model for cell in study.cells()}
    changes = {"weights": str(first.folder), "network": {"kind": "fbsd", "width": 16}}
    told: dict[str, str] = {}
    for arm in ("other classes", "other classes, backbone alone"):
        model = arms[arm].model_dump(mode="json") | changes
        heard = Heard()
        values = merge(
            small("fbsd").to_dict(), {"model": model, "training": {"phases": [phase(epochs=1, lr=1e-9)]}}
        )
        done = run(Experiment.from_dict(values), tmp_path / "five", tmp_path / arm, observer=heard)
        told[arm] = " ".join(heard.messages)
        before, after = first.model.state_dict(), done.model.state_dict()
        same = {n for n in before if n.endswith("weight") and before[n].shape == after[n].shape
                and torch.allclose(before[n], after[n], atol=1e-5)}  # fmt: skip
        assert {n for n in before if n.startswith("backbone.") and n.endswith("weight")} <= same
        last = {f"classifiers.{level}.4.weight" for level in range(4)}
        assert not last & same
        assert ("parts.0.0.weight" in same) == (arm == "other classes")
    assert "classifiers.3.4.weight" in told["other classes"]
    assert "start anew" in told["other classes"]
    assert "start anew" not in told["other classes, backbone alone"]


def test_without_validation_pictures_there_is_no_validation_accuracy(tree: Path, tmp_path: Path) -> None:
    split = {"data": {"split": {"val": 0.0, "test": 0.3}}}
    done = run(Experiment.from_dict(merge(small("fbsd").to_dict(), split)), tree, tmp_path / "run")
    assert all(row.get("val_accuracy") is None for row in done.history)
    watching = merge(small("fbsd").to_dict(), split)
    watching["training"]["phases"][0]["restore_best"] = "val_accuracy"
    with pytest.raises(ConfigError, match=r"watches 'val_accuracy' \(there are no validation pictures\)"):
        run(Experiment.from_dict(watching), tree, tmp_path / "other")
