"""The engine: nothing is computed twice, nothing is lost, one failing cell stops no other."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from foveate.core.errors import BusyError, RunError, StudyError
from foveate.data.discover import discover
from foveate.data.split import SplitConfig, save_split, split
from foveate.experiment import Run, run
from foveate.studies import engine, power
from foveate.studies.analysis import analyse
from foveate.studies.engine import StudyObserver, folder_of, run_study
from foveate.studies.expectation import Expectation, _left
from foveate.studies.specification import Cell, Study
from foveate.studies.study_reader import read_study
from training_helpers import BASE

PHASE = {"name": "all", "epochs": 2, "lr": 0.003}


def study(**changes: Any) -> Study:
    base = {name: value for name, value in BASE.items() if name != "seed"}
    base["training"] = {**base["training"], "phases": [PHASE]}
    base["objective"] = {"spatial": {"kind": "spatial_mse", "weight": 0}}
    values = {
        "name": "tiny",
        "base": base,
        "axes": {"objective.spatial.weight": [0, 1]},
        "seeds": [0, 1],
        "metrics": ["test.accuracy", "val.nll", "epochs"],
    }
    return Study.from_dict({**values, **changes})


class Watch(StudyObserver):
    """Counts what happens."""

    def __init__(self) -> None:
        self.computed: list[str] = []
        self.errors: list[str] = []
        self.kept: list[str] = []
        self.resumed: list[str] = []
        self.copied: list[str] = []

    def begin(self, total: int, kept: Sequence[Cell], resumed: Sequence[Cell]) -> None:
        self.kept, self.resumed = [str(cell) for cell in kept], [str(cell) for cell in resumed]

    def reused(self, cells: Sequence[Cell]) -> None:
        self.copied = [str(cell) for cell in cells]

    def done(self, cell: Cell, done: int, total: int, seconds_left: float) -> None:
        self.computed.append(str(cell))

    def failed(self, cell: Cell, error: str) -> None:
        self.errors.append(error)


@pytest.fixture(scope="module")
def done(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of two arms and two seeds."""
    return run_study(study(), tree, tmp_path_factory.mktemp("studies") / "done", jobs=0)


@pytest.mark.slow
def test_every_cell_is_a_run_of_its_own_experiment(done: Path) -> None:
    for cell in study().cells():
        run = Run.open(folder_of(done, cell))
        assert run.finished
        assert run.experiment == cell.experiment


def test_arms_of_a_seed_share_split_and_weight_zero_trains_like_no_term_at_all(
    done: Path, tree: Path, tmp_path: Path
) -> None:
    from foveate.experiment import run

    cell = study().cells()[0]
    values = cell.experiment.to_dict()
    del values["objective"]["spatial"]
    alone = run(type(cell.experiment).from_dict(values), tree, tmp_path / "alone")
    assert (alone.folder / "model.safetensors").read_bytes() == (
        folder_of(done, cell) / "model.safetensors"
    ).read_bytes()


def test_finished_cells_are_kept_and_results_read(done: Path, tree: Path) -> None:
    watch = Watch()
    run_study(study(), tree, done, jobs=0, observer=watch)
    assert watch.computed == []
    results = read_study(done)[""]
    assert results.arms == ("weight 0", "weight 1")
    accuracy = results.values["test.accuracy"]["weight 0"]
    run = Run.open(folder_of(done, study().cells()[0]))
    assert accuracy[0] == run.result["metrics"]["test"]["accuracy"]
    assert results.pictures["weight 0"][0].correct.mean() == pytest.approx(accuracy[0])
    assert len(results.histories["weight 1"][1]) == 2


