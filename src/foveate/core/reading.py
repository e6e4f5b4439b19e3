"""The one door for YAML, JSON and CSV files: plain values come in, or one sentence with the file's name goes out.

Everywhere refused: what is missing, no file, too large, not UTF-8, nested too deeply, a name given twice, NaN,
infinity, and characters that no file name can hold.
"""

import csv
import io
import json
import math
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from foveate.core.errors import ConfigError, DataError, FoveateError, RunError, refusals_in_words, shown

DEPTH = 100
"""Mappings and lists inside each other."""
LARGEST = 2**31
"""Bytes of a file."""
LARGEST_SETTINGS = 2**20
"""Bytes of a YAML file, which people write."""
NODES = 100_000
"""Values in a YAML file, with each alias counted as what it stands for."""
LARGEST_NUMBER = 2**63

T = TypeVar("T", bound=dict[str, Any] | list[Any])


def read_text(path: Path, error: type[FoveateError] = DataError, *, largest: int = LARGEST) -> str:
    """A text file in UTF-8, with or without a byte order mark; line ends as they are.

    Raises:
        error: it is missing, no regular file (a pipe would be waited for without end), unreadable, or no such text.
    """
    try:
        with refusals_in_words():
            status = Path(path).stat()
            if stat.S_ISDIR(status.st_mode):
                raise error(f"{path} is a folder, where a file is needed.")
            if not stat.S_ISREG(status.st_mode):
                raise error(f"{path} is no ordinary file; copy what it gives into one.")
            if status.st_size > largest:
                raise error(
                    f"{path} has {status.st_size:,} bytes, more than {largest:,}; is it the right file?"
                )
            text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(f"{path} is not UTF-8 text (from byte {problem.start} on); save it as UTF-8.") from None
    except ValueError:
        raise error(f"{shown(str(path))} is no name of a file.") from None
    except FoveateError as problem:
        raise error(problem) from None
    if "\0" in text:
        raise error(f"{path} is no text: it holds zero bytes.")
    return text


def read_json(path: Path, kind: type[T], error: type[FoveateError] = RunError) -> T:
    """A JSON file that holds a mapping (``dict``) or a list (``list``).

    Raises:
        error: unreadable, not JSON, or something else than ``kind``.
    """
    return parse_json(read_text(path, error), kind, str(path), error)


def parse_json(text: str, kind: type[T], source: str, error: type[FoveateError] = RunError) -> T:
    """As ``read_json``, of text that came from ``source``."""
    try:
        value = json.loads(text, object_pairs_hook=_pairs, parse_constant=_refuse_constant)
        _check_json(value, text)
    except RecursionError:
        raise error(f"{source} is not valid JSON: it is nested too deeply.") from None
    except ValueError as problem:
        raise error(f"{source} is not valid JSON: {problem}.") from None
    if not isinstance(value, kind):
        raise error(f"{source} should hold {_A[kind]}, but holds {_a(value)}.")
    return value


def read_yaml(path: Path, error: type[FoveateError] = ConfigError) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        error: unreadable, not YAML (see ``parse_yaml``), or no mapping.
    """
    value = parse_yaml(read_text(path, error, largest=LARGEST_SETTINGS), str(path), error)
    if not isinstance(value, dict):
        raise error(f"{path} should hold settings (name: value), but holds {_a(value)}.")
    return value


def parse_yaml(text: str, source: str, error: type[FoveateError] = ConfigError) -> Any:
    """YAML text as what JSON can hold too. Names are text as written (``no``, ``1``); so are dates and ``1:30``.

    Aliases may be used as long as they do not multiply: what they stand for is counted each time.

    Raises:
        error: not YAML, a name given twice, a tag or a number that JSON has not.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        what = ", ".join(part for part in (problem.context, problem.problem) if part)
        raise error(f"{source} is not valid YAML: {where}{what}.") from None
    except yaml.YAMLError as problem:
        raise error(f"{source} is not valid YAML: {' '.join(str(problem).split())}.") from None
    except (ValueError, KeyError) as problem:  # "!!int x"
        raise error(f"{source} is not valid YAML: a value contradicts its tag ({problem}).") from None


@dataclass(frozen=True)
class Table:
    """A CSV file: as many cells in each row as in the header."""

    path: Path
    header: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    """The line of the file in which each row ends."""

    def column(self, name: str) -> list[str]:
        """The cells of a column."""
        place = self.header.index(name)
        return [row[place] for row in self.rows]

    def records(self) -> Iterator[tuple[int, dict[str, str]]]:
        """(line, {column: cell}) of each row."""
        for line, row in zip(self.lines, self.rows, strict=True):
            yield line, dict(zip(self.header, row, strict=True))


