"""Memos: what was written, or nothing."""

from pathlib import Path

import numpy as np
import pytest

from foveate.core.memo import read_arrays_memo, read_memo, write_arrays_memo, write_memo

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


def test_arrays_come_back_as_they_were_and_damaged_ones_do_not(tmp_path: Path) -> None:
    memo = tmp_path / "memo.npz"
    assert read_arrays_memo(memo) is None
    arrays = {"a b": np.arange(6, dtype=np.uint8).reshape(2, 3), "c": np.zeros((0, 4), dtype=np.float32)}
    write_arrays_memo(memo, arrays)
    found = read_arrays_memo(memo)
    assert found is not None
    assert {name: (v.dtype, v.tolist(), v.shape) for name, v in found.items()} == {
        name: (v.dtype, v.tolist(), v.shape) for name, v in arrays.items()
    }
    whole = memo.read_bytes()
    for place in range(0, len(whole), 7):
        memo.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert read_arrays_memo(memo) is None
