"""foveate plan"""

from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from foveate.cli.screen import guarded, out


@guarded
def plan(
    *,
    pictures: int,
    seeds: int,
    accuracy: float,
    spread: float | None,
    correlation: float,
    arms: int,
    difference: float | None,
    json: Path | None,
) -> None:
    """Print what each design can show, or takes, and one sentence of reading."""
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
