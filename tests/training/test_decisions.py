"""Automatic choices: made once, written, announced, reused."""

import json
from pathlib import Path

from foveate.training import Decision, Decisions


def test_made_once_and_reused_by_the_next_process(tmp_path: Path) -> None:
    told: list[Decision] = []
    first = Decisions(tmp_path, told.append)
    assert first.make("rate", lambda: (0.1, "measured")) == 0.1
    assert first.make("rate", lambda: (0.2, "again")) == 0.1
    first.note("views", 1, "no augmentation")
    first.note("views", 1, "no augmentation")
    assert [d.name for d in told] == ["rate", "views"]
    assert json.loads((tmp_path / "decisions.json").read_text()) == first.as_list()
    second = Decisions(tmp_path, told.append)
    assert second.make("rate", lambda: (0.3, "third")) == 0.1
    assert len(told) == 2
    second.note("views", 8, "now with augmentation")
    assert {d["name"]: d["value"] for d in Decisions(tmp_path).as_list()} == {"rate": 0.1, "views": 8}


def test_processes_take_the_main_ones_value(tmp_path: Path) -> None:
    other = Decisions(tmp_path, agree=lambda value: (64, "the main process measured"), write=False)
    assert other.make("batch size", lambda: (32, "measured here")) == 64
    assert other.as_list() == [{"name": "batch size", "value": 64, "reason": "the main process measured"}]
    assert not (tmp_path / "decisions.json").exists()


def test_in_memory() -> None:
    decisions = Decisions()
    decisions.note("a", 1, "b")
    assert decisions.as_list() == [{"name": "a", "value": 1, "reason": "b"}]
