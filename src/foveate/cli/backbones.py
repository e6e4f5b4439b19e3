"""foveate compare-backbones"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from foveate.cli.arguments import Data, Device, Quarantine, Seed
from foveate.cli.flags import LAYOUT, Typed, layout_of, takes, words
from foveate.cli.screen import fail, guarded, out, screen_observer

if TYPE_CHECKING:
    from foveate.studies.backbone_comparison import BackboneComparison


@takes(*LAYOUT)
@guarded
def compare_backbones(
    data: Data,
    backbones: Annotated[
        str,
        typer.Option(
            help="Separated by commas: timm's names (downloaded once), weights files, run folders, NAME:none.",
            show_default=False,
        ),
    ],
    typed: Typed,
    size: Annotated[
        int | None, typer.Option(help="Side of the square picture, in pixels; default: each backbone's own.")
    ] = None,
    folds: Annotated[int, typer.Option(min=3, help="Folds of the cross-validation.")] = 5,
    split: Annotated[
        Path | None, typer.Option(help="Leave the test pictures of this split file alone.")
    ] = None,
    quarantine: Quarantine = False,
    csv: Annotated[Path | None, typer.Option(help="Also write the table as CSV.")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write everything as JSON.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Which backbone suits these pictures: probes on frozen features, time and memory, a ranking with intervals."""
    from foveate import api

    names = words(backbones)
    observer = screen_observer()
    try:
        found = api.compare_backbones(
            data, names, size=size, folds=folds, seed=seed, layout=layout_of(typed), split=split,
            quarantine=quarantine, device=device, observer=observer,
        )  # fmt: skip
    finally:
        observer.close()
    for note in found.notes:
        out.print(escape(note), style="dim", soft_wrap=True)
    out.print(_accuracies(found))
    out.print()
    out.print(_costs(found))
    out.print(
        f"Per cent right of {found.rows[0].pictures} pictures in {found.folds} folds; always the most frequent class: "
        f"{_percent(found.chance)}. Intervals (95 %) are over the pictures. Memory and epoch: training all layers, "
        "batch 32, once over these pictures on this machine. Features: the time that the frozen network took.",
        style="dim",
        soft_wrap=True,
    )
    for name, reason in found.failures.items():
        out.print(f"[bold red]not compared[/] {escape(name)}: {escape(reason)}", soft_wrap=True)
    out.print(escape(_reading(found)), soft_wrap=True)
    for file, save in ((csv, found.save_csv), (json, found.save_json)):
        if file is not None:
            save(file)
            out.print(f"Written: {escape(str(file))}", soft_wrap=True)
    if found.failures:
        fail(f"{len(found.failures)} of {len(set(names))} backbones could not be compared.")


def _accuracies(found: "BackboneComparison") -> Table:
    table = _table("rank", "*backbone", "linear probe", "behind the first", "k-NN")
    for row in found.rows:
        control = row.rank is None
        span = "" if row.rank_low == row.rank_high else f" ({row.rank_low}-{row.rank_high})"
        table.add_row(
            "" if control else f"{row.rank}{span}",
            _short(row.backbone),
            f"{_percent(row.probe)} ({_percent(row.probe_low)}-{_percent(row.probe_high)})",
            "" if row.rank == 1 else f"{_points(row.behind)} ({_points(row.behind_low)} to {_points(row.behind_high)})",
            _percent(row.neighbours),
            style="dim" if control else "",
        )  # fmt: skip
    return table


def _costs(found: "BackboneComparison") -> Table:
    table = _table("*backbone", "parameters", "memory", "epoch", "features", "picture")
    for row in found.ranked:
        table.add_row(
            _short(row.backbone),
            f"{(row.parameters or 0) / 1e6:.2f} M",
            f"{(row.memory or 0) / 2**20:.0f} MiB",
            f"{row.epoch_seconds or 0:.0f} s",
            "kept" if row.feature_seconds is None else f"{row.feature_seconds:.0f} s",
            f"{row.size} px",
        )
    return table


def _table(*titles: str) -> Table:
    """Columns to the right; "*" before a title: to the left."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(title.lstrip("*"), justify="left" if title[0] == "*" else "right", overflow="fold")
    return table


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


def _points(share: float) -> str:
    return f"{100 * share:.1f}".replace("-", "−")
