"""foveate evaluate, predict, report"""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from foveate.cli.arguments import Device, RunFolder, Tta
from foveate.cli.flags import LAYOUT, Typed, layout_of, takes
from foveate.cli.screen import fail, guarded, open_run, out, tell
from foveate.core.errors import ConfigError


@takes(*LAYOUT)
@guarded
def evaluate(
    run: RunFolder,
    typed: Typed,
    data: Annotated[
        Path | None,
        typer.Option(help="Another labelled data set, read as the run's own was; default: that one."),
    ] = None,
    tta: Tta = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Also write the prediction table here (CSV).")
    ] = None,
    device: Device = "auto",
) -> None:
    """Measure a finished run: accuracy with interval, per class, calibration, where it looks."""
    from foveate.cli.train import describe, describe_attributes, describe_backgrounds, describe_neighbours

    opened = open_run(run)
    layout = layout_of(typed, opened.experiment.data.layout)
    table, found = opened.measure(data, tta=tta, device=device, layout=layout, told=tell)
    if out_file:
        table.to_csv(out_file)
    for split, metrics in found.items():
        if "neighbours" in metrics:
            out.print(f"{split}: {escape(describe_neighbours(metrics['neighbours']))}", soft_wrap=True)
        if metrics["accuracy"] is None:
            continue
        out.print(escape(describe(split, metrics)), soft_wrap=True)
        for line in describe_attributes(metrics):
            out.print(escape(line), soft_wrap=True)
        out.print(escape(_calibration_and_look(metrics)))
        if "backgrounds" in metrics:
            out.print(escape(describe_backgrounds(metrics["backgrounds"])), soft_wrap=True)
        shown = Table(box=None, header_style="dim", pad_edge=False)
        for column in ("class", "n", "precision", "recall", "F1"):
            shown.add_column(column, justify="left" if column == "class" else "right")
        for row in metrics["per_class"]:
            figures = [_figure(row[name]) for name in ("precision", "recall", "f1")]
            shown.add_row(escape(str(row["class_id"])), str(row["support"]), *figures)
        out.print(shown)


def _calibration_and_look(metrics: dict[str, Any]) -> str:
    line = f"calibration error {metrics['ece']:.3f}, mean log loss {metrics['nll']:.3f}"
    energy = (metrics["look"] or {}).get("energy_in_mask")
    if energy is None or energy["mean"] is None:
        return line
    chance = metrics["look"]["energy_chance"]["mean"]
    return f"{line}, energy in mask {energy['mean']:.2f} (chance {chance:.2f}, n = {energy['n']})"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


SHOWN = 10
"""Pictures named on the screen; a file lists all."""


@guarded
def predict(
    run: RunFolder,
    paths: Annotated[list[Path], typer.Argument(help="Pictures or folders of pictures.", show_default=False)],
    out_file: Annotated[
        Path, typer.Option("--out", help="The file to write, .csv or .json.", show_default=False)
    ],
    layout: Annotated[
        str, typer.Option(help="table (probabilities and all), or competition (file, class id).")
    ] = "table",
    tta: Tta = None,
    device: Device = "auto",
) -> None:
    """Predict new pictures with a finished run."""
    from foveate.core.files import write_csv
    from foveate.experiment.prediction_files import LAYOUTS

    if layout not in LAYOUTS:
        raise ConfigError(f"There is no layout '{layout}'; choose one of {', '.join(LAYOUTS)}.")
    if out_file.suffix not in (".csv", ".json"):
        raise ConfigError(f"--out takes a .csv or .json file, got '{out_file}'.")
    table = open_run(run).predict(paths, tta=tta, device=device, quarantine=True)
    LAYOUTS[layout](table, out_file)
    out.print(f"{len(table)} predictions in [bold]{escape(str(out_file))}[/]")
    left_out = out_file.with_name(f"{out_file.stem}.unreadable.csv")
    if not table.unreadable:
        left_out.unlink(missing_ok=True)  # of an earlier call
        return
    write_csv(left_out, ("path", "reason"), list(table.unreadable.items()))
    for path, why in list(table.unreadable.items())[:SHOWN]:
        out.print(f"[yellow]not read:[/] {escape(path)}: {escape(why)}", soft_wrap=True)
    count, total = len(table.unreadable), len({*table.unreadable, *table.path.tolist()})
    fail(f"{count} of {total} pictures could not be read and have no prediction; see {left_out}.")


@guarded
def report(
    run: RunFolder,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Where to write it; default: RUN/report.html.")
    ] = None,
) -> None:
    """Write the run's report: one HTML file that needs nothing else."""
    from foveate.api import report as write
    from foveate.core import manifest

    note = manifest.unchecked(run)
    if note:
        tell(note)
    out.print(f"Report: [bold]{escape(str(write(run, out_file)))}[/]", soft_wrap=True)
