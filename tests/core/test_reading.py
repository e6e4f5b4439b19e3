"""What comes in by the door of YAML, JSON and CSV is what was meant, or is refused in one sentence."""

import csv
import json
import os
import random
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from damage import SYNTAX, TEXT, VALUE, damaged_bytes, refused_or_read
from foveate.core.errors import ConfigError, DataError, RunError
from foveate.core.files import csv_text
from foveate.core.reading import parse_json, parse_yaml, read_csv, read_json, read_text, read_yaml

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
SETTINGS = settings(max_examples=200, deadline=None, derandomize=True)


@SETTINGS
@given(value=VALUE)
def test_yaml_and_json_come_back(value: object) -> None:
    assert parse_yaml(yaml.safe_dump(value, width=60), "s") == value
    assert parse_json(json.dumps([value]), list, "s") == [value]
    assert parse_json(json.dumps([value], ensure_ascii=False), list, "s") == [value]


@SETTINGS
@given(text=SYNTAX)
@example(text="<<: 5")
@example(text="a: &a {<<: [*a]}")
@example(text="!!bool maybe")
@example(text='"\\ud800"')
def test_any_text_is_read_or_refused(text: str) -> None:
    if not refused_or_read(lambda: parse_yaml(text, "s.yaml"), "s.yaml"):
        json.dumps(parse_yaml(text, "s.yaml"), allow_nan=False).encode()
    if not refused_or_read(lambda: parse_json(text, dict, "s.json"), "s.json"):
        assert parse_json(text, dict, "s.json") == json.loads(text)


@SETTINGS
@given(
    header=st.lists(TEXT, min_size=1, max_size=4, unique=True).filter(
        lambda names: any(n.strip() for n in names)
    ),
    data=st.data(),
)
def test_tables_come_back(
    tmp_path_factory: pytest.TempPathFactory, header: list[str], data: st.DataObject
) -> None:
    row = st.lists(TEXT, min_size=len(header), max_size=len(header)).filter(
        lambda row: any(cell.strip() for cell in row)
    )
    rows = data.draw(st.lists(row, max_size=5))
    file = tmp_path_factory.getbasetemp() / "table.csv"
    file.write_bytes(csv_text(header, rows).encode())
    table = read_csv(file, header)
    assert (list(table.header), table.rows) == (header, rows)
    assert [record for _, record in table.records()] == [dict(zip(header, row, strict=True)) for row in rows]


@SETTINGS
@given(text=SYNTAX)
def test_any_table_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_bytes(text.encode())
    if not refused_or_read(lambda: read_csv(file), file):
        with open(file, newline="", encoding="utf-8-sig") as stream:
            rows = [row for row in csv.reader(stream) if any(cell.strip() for cell in row)]
        assert [list(read_csv(file).header), *read_csv(file).rows] == (rows or [[]])


@pytest.mark.parametrize("seed", range(60))
def test_damaged_copies_are_read_or_refused(tmp_path: Path, seed: int) -> None:
    values = {"seed": 3, "names": ["ä", "b"], "parts": {"x": {"lr": 1e-3, "on": True}, "y": None}}
    rng = random.Random(seed)
    file = tmp_path / "file"
    for content, read in (
        (json.dumps(values).encode(), lambda: read_json(file, dict)),
        (yaml.safe_dump(values).encode(), lambda: read_yaml(file)),
        (
            csv_text(("path", "label"), [("a.png", "ä"), ("b\nc.png", "")]).encode(),
            lambda: read_csv(file, ("path",)),
        ),
    ):
        file.write_bytes(damaged_bytes(content, rng))
        refused_or_read(read, file)


def test_names_are_text_and_values_are_plain() -> None:
    text = "no: 010\n1: 1:30\non: 2024-01-01\nyes: yes\nx: 0x1f\nhalf: .5\n"
    assert parse_yaml(text, "s") == {
        "no": "010", "1": "1:30", "on": "2024-01-01", "yes": True, "x": 31, "half": 0.5,
    }  # fmt: skip


def test_aliases_serve_where_they_do_not_multiply() -> None:
    text = "base: &b {lr: 1, p: {q: 2}}\none: {<<: *b, lr: 2}\nmany: [*b, *b]\n"
    assert parse_yaml(text, "s") == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb:\n  c: 2\n  c: 3\n", "line 4: 'c' is given a second time"),
        ("1: x\n'1': y\n", "line 2: '1' is given a second time"),
        (BOMB, "aliases stand for more than 100,000 values"),
        ("a: &a {b: *a}", "line 1: it contains itself"),
        ("[" * 5000, "nested more than 100 times"),
        ("a: !!python/object:os.system {}", "could not determine a constructor"),
        ("a: .nan", "no number that can be used"),
        ("a: " + "9" * 5000, "no number that can be used"),
        ("? [a]\n: b", "a name must be text"),
        ('a: "\\0"', "characters that are no text"),
        ("a: 1\n\tb: 2", "line 2"),
    ],
)
def test_yaml_that_is_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "e.yaml"
    file.write_text(text)
    began = time.monotonic()
    with pytest.raises(ConfigError, match=words) as caught:
        read_yaml(file)
    assert time.monotonic() - began < 30
    assert str(file) in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "'c' stands twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' * 150 + "1" + "}" * 150, "nested more than 100 times"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": 1e999}', "inf is too large"),
        ('{"a": 12345678901234567890123}', "too large"),
        ('{"a": "\\ud800"}', "no text"),
        ('{"a": "\\u0000"}', "no text"),
        ("[]", "should hold a mapping, but holds a list"),
        ("", "Expecting value"),
    ],
)
def test_json_that_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(RunError, match=words):
        read_json(tmp_path / "r.json", dict)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"lacks the columns \['path'\]; mend it"),
        ("label\nx\n", r"lacks the columns \['path'\]; mend it"),
        ("path,path\na,b\n", "column 'path' twice"),
        ("path,x\na,b\n\na\n", "line 4: 1 cells, the header has 2"),
        ('path\n"a\n', "is not a CSV table: line 2"),
        ('path\n"a"b\n', "is not a CSV table: line 2"),
        ("path\n" + "a" * 200_000, "is not a CSV table: line 2: field larger"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_csv(tmp_path / "t.csv", ("path",), advice="; mend it")


def test_what_is_no_text_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "utf16").write_bytes("text".encode("utf-16"))
    (tmp_path / "zeros").write_bytes(bytes(20))
    with open(tmp_path / "large", "wb") as stream:
        stream.truncate(2**31 + 1)
    for name, words in {
        "nothing": "does not exist",
        ".": "is a folder",
        "pipe": "no ordinary file",
        "file/below": "leads through a file",
        "loop": "link that leads to itself",
        "x" * 300: "too long a name",
        "a\0b": "no name of a file",
        "utf16": "not UTF-8 text",
        "zeros": "zero bytes",
        "large": "more than 2,147,483,648",
    }.items():
        with pytest.raises(RunError, match=words):
            read_text(tmp_path / name, RunError)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    for name, text in {"a.json": '{"a": 1}', "a.yaml": "a: 1", "a.csv": "a\n1\n"}.items():
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_json(tmp_path / "a.json", dict) == read_yaml(tmp_path / "a.yaml") == {"a": 1}
    assert read_csv(tmp_path / "a.csv").column("a") == ["1"]
