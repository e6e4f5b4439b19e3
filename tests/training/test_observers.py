"""Observers see everything and change nothing; trackers' files are read back by their own readers."""

import sys
import types
import warnings
from contextlib import nullcontext
from dataclasses import replace
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
from foveate.models.build import build_network
from foveate.models.networks import Network
from foveate.models.settings import ModelConfig
from foveate.training import Observer, fit
from foveate.training.observers import TRACKERS, Several
from training_helpers import Drawn, Stop, phase, toy_job, weights_of


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
    assert settings.pop("id")
    assert settings == {
        "project": "foveate", "name": tmp_path.name, "dir": str(tmp_path), "config": {"seed": 3}, "mode": "offline",
        "resume": "allow",
    }  # fmt: skip
    figures = [{k: v for k, v in row.items() if isinstance(v, int | float)} for row in history]
    assert logged == [(figures[0], 1), (figures[1], 2), ({}, -1)]


def test_a_run_that_goes_on_is_the_same_run_of_weights_and_biases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, str]] = []
    logged: list[int] = []

    class Wandb(types.ModuleType):
        def init(self, *, id: str, mode: str, **settings: Any) -> "Wandb":
            begun.append((id, mode))
            return self

        def log(self, row: dict[str, Any], step: int) -> None:
            logged.append(step)

        def finish(self) -> None:
            pass

    module = Wandb("wandb")
    module.__spec__ = ModuleSpec("wandb", None)
    monkeypatch.setitem(sys.modules, "wandb", module)
    for folder, mode in (("one", "offline"), ("one", "online"), ("other", "online")):
        monkeypatch.setenv("WANDB_MODE", mode)
        (tmp_path / folder).mkdir(exist_ok=True)
        own = TRACKERS["wandb"](tmp_path / folder, {})
        stop = Several([own, Stop(6)]) if not begun else own  # in the second of three epochs
        job = toy_job(
            phases=[phase(epochs=3)], observer=stop, folder=tmp_path / folder, checkpoint_seconds=0.0
        )
        with nullcontext() if begun else pytest.raises(KeyboardInterrupt):
            fit(job)
    (first, *_), (second, *_), (third, *_) = begun
    assert first == second != third
    assert [mode for _, mode in begun] == ["offline", "online", "online"]
    assert logged == [1, 2, 3, 1, 2, 3]


def test_trackers_get_what_the_network_draws(tmp_path: Path) -> None:
    shown: list[tuple[str, int, np.ndarray]] = []

    class Pictures(Observer):
        def picture(self, name: str, picture: np.ndarray, epoch: int) -> None:
            shown.append((name, epoch, picture))

    watched = toy_job(phases=[phase(epochs=4)], observer=Pictures(), draw=3, draw_every=2)
    fit(watched)
    assert [(name, epoch) for name, epoch, _ in shown] == [("drawings: class map", n) for n in (2, 4)]
    alone = toy_job(phases=[phase(epochs=4)])
    fit(alone)
    for name, value in weights_of(watched).items():
        assert torch.equal(value, weights_of(alone)[name]), "drawing changes nothing"
    sheet = shown[-1][2].astype(int)
    assert sheet.shape == (2 * 16 + 4, 3 * 20 - 4, 3)
    drawn = Drawn(np.arange(48) % 3).images
    for column, row in enumerate((32, 40, 47)):  # of the 16 that validate
        original, over = (sheet[y : y + 16, 20 * column : 20 * column + 16] for y in (0, 20))
        assert np.array_equal(original, drawn[row].permute(1, 2, 0).numpy())
        # Between the picture and yellow: the same share of the way in every colour.
        way = np.array([255, 220, 0]) - original
        share = (over - original) / np.where(np.abs(way) > 60, way, np.nan)
        assert np.nanmax(np.nanmax(share, axis=2) - np.nanmin(share, axis=2)) < 0.03
        assert (np.nanmin(share), np.nanmax(share)) == (
            pytest.approx(0, abs=0.05),
            pytest.approx(0.9, abs=0.15),
        )


def test_boxes_and_windows_are_drawn(tmp_path: Path) -> None:
    shown: dict[str, np.ndarray] = {}

    class Pictures(Observer):
        def picture(self, name: str, picture: np.ndarray, epoch: int) -> None:
            shown[name] = picture

    job = toy_job(phases=[phase(epochs=2)], observer=Pictures(), draw=2)
    settings = ModelConfig(
        backbone="foveate_small_cnn", weights="none", backbone_kwargs={"widths": (8, 12), "strides": (2, 2)},
        network={"kind": "mmal"},
    )  # fmt: skip
    fit(replace(job, model=build_network(settings, classes=3, size=16, seed=0)))
    (name,) = shown
    assert name == "drawings: object and parts"
    assert (shown[name][20:] == (255, 220, 0)).all(axis=2).any()


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
