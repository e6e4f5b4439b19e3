"""Observers see everything and change nothing; trackers' files are read back by their own readers."""

import sys
import types
import warnings
from importlib.machinery import ModuleSpec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.core.errors import ConfigError
from foveate.data.epoch_change import Change
from foveate.feedback import Feedback, Moment, TrainingPictures
from foveate.models.networks import Network
from foveate.training import Observer, fit
from foveate.training.observers import TRACKERS, Several
from training_helpers import Drawn, phase, toy_job, weights_of


class Calls(Observer):
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def phase(self, name: str, epochs: int, steps: int) -> None:
        self.calls.append(("phase", name, epochs, steps))

    def step(self, done: int, total: int, pictures: int) -> None:
        self.calls.append(("step", done, total, pictures))

    def epoch(self, row: dict[str, Any]) -> None:
        self.calls.append(("epoch", row["epoch"]))

    def close(self) -> None:
        self.calls.append(("close",))


def test_what_is_told_and_that_it_changes_nothing() -> None:
    one, other = Calls(), Calls()
    watched = toy_job(phases=[phase(epochs=1)], observer=Several([one, other]))
    fit(watched)
    steps = [("step", n, 4, 8) for n in range(1, 5)]
    assert one.calls == [("phase", "p", 1, 4), *steps, ("epoch", 1), ("close",)]
    assert one.calls == other.calls
    alone = toy_job(phases=[phase(epochs=1)])
    fit(alone)
    for name, value in weights_of(watched).items():
        assert torch.equal(value, weights_of(alone)[name])


def test_it_is_closed_also_when_training_fails() -> None:
    calls = Calls()
    with pytest.raises(ConfigError):
        fit(toy_job(phases=[phase(restore_best="nothing")], observer=calls))
    assert calls.calls == [("close",)]


def test_tracker_whose_extra_is_missing_says_so_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foveate.training.observers.find_spec", lambda name: None)
    for name in TRACKERS:
        with pytest.raises(ConfigError, match=rf"pip install 'foveate\[{name}\]'"):
            TRACKERS[name](tmp_path, {})


def test_weights_and_biases_stays_offline_and_gets_every_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[dict[str, Any]] = []
    logged: list[tuple[dict[str, Any], int]] = []

    class Wandb(types.ModuleType):
        def init(self, **settings: Any) -> "Wandb":
            begun.append(settings)
            return self

        def log(self, row: dict[str, Any], step: int) -> None:
            logged.append((row, step))

        def finish(self) -> None:
            logged.append(({}, -1))

    module = Wandb("wandb")
    module.__spec__ = ModuleSpec("wandb", None)
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    history = fit(toy_job(phases=[phase(epochs=2)], observer=TRACKERS["wandb"](tmp_path, {"seed": 3})))
    (settings,) = begun
    assert settings == {
        "project": "foveate", "name": tmp_path.name, "dir": str(tmp_path), "config": {"seed": 3}, "mode": "offline",
        "resume": "allow",
    }  # fmt: skip
    figures = [{k: v for k, v in row.items() if isinstance(v, int | float)} for row in history]
    assert logged == [(figures[0], 1), (figures[1], 2), ({}, -1)]


class Darker(Feedback):
    """Shows three pictures darker from the second epoch on."""

    changes_pictures = True

    def between(self, moment: Moment, network: Network, pictures: TrainingPictures) -> Change | None:
        rows = np.array([2, 5, 9])
        images = pictures.pictures.read_many(rows)[0] // 4
        return Change(dict(zip(rows.tolist(), images, strict=True))) if moment.epoch == 1 else None


def test_tensorboard_files_are_read_back(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reader's own dependencies warn
        accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
        plugin_data = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")
        settings = {
            "seed": 3,
            "feedback": [{"kind": "darken", "schedule": [1, "p"]}],
            "model": {"head": None},
        }
        tracker = TRACKERS["tensorboard"](tmp_path, settings)
    history = fit(toy_job(phases=[phase(epochs=3)], observer=tracker, feedbacks=(Darker(),)))
    reader = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    reader.Reload()
    events = reader.Scalars("val/loss")
    assert [event.step for event in events] == [1, 2, 3]
    assert [event.value for event in events] == pytest.approx([row["val_loss"] for row in history])
    assert {"lr/head", "phase/epoch"} < set(reader.Tags()["scalars"]) - {"epoch"}
    assert "epoch" not in reader.Tags()["scalars"]
    (image,) = reader.Images("feedback 1/Darker")
    assert (image.step, image.height, image.width) == (1, 2 * 16 + 4, 3 * 20 - 4)
    with Image.open(BytesIO(image.encoded_image_string)) as opened:
        shown = np.asarray(opened).astype(int)
    drawn = Drawn(np.arange(48) % 3).images
    for column, row in enumerate((2, 5, 9)):
        original = drawn[row].permute(1, 2, 0).numpy()
        assert np.abs(shown[:16, 20 * column : 20 * column + 16] - original).max() <= 1
        assert np.abs(shown[20:, 20 * column : 20 * column + 16] - original // 4).max() <= 1
    files = [accumulator.EventAccumulator(str(file)) for file in (tmp_path / "tensorboard").glob("events*")]
    found = {}
    for file in files:
        file.Reload()
        for data in file.summary_metadata.values():
            content = plugin_data.HParamsPluginData.FromString(data.plugin_data.content)
            found |= {
                name: value.number_value or value.string_value
                for name, value in content.session_start_info.hparams.items()
            }
    assert found == {
        "seed": 3, "feedback.0.kind": "darken", "feedback.0.schedule": "[1, 'p']", "model.head": "None"
    }  # fmt: skip
