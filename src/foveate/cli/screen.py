"""What the command line shows: messages, decisions, progress bars, tables. The only place that knows the screen."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

import typer
from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from foveate.core.errors import FoveateError, refusals_in_words

if TYPE_CHECKING:
    from foveate.experiment import Run

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

SILENCE = 5.0
"""Seconds of work after which it is said what is being done."""

P = ParamSpec("P")
R = TypeVar("R")


def say(*parts: str | Path | tuple[str, str], style: str = "", console: Console = out) -> None:
    """Print a line, paths in bold; a part may be (text, style). A terminal breaks it between words, but not where it
    names a path or a command, which may be copied: of a long line the command begins a new one."""
    line = Text.assemble(*((str(p), "bold") if isinstance(p, Path) else p for p in parts), style=style)
    named, command = any(isinstance(part, Path) for part in parts), line.plain.find("foveate ")
    if console.is_terminal and command > 0 and not named and line.cell_len > console.width:
        before, line = line.divide([command])
        before.rstrip()
        console.print(before)
    console.print(line, soft_wrap=named or command >= 0 or not console.is_terminal)


def tell(text: str) -> None:
    """Say what a reader must know before believing what follows."""
    say(text, style="yellow", console=err)


def fail(message: str, status: int = 1) -> NoReturn:
    """Print one error and leave."""
    say(("error", "bold red"), f" {message}", console=err)
    raise typer.Exit(status)


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """A command whose FoveateErrors, and what the system refuses, are printed as one sentence; what was stopped leaves
    with status 130."""

    @wraps(command)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with refusals_in_words():
                return command(*args, **kwargs)
        except FoveateError as error:
            fail(str(error), 130 if type(error).__name__ == "Interrupted" else 1)
        except KeyboardInterrupt:
            fail("Stopped; what was finished is kept. Run the same command again.", 130)

    return call


def open_run(folder: Path) -> "Run":
    """Open a run folder and say what is to be known before it is used."""
    from foveate.experiment import Run

    run = Run.open(folder)
    for note in run.notes:
        tell(note)
    return run


BOXED: dict[str, Any] = {"box": HEAVY_HEAD, "pad_edge": True, "header_style": "table.header"}
"""Of a table with lines around its cells."""
Cell = str | tuple[str, str]
"""Text as it is, or (text, style)."""


def table(titles: Sequence[str], rows: Iterable[Sequence[Cell]] = (), **style: Any) -> Table:
    """A table whose columns stand to the right, after "*" to the left."""
    made = Table(**{"box": None, "header_style": "dim", "pad_edge": False, **style})
    for title in titles:
        left = title.startswith("*")
        made.add_column(Text(title.removeprefix("*")), justify="left" if left else "right", overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) if isinstance(cell, str) else Text(*cell) for cell in row))
    return made


def show(*tables: Table) -> None:
    """Print tables."""
    for made in tables:
        out.print(made)


def print_in_parts(
    make: Callable[[Sequence[Any]], Table],
    wanted: Sequence[Any],
    console: Console = out,
    *,
    once: bool = False,
) -> int:
    """Print ``make(wanted)``, below each other in so many tables that none is wider than the screen; ``once``: only the
    first of them. Return how many of ``wanted`` were printed."""
    total = len(wanted)
    free = console.options.update(max_width=10_000)
    while wanted:
        widths = (console.measure(make(wanted[:n]), options=free).maximum for n in range(1, len(wanted) + 1))
        count = max((n for n, width in enumerate(widths, 1) if width <= console.width), default=1)
        console.print(make(wanted[:count]))
        wanted = wanted[count:]
        if once:
            break
    return total - len(wanted)


class SlowWork:
    """Whether it is time to say, where there is no progress bar, what work is going on: after ``SILENCE`` seconds, and
    again after twice as long each time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock, self.what = clock, ""
        self.next = self.wait = 0.0

    def __call__(self, what: str, done: int, total: int) -> bool:
        now = self.clock()
        if what != self.what:
            self.what, self.wait, self.next = what, SILENCE, now + SILENCE
        if done >= total:
            self.what = ""
        if now < self.next or done >= total:
            return False
        self.wait *= 2
        self.next = now + self.wait
        return True


