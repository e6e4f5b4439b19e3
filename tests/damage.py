"""Text as it comes from strangers: random, and copies of true files that were damaged."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from foveate.core.errors import FoveateError

LONGEST = 600
"""Characters of a message."""

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.sampled_from(
        ["", "no", "1:30", "010", "2024-01-01", "<<", "=", "*a", "&a", "0x1f", "1e-3", ".inf", "~"]
    )
)
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
"""Whatever JSON can hold."""
SYNTAX = st.lists(
    st.sampled_from(
        [*"[]{}:,-&*!|>%@`\"'#\n\t ?~=<", "a", "1", "a: ", "- ", "&a ", "*a", "!!int ", "\\u0000", "\r", "é"]
    )
    | TEXT,
    max_size=30,
).map("".join)
"""Text of the characters that mean something to YAML, JSON or CSV."""

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2**62, 1.5, 1e308, "", "x", "\ud83d\ude00", "../..", [], [[]], [None], {}, {"a": {}}, ["a", 1],
    "a" * 5000,
)  # fmt: skip
"""Values of other types than expected."""


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    """A copy: cut off, bytes changed, a piece doubled or left out, or in another encoding."""
    kind = rng.randrange(6)
    a, b = sorted((rng.randrange(len(content) + 1), rng.randrange(len(content) + 1)))
    if kind == 0:
        return content[:a]
    if kind == 1:
        changed = bytearray(content)
        for _ in range(rng.randrange(1, 4)):
            if changed:
                changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed)
    if kind == 2:
        return content[:a] + content[a:b] * 2 + content[b:]
    if kind == 3:
        return content[:a] + content[b:]
    if kind == 4:
        return content.decode(errors="replace").encode("utf-16")
    return b"\0" * len(content)


def damaged_values(values: Any, rng: random.Random) -> Any:
    """A copy of plain values in which one place is missing, doubled, or of another type."""
    copy = json.loads(json.dumps(values))
    places = list(_places(copy))
    if not places:
        return rng.choice(ODD)
    holder, key = rng.choice(places)
    kind = rng.randrange(3)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[key] = rng.choice(ODD)
    return copy


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    for key, child in node.items() if isinstance(node, dict) else enumerate(node):
        yield node, key
        if isinstance(child, dict | list):
            yield from _places(child)


def damaged_table(text: str, rng: random.Random) -> str:
    """A copy of a CSV table in which a cell, a column's name, a row or the order is another one."""
    rows = [line.split(",") for line in text.splitlines()]
    row = rng.randrange(len(rows))
    cell = rng.randrange(len(rows[row]))
    kind = rng.randrange(5)
    if kind == 0:
        rows[row][cell] = rng.choice(
            ["", "x", "-1", "nan", "inf", "1e999", '"', "\u0664", " ", "a" * 200_000, "1_0", "2.5"]
        )
    elif kind == 1:
        del rows[row][cell]
    elif kind == 2:
        rows.insert(row, rows[row])
    elif kind == 3:
        del rows[row]
    else:
        for each in rows:
            if cell < len(each):
                del each[cell]
    return "\n".join(",".join(row) for row in rows) + "\n"


def refused_or_read(read: Callable[[], Any], *names: Path | str) -> bool:
    """Whether ``read`` refuses, which it may do with a ``FoveateError`` alone: short, and naming one of ``names``."""
    try:
        read()
    except FoveateError as error:
        message = str(error)
        assert len(message) <= LONGEST, message
        assert any(str(name) in message for name in names), message
        return True
    return False
