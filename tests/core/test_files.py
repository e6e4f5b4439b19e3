"""Files are whole or absent, and tables come back as they were."""

import csv
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.core import files

CELL = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8
) | st.sampled_from(["Icon\r", "a\r\nb", 'say "x"', "a,b", "\n", " "])


def test_a_writer_that_dies_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    files.write_json(file, {"old": 1})
    for moment in ("fsync", "replace"):
        pid = os.fork()
        if pid == 0:
            setattr(files.os, moment, lambda *_: os._exit(7))
            files.write_json(file, {"new": 2})
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert json.loads(file.read_text()) == {"old": 1}


def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "result.json"
    files.write_json(file, {"old": 1})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_json(file, {"new": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert json.loads(file.read_text()) == {"old": 1}


def test_a_device_or_pipe_is_written_into_and_stays(tmp_path: Path) -> None:
    """Renamed over, /dev/null would be an ordinary file from then on, for every program of the machine."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    files.write_json(pipe, {"a": 1})
    assert json.loads(os.read(reader, 100)) == {"a": 1}
    os.close(reader)
    assert pipe.is_fifo()
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    files.write_text(link, "nothing")
    assert link.is_symlink()
    assert Path("/dev/null").is_char_device()


def test_what_cannot_be_written_is_named_as_the_user_named_it(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "x").write_text("")
    with pytest.raises(OSError, match="taken") as caught:
        files.write_text(tmp_path / "taken", "x")
    assert (caught.value.filename, caught.value.filename2) == (str(tmp_path / "taken"), None)
    with pytest.raises(OSError, match="No such file") as caught:
        files.write_text(Path("/proc/nothing.csv"), "x")
    assert caught.value.filename == "/proc/nothing.csv"


def test_names_that_no_disk_takes_are_shortened_and_stay_apart(tmp_path: Path) -> None:
    names = ["a" * 300 + "1", "a" * 300 + "2", "\u00e4" * 130, "short"]
    made = [files.fitting(name, ".png") for name in names]
    assert made[3] == "short.png"
    assert len(set(made)) == 4
    for name in made:
        (tmp_path / name).write_text("")
        assert name.endswith(".png")


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        files.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []
    files.write_json(tmp_path / "deep" / "a.json", {"ü": [1, None]})
    assert json.loads((tmp_path / "deep" / "a.json").read_text(encoding="utf-8")) == {"ü": [1, None]}


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.tuples(CELL, CELL, CELL), max_size=6), header=st.tuples(CELL, CELL, CELL))
def test_csv_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple], header: tuple) -> None:
    file = tmp_path_factory.getbasetemp() / "table.csv"
    files.write_csv(file, header, rows)
    with open(file, newline="", encoding="utf-8") as stream:
        assert [tuple(row) for row in csv.reader(stream)] == [header, *rows]


def test_csv_rows_may_be_mappings(tmp_path: Path) -> None:
    files.write_csv(tmp_path / "t.csv", ("a", "b"), [{"b": 1}, {"a": "x", "c": "left out"}])
    assert (tmp_path / "t.csv").read_text() == "a,b\n,1\nx,\n"


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256_of_file(tmp_path / "abc") == expected
