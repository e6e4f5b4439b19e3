"""foveate demo"""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from foveate.cli.arguments import Seed
from foveate.cli.screen import guarded, out, screen_observer


@guarded
def demo(
    folder: Annotated[Path, typer.Option("--out", help="Folder for pictures, runs and demo.json.")] = Path(
        "demo"
    ),
    seed: Seed = 0,
) -> None:
    """Draw look-alike insects whose background gives them away, train plainly and guided, and compare."""
    from foveate.core.lock import alone
    from foveate.recipes.demo import run_demo

    screen = screen_observer()
    try:
        with alone(folder):
            result = run_demo(folder, seed, screen)
    finally:
        screen.close()
    table = Table(title="The background gives the species away in training, not in the test")
    table.add_column("network")
    for column in ("validation, tied", "test, untied", "95 % interval", "energy in mask"):
        table.add_column(column, justify="right", no_wrap=True)
    for arm, figures in result.arms.items():
        low, high = figures["accuracy_low"], figures["accuracy_high"]
        table.add_row(
            arm,
            f"{figures['validation_accuracy']:.3f}",
            f"{figures['accuracy']:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{figures['energy_in_mask']:.2f} (n = {figures['energy_pictures']})",
        )
    chance = next(iter(result.arms.values()))["energy_chance"]
    out.print(table)
    out.print(
        f"Chance: accuracy {1 / 6:.3f}, energy in mask {chance:.2f} (the object's share of the picture)."
    )
    out.print(
        "Energy in mask: share of the true class's Grad-CAM on the insect, over the n maps that are not empty."
    )
    for arm, finished in result.runs.items():
        out.print(f"Report of the {arm} network: [bold]{escape(str(finished.folder / 'report.html'))}[/]")
    out.print(f"Figures: [bold]{escape(str(folder / 'demo.json'))}[/]")