def test_a_metric_that_no_cell_has_measured_is_named(done: Path, tree: Path, tmp_path: Path) -> None:
    asked = study(metrics=["test.accuracy", "test.look.nothing.mean"], seeds=[0])
    run_study(asked, tree, tmp_path / "asked", jobs=0)
    results = read_study(tmp_path / "asked")[""]
    assert [metric.name for metric in results.metrics] == ["test.accuracy"]
    assert results.notes[-1] == "Asked for, but measured in no cell: test.look.nothing.mean."
    assert not any("measured in no cell" in note for note in read_study(done)[""].notes)


def test_cells_of_another_study_are_copied_not_computed(done: Path, tree: Path, tmp_path: Path) -> None:
    watch = Watch()
    other = study(name="other", axes={"objective.spatial.weight": [1, 0.5]}, seeds=[0])
    run_study(other, tree, tmp_path / "other", jobs=0, observer=watch)
    assert len(watch.copied) == 1
    assert watch.computed == ["weight 0.5, seed 0"]
    mine, theirs = (folder_of(place, other.cells()[0]) for place in (tmp_path / "other", done))
    assert (mine / "predictions.csv").read_bytes() == (theirs / "predictions.csv").read_bytes()


def test_a_cell_is_not_copied_when_files_it_names_changed(tree: Path, tmp_path: Path) -> None:
    proposed = shutil.copytree(tree / "masks", tmp_path / "proposed")
    file = tmp_path / "split.csv"
    save_split(split(discover(tree).catalog).catalog, file)
    base = study().base
    named = {**base["data"], "masks": {"use": {"proposed": str(proposed)}}, "split": {"file": str(file)}}
    made = study(base={**base, "data": named}, axes={}, seeds=[0], split="shared")

    def computed(name: str) -> list[str]:
        watch = Watch()
        run_study(made, tree, tmp_path / name, jobs=0, observer=watch)
        return watch.computed

    assert len(computed("first")) == 1
    assert computed("again") == [], "copied"
    mask = next(proposed.rglob("*.png"))
    Image.open(mask).transpose(Image.Transpose.ROTATE_180).save(mask)
    os.utime(mask, ns=(0, 0))
    assert len(computed("other masks")) == 1
    save_split(split(discover(tree).catalog, SplitConfig(seed=1)).catalog, file)
    os.utime(file, ns=(0, 0))
    assert len(computed("other split")) == 1


@pytest.mark.slow
def test_cells_are_found_again_where_the_first_one_measured_the_precision(tree: Path, tmp_path: Path) -> None:
    base = study().base
    auto = {**base, "training": {**base["training"], "precision": "auto", "batch_size": 7}}
    run_study(study(base=auto), tree, tmp_path / "first", jobs=0)
    watch = Watch()
    more = study(name="more", base=auto, axes={"objective.spatial.weight": [0, 1, 2]})
    run_study(more, tree, tmp_path / "second", jobs=0, observer=watch)
    assert len(watch.copied) == 4
    assert watch.computed == ["weight 2, seed 0", "weight 2, seed 1"]


def test_a_first_cell_that_fails_is_tried_once(tree: Path, tmp_path: Path) -> None:
    base = study().base
    arms = {"bad": {"objective.spatial.tap": "nowhere"}, "good": {}}
    auto = {**base, "training": {**base["training"], "precision": "auto"}}
    watch = Watch()
    run_study(study(base=auto, axes={}, arms=arms, seeds=[0]), tree, tmp_path / "s", jobs=0, observer=watch)
    assert (len(watch.errors), watch.computed) == (1, ["good, seed 0"])


def test_after_the_time_limit_no_cell_is_begun_and_the_same_call_goes_on(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, told = [0.0], []

    class Slow(Watch):
        def done(self, cell: Cell, done: int, total: int, seconds_left: float) -> None:
            super().done(cell, done, total, seconds_left)
            now[0] += 40  # each cell takes 40 seconds

        def stopped(self, left: Sequence[Cell]) -> None:
            told.append([str(cell) for cell in left])

    monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: now[0]))
    own = study(seeds=[70, 71])  # that no other test has computed
    names = [str(cell) for cell in own.cells()]
    first, second = Slow(), Slow()
    run_study(own, tree, tmp_path / "limited", jobs=0, observer=first, time_limit=1)
    assert first.computed == names[:2]
    assert told == [names[2:]]
    assert len(read_study(tmp_path / "limited")[""].values["test.accuracy"]["weight 0"]) == 1
    run_study(own, tree, tmp_path / "limited", jobs=0, observer=second, time_limit=5)
    assert second.kept == names[:2]
    assert second.computed == names[2:]
    assert len(told) == 1


