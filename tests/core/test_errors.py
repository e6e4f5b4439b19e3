"""Messages are short whatever they repeat, and what the system refuses becomes one."""

import errno
import os
from pathlib import Path

import pytest

from foveate.core.errors import (
    LONGEST,
    ConfigError,
    DataError,
    FileError,
    few,
    refusals_in_words,
    sentence,
    shortened,
    shown,
)
from foveate.core.files import write_text


def test_messages_are_short() -> None:
    text = str(DataError("begin " + "x" * 10_000 + " end"))
    assert len(text) <= LONGEST
    assert text.startswith("begin ")
    assert text.endswith(" end")
    assert str(ConfigError("short")) == "short"


@pytest.mark.parametrize(
    "value", ["x" * 10**6, list(range(10**6)), {str(k): [k] * 9 for k in range(10**4)}, 10**4000]
)
def test_values_in_messages_are_short(value: object) -> None:
    assert len(shown(value)) <= 120
    assert shown("a") == "'a'"
    assert shown([1, "b"]) == "[1, 'b']"


def test_a_list_in_a_message_is_short() -> None:
    assert few([], 2) == ""
    assert few(["a", "b"], 2) == "a, b"
    assert few(["a", "b", "c", "d"], 2) == "a, b and 2 more"


@pytest.mark.parametrize("most", [20, 21, 50])
def test_the_middle_goes(most: int) -> None:
    assert shortened("a" * most, most) == "a" * most
    assert len(shortened("a" * (most + 1), most)) == most


def test_every_refusal_is_a_sentence_with_its_place(tmp_path: Path) -> None:
    for number in errno.errorcode:
        text = sentence(OSError(number, os.strerror(number), str(tmp_path / "thing")))
        assert str(tmp_path / "thing") in text
        assert text.endswith(".")
        assert sentence(OSError(number, os.strerror(number), "a", None, "b")).count("a.tmp") == 0
    assert "No route" in sentence(OSError("No route"))


def test_refusals_become_errors_in_a_block_and_of_a_function(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    @refusals_in_words()
    def write(path: Path) -> Path:
        write_text(path, "x")
        return path

    assert write(tmp_path / "ok") == tmp_path / "ok"
    for name, words in {
        "file/x": "exists already|leads through a file",
        "x" * 300: "too long a name",
        ".": "is a folder|in the way",
    }.items():
        with pytest.raises(FileError, match=words):
            write(tmp_path / name)
    with pytest.raises(BrokenPipeError), refusals_in_words():
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_a_name_may_be_as_long_as_the_disk_allows(tmp_path: Path) -> None:
    write_text(tmp_path / ("x" * 255), "whole")
    assert (tmp_path / ("x" * 255)).read_text() == "whole"
    assert len(list(tmp_path.iterdir())) == 1
