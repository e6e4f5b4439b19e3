"""foveate evaluate, predict, report"""

from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from foveate.cli.screen import guarded, out
from foveate.core.errors import ConfigError


@guarded
def evaluate(
    run: Path, *, data: Path | None, tta: str | None, out_file: Path | None = None, device: str
) -> None:
    """Print the metrics of every split that was measured."""
    from foveate.cli.train import describe, describe_backgrounds
    from foveate.evaluation.metrics import summarise_all
    from foveate.experiment import Run

    opened = Run.open(run)
    table = opened.evaluate(data, tta=tta, device=device)
    if out_file:
        table.to_csv(out_file)
    tests = opened.evaluate_backgrounds(data, tta=tta, device=device)
    for split, metrics in summarise_all(table).items():
        if metrics["accuracy"] is None:
            out.print(f"{split}: {metrics['n']} pictures without labels")
            continue
        out.print(escape(describe(split, metrics)), soft_wrap=True)
        out.print(escape(_calibration_and_look(metrics)))
        if tests and tests.table.split == split:
            out.print(escape(describe_backgrounds(tests.table.summary())), soft_wrap=True)
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


@guarded
def predict(
    run: Path, paths: list[Path], out_file: Path, *, layout: str, tta: str | None, device: str
) -> None:
    """Write predictions of new pictures."""
    from foveate.experiment import Run
    from foveate.experiment.export import LAYOUTS

    if layout not in LAYOUTS:
        raise ConfigError(f"There is no layout '{layout}'; choose one of {', '.join(LAYOUTS)}.")
    if out_file.suffix not in (".csv", ".json"):
        raise ConfigError(f"--out takes a .csv or .json file, got '{out_file}'.")
    table = Run.open(run).predict(paths, tta=tta, device=device)
    LAYOUTS[layout](table, out_file)
    out.print(f"{len(table)} predictions in [bold]{escape(str(out_file))}[/]")


@guarded
def report(folder: Path, out_file: Path | None) -> None:
    """Write the report of a run or a study again."""
    from foveate.api import report as write

    out.print(f"Report: [bold]{escape(str(write(folder, out_file)))}[/]", soft_wrap=True)