def test_what_is_ahead_is_said_before_the_first_cell(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Expectation] = []
    counted: list[int] = []

    def noted(*numbers: float, arms: int) -> power.Plan:
        counted.append(arms)
        return plan(*numbers, arms=arms)  # type: ignore[arg-type]

    plan = power.plan
    monkeypatch.setattr(power, "plan", noted)

    class Asking(Watch):
        wants_expectation = True

        def expected(self, found: Expectation) -> None:
            assert not self.computed
            told.append(found)

    arms = {
        "none": {},
        "look": {"objective.look": {"kind": "spatial_energy"}},
        "measured": {"evaluation.tta": "flip"},
    }
    own = study(arms=arms, axes={}, seeds=[80, 81, 82])
    out = tmp_path / "asked"
    run_study(own, tree, out, jobs=0, observer=Asking(), time_limit=1e-9)
    (found,) = told
    assert found.trainings == 6  # the third arm measures the networks of the first
    assert found.timed == 2
    assert found.seconds is not None
    assert found.seconds > 0
    assert found.primary == "test.backgrounds.swapped.accuracy"
    assert "show a gain of" in found.detectable or "would show" in found.detectable
    assert found.detectable.startswith("Assuming that 90 % are right without a guide: ")
    assert ("there is more to gain" in found.detectable) == ("not even" in found.detectable)
    assert not found.stops
    assert json.loads((out / "expected.json").read_text())["trainings"] == 6
    alone = own.model_copy(update={"primary_arm": "look"})
    run_study(alone, tree, tmp_path / "alone", jobs=0, observer=Asking(), time_limit=1e-9)
    assert counted == [2, 1], "as the analysis counts them: a primary arm is tested alone"


def test_of_a_stopped_training_only_the_other_epochs_are_ahead(tmp_path: Path) -> None:
    cell = study().cells()[0]
    most = sum(phase.epochs for phase in cell.experiment.training.phases)
    assert _left(cell, tmp_path) == 1
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "history.csv").write_text("epoch\n" + "1\n" * (most - 1))
    assert _left(cell, tmp_path) == pytest.approx(1 / most)


