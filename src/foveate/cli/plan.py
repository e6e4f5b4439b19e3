"""foveate plan"""

from dataclasses import asdict
from pathlib import Path

from foveate.cli.command import command
from foveate.cli.screen import say, show, table


@command()
def plan(
    *, pictures: int, seeds: int = 5, accuracy: float = 0.9, spread: float | None = None, correlation: float = 0.7,
    arms: int = 1, difference: float | None = None, json: Path | None = None,
) -> None:  # fmt: skip
    """Before the work: which gain in accuracy can a comparison show, or what does it take to show one.

    Args:
        pictures: Test pictures of one run.
        seeds: Random seeds, each one a pair of runs.
        accuracy: Expected accuracy of the baseline, a share.
        spread: Standard deviation over seeds of the paired difference, a share; default: from the pictures.
        correlation: How far two networks are right on the same pictures, 0 to 1.
        arms: Arms that are compared with the baseline (Holm).
        difference: Ask what it takes to show this gain, a share: 0.03 is 3 points.
    """
    from foveate.core.files import write_json
    from foveate.studies.power import plan as make
    from foveate.studies.power import reading

    made = make(
        pictures, seeds, accuracy, spread=spread, correlation=correlation, arms=arms, difference=difference
    )
    asked = () if difference is None else (f"{difference * 100:.1f} points take pictures", "or seeds")
    rows = []
    for design in made.designs:
        gain = "none" if design.detectable is None else f"{design.detectable * 100:.1f} points"
        needed = ["-" if number is None else str(number) for number in (design.pictures, design.seeds)]
        rows.append((design.name, gain, *needed[: len(asked)]))
    show(table(("*design", "shows a gain of", *asked), rows))
    origin = "given" if made.spread_given else "from the test pictures alone; a pilot's may be larger"
    say(
        f"One run at {made.accuracy * 100:.1f} %: 95 % interval {made.low * 100:.1f} to {made.high * 100:.1f} %. "
        f"Spread of the difference over seeds: {made.spread * 100:.1f} points ({origin}). "
        f"Power {made.power:g}, alpha {made.alpha:g}" + (f" / {arms} arms." if arms > 1 else "."),
        style="dim",
    )
    say(reading(made))
    if json is not None:
        write_json(json, {**asdict(made), "reading": reading(made)})
