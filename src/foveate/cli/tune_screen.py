"""What ``foveate tune`` prints: how far it has come, the best trials, what mattered, the next command."""

from pathlib import Path

from rich.table import Table

from foveate.cli.screen import BOXED, Bars, fail, say, show, table
from foveate.studies.trial_ranking import ENOUGH, Entry, Ranking
from foveate.studies.trials import shown
from foveate.training import Observer

TOP = 5


def show_ranking(ranking: Ranking, data: Path, folder: Path, quarantine: bool) -> None:
    """Print the best trials, what mattered, and the next command."""
    best = ranking.best
    if best is None:
        failed = ranking.of("failed")
        fail(
            f"No trial was completed; {f'the first error: {failed[0].error}' if failed else 'nothing is known yet.'}"
        )
    show(_table(ranking))
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
    say(f"{len(ranking.entries)} trials{': ' if said else ''}{', '.join(said)}.")
    for entry in ranking.of("failed"):
        say(f"Trial {entry.number} failed: {entry.error}", style="yellow")
    if ranking.importance:
        shares = ", ".join(f"{place} {share:.2f}" for place, share in ranking.importance.items())
        say(f"What mattered, as shares: {shares}")
    else:
        say(f"Which setting mattered is estimated from {ENOUGH} different trials on.", style="dim")
    tied = f" (the first of {ranking.ties} equal ones)" if ranking.ties > 1 else ""
    say(
        f"The best of {len(computed)}{tied} was chosen by its {ranking.metric} of {best.value:.4g}, which is therefore "
        f"optimistic{_spread(ranking)}"
    )
    more = " --quarantine" if quarantine else ""
    command = f"foveate train {data} --config {folder / 'best.yaml'} --out {folder / 'best'}{more}"
    say("What it is worth on the test pictures, which nothing here has seen:")
    say((command, "bold"))


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
    rows = [
        (str(e.number), f"{e.value:.4f}", str(e.epochs or ""), *map(shown, e.settings.values()))
        for e in entries
    ]
    titles = ("trial", ranking.metric, "epochs run", *_places(entries))
    return table(titles, rows, title=f"The {len(entries)} best trials", **BOXED)


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


class Screen(Bars, Observer):
    """A line for every trial; with ``bars`` also how far the one that is running has come. Made in every process."""

    def __init__(self, bars: bool) -> None:
        super().__init__()
        self.bars = bars
        self.running, self.done = "", 0

    def message(self, text: str) -> None:
        say(text)

    def progress(self, what: str, done: int, total: int) -> None:
        if self.bars:
            super().progress(what, done, total)

    def phase(self, name: str, epochs: int, steps: int) -> None:
        if self.running:
            self.progress(self.running, 1, 1)
        self.running, self.done, self.total = name, 0, epochs * steps

    def step(self, done: int, total: int, pictures: int) -> None:
        self.done += 1
        self.progress(self.running, min(self.done, self.total - 1), self.total)
