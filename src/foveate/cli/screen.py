"""What the command line shows: messages, decisions, progress bars. The only place that knows the screen."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from foveate.core.errors import FoveateError, refusals_in_words

if TYPE_CHECKING:
    from foveate.experiment import Run

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

SILENCE = 5.0
"""Seconds of work after which it is said what is being done."""

P = ParamSpec("P")
R = TypeVar("R")


def fail(message: str, status: int = 1) -> NoReturn:
    """Print one error and leave."""
    err.print(f"[bold red]error[/] {escape(message)}", soft_wrap=True)
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


def tell(text: str) -> None:
    """Say what a reader must know before believing what follows."""
    err.print(escape(text), style="yellow", soft_wrap=True)


def open_run(folder: Path) -> "Run":
    """Open a run folder and say what is to be known before it is used."""
    from foveate.experiment import Run

    run = Run.open(folder)
    for note in run.notes:
        tell(note)
    return run


def new_progress() -> Progress:
    """A progress bar on standard error; silent when that is not a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(compact=True),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def screen_observer() -> Any:
    """An Observer that shows training. Made in a function because it needs torch's module tree."""
    import time

    from foveate.training import Decision, Observer

    class Screen(Observer):
        def __init__(self) -> None:
            self.bar = new_progress()
            self.slow = SlowWork(time.monotonic)
            self.task: TaskID | None = None
            self.work: dict[str, TaskID] = {}
            self.epochs = 0
            self.name = ""
            self.epoch_number = 0
            self.since = time.perf_counter()
            self.seen = 0

        def progress(self, what: str, done: int, total: int) -> None:
            self._tell_slow(what, done, total)
            self.bar.start()  # again, where the end of a training has stopped it
            if what not in self.work:
                self.work[what] = self.bar.add_task(what, total=total, note="")
            self.bar.update(self.work[what], completed=done, total=total)
            if done >= total:
                self.bar.remove_task(self.work.pop(what))

        def _tell_slow(self, what: str, done: int, total: int) -> None:
            if self.bar.disable and self.slow(what, done, total):
                out.print(escape(f"{what}: {done} of {total}"), style="dim", soft_wrap=True)

        def decision(self, decision: Decision) -> None:
            out.print(
                f"[cyan]{escape(decision.name)}[/]: [bold]{escape(str(decision.value))}[/] ({escape(decision.reason)})",
                soft_wrap=True,
            )

        def message(self, text: str) -> None:
            out.print(escape(text), style="dim", soft_wrap=True)

        def phase(self, name: str, epochs: int, steps: int) -> None:
            self.name, self.epochs, self.epoch_number = name, epochs, 0
            if self.task is not None:
                self.bar.remove_task(self.task)
            self.bar.start()
            self.task = self.bar.add_task(f"{name}", total=epochs * steps, note="")
            out.print(f"[bold]Phase {escape(name)}[/]: at most {epochs} epochs of {steps} batches")

        def step(self, done: int, total: int, pictures: int) -> None:
            self._tell_slow(f"epoch {self.epoch_number + 1} of {self.epochs}, batch", done, total)
            self.seen += pictures
            rate = self.seen / max(time.perf_counter() - self.since, 1e-9)
            if self.task is not None:
                note = f"epoch {self.epoch_number + 1}/{self.epochs}  {rate:.0f} images/s"
                self.bar.update(self.task, completed=self.epoch_number * total + done, note=note)

        def epoch(self, row: dict[str, Any]) -> None:
            self.epoch_number = row["phase_epoch"]
            self.since, self.seen = time.perf_counter(), 0
            text = f"{row['phase']:>8} {self.epoch_number:>3}/{self.epochs}  "
            text += f"loss {row['train_loss']:.3f}"
            if "train_accuracy" in row:
                text += f" acc {row['train_accuracy']:.3f}"
            if "val_loss" in row:
                text += f" | val {row['val_loss']:.3f}"
            if "val_accuracy" in row:
                text += f" acc {row['val_accuracy']:.3f} F1 {row['val_macro_f1']:.3f}"
            out.print(f"{text} | {row['images_per_second']:.0f}/s", soft_wrap=True)

        def close(self) -> None:
            self.bar.stop()

    return Screen()
