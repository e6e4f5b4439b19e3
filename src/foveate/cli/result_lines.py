"""What a run's result says of a split, in lines for the screen."""

from collections.abc import Iterator
from typing import Any

from foveate.core.errors import few
from foveate.evaluation.unlike_training import VARIANT_TESTS

NAMED = 3


def result_lines(split: str, metrics: dict[str, Any], *, calibration: bool = False) -> Iterator[str]:
    """Accuracy, worst values of attributes, tests on changed pictures, neighbours: as far as ``metrics`` has them."""
    if metrics.get("accuracy") is not None:
        low, high = metrics["accuracy_low"], metrics["accuracy_high"]
        yield (
            f"{split}: accuracy {metrics['accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f}, n = {metrics['n']}), "
            f"balanced {metrics['balanced_accuracy']:.3f}, macro F1 {metrics['macro_f1']:.3f}, "
            f"majority class {metrics['chance_majority']:.3f}"
        )
        for name, found in metrics.get("attributes", {}).items():
            value, group = found["worst"], found["worst_group"]
            yield (
                f"by {name}: worst {value['value']} {value['accuracy']:.3f} (n = {value['n']}); "
                f"by class too: {group['class_id']} with {group['value']} {group['accuracy']:.3f} (n = {group['n']})"
            )
        if calibration:
            yield f"calibration error {metrics['ece']:.3f}, mean log loss {metrics['nll']:.3f}{_energy(metrics)}"
        if tests := metrics.get("backgrounds"):
            shown = [
                f"{t} {tests[t]['accuracy']:.3f}"
                for t in ("swapped", "blurred", "grey", "noise")
                if t in tests
            ]
            yield (
                f"backgrounds: {', '.join(shown)}, object removed {tests['removed']['accuracy']:.3f} "
                f"(chance {tests['chance_majority']:.3f}); unchanged {tests['original']['accuracy']:.3f} "
                f"(n = {tests['n']})"
            )
        for kind, (title, _) in VARIANT_TESTS.items():
            if found := metrics.get(kind):
                yield from _changed(title, found)
    if near := metrics.get("neighbours"):
        yield (
            f"{split}: the {near['k']} nearest training pictures, by the backbone's features: class right in "
            f"{near['accuracy']:.3f} (n = {near['n']})"
        )


def _changed(title: str, found: dict[str, Any]) -> Iterator[str]:
    """One line of a test on changed pictures, and one where pictures were left out."""
    each = ", ".join(
        f"{name} {part['accuracy']:.3f}" for name, part in found["variants"].items() if name != "."
    )
    yield (
        f"{title}: accuracy {found['accuracy']:.3f} (95 % interval {found['accuracy_low']:.3f} to "
        f"{found['accuracy_high']:.3f}){each and f': {each}'}; the same answer in all as unchanged "
        f"{found['consistent']:.3f}; unchanged {found['original']['accuracy']:.3f} (n = {found['n']})"
    )
    if "backgrounds" in found:
        counted = ", ".join(f"{n} in {name}" for name, n in found["backgrounds"].items())
        yield f"backgrounds were drawn from {sum(found['backgrounds'].values())} pictures ({counted})"
        left = [f"{path}: {why}" for path, why in found["unreadable"].items()]
        if left:
            yield f"{len(left)} of them cannot be read and were left out: {few(left, NAMED)}"


def _energy(metrics: dict[str, Any]) -> str:
    energy = (metrics["look"] or {}).get("energy_in_mask")
    if energy is None or energy["mean"] is None:
        return ""
    chance = metrics["look"]["energy_chance"]["mean"]
    empty = f"; {energy['empty']:.0%} of the maps are empty" if energy.get("empty") else ""
    return f", energy in mask {energy['mean']:.2f} (chance {chance:.2f}, n = {energy['n']}{empty})"
