"""Memos: what was written, or nothing."""

from pathlib import Path

import numpy as np
import pytest

from foveate.core.memo import read_memo, write_memo

VALUE = {"a": [1, 2.5, None], "ü": "text\nof two lines"}


def test_round_trip(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    memo = tmp_path / "deep" / "memo.json"
    assert read_memo(memo) is None
    write_memo(memo, VALUE)
    assert read_memo(memo) == VALUE
    assert not caplog.records


def test_no_damage_is_taken_for_a_value(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    memo = tmp_path / "memo.json"
    write_memo(memo, VALUE)
    whole = memo.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [whole[:n] for n in range(len(whole))]
    damaged += [
        whole[:n] + bytes([whole[n] ^ int(rng.integers(1, 256))]) + whole[n + 1 :] for n in range(len(whole))
    ]
    damaged += [whole + b" ", b"{half", b"[" * 100_000, b'{"old": "version"}']
    for content in damaged:
        memo.write_bytes(content)
        assert read_memo(memo) is None
    assert {record.getMessage() for record in caplog.records} == {
        f"{memo} is damaged or of another version; what it remembered is computed again."
    }


def test_a_folder_in_the_way_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    memo = tmp_path / "memo.json"
    memo.mkdir()
    assert read_memo(memo) is None
    write_memo(memo, VALUE)
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == [
        f"{memo} cannot be read",
        f"{memo} cannot be written",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["memo.json"]
