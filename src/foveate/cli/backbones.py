"""foveate compare-backbones, foveate learning-curve"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foveate.cli.command import command
from foveate.cli.flags import LAYOUT, Typed, layout_of, words
from foveate.cli.screen import Cell, fail, say, show, table, watched

if TYPE_CHECKING:
    from foveate.studies.backbone_comparison import BackboneComparison, BackboneRow


@command(*LAYOUT)
def compare_backbones(
    data: Path, *, backbones: str = "", typed: Typed, size: int | None = None,
    folds: Annotated[int, typer.Option(min=3)] = 5, split: Path | None = None, quarantine: bool = False,
    csv: Path | None = None, json: Path | None = None, seed: int = 0, device: str = "auto",
) -> None:  # fmt: skip
    """Which backbone suits these pictures: probes on frozen features, time and memory, a ranking with intervals.

    Args:
        backbones: Separated by commas: timm's names (downloaded once), weights files, run folders, NAME:none; default:
            an ordinary one and small foundation models, as far as their weights can be had.
        size: Side of the square picture, in pixels; default: each backbone's own.
        folds: Folds of the cross-validation.
        split: Leave the test pictures of this split file alone.
        csv: Also write the table as CSV.
    """
    from foveate import api

    names = words(backbones) if backbones else None
    with watched() as screen:
        found = api.compare_backbones(
            data, names, size=size, folds=folds, seed=seed, layout=layout_of(typed), split=split,
            quarantine=quarantine, device=device, observer=screen,
        )  # fmt: skip
    for note in found.notes:
        say(note, style="dim")
    style = {"pad_edge": True, "padding": (0, 2, 0, 0), "header_style": "bold"}
    accuracies, costs = map(_accuracy, found.rows), map(_cost, found.ranked)
    show(table(("rank", "*backbone", "linear probe", "behind the first", "k-NN"), accuracies, **style))
    say()
    show(table(("*backbone", "parameters", "memory", "epoch", "features", "picture"), costs, **style))
    say(
        f"Per cent right of {found.rows[0].pictures} pictures in {found.folds} folds; always the most frequent class: "
        f"{_percent(found.chance)}. Intervals (95 %) are over the pictures. Memory and epoch: training all layers, "
        "batch 32, once over these pictures on this machine. Features: the time that the frozen network took.",
        style="dim",
    )
    for name, reason in found.failures.items():
        say(("not compared", "bold red"), f" {name}: {reason}")
    say(_reading(found))
    for file, save in ((csv, found.save_csv), (json, found.save_json)):
        if file is not None:
            save(file)
            say(f"Written: {file}")
    if found.failures:
        total = len(found.failures) + len(found.ranked)
        fail(f"{len(found.failures)} of {total} backbones could not be compared.")


@command(*LAYOUT)
def learning_curve(
    data: Path, *, backbone: str, typed: Typed, size: int | None = None, split: Path | None = None,
    quarantine: bool = False, json: Path | None = None, seed: int = 0, device: str = "auto",
) -> None:  # fmt: skip
    """How many more pictures would help: probes on frozen features at growing sizes, and what a power law foretells.

    Args:
        backbone: A name of timm, a weights file, a run folder, or NAME:none.
        size: Side of the square picture, in pixels; default: the backbone's own.
        split: Leave the test pictures of this split file alone.
    """
    from foveate import api

    with watched() as screen:
        found = api.learning_curve(
            data, backbone, size=size, seed=seed, layout=layout_of(typed), split=split, quarantine=quarantine,
            device=device, observer=screen,
        )  # fmt: skip
    rows = [
        (
            str(point.pictures),
            "" if point.measured is None else _percent(point.measured),
            f"{_percent(point.accuracy)} ({_percent(point.low)}-{_percent(point.high)})",
        )
        for point in found.points
    ]
    show(table(("pictures", "measured", "by the law"), rows, pad_edge=True, padding=(0, 2, 0, 0)))
    say(
        "Per cent right, by a linear probe that four fifths of the pictures train; bands: 95 %. Training all layers "
        "gives other figures; what more pictures add is of the same kind.",
        style="dim",
    )
    now, *more = found.points[-3:]
    twice, four = (f"{_percent(p.accuracy)} ({_percent(p.low)} to {_percent(p.high)})" for p in more)
    say(f"Now {_percent(now.measured or 0.0)}. Twice as many pictures: {twice}, four times as many: {four}.")
    if json is not None:
        found.save_json(json)
        say(f"Written: {json}")


def _accuracy(row: "BackboneRow") -> list[Cell]:
    span = "" if row.rank_low == row.rank_high else f" ({row.rank_low}-{row.rank_high})"
    behind = f"{_percent(row.behind)} ({_percent(row.behind_low)} to {_percent(row.behind_high)})".replace(
        "-", "−"
    )
    cells = [
        "" if row.rank is None else f"{row.rank}{span}",
        _short(row.backbone),
        f"{_percent(row.probe)} ({_percent(row.probe_low)}-{_percent(row.probe_high)})",
        "" if row.rank == 1 else behind,
        _percent(row.neighbours),
    ]
    return [(cell, "dim" if row.rank is None else "") for cell in cells]  # the control


def _cost(row: "BackboneRow") -> list[Cell]:
    return [
        _short(row.backbone),
        f"{(row.parameters or 0) / 1e6:.2f} M",
        f"{(row.memory or 0) / 2**20:.0f} MiB",
        f"{row.epoch_seconds or 0:.0f} s",
        "kept" if row.feature_seconds is None else f"{row.feature_seconds:.0f} s",
        f"{row.size} px",
    ]


def _reading(found: "BackboneComparison") -> str:
    best, others = _short(found.best), [_short(name) for name in found.as_good if name != found.best]
    if found.rows[-1].behind_low <= 0:
        return (
            f"{best} is first, but not clearly ahead of {found.rows[-1].backbone} of the picture itself: these "
            "features say little about the classes, so a comparison of backbones does not either."
        )
    if len(found.ranked) == 1:
        return f"{best} was compared with nothing but the control; name further backbones."
    if not others:
        return f"{best} is ahead of all others on these pictures."
    verb = "is" if len(others) == 1 else "are"
    return f"{best} is first; {', '.join(others)} {verb} not clearly behind: take the cheapest of them."


def _short(name: str) -> str:
    """A file by its name, a timm network as it is."""
    return Path(name).stem if Path(name).suffix == ".safetensors" else name


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
