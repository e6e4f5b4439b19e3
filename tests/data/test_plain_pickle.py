"""The reader of plain pickles: what Python and numpy write comes back, whatever else is asked for is refused unrun."""

import codecs
import collections
import datetime
import os
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from foveate.core.errors import DataError
from foveate.data.layouts.plain_pickle import read_plain_pickle

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(min_size=1),
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=20,
)


def read(content: bytes, folder: Path) -> dict[str, Any]:
    file = folder / "batch"
    file.write_bytes(content)
    return read_plain_pickle(file)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(held=st.dictionaries(st.text(), VALUES, max_size=5), protocol=st.integers(2, 4))
def test_plain_values_come_back(held: dict[str, Any], protocol: int, tmp_path: Path) -> None:
    assert read(pickle.dumps(held, protocol), tmp_path) == held


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("by_column", [False, True])
def test_arrays_come_back(protocol: int, by_column: bool, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (3, 7), dtype=np.uint8)
    array = np.asfortranarray(array) if by_column else array
    held = read(pickle.dumps({"data": array, "labels": [0, 1, 2], "again": array}, protocol), tmp_path)
    assert np.array_equal(held["data"], array)
    assert held["data"].dtype == np.uint8
    assert held["labels"] == [0, 1, 2]


def test_a_batch_as_python_2_wrote_it(tmp_path: Path) -> None:
    """Opcode by opcode, as the published archives hold it (protocol 2, strings of bytes)."""
    pixels = bytes(range(24))

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    dtype = b"cnumpy\ndtype\nq\x05" + text(b"u1") + b"K\x00K\x01\x87q\x06Rq\x07(K\x03" + text(b"|")
    dtype += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85" + text(b"b")
    array += b"\x87q\x04R(K\x01K\x02K\x0c\x86" + dtype + b"\x89T" + struct.pack("<I", 24) + pixels + b"tb"
    labels = b"]q\x08(K\x06K\x63e"
    body = (
        b"}q\x01("
        + text(b"data")
        + array
        + text(b"labels")
        + labels
        + text(b"name")
        + text(b"caf\xe9")
        + b"u."
    )
    held = read(b"\x80\x02" + body, tmp_path)
    assert np.array_equal(held["data"], np.arange(24, dtype=np.uint8).reshape(2, 12))
    assert held["labels"] == [6, 99]
    assert held["name"] == "café"
    theirs = pickle.loads(b"\x80\x02" + body, encoding="latin1")
    assert np.array_equal(theirs["data"], held["data"])


class Call:
    """Pickled as a call of ``function``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_that_would_run_something_is_refused_and_runs_nothing(protocol: int, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    wicked = [
        Call(os.system, f"touch {mark}"),
        Call(eval, f"open({str(mark)!r}, 'w')"),
        Call(exec, f"open({str(mark)!r}, 'w')"),
        Call(open, str(mark), "w"),
        Call(Path.touch, mark),
        Call(codecs.open, str(mark), "w"),
        Call(getattr, os, "system") if protocol > 3 else Call(os.mkdir, str(mark)),
    ]
    for one in wicked:
        for held in (one, {"data": one}, {"labels": [1, one]}):
            try:
                content = pickle.dumps(held, protocol)
            except (TypeError, pickle.PicklingError):
                continue
            with pytest.raises(DataError, match=r"which no data needs; nothing of it was run"):
                read(content, tmp_path)
    assert not mark.exists()


REFUSED = {
    "an object": datetime.date(2026, 1, 1),
    "a class": collections.OrderedDict(a=1),
    "another type": np.arange(3.0),
    "objects in an array": np.array([None, "x"], dtype=object),
    "a set": {1, 2},
    "a float": 0.5,
    "a complex number": 1j,
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("protocol", [2, 4])
def test_what_cifar_does_not_need_is_refused(what: str, protocol: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"batch (asks for|calls|holds the instruction).*fetch it again"):
        read(pickle.dumps({"data": REFUSED[what]}, protocol), tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"", b".", b"hello", b"\x80\x02}", b"\x80\x02]q\x00.", b"\x80\x02K\x01.", b"\x80\x02h\x07.", b"\x80\x02(.",
        b"\x80\x02}K\x01a.", b"\x80\x02e.", b"\x80\x02}(K\x01u.", b"\x80\x02R.", b"\x80\x02}b.", b"\x85.",
        b"}]K\x01s.", b"\x80\x04\x93.", b"cnumpy\ndtype\n.", b"}(X\x01\x00\x00\x00acnumpy\ndtype\n)Ru.",
        b"}(X\x01\x00\x00\x00acnumpy.core.multiarray\n_reconstruct\n)Ru.", b"P0\n.", b"I1" + b"0" * 5000 + b"\n.",
    ],
)  # fmt: skip
def test_damaged_pickles_are_refused_in_a_sentence(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="fetch it again"):
        read(content, tmp_path)


BATCH = pickle.dumps({"data": np.zeros((2, 6), np.uint8), "labels": [0, 1], "filenames": ["a", "b"]}, 2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(
    changes=st.lists(st.tuples(st.integers(0, len(BATCH) - 1), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, len(BATCH)),
)
@example(changes=[(0, 0)], cut=0)
@example(changes=[(18, 92)], cut=0)  # an escape that is none, of which Python warns
def test_whatever_bytes_are_changed_there_is_an_answer_or_a_sentence(
    changes: list[tuple[int, int]], cut: int, tmp_path: Path
) -> None:
    content = bytearray(BATCH)
    for place, value in changes:
        content[place] = value
    said = ""
    try:
        held = read(bytes(content[:cut] if cut % 2 else content), tmp_path)
    except DataError as error:
        held, said = {}, str(error)
    assert isinstance(held, dict)
    assert not said or ("batch" in said and "fetch it again" in said)


def test_instructions_that_make_objects_are_refused(tmp_path: Path) -> None:
    refused = (
        "INST",
        "OBJ",
        "NEWOBJ",
        "NEWOBJ_EX",
        "EXT1",
        "EXT2",
        "EXT4",
        "PERSID",
        "BINPERSID",
        "FLOAT",
        "BINFLOAT",
    )
    names = {opcode.name: opcode.code.encode("latin-1") for opcode in pickletools.opcodes}
    for name in refused:
        content = b"\x80\x02" + names[name] + b"os\nsystem\n\x00\x00\x00\x00\x00\x00\x00."
        with pytest.raises(DataError, match=f"holds the instruction {name} |is no pickle"):
            read(content, tmp_path)
