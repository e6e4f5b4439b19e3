"""Tuning: as many trials as asked, none lost, none twice, none on test pictures; killed, it ends as unbroken."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from foveate.core.errors import ConfigError, DataError, StudyError
from foveate.experiment import Experiment, Run
from foveate.studies import search_database as databases
from foveate.studies.search import Search
from foveate.studies.trial_ranking import Ranking, rank
from foveate.studies.trials import Interrupted, Task, work
from foveate.studies.tune import tune
from foveate.training import Observer
from studies.tune_helpers import (
    EPOCHS,
    LR,
    SPACE,
    Heard,
    Train,
    TrainThenDie,
    base,
    in_process,
    quality,
    task,
)
from training_helpers import experiment

pytest.importorskip("optuna")


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def relax(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", relax)
    yield
    event.remove(Engine, "connect", relax)


def ranking(given: Task) -> Ranking:
    database = given.database()
    try:
        return rank(database)
    finally:
        database.close()


def outcomes(given: Task) -> list[tuple[Any, ...]]:
    return [(e.number, e.state, e.value, e.settings, e.copy_of) for e in ranking(given).entries]


def calls(given: Task) -> dict[int, int]:
    """{trial: how often it was begun}."""
    return {int(f.parent.name): len(f.read_text().split()) for f in given.out.glob("trials/*/calls")}


@pytest.mark.slow
def test_finds_the_best_settings_and_repeats(tmp_path: Path) -> None:
    first, again, other = (task(tmp_path / f"s{n}", trials=n) for n in (24, 13, 3))
    other = Task(other.search, other.base.model_copy(update={"seed": 1}), other.data, other.out)
    for one in (first, again, other):
        work(one, Observer(), Train())
    found = ranking(first)
    assert [entry.number for entry in found.entries] == list(range(24))
    assert found.best is not None
    assert found.experiment is not None
    assert found.best.value == max(entry.value for entry in found.entries if entry.value is not None)
    assert found.best.value == pytest.approx(quality(found.experiment))
    assert found.best.value > 0.98
    assert found.importance is not None
    assert sum(found.importance.values()) == pytest.approx(1)
    assert set(found.importance) == set(SPACE)
    assert outcomes(again) == outcomes(first)[:13]
    assert outcomes(other) != outcomes(first)[:3]
    for entry in found.entries:
        assert 1e-5 <= entry.settings[LR] <= 1e-1
        assert entry.settings[EPOCHS] in (4, 6, 8, 10, 12)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_what_was_cut_off_is_finished_and_nothing_is_lost(tmp_path: Path, how: str) -> None:
    whole, cut = task(tmp_path / "whole"), task(tmp_path / "cut")
    work(whole, Observer(), Train())
    if how == "kill":
        process = in_process(cut, Train(kill=7))
        process.join(240)
        assert process.exitcode == -9
    else:
        with pytest.raises(Interrupted, match="Trial 7: Stopped in epoch 4"):
            work(cut, Observer(), Train(interrupt=7))
    left = ranking(cut).entries
    assert [entry.state for entry in left[:7]] == ["complete"] * 7
    assert left[7].state == ("running" if how == "kill" else "open")
    assert left[7].settings == ranking(whole).entries[7].settings
    heard = Heard()
    work(cut, heard, Train())
    assert outcomes(cut) == outcomes(whole)
    assert len(ranking(cut).entries) == 12
    assert calls(cut) == {**dict.fromkeys(range(12), 1), 7: 2}, "in the same folder"
    again = next(text for text in heard.messages if "taken up again" in text)
    assert again.startswith("Trial 7 of 12")


def test_several_processes_share_the_work(tmp_path: Path) -> None:
    shared = task(tmp_path / "shared", trials=12, sampler="random")
    crew = [in_process(shared, Train()) for _ in range(2)]
    for process in crew:
        process.join(240)
        assert process.exitcode == 0
    assert calls(shared) == dict.fromkeys(range(12), 1)
    assert all(entry.state == "complete" for entry in ranking(shared).entries)
    alone = task(tmp_path / "alone", trials=12, sampler="random")
    work(alone, Observer(), Train())
    assert outcomes(shared) == outcomes(alone), "random trials do not hang on who draws them"


def test_who_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = task(tmp_path / "s")
    database = given.database()
    claim = database.claim()
    assert claim is not None

    def state(**facts: Any) -> bool:
        for name, value in facts.items():
            claim.trial.set_user_attr(name, value)
        return database.alive(database.trials()[0])

    mine = database.trials()[0].user_attrs["owner"]
    assert state()
    assert not state(owner={**mine, "started": mine["started"] - 100}), "another process with the same number"
    assert not state(owner={**mine, "pid": 2**22 + 1})
    elsewhere = {**mine, "machine": "elsewhere", "pid": 2**22 + 1}
    assert state(owner=elsewhere), "it was seen a moment ago"
    second = database.claim()
    assert second is not None
    assert second.number == 1
    monkeypatch.setattr(databases, "PATIENCE", -1)
    assert not state()
    third = database.claim()
    assert third is not None
    assert (third.number, third.settings, third.again) == (0, claim.settings, True)
    database.close()


def test_a_trial_that_kills_its_process_again_and_again_is_given_up(tmp_path: Path) -> None:
    given = task(tmp_path / "s", trials=3)
    for _ in range(databases.STUCK):
        process = in_process(given, Train(kill=1))
        process.join(240)
        assert process.exitcode == -9
    work(given, Observer(), Train(kill=1))
    assert [entry.state for entry in ranking(given).entries] == ["complete", "failed", "complete"]
    assert "killed 3 times" in str(ranking(given).entries[1].error)


def test_failures_are_told_and_others_go_on(tmp_path: Path) -> None:
    given, heard = task(tmp_path / "s", trials=6), Heard()
    work(given, heard, Train(diverge=(0, 3)))
    entries = ranking(given).entries
    assert [entry.state for entry in entries] == ["failed", *["complete"] * 2, "failed", *["complete"] * 2]
    assert entries[3].error == "The loss of trial 3 is not finite."
    assert any(text.endswith("failed: The loss of trial 3 is not finite.") for text in heard.messages)
    with pytest.raises(StudyError, match=r"All of the first 3 trials failed.*trial 2 is not finite"):
        work(task(tmp_path / "t", trials=6), Observer(), Train(diverge=tuple(range(6))))
    odd = task(tmp_path / "v", trials=4)
    work(odd, Observer(), lambda e, d, f, **o: {}["size"] if f.name == "1" else Train()(e, d, f, **o))
    assert str(ranking(odd).entries[1].error).startswith("KeyError: 'size' (see ")
    assert "Traceback" in (odd.out / "trials" / "1" / "error.txt").read_text()
    nan = task(tmp_path / "u", trials=4)
    work(nan, Observer(), lambda e, d, f, **o: Broken() if f.name == "1" else Train()(e, d, f, **o))
    assert ranking(nan).entries[1].error == "val_accuracy is nan."


class Broken:
    """A run whose metric is not a number."""

    def __init__(self) -> None:
        self.experiment = base(restore_best=None)
        self.result: dict[str, Any] = {}
        self.history = [{"epoch": 1, "phase_epoch": 1, "val_accuracy": float("nan")}]


def test_the_same_settings_are_computed_once(tmp_path: Path) -> None:
    space = {
        EPOCHS: {"choices": [4, 6]},
        "training.phases.0.schedule": {"choices": ["constant", {"kind": "step"}]},
    }
    given = task(tmp_path / "s", trials=15, space=space, sampler="random")
    work(given, Observer(), Train())
    found = ranking(given)
    assert len(calls(given)) == 4
    copies = [entry for entry in found.entries if entry.copy_of is not None]
    assert len(copies) == 11
    for copy in copies:
        original = found.entries[copy.copy_of or 0]
        assert (copy.value, copy.settings, original.copy_of) == (original.value, original.settings, None)
    assert found.of("complete") == [entry for entry in found.entries if entry not in copies]
    seeds = task(tmp_path / "t", trials=8, space=space, sampler="random", seeds="per_trial")
    work(seeds, Observer(), Train())
    assert len(calls(seeds)) == 8, "another seed is another trial"
    assert ranking(seeds).experiment != ranking(given).experiment


def test_grid_visits_every_point_once(tmp_path: Path) -> None:
    space = {
        EPOCHS: {"low": 4, "high": 5},
        LR: {"low": 0.25, "high": 0.75, "step": 0.25},
        "training.clip": {"choices": [None, 1]},
    }
    given = task(tmp_path / "s", trials=None, space=space, sampler="grid")
    work(given, Observer(), Train())
    points = {tuple(entry.settings.values()) for entry in ranking(given).entries}
    assert points == {(e, lr, c) for e in (4, 5) for lr in (0.25, 0.5, 0.75) for c in (None, 1)}
    assert len(ranking(given).entries) == 12
    part = task(tmp_path / "t", trials=5, space=space, sampler="grid")
    work(part, Observer(), Train())
    assert [e.settings for e in ranking(part).entries] == [e.settings for e in ranking(given).entries[:5]]


def test_pruner_ends_what_is_worse_than_the_median(tmp_path: Path) -> None:
    given = task(
        tmp_path / "s", trials=18, pruner="median", warmup_epochs=2, sampler="random", space={LR: SPACE[LR]}
    )
    work(given, Observer(), Train())
    found = ranking(given)
    truth = {entry.number: quality(given.experiment(entry.settings, entry.number)) for entry in found.entries}
    pruned, complete = found.of("pruned"), found.of("complete")
    assert len(pruned) >= 4
    assert len(complete) == 18 - len(pruned)
    assert all(entry.number >= 5 for entry in pruned), "the first five are there to compare with"
    for entry in pruned:
        assert truth[entry.number] < np.median([e.value for e in complete if e.number < entry.number])
    assert found.best is not None
    assert found.best.number == max(truth, key=lambda number: truth[number])
    assert {entry.number: entry.value for entry in complete}.items() <= truth.items()


def test_trials_may_be_added_and_nothing_else_may_change(tmp_path: Path) -> None:
    out = tmp_path / "s"
    work(task(out, trials=4), Observer(), Train())
    before = outcomes(task(out, trials=4))
    more = task(out, trials=7)
    work(more, Observer(), Train())
    assert outcomes(more)[:4] == before
    assert [entry.state for entry in ranking(more).entries] == ["complete"] * 7
    with pytest.raises(StudyError, match=r"search\.metric is 'val_accuracy' there and 'val_loss' now"):
        task(out, metric="val_loss").database()
    with pytest.raises(
        StudyError, match=r"experiment\.training\.phases\.0\.clip|experiment\.training\.phases\.0\.lr"
    ):
        task(out, base(lr=0.5)).database()
    changed = Task(more.search, more.base, more.data, out, pictures={"split_hash": "abc"})
    with pytest.raises(StudyError, match=r"pictures\.split_hash is None there and 'abc' now"):
        changed.database()
    elsewhere = base().model_copy(update={"training": base().training.model_copy(update={"device": "cuda"})})
    task(out, elsewhere, trials=7).database().close()


def test_another_split_stops_the_search(tmp_path: Path) -> None:
    given = task(tmp_path / "s")
    given = Task(given.search, given.base, given.data, given.out, pictures={"split_hash": "abc"})
    with pytest.raises(StudyError, match="another split than the search began with"):
        work(given, Observer(), Train())
    assert ranking(given).entries[0].state == "open"


def test_a_metric_that_was_not_measured_stops_the_search(tmp_path: Path) -> None:
    given = task(tmp_path / "s", metric="val_macro_f1")
    with pytest.raises(StudyError, match="no column 'val_macro_f1'; there is val_loss, val_accuracy"):
        work(given, Observer(), Train())


def test_without_optuna_and_with_odd_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = task(tmp_path / "s")

    def with_storage(url: str) -> Task:
        return Task(given.search, given.base, given.data, given.out, storage=url)

    for url, message in (
        ("nonsense", "--storage takes a database URL"),
        (f"sqlite:///{tmp_path}/no/such/place.db", "cannot be opened .*unable to open database file"),
        ("postgresql+nodriver://user:secret@host/db", "cannot be opened|needs a database driver"),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            with_storage(url).database()
        assert "secret" not in str(caught.value)
    other = with_storage(f"sqlite:///{tmp_path}/other.db")
    work(other, Observer(), Train())
    assert not (given.out / "tune.db").exists()
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install 'foveate\[tune\]'"):
        given.database()


# -- with real training ------------------------------------------------------------------------------------------------

REAL: dict[str, Any] = {
    "space": {
        "training.phases.0.lr": {"low": 0.001, "high": 0.03, "log": True},
        "model.head.dropout": {"choices": [0.0, 0.3]},
    },
    "trials": 3,
    "pruner": "none",
}


def small() -> Experiment:
    values = experiment().to_dict()
    values["training"]["phases"] = [{**values["training"]["phases"][1], "epochs": 2}]
    return Experiment.from_dict(values)


@pytest.fixture(scope="module")
def tuned(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ranking, Heard]:
    out, heard = tmp_path_factory.mktemp("tuned") / "search", Heard()
    return out, tune(Search.model_validate(REAL), small(), tree, out, make_observer=lambda: heard), heard


def test_trials_are_ordinary_runs_without_test_pictures(tuned: tuple[Path, Ranking, Heard]) -> None:
    out, found, heard = tuned
    for entry in found.entries:
        run = Run.open(out / "trials" / str(entry.number))
        assert run.finished
        assert set(run.result["metrics"]) == {"val"}
        assert set(run.predictions.split) == {"val"}
        assert entry.value == run.result["metrics"]["val"]["accuracy"], "of the weights that were kept"
        assert entry.settings["training.phases.0.lr"] == run.experiment.training.phases[0].lr
        assert entry.settings["model.head.dropout"] == run.experiment.model.head.dropout
        assert (entry.epochs, entry.seconds) == (2, run.result["train_seconds"])
        assert set(run.evaluate(device="cpu").split) == {"val"}
    assert len({Run(out / "trials" / str(n)).result["split_hash"] for n in range(3)}) == 1
    assert "3 trials, maximizing val_accuracy on " in "\n".join(heard.messages)
    assert found.best is not None
    metrics = Run.open(out / "trials" / str(found.best.number)).result["metrics"]["val"]
    assert found.interval == (metrics["accuracy_low"], metrics["accuracy_high"])
    assert found.inseparable == sum(
        found.interval[0] <= (e.value or 0) <= found.interval[1] for e in found.entries
    )


def test_best_yaml_is_the_winner_with_its_test(tuned: tuple[Path, Ranking, Heard]) -> None:
    from foveate.cli.flags import build_experiment
    from foveate.recipes import finetune

    out, found, _ = tuned
    built = build_experiment(finetune, {}, out / "best.yaml")
    assert built == found.experiment
    assert found.best is not None
    trained = Run.open(out / "trials" / str(found.best.number)).experiment.to_dict()
    assert trained["evaluation"]["splits"] == ["val"]
    trained["evaluation"]["splits"] = ["val", "test"]
    assert built.to_dict() == trained
    with open(out / "trials.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["val_accuracy"]) for row in rows] == [entry.value for entry in found.entries]
    for row, entry in zip(rows, found.entries, strict=True):
        assert float(row["training.phases.0.lr"]) == entry.settings["training.phases.0.lr"]
        assert float(row["model.head.dropout"]) == entry.settings["model.head.dropout"]
    head = (out / "best.yaml").read_text().splitlines()[0]
    assert head.startswith(f"# Trial {found.best.number}, the best of 3")
    assert yaml.safe_load((out / "best.yaml").read_text())["seed"] == 3


@pytest.mark.slow
def test_a_real_trial_that_was_killed_ends_with_the_same_weights(
    tuned: tuple[Path, Ranking, Heard], tree: Path, tmp_path: Path
) -> None:
    out, found, _ = tuned
    killed = Task(Search.model_validate(REAL), small(), tree, tmp_path / "search", pictures=_pictures(out))
    process = in_process(killed, TrainThenDie(1))
    process.join(240)
    assert process.exitcode == -9
    assert list((killed.out / "trials" / "1" / "checkpoint").glob("saved-*"))
    again = tune(killed.search, killed.base, tree, killed.out, make_observer=Observer)
    assert [(e.number, e.value, e.settings) for e in again.entries] == [
        (e.number, e.value, e.settings) for e in found.entries
    ]
    for number in range(3):
        file = f"trials/{number}/model.safetensors"
        assert (killed.out / file).read_bytes() == (out / file).read_bytes()


def _pictures(out: Path) -> dict[str, str]:
    result = Run.open(out / "trials" / "0").result
    return {name: result[name] for name in ("catalog_hash", "split_hash")}


def test_refusals_before_the_first_trial(tree: Path, tmp_path: Path) -> None:
    search = Search.model_validate(REAL)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    with pytest.raises(StudyError, match="not empty and holds no search"):
        tune(search, small(), tree, tmp_path / "full")
    values = small().to_dict()
    values["data"]["split"] = {"val": 0.0}
    with pytest.raises(DataError, match="no validation pictures"):
        tune(search, Experiment.from_dict(values), tree, tmp_path / "new")
    assert not (tmp_path / "new").exists()
