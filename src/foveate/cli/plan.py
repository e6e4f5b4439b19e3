"""foveate plan"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from foveate.cli.screen import guarded, out


@guarded
def plan(
    pictures: Annotated[int, typer.Option(help="Test pictures of one run.", show_default=False)],
    seeds: Annotated[int, typer.Option(help="Random seeds, each one a pair of runs.")] = 5,
    accuracy: Annotated[float, typer.Option(help="Expected accuracy of the baseline, a share.")] = 0.9,
    spread: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation over seeds of the paired difference, a share; default: from the pictures."
        ),
    ] = None,
    correlation: Annotated[
        float, typer.Option(help="How far two networks are right on the same pictures, 0 to 1.")
    ] = 0.7,
    arms: Annotated[int, typer.Option(help="Arms that are compared with the baseline (Holm).")] = 1,
    difference: Annotated[
        float | None, typer.Option(help="Ask what it takes to show this gain, a share: 0.03 is 3 points.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Also write everything as JSON.")] = None,
) -> None:
    """Before the work: which gain in accuracy can a comparison show, or what does it take to show one."""
    from foveate.core.files import write_json
    from foveate.studies.power import plan as make
    from foveate.studies.power import reading

    made = make(
        pictures, seeds, accuracy, spread=spread, correlation=correlation, arms=arms, difference=difference
    )
    table = Table("design", box=None, pad_edge=False)
    table.add_column("shows a gain of", justify="right")
    if difference is not None:
        table.add_column(f"{difference * 100:.1f} points take pictures", justify="right")
        table.add_column("or seeds", justify="right")
    for design in made.designs:
        cells = ["none" if design.detectable is None else f"{design.detectable * 100:.1f} points"]
        if difference is not None:
            cells += ["-" if number is None else str(number) for number in (design.pictures, design.seeds)]
        table.add_row(design.name, *cells)
    out.print(table)
    origin = "given" if made.spread_given else "from the test pictures alone; a pilot's may be larger"
    out.print(
        f"One run at {made.accuracy * 100:.1f} %: 95 % interval {made.low * 100:.1f} to {made.high * 100:.1f} %. "
        f"Spread of the difference over seeds: {made.spread * 100:.1f} points ({origin}). "
        f"Power {made.power:g}, alpha {made.alpha:g}" + (f" / {arms} arms." if arms > 1 else "."),
        style="dim",
        soft_wrap=True,
    )
    out.print(reading(made), soft_wrap=True)
    if json is not None:
        write_json(json, {**asdict(made), "reading": reading(made)})