def read_csv(
    path: Path,
    columns: Iterable[str] = (),
    error: type[FoveateError] = DataError,
    *,
    delimiter: str = ",",
    advice: str = "",
) -> Table:
    """A CSV file whose first line names its columns; empty lines are skipped.

    Args:
        columns: must be among them.
        delimiter: between cells; of several that one which gives most columns.
        advice: ends the message about missing ones, for example "; evaluate the run again".

    Raises:
        error: unreadable, not CSV, a column missing or named twice, a row with more or fewer cells than the header.
    """
    text = read_text(path, error)
    start = text.lstrip("\r\n").partition("\n")[0]
    rows, lines = [], []
    reader = csv.reader([])
    try:
        separator = max(delimiter, key=lambda one: len(next(csv.reader([start], delimiter=one), [])))
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as problem:
        raise error(f"{path} is not a CSV table: line {reader.line_num}: {problem}.") from None
    header = rows.pop(0) if rows else []
    missing = sorted(set(columns) - set(header))
    if missing:
        raise error(f"{path} lacks the columns {missing}{advice}.")
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise error(f"{path} has the column {shown(twice)} twice; rename one.")
    for line, row in zip(lines[1:], rows, strict=True):
        if len(row) != len(header):
            raise error(
                f"{path}, line {line}: {len(row)} cells, the header has {len(header)}; "
                "quote cells that hold a separator."
            )
    return Table(Path(path), tuple(header), rows, lines[1:])


_A: Mapping[type, str] = {
    dict: "a mapping",
    list: "a list",
    str: "text",
    bool: "yes or no",
    type(None): "nothing",
}


def _a(value: Any) -> str:
    return _A.get(type(value), "a number")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(
            f"{shown(next(name for name in names if names.count(name) > 1))} stands twice in one place"
        )
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _check_json(value: Any, text: str) -> None:
    level = [value]
    for _ in range(DEPTH):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
            if type(child) in (dict, list)
        ]
        if not level:
            break
    else:
        raise ValueError(f"it is nested more than {DEPTH} times")
    # Only where the text can hold one: these look at every value.
    if re.search(r"[eE]\+?\d{3}|\d{19}", text):
        _check_numbers(value)
    if "\\u" in text:
        again = json.dumps(value, ensure_ascii=False)
        if "\\u0000" in again or any("\ud800" <= character <= "\udfff" for character in again):
            raise ValueError("it holds characters that are no text")


def _check_numbers(value: Any) -> None:
    left = [value]
    while left:
        node = left.pop()
        if isinstance(node, dict | list):
            left.extend(node.values() if isinstance(node, dict) else node)
        elif isinstance(node, int | float) and not _usable(node):
            raise ValueError(f"{shown(node)} is too large a number")


def _usable(number: float) -> bool:
    return math.isfinite(number) if isinstance(number, float) else abs(number) < LARGEST_NUMBER


class _Loader(yaml.SafeLoader):
    """Mappings, lists, text, numbers, yes and no, nothing."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Bounded in depth and in what aliases make of it."""
        event = self.peek_event()
        alias = isinstance(event, yaml.AliasEvent)
        self.depth += 1
        if self.depth > DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"it is nested more than {DEPTH} times", problem_mark=event.start_mark
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        if node is None:
            return None
        if node not in self.sizes:
            if alias:
                raise yaml.MarkedYAMLError(problem="it contains itself", problem_mark=event.start_mark)
            self.sizes[node] = 1
            if isinstance(node, yaml.MappingNode):
                self.sizes[node] += sum(self.sizes.get(part, 1) for pair in node.value for part in pair)
            elif isinstance(node, yaml.SequenceNode):
                self.sizes[node] += sum(self.sizes.get(part, 1) for part in node.value)
            elif any(character == "\0" or "\ud800" <= character <= "\udfff" for character in node.value):
                raise yaml.MarkedYAMLError(
                    problem="it holds characters that are no text", problem_mark=node.start_mark
                )
        if self.sizes[node] > NODES:
            raise yaml.MarkedYAMLError(
                problem=f"its aliases stand for more than {NODES:,} values", problem_mark=event.start_mark
            )
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Names are text, each given once."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        names: set[str] = set()
        for place, (key, value) in enumerate(node.value):
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a name must be text", problem_mark=key.start_mark)
            if key.tag == _MERGE:
                continue
            if key.value in names:
                raise yaml.MarkedYAMLError(
                    problem=f"{shown(key.value)} is given a second time; keep one",
                    problem_mark=key.start_mark,
                )
            names.add(key.value)
            node.value[place] = (yaml.ScalarNode(_TEXT, key.value, key.start_mark, key.end_mark), value)
        return node

    def construct_number(self, node: yaml.ScalarNode) -> float:
        """A number that JSON can hold."""
        try:
            value = self.construct_yaml_int(node) if node.tag == _INT else self.construct_yaml_float(node)
        except ValueError:
            value = math.nan
        if not _usable(value):
            raise yaml.MarkedYAMLError(
                problem=f"{shown(node.value)} is no number that can be used", problem_mark=node.start_mark
            )
        return value


_TAG = "tag:yaml.org,2002:"
_MERGE, _TEXT, _INT = f"{_TAG}merge", f"{_TAG}str", f"{_TAG}int"
# Not dates, sets, bytes: JSON has none. Not 010 as 8 and 1:30 as 90, as YAML 1.1 reads them.
_Loader.yaml_constructors = {
    tag: build
    for tag, build in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.removeprefix(_TAG) in ("null", "bool", "str", "seq", "map")
} | {_INT: _Loader.construct_number, f"{_TAG}float": _Loader.construct_number}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if tag.removeprefix(_TAG) in ("null", "bool", "merge")]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _INT, re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F]+|0b[01]+)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(
        r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+][0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)
