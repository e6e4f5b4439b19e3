"""foveate demo"""

from pathlib import Path

from foveate.cli.command import command
from foveate.cli.screen import BOXED, say, show, table, watched


@command()
def demo(*, out: Path = Path("demo"), seed: int = 0) -> None:
    """Draw look-alike insects whose background gives them away, train plainly and guided, and compare.

    Args:
        out: Folder for pictures, runs and demo.json.
    """
    from foveate.core.lock import alone
    from foveate.recipes.demo import run_demo

    with watched() as screen, alone(out):
        arms = run_demo(out, seed, screen)
    rows = [
        (
            arm,
            f"{figures['validation_accuracy']:.3f}",
            f"{figures['accuracy']:.3f}",
            f"{figures['accuracy_low']:.3f} to {figures['accuracy_high']:.3f}",
            f"{figures['energy_in_mask']:.2f} (n = {figures['energy_pictures']})",
        )
        for arm, figures in arms.items()
    ]
    titles = ("*network", "validation, tied", "test, untied", "95 % interval", "energy in mask")
    title = "The background gives the species away in training, not in the test"
    show(table(titles, rows, title=title, **BOXED))
    chance = next(iter(arms.values()))["energy_chance"]
    say(f"Chance: accuracy {1 / 6:.3f}, energy in mask {chance:.2f} (the object's share of the picture).")
    say(
        "Energy in mask: share of the true class's Grad-CAM on the insect, over the n maps that are not empty."
    )
    for arm in arms:
        say(f"Report of the {arm} network: ", out / arm / "report.html")
    say("Figures: ", out / "demo.json")
