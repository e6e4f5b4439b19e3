"""Ctrl-C and SIGTERM are heeded everywhere: at once, or after the step in training."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from foveate.data.batch import Batch
from foveate.experiment import Run, run
from foveate.training import Interrupted, Observer, fit
from foveate.training.batch_size import decide_batch_size
from foveate.training.checkpoint import load_checkpoint
from foveate.training.interrupt import watch_signals
from training_helpers import experiment, phase, toy_job, weights_of

BOTH = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_stops_the_work_where_it_is(number: signal.Signals) -> None:
    reached = []

    @watch_signals()
    def work() -> None:
        reached.append(1)
        os.kill(os.getpid(), number)
        time.sleep(5)
        reached.append(2)

    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match="Run the same command again"):
        work()
    assert reached == [1]
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", BOTH)
def test_held_signals_wait_until_they_are_asked_for(number: signal.Signals) -> None:
    reached: list[Any] = []

    def work() -> None:
        with watch_signals() as signals:
            with signals.held():
                os.kill(os.getpid(), number)
                reached.append(signals())
            reached.append(2)
            signals.check()
            reached.append(3)

    with pytest.raises(Interrupted):
        work()
    assert reached == [True, 2]


def test_a_second_ctrl_c_stops_what_is_held() -> None:
    reached = []

    def work() -> None:
        with watch_signals() as signals, signals.held():
            os.kill(os.getpid(), signal.SIGINT)
            reached.append(1)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
            reached.append(2)

    with pytest.raises(Interrupted):
        work()
    assert reached == [1]


@watch_signals()
def swallowing(number: signal.Signals | None) -> None:
    """Much code takes an error for the fault of a picture."""
    try:
        if number is None:
            raise KeyboardInterrupt
        os.kill(os.getpid(), number)
        time.sleep(5)
    except Exception:  # noqa: BLE001 (this is what is tested)
        pytest.fail("swallowed")


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_is_no_error_that_could_be_swallowed(number: signal.Signals) -> None:
    with pytest.raises(Interrupted):
        swallowing(number)


def test_without_a_signal_nothing_is_made_of_it() -> None:
    with pytest.raises(KeyboardInterrupt):
        swallowing(None)


class StrikeAt(Observer):
    """Sends a signal when some work is told of for the first time; counts what is told of afterwards."""

    def __init__(self, what: str, number: int = signal.SIGTERM) -> None:
        self.what, self.number, self.after = what, number, 0
        self.struck = False

    def progress(self, what: str, done: int, total: int) -> None:
        if self.struck:
            self.after += 1
        elif what.startswith(self.what):
            self.struck = True
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(
    ("what", "settings", "training"),
    [
        ("trying precisions", {}, {"precision": "auto"}),
        ("trying learning rates", {"lr": "auto"}, {}),
        ("features of the training", {"trainable": "head"}, {}),
        ("features of the validation", {"trainable": "head"}, {}),
    ],
)
def test_before_a_phase(what: str, settings: dict[str, Any], training: dict[str, Any]) -> None:
    striker = StrikeAt(what)
    with pytest.raises(Interrupted, match="Run the same command again"):
        fit(toy_job(phases=[phase(**settings)], observer=striker, **training))
    assert (striker.struck, striker.after) == (True, 0)


def test_in_the_batch_size_finder() -> None:
    striker = StrikeAt("trying batch sizes")
    with pytest.raises(Interrupted), watch_signals():
        decide_batch_size(toy_job(phases=[phase()], observer=striker, batch_size="auto"))
    assert (striker.struck, striker.after) == (True, 0)


@pytest.mark.parametrize("extra", [{}, {"ema": 0.9, "accumulate": 2}])
def test_in_validation_and_the_weights_are_as_if_nothing_had_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any]
) -> None:
    phases, calls = [phase(epochs=3, restore_best="val_loss")], []
    whole = toy_job(phases=phases, **extra)
    expected = fit(whole)
    stopped = toy_job(phases=phases, folder=tmp_path, checkpoint_seconds=1e9, **extra)
    evaluate = Batch.prepare

    def prepare(self: Batch, *rest: Any) -> Batch:
        calls.append(len(self))
        if (
            len(calls) == 4 + 2 + 4 + 2
        ):  # in the second epoch's validation: four batches to train, two to validate
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(self, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(Batch, "prepare", prepare)
        with pytest.raises(Interrupted, match="epoch 2 after batch 4 of 4; the position is saved"):
            fit(stopped)
    assert len(calls) == 12
    assert load_checkpoint(tmp_path / "checkpoint") is not None
    again = toy_job(phases=phases, folder=tmp_path, **extra)
    found = fit(again)
    assert all(torch.equal(value, weights_of(whole)[name]) for name, value in weights_of(again).items())
    same = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy")
    assert [[row[name] for name in same] for row in found] == [
        [row[name] for name in same] for row in expected
    ]


@pytest.mark.parametrize("what", ["predicting", "features of training", "testing other backgrounds", "maps"])
def test_in_measuring(tree: Path, tmp_path: Path, what: str) -> None:
    short = {"phases": [phase(epochs=1)]}
    settings = experiment(training=short, evaluation={"neighbours": 3})
    striker = StrikeAt(what)
    with pytest.raises(Interrupted, match="what was finished is kept"):
        run(settings, tree, tmp_path / "run", observer=striker)
    assert (striker.struck, striker.after) == (True, 0)
    assert not Run(tmp_path / "run").finished
    assert run(settings, tree, tmp_path / "run").finished
