"""Everything decided automatically, with its value and its reason; kept in the run so that a resumed run agrees."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foveate.core.errors import RunError, shown
from foveate.core.files import write_json
from foveate.core.reading import read_json

FILE = "decisions.json"


@dataclass(frozen=True)
class Decision:
    """One automatic choice."""

    name: str
    """What was decided, for example "precision: training all layers"."""
    value: Any
    """JSON-able."""
    reason: str
    """One clause in words, with the figures that decided."""


def read_decisions(path: Path) -> list[Decision]:
    """What was decided, from a ``decisions.json``.

    Raises:
        RunError: the file is damaged.
    """
    found = []
    for entry in read_json(path, list):
        fields = entry if isinstance(entry, dict) else {}
        name = fields.get("name")
        if not (
            set(fields) == {"name", "value", "reason"}
            and isinstance(name, str)
            and isinstance(fields["reason"], str)
            and _POSSIBLE.get(name.partition(":")[0], lambda value: True)(fields["value"])
        ):
            raise RunError(
                f"{path} is damaged at {shown(entry)}; restore it, or begin again in a new folder."
            )
        found.append(Decision(**fields))
    return found


_POSSIBLE: dict[str, Callable[[Any], bool]] = {
    "precision": lambda value: isinstance(value, str),
    "batch size": lambda value: type(value) is int and value > 0,
    "learning rate": lambda value: type(value) in (int, float) and value > 0,
}


class Decisions:
    """The automatic choices of one run, written to ``decisions.json`` as they are made.

    Args:
        folder: the run folder, or None to keep them in memory.
        announce: called once for every decision that is new in this process's run folder.
        agree: gives every process of a distributed run the main process's value.
        write: whether this process writes the file.
    """

    def __init__(
        self,
        folder: Path | None = None,
        announce: Callable[[Decision], None] | None = None,
        *,
        agree: Callable[[Any], Any] = lambda value: value,
        write: bool = True,
    ) -> None:
        self._path = folder / FILE if folder else None
        self._announce, self._agree, self._write = announce, agree, write
        self._made: dict[str, Decision] = {}
        if self._path and self._path.is_file():
            self._made = {decision.name: decision for decision in read_decisions(self._path)}

    def make(self, name: str, decide: Callable[[], tuple[Any, str]]) -> Any:
        """The value under ``name``: the recorded one, or what ``decide() -> (value, reason)`` says now."""
        made = self._made.get(name)
        # Also a remembered choice is agreed on, so that all processes exchange equally often.
        value, reason = self._agree((made.value, made.reason) if made else decide())
        self.note(name, value, reason)
        return value

    def note(self, name: str, value: Any, reason: str) -> None:
        """Record a choice that was made elsewhere."""
        decision = Decision(name, value, reason)
        if self._made.get(name) == decision:
            return
        self._made[name] = decision
        if self._path and self._write:
            write_json(self._path, self.as_list())
        if self._announce:
            self._announce(decision)

    def as_list(self) -> list[dict[str, Any]]:
        """JSON-able, in the order in which they were made."""
        return [asdict(decision) for decision in self._made.values()]