def test_more_seeds_and_arms_are_added_to_what_is_there(done: Path, tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "grow"
    run_study(study(seeds=[0]), tree, out, jobs=0)
    watch = Watch()
    run_study(study(seeds=[0, 7]), tree, out, jobs=0, observer=watch)
    assert watch.computed == ["weight 0, seed 7", "weight 1, seed 7"]
    assert (watch.kept, watch.resumed) == (["weight 0, seed 0", "weight 1, seed 0"], [])
    with pytest.raises(StudyError, match=r"evaluation is not set there and \{'tta': 'flip'\} here"):
        run_study(study(base={**study().base, "evaluation": {"tta": "flip"}}), tree, out, jobs=0)


@pytest.mark.slow
def test_a_failing_cell_is_told_and_the_others_finish(tree: Path, tmp_path: Path) -> None:
    arms = {"bad": {"objective.spatial.tap": "nowhere"}, "good": {}}
    watch = Watch()
    failing = study(axes={}, arms=arms, baseline="good", seeds=[0])
    run_study(failing, tree, tmp_path / "s", jobs=1, observer=watch)
    assert len(watch.errors) == 1
    assert "nowhere" in watch.errors[0]
    results = read_study(tmp_path / "s")[""]
    assert results.failures == {("bad", 0): watch.errors[0]}
    assert list(results.values["test.accuracy"]["good"]) == [0]


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_one_cell(tree: Path, tmp_path: Path) -> None:
    class Shoot(Watch):
        def started(self, cell: Cell) -> None:
            if cell.seed == 20:
                while not (workers := _workers_of(os.getpid())):
                    time.sleep(0.05)
                os.kill(workers[0], signal.SIGKILL)

    watch = Shoot()
    run_study(study(axes={}, seeds=[20, 21]), tree, tmp_path / "s", jobs=1, observer=watch)
    assert len(watch.errors) == 1
    assert "worker process ended before its cell was done" in watch.errors[0]
    assert watch.computed == ["base, seed 21"]
    again = Watch()
    run_study(study(axes={}, seeds=[20, 21]), tree, tmp_path / "s", jobs=0, observer=again)
    assert again.computed == ["base, seed 20"]
    assert not read_study(tmp_path / "s")[""].failures


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_worker_that_cannot_be_asked_costs_its_cells_and_no_patience(
    jobs: int, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: Any) -> None:
        raise ModuleNotFoundError("No module named 'foveate'")

    monkeypatch.setattr(engine.ProcessWorker, "ask", ask)
    watch = Watch()
    run_study(study(axes={}, seeds=[22, 23]), tree, tmp_path / "s", jobs=jobs, observer=watch)
    assert watch.errors == ["Its worker failed (ModuleNotFoundError: No module named 'foveate')."] * 2


def _workers_of(parent: int) -> list[int]:
    import psutil

    children = psutil.Process(parent).children()
    return [child.pid for child in children if "foveate.studies.worker" in " ".join(child.cmdline())]


def test_another_process_in_the_same_folder_is_refused(tree: Path, tmp_path: Path) -> None:
    from filelock import FileLock

    run_study(study(axes={}, seeds=[0]), tree, tmp_path / "s", jobs=0)
    with FileLock(tmp_path / "s" / ".lock"), pytest.raises(BusyError, match="Another process is at work"):
        run_study(study(axes={}, seeds=[0]), tree, tmp_path / "s", jobs=0)


def test_arms_that_change_the_split_cannot_be_compared(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = {"all": {}, "few": {"data.split.test": 0.4}}
    changed = study(axes={}, arms=arms, seeds=[0])
    with pytest.raises(StudyError, match=r"'few.*' would be tested on other pictures .* \(make it a block\)"):
        run_study(changed, tree, tmp_path / "early", jobs=0)
    assert not list((tmp_path / "early").rglob("result.json")), "refused before the work"
    monkeypatch.setattr(
        "foveate.studies.engine.refuse_other_tests", lambda *_: None
    )  # the pictures changed later
    run_study(changed, tree, tmp_path / "s", jobs=0)
    with pytest.raises(StudyError, match=r"different splits .* with other test pictures"):
        read_study(tmp_path / "s")
    blocks = study(axes={}, arms={"a": {}}, blocks=arms, seeds=[0])
    run_study(blocks, tree, tmp_path / "blocks", jobs=0)
    assert set(read_study(tmp_path / "blocks")) == {"all", "few"}


def test_arms_that_need_masks_are_named_where_there_are_none(tree: Path, tmp_path: Path) -> None:
    arms = {"plain": {}, "swap": {"transforms": [{"kind": "background_swap"}]}}
    arms["kept away"] = arms["swap"] | {"data.masks.use": "none"}
    bare = tree / "images" / "class0", tmp_path / "bare" / "class0"
    shutil.copytree(*bare)
    shutil.copytree(tree / "images" / "class1", tmp_path / "bare" / "class1")
    changed = study(axes={}, arms=arms, seeds=[0])
    with pytest.raises(StudyError, match="has a mask, from which 'swap' would learn"):
        run_study(changed, tmp_path / "bare", tmp_path / "s", jobs=0)
    assert not list((tmp_path / "s").rglob("history.csv")), "refused before the work"


def test_arms_may_divide_training_otherwise_if_they_are_tested_on_the_same(
    tree: Path, tmp_path: Path
) -> None:
    arms = {"all": {}, "few": {"data.split.train_per_class": 4}}
    run_study(study(axes={}, arms=arms, seeds=[0, 1]), tree, tmp_path / "s", jobs=0)
    (results,) = read_study(tmp_path / "s").values()
    assert results.pictures["all"][0].path == results.pictures["few"][0].path
    (note,) = results.notes
    assert note == (
        "'few' divides training and validation otherwise than 'all': the test pictures are the same."
    )
    assert note in analyse(results).notes


def test_shared_decisions_are_measured_once(tree: Path, tmp_path: Path) -> None:
    base = study().base
    auto = study(base={**base, "training": {**base["training"], "precision": "auto"}})
    run_study(auto, tree, tmp_path / "s", jobs=0)
    values = set()
    for cell in auto.cells():
        made = json.loads((folder_of(tmp_path / "s", cell) / "decisions.json").read_text())
        values |= {(d["name"], d["value"], d["reason"]) for d in made if d["name"].startswith("precision")}
    assert len(values) == 1


@pytest.mark.slow
def test_arms_compute_frozen_features_once_and_train_as_if_alone(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foveate.experiment import run
    from foveate.training.loaders import Feeds

    computed: list[str] = []
    stored = Feeds.stored

    def counting(
        self: Feeds,
        split: str,
        views: int,
        size: int,
        extract: Any,
        keep: Any = lambda made: made(),
        tell: Any = None,
    ) -> Any:
        def counted(compute: Any) -> Any:
            def made() -> Any:
                computed.append(split)
                return compute()

            return keep(made)

        return stored(self, split, views, size, extract, counted, tell)

    monkeypatch.setattr(Feeds, "stored", counting)
    training = {**study().base["training"], "phases": BASE["training"]["phases"]}
    headed = study(base={**study().base, "training": training}, seeds=[0, 1])
    run_study(headed, tree, tmp_path / "s", jobs=0)
    assert sorted(computed) == ["train", "train", "val", "val"], (
        "once for each seed and split, not for each arm"
    )
    assert not list((tmp_path / "s" / "cells").glob(".shared"))
    last = headed.cells()[-1]
    alone = run(last.experiment, tree, tmp_path / "alone")
    assert len(computed) == 6
    together = folder_of(tmp_path / "s", last) / "model.safetensors"
    assert (alone.folder / "model.safetensors").read_bytes() == together.read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(900)  # seven programs one after the other, on a machine that may be busy
def test_killed_three_times_the_tables_are_the_same_bytes(done: Path, tree: Path, tmp_path: Path) -> None:
    """SIGKILL to the engine alone; its workers must end by themselves."""
    file = tmp_path / "study.yaml"
    longer = study(
        base={**study().base, "training": {**study().base["training"], "phases": [{**PHASE, "epochs": 12}]}}
    )
    file.write_text(longer.to_yaml())

    def start(out: Path, cache: Path) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "foveate",
            "study",
            "run",
            str(file),
            "--data",
            str(tree),
            "--out",
            str(out),
            "--threads",
            "1",
        ]
        # A cache of its own, or the second study would only copy what the first has computed.
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, env={**os.environ, "FOVEATE_CACHE": str(cache)}
        )

    assert start(tmp_path / "whole", tmp_path / "cache1").wait() == 0
    moments, kills = random.Random(2), 0
    while kills < 3:
        process = start(tmp_path / "killed", tmp_path / "cache2")
        # Only kill once a worker is at work: somewhere inside a cell.
        before = time.monotonic()
        while (
            not list((tmp_path / "killed" / "cells").glob("*/checkpoint")) and time.monotonic() - before < 60
        ):
            time.sleep(0.05)
        time.sleep(moments.uniform(0, 0.6))
        if process.poll() is None:
            process.kill()
            kills += 1
        process.wait()
    assert start(tmp_path / "killed", tmp_path / "cache2").wait() == 0
    for name in ("table.csv", "comparisons.csv", "table.md"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    cells = [cell.key for cell in longer.cells()]
    for key in cells:
        a, b = (tmp_path / place / "cells" / key / "model.safetensors" for place in ("killed", "whole"))
        assert a.read_bytes() == b.read_bytes()


def test_arms_that_differ_in_measuring_only_train_once(tree: Path, tmp_path: Path) -> None:
    changes = {
        "axes": {},
        "arms": {"plain": {}, "flipped": {"evaluation": {"tta": "flip"}}},
        "seeds": [31, 32],  # cells that no other test has left in the store
        "metrics": ["test.nll", "epochs"],
    }
    watched = Watch()
    out = run_study(study(**changes), tree, tmp_path / "views", jobs=0, observer=watched)
    assert watched.computed == ["plain, seed 31", "plain, seed 32", "flipped, seed 31", "flipped, seed 32"]
    cells = {(cell.arm, cell.seed): Run.open(folder_of(out, cell)) for cell in study(**changes).cells()}
    plain, flipped = cells["plain", 32], cells["flipped", 32]
    weights = [(run.folder / "model.safetensors").read_bytes() for run in (plain, flipped)]
    assert weights[0] == weights[1]
    assert plain.history == flipped.history
    assert flipped.result["tta"] == "flip"
    expected = plain.evaluate(tta="flip", device="cpu").probabilities
    assert (abs(flipped.predictions.probabilities - expected) < 1e-5).all()
    assert abs(flipped.predictions.probabilities - plain.predictions.probabilities).max() > 1e-4
    results = read_study(out)[""]
    assert results.values["epochs"]["plain"] == results.values["epochs"]["flipped"]


def test_a_network_that_was_trained_otherwise_is_not_taken(done: Path, tree: Path, tmp_path: Path) -> None:
    cell, other = study().cells()[0], study().cells()[1]
    with pytest.raises(RunError, match="trained another network"):
        run(cell.experiment, tree, tmp_path / "run", trained=folder_of(done, other))


def test_cells_share_the_pretext_run_they_start_from_and_so_do_studies(tree: Path, tmp_path: Path) -> None:
    training = {**BASE["training"], "phases": [{"name": "pretext", "epochs": 1, "lr": 0.003}]}
    start = {"task": {"kind": "rotation"}, "augment": {"preset": "none"}, "training": training}
    head = {"name": "head", "epochs": 2, "trainable": "head", "lr": 0.01}
    base = {**study().base, "training": {**BASE["training"], "phases": [head]}, "start": start}
    heads = {"a": {}, "b": {"training.phases.0.lr": 0.02}}
    made = study(base=base, axes={}, arms=heads, seeds=[0])
    first = run_study(made, tree, tmp_path / "one", jobs=0)
    keys = {cell.start.key for cell in made.cells() if cell.start}
    assert len(keys) == 1
    (key,) = keys
    pretext = Run.open(first / "cells" / key)
    assert pretext.finished
    assert pretext.experiment.task_name == "rotation"
    assert len(list((first / "cells").glob("*/result.json"))) == 3
    assert set(read_study(first)[""].values["test.accuracy"]) == {"a", "b"}
    # Another study with another head takes the pretext run over, and trains its head alone.
    other = study(base=base, axes={}, arms={"c": {"training.phases.0.lr": 0.005}}, seeds=[0])
    second = run_study(other, tree, tmp_path / "two", jobs=0)
    same = [folder / "cells" / key / "model.safetensors" for folder in (first, second)]
    assert same[0].read_bytes() == same[1].read_bytes()
    assert same[0].stat().st_mtime_ns == same[1].stat().st_mtime_ns, "copied, not trained again"
