"""Pickles of arrays, lists and text, read without running anything that they ask for: CIFAR is published as such.

A pickle is a program for a small machine. This is that machine with the few instructions that lists, dictionaries,
text, numbers and arrays of bytes need; a name of Python's is never looked up, only compared with the known ones.
"""

import pickletools
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from foveate.core.errors import DataError, first_line, shown

_VALUES = {
    "BININT",
    "BININT1",
    "BININT2",
    "LONG1",
    "BINSTRING",
    "SHORT_BINSTRING",
    "BINBYTES",
    "SHORT_BINBYTES",
}
_VALUES |= {"BINUNICODE", "SHORT_BINUNICODE"}
_MADE: dict[str, Any] = {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict}
_MADE |= {"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False}
_NAMES = frozenset(
    {
        "numpy.core.multiarray _reconstruct",
        "numpy._core.multiarray _reconstruct",
        "numpy ndarray",
        "numpy dtype",
    }
) | {"_codecs encode"}


class _Refused(Exception):
    """The pickle asks for something that data does not need."""


class _Name(str):
    """A name of Python's that a pickle may want."""


class _Type:
    """The type of an array; only bytes are let in."""

    def fill(self, state: Any) -> None:
        """What a pickle adds to a type (byte order, names of fields) means nothing for bytes."""


class _Array:
    """An array in the making."""

    value: np.ndarray

    def fill(self, state: Any) -> None:
        _, shape, dtype, by_column, content = state
        raw = content.encode("latin-1") if isinstance(content, str) else content
        if not isinstance(dtype, _Type) or not isinstance(raw, bytes):
            raise ValueError("an array has no type or no bytes")
        self.value = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if by_column else "C")


def read_plain_pickle(path: Path) -> dict[str, Any]:
    """The dictionary that a pickle of protocol 2 to 4 holds: lists, text, bytes, whole numbers, and arrays of uint8 by
    name. Text of Python 2 is read as latin-1.

    Raises:
        DataError: it is damaged, or asks for anything else; nothing was run.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # of escapes that no pickler writes
            held = _run(path.read_bytes())
        return {
            _text(key): value.value if isinstance(value, _Array) else value for key, value in held.items()
        }
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    except _Refused as error:
        raise DataError(
            f"{path} {error}, which no data needs; nothing of it was run, fetch it again."
        ) from None
    except (ValueError, TypeError, LookupError, AttributeError, DeprecationWarning) as error:
        raise DataError(
            f"{path} is no pickle that can be read: {first_line(error)}; fetch it again."
        ) from None


def _text(key: Any) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else str(key)


def _run(content: bytes) -> Any:
    stacks: list[list[Any]] = [[]]  # a new one for each mark
    memo: dict[Any, Any] = {}
    for opcode, argument, place in pickletools.genops(content):
        stack = stacks[-1]
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case name if name in _VALUES:
                stack.append(argument)
            case name if name in _MADE:
                stack.append(_MADE[name]())
            case "MARK":
                stacks.append([])
            case "TUPLE":
                stacks[-2].append(tuple(stacks.pop()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3" as name:
                stack.append(tuple([stack.pop() for _ in range(int(name[-1]))][::-1]))
            case "APPEND" | "APPENDS" as name:
                items = [stack.pop()] if name == "APPEND" else stacks.pop()
                _of(list, stacks[-1][-1]).extend(items)
            case "SETITEM" | "SETITEMS" as name:
                items = [stack.pop(), stack.pop()][::-1] if name == "SETITEM" else stacks.pop()
                _of(dict, stacks[-1][-1]).update(zip(items[::2], items[1::2], strict=True))
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_named(str(argument)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(_named(f"{module} {name}"))
            case "REDUCE":
                arguments, name = stack.pop(), stack.pop()
                stack.append(_made(name, arguments))
            case "BUILD":
                state = stack.pop()
                if not isinstance(stack[-1], _Array | _Type):
                    raise _Refused(f"sets the state of an object (byte {place})")
                stack[-1].fill(state)
            case name:
                raise _Refused(f"holds the instruction {name} (byte {place})")
    raise ValueError("it ends too early")


def _of(kind: type[Any], value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"a {type(value).__name__} stands in the place of a {kind.__name__}")
    return value


def _named(name: str) -> _Name:
    if name not in _NAMES:
        raise _Refused(f"asks for {shown(name)}")
    return _Name(name)


def _made(name: Any, arguments: Any) -> Any:
    """What the call of a name gives."""
    match name.rpartition(" ")[2] if isinstance(name, _Name) else "", arguments:
        case "_reconstruct", _:
            return _Array()
        case "dtype", ("u1" | "|u1" | b"u1", *_):
            return _Type()
        case "encode", (str(text), "latin1" | "latin-1"):
            return text.encode("latin-1")
    raise _Refused(f"calls {shown(name)} with {shown(arguments)}")
