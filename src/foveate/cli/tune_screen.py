"""What ``foveate tune`` prints: how far it has come, the best trials, what mattered, the next command."""

from pathlib import Path

from rich.markup import escape
from rich.progress import TaskID
from rich.table import Table

from foveate.cli.screen import fail, new_progress, out
from foveate.studies.trial_ranking import ENOUGH, Entry, Ranking
from foveate.studies.trials import shown
from foveate.training import Observer

TOP = 5


def show(ranking: Ranking, data: Path, folder: Path, quarantine: bool) -> None:
    """Print the best trials, what mattered, and the next command."""
    best = ranking.best
    if best is None:
        failed = ranking.of("failed")
        fail(
            f"No trial was completed; {f'the first error: {failed[0].error}' if failed else 'nothing is known yet.'}"
        )
    out.print(_table(ranking))
    computed = ranking.of("complete", "pruned", "failed")
    counts = [
        (len(ranking.of("pruned")), "ended early"),
        (len(ranking.of("failed")), "failed"),
        (
            sum(e.copy_of is not None for e in ranking.entries),
            "not computed again, having the settings of another",
        ),
        (len(ranking.of("running")), "still worked on by another process"),
        (len(ranking.of("open")), "still open"),
    ]
    said = [f"{number} {what}" for number, what in counts if number]
    out.print(f"{len(ranking.entries)} trials{': ' if said else ''}{', '.join(said)}.")
    for entry in ranking.of("failed"):
        out.print(f"Trial {entry.number} failed: {escape(str(entry.error))}", style="yellow", soft_wrap=True)
    if ranking.importance:
        shares = ", ".join(f"{place} {share:.2f}" for place, share in ranking.importance.items())
        out.print(f"What mattered, as shares: {escape(shares)}")
    else:
        out.print(f"Which setting mattered is estimated from {ENOUGH} different trials on.", style="dim")
    tied = f" (the first of {ranking.ties} equal ones)" if ranking.ties > 1 else ""
    out.print(
        f"The best of {len(computed)}{tied} was chosen by its {ranking.metric} of {best.value:.4g}, which is therefore "
        f"optimistic{_spread(ranking)}"
    )
    more = " --quarantine" if quarantine else ""
    command = f"foveate train {data} --config {folder / 'best.yaml'} --out {folder / 'best'}{more}"
    out.print("What it is worth on the test pictures, which nothing here has seen:")
    out.print(f"[bold]{escape(command)}[/]", soft_wrap=True)


def _spread(ranking: Ranking) -> str:
    if ranking.interval is None or ranking.inseparable is None:
        return "."
    low, high = ranking.interval
    return (
        f". Its 95 % interval is {low:.3f} to {high:.3f}; {ranking.inseparable} of {len(ranking.of('complete'))} "
        "complete trials lie in it, so these pictures hardly tell them apart."
        if ranking.inseparable > 1
        else f". Its 95 % interval is {low:.3f} to {high:.3f}."
    )


def _table(ranking: Ranking) -> Table:
    entries = ranking.top(TOP)
    table = Table(title=f"The {len(entries)} best trials")
    for column in ("trial", ranking.metric, "epochs run"):
        table.add_column(column, justify="right", no_wrap=True)
    for place in _places(entries):
        table.add_column(escape(place), justify="right", overflow="fold")
    for entry in entries:
        settings = [escape(shown(value)) for value in entry.settings.values()]
        table.add_row(str(entry.number), f"{entry.value:.4f}", str(entry.epochs or ""), *settings)
    return table


def _places(entries: list[Entry]) -> list[str]:
    """The settings' names, as short as they can be told apart."""
    places = [place.split(".") for place in entries[0].settings]
    names = []
    for place in places:
        length = 1
        while length < len(place) and sum(other[-length:] == place[-length:] for other in places) > 1:
            length += 1
        names.append(".".join(place[-length:]))
    return names


class Screen(Observer):
    """A line for every trial; with ``bars`` also how far the one that is running has come. Made in every process."""

    def __init__(self, bars: bool) -> None:
        self.bar = new_progress()
        self.bars = bars
        self.tasks: dict[str, TaskID] = {}
        self.running, self.done = "", 0
        if bars:
            self.bar.start()

    def message(self, text: str) -> None:
        out.print(escape(text), soft_wrap=True)

    def progress(self, what: str, done: int, total: int) -> None:
        self._show(what, done, total)

    def phase(self, name: str, epochs: int, steps: int) -> None:
        if self.running:
            self._show(self.running, 1, 1)
        self.running, self.done, self.total = name, 0, epochs * steps

    def step(self, done: int, total: int, pictures: int) -> None:
        self.done += 1
        self._show(self.running, min(self.done, self.total - 1), self.total)

    def _show(self, what: str, done: int, total: int) -> None:
        if not self.bars:
            return
        if what not in self.tasks:
            self.tasks[what] = self.bar.add_task(what, total=total, note="")
        self.bar.update(self.tasks[what], completed=done, total=total)
        if done >= total:
            self.bar.remove_task(self.tasks.pop(what))

    def close(self) -> None:
        self.bar.stop()