class Bars:
    """Progress bars on standard error; where that is not a terminal, a line on ``console`` for what is slow."""

    def __init__(self, console: Console = out) -> None:
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=28), MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"), TimeRemainingColumn(compact=True),
            console=err, transient=True, disable=not err.is_terminal,
        )  # fmt: skip
        self.console, self.slow = console, SlowWork(time.monotonic)
        self.work: dict[str, TaskID] = {}

    def progress(self, what: str, done: int, total: int) -> None:
        """``done`` of ``total`` things."""
        self.tell_slow(what, done, total)
        self.bar.start()  # again, where the end of a training has stopped it
        if what not in self.work:
            self.work[what] = self.bar.add_task(what, total=total, note="")
        self.bar.update(self.work[what], completed=done, total=total)
        if done >= total:
            self.bar.remove_task(self.work.pop(what))

    def tell_slow(self, what: str, done: int, total: int) -> None:
        """Only where there are no bars."""
        if self.bar.disable and self.slow(what, done, total):
            say(f"{what}: {done} of {total}", style="dim", console=self.console)

    def close(self) -> None:
        """Take the bars away."""
        self.bar.stop()


def screen_observer() -> Any:
    """An Observer that shows training. Made in a function because it needs torch's module tree."""
    from foveate.training import Decision, Observer

    class Screen(Bars, Observer):
        def __init__(self) -> None:
            super().__init__()
            self.task: TaskID | None = None
            self.name, self.epochs, self.epoch_number, self.seen = "", 0, 0, 0
            self.since = time.perf_counter()

        def decision(self, decision: Decision) -> None:
            say((decision.name, "cyan"), ": ", (str(decision.value), "bold"), f" ({decision.reason})")

        def message(self, text: str) -> None:
            say(text, style="dim")

        def phase(self, name: str, epochs: int, steps: int) -> None:
            self.name, self.epochs, self.epoch_number = name, epochs, 0
            if self.task is not None:
                self.bar.remove_task(self.task)
            self.bar.start()
            self.task = self.bar.add_task(name, total=epochs * steps, note="")
            say((f"Phase {name}", "bold"), f": at most {epochs} epochs of {steps} batches")

        def step(self, done: int, total: int, pictures: int) -> None:
            self.tell_slow(f"epoch {self.epoch_number + 1} of {self.epochs}, batch", done, total)
            self.seen += pictures
            rate = self.seen / max(time.perf_counter() - self.since, 1e-9)
            if self.task is not None:
                note = f"epoch {self.epoch_number + 1}/{self.epochs}  {rate:.0f} pictures/s"
                self.bar.update(self.task, completed=self.epoch_number * total + done, note=note)

        def epoch(self, row: dict[str, Any]) -> None:
            self.epoch_number = row["phase_epoch"]
            self.since, self.seen = time.perf_counter(), 0
            text = f"{row['phase']:>8} {self.epoch_number:>3}/{self.epochs}  loss {row['train_loss']:.3f}"
            if "train_accuracy" in row:
                text += f" acc {row['train_accuracy']:.3f}"
            if "val_loss" in row:
                text += f" | val {row['val_loss']:.3f}"
            if "val_accuracy" in row:
                text += f" acc {row['val_accuracy']:.3f} F1 {row['val_macro_f1']:.3f}"
            say(f"{text} | {row['images_per_second']:.0f}/s")

        def close(self) -> None:
            # Or it would stand there, as if there were time left, while pictures are measured.
            if self.task is not None:
                self.bar.remove_task(self.task)
                self.task = None
            super().close()

    return Screen()


@contextmanager
def stoppable(kept: str) -> Iterator[None]:
    """Stopped inside the block, the command says what is ``kept``, with which the same command goes on."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"Stopped; {kept} are kept, and the same command goes on.")
        raise typer.Exit(130) from None


@contextmanager
def watched(kept: str = "") -> Iterator[Any]:
    """An Observer that shows the work inside the block; ``kept`` as in ``stoppable``."""
    screen = screen_observer()
    with stoppable(kept) if kept else nullcontext():
        try:
            yield screen
        finally:
            screen.close()
