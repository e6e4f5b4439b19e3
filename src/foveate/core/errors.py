"""Errors a user can act on. Each message is one sentence or two: the thing, the place, the value, the next action."""

import errno
import os
import reprlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

LONGEST = 600
"""Characters of a message; what is longer loses its middle, for it repeats its input."""


class FoveateError(Exception):
    """Base of every error that is the user's to mend; the command line prints it without a traceback."""

    def __init__(self, message: object = "") -> None:
        super().__init__(shortened(str(message), LONGEST))


class DataError(FoveateError):
    """Pictures, masks, labels or splits cannot be used as they are."""


class ConfigError(FoveateError):
    """A setting is unknown, of the wrong type, or impossible in combination with another."""


class WeightsError(FoveateError):
    """Weights are missing, unreadable, or do not fit the network."""


class RunError(FoveateError):
    """A run folder is missing, unfinished, or belongs to another experiment."""


class TrainingError(FoveateError):
    """Training cannot go on (a loss that is not finite, a full disk)."""


class StudyError(FoveateError):
    """A study folder belongs to another study, or its cells do not fit together."""


class BusyError(FoveateError):
    """Another process is at work in a folder."""


class FileError(FoveateError):
    """The system refuses to read or write a file or folder."""


_ADVICE = {
    errno.ENOENT: "{} does not exist; check the name",
    errno.EACCES: "{} may not be read or written by you (permission denied); change that or name another place",
    errno.EPERM: "{} may not be changed by you (operation not permitted); name another place",
    errno.EROFS: "{} lies on a read-only disk; name another place",
    errno.EISDIR: "{} is a folder, where a file is needed; name another place",
    errno.ENOTDIR: "{} leads through a file as if it were a folder; check the path",
    errno.EEXIST: "{} is in the way, for it exists already; name another place",
    errno.ENOTEMPTY: "{} is in the way, for it is not empty; name another place",
    errno.ENAMETOOLONG: "{} is too long a name for this disk; choose a shorter one",
    errno.ELOOP: "{} is a link that leads to itself; mend it or name another place",
    errno.EINVAL: "{} is no name that this disk can hold; choose another one",
    errno.EMFILE: "{} cannot be opened, for too many files are open; raise the limit ('ulimit -n 4096')",
    errno.ETXTBSY: "{} is in use by another program; close that first",
}
_FULL = (errno.ENOSPC, errno.EDQUOT)


def sentence(error: OSError) -> str:
    """What the system refuses, where, and what to do about it."""
    place = error.filename2 if error.filename2 is not None else error.filename
    if error.errno in _FULL:
        where = "while writing" if place is None else os.fsdecode(place)
        return (
            f"The disk is full ({shortened(where, 300)}); what was finished is kept. "
            "Free some space and run the same command again."
        )
    if place is None or isinstance(place, int):
        return f"The system refuses to read or write a file: {error}."
    advice = _ADVICE.get(error.errno or 0, "{} cannot be read or written (" + str(error.strerror) + ")")
    return advice.format(shortened(os.fsdecode(place), 300)) + "."


@contextmanager
def refusals_in_words() -> Iterator[None]:
    """Turn what the system refuses into a ``FileError``; for a block, or as a decorator of a function.

    A closed pipe stays what it is: nobody reads the words.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FileError(sentence(error)) from error


class _Plain(reprlib.Repr):
    """As in Python, but for what a file says otherwise."""

    def repr_bool(self, value: bool, level: int) -> str:
        return str(value).lower()

    def repr_NoneType(self, value: None, level: int) -> str:
        return "nothing"

    def repr_PosixPath(self, value: object, level: int) -> str:
        return self.repr1(str(value), level)

    repr_tuple = reprlib.Repr.repr_list  # type: ignore[assignment]


_REPR = _Plain()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother, _REPR.maxlong = 3, 80, 80, 40


def shown(value: Any) -> str:
    """A value as it may stand in a message, never longer than 120 characters."""
    return shortened(_REPR.repr(value), 120)


def few(texts: Sequence[str], most: int) -> str:
    """The first of ``texts``, and how many more there are."""
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def shortened(text: str, most: int) -> str:
    """``text``, without its middle where it has more than ``most`` characters."""
    if len(text) <= most:
        return text
    tail = most // 4
    return f"{text[: most - tail - 5]} ... {text[-tail:]}"


def first_line(error: BaseException) -> str:
    """What another library's error says, as a part of a sentence; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
