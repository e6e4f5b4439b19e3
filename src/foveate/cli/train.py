"""foveate train"""

import os
from collections.abc import Collection
from copy import deepcopy
from pathlib import Path
from typing import Any

from rich.markup import escape

from foveate.cli.screen import guarded, out, screen_observer
from foveate.core.errors import ConfigError


@guarded
def train(data: Path, folder: Path, *, quarantine: bool, track: str | None, **flags: Any) -> None:
    """Build the experiment from recipe, file, flags and --set, in this order, and run it."""
    from foveate.api import train as train_and_report
    from foveate.experiment.claiming import claim
    from foveate.training.observers import Several

    experiment = build_experiment(**flags)
    main_process = os.environ.get("RANK", "0") == "0"  # of a distributed run (torchrun)
    observers = []
    if track and main_process:
        claim(experiment, folder)  # trackers write into the run folder, which must be ours by then
        observers.append(_tracker(track, folder, experiment.to_dict()))
    observer = Several([*observers, screen_observer()])
    try:
        finished = train_and_report(data, folder, experiment, quarantine=quarantine, observer=observer)
    finally:
        observer.close()
    if not main_process:
        return
    for split in ("val", "test"):
        metrics = finished.result["metrics"].get(split)
        if metrics and metrics["accuracy"] is not None:
            out.print(escape(describe(split, metrics)), soft_wrap=True)
            if metrics.get("backgrounds"):
                out.print(escape(describe_backgrounds(metrics["backgrounds"])), soft_wrap=True)
            if metrics.get("neighbours"):
                out.print(f"{split}: {escape(describe_neighbours(metrics['neighbours']))}", soft_wrap=True)
    out.print(f"Report: [bold]{escape(str(finished.folder / 'report.html'))}[/]")


def describe(split: str, metrics: dict[str, Any]) -> str:
    """One line of results."""
    low, high = metrics["accuracy_low"], metrics["accuracy_high"]
    return (
        f"{split}: accuracy {metrics['accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f}, n = {metrics['n']}), "
        f"balanced {metrics['balanced_accuracy']:.3f}, macro F1 {metrics['macro_f1']:.3f}, "
        f"majority class {metrics['chance_majority']:.3f}"
    )


def describe_backgrounds(tests: dict[str, Any]) -> str:
    """One line on the background tests (``BackgroundTable.summary``)."""
    shown = [
        f"{test} {tests[test]['accuracy']:.3f}"
        for test in ("swapped", "blurred", "grey", "noise")
        if test in tests
    ]
    return (
        f"backgrounds: {', '.join(shown)}, object removed {tests['removed']['accuracy']:.3f} "
        f"(chance {tests['chance_majority']:.3f}); unchanged {tests['original']['accuracy']:.3f} (n = {tests['n']})"
    )


def describe_neighbours(found: dict[str, Any]) -> str:
    """One line on the k nearest neighbours of the features."""
    return (
        f"the {found['k']} nearest training pictures, by the trunk's features: class right in "
        f"{found['accuracy']:.3f} (n = {found['n']})"
    )


def started_from(run: Path, weights: str, given: Collection[str]) -> str:
    """The run folder that ``--from`` names, as weights.

    Raises:
        ConfigError: ``--weights`` says something else.
        RunError: it is no finished run.
    """
    from foveate.experiment import Run

    if "weights" in given and weights != str(run):
        raise ConfigError(f"--from {run} brings its own weights; leave --weights {weights} out.")
    _ = Run.open(run).result
    return str(run)


def build_experiment(
    *, backbone: str | None, weights: str, size: int | None, augment: str, guide: str, epochs: int | None,
    batch_size: str | None, lr: str | None, split: Path | None, masks: Path | None, group: str | None, no_cache: bool,
    config: Path | dict[str, Any] | None, assignments: list[str], seed: int, device: str, given: Collection[str],
    start: Path | None = None, trunk: str = "trained",
) -> Any:  # fmt: skip
    """The experiment that the flags describe.

    Args:
        config: a file with settings, or the settings themselves.
        given: names of the flags that were typed; they win over the file, defaults do not.
        start: a finished run to start from.
        trunk: "trained", "frozen" or "faithful" (see the recipe).

    Raises:
        ConfigError: whatever does not fit, with its path.
    """
    from foveate.experiment import Experiment
    from foveate.experiment.specification import assign, merge, read_yaml
    from foveate.recipes import finetune

    if start is not None:
        weights, given = started_from(start, weights, given), {*given, "weights"}
    recipe = finetune(
        backbone=backbone, weights=weights, guide=guide, augment=augment, trunk=trunk, seed=seed
    )
    values = recipe.to_dict()
    if start is not None:
        values["evaluation"]["neighbours"] = 20
    if config:
        values = merge(values, config if isinstance(config, dict) else read_yaml(config))
        flags = recipe.to_dict()
        values |= {name: flags[name] for name in _decided_by(given)}
        values["model"] |= {name: flags["model"][name] for name in ("backbone", "weights") if name in given}
        if "augment" in given:
            values["data"]["augment"] = flags["data"]["augment"]
    values = with_flags(
        values, epochs=epochs, lr=lr, batch_size=batch_size, size=size, split=split, no_cache=no_cache, device=device
    )  # fmt: skip
    if masks is not None:
        values["data"]["layout"]["masks"] = str(masks)
    if group is not None:
        values["data"]["layout"]["group"] = group
    for assignment in assignments:
        values = assign(values, assignment)
    return Experiment.from_dict(
        values, source=str(config) if isinstance(config, Path) else "The command line"
    )


def with_flags(
    values: dict[str, Any], *, epochs: int | None, lr: str | None, batch_size: str | None, size: int | None,
    split: Path | None, no_cache: bool, device: str,
) -> dict[str, Any]:  # fmt: skip
    """The settings of an experiment with the flags that every training command takes; None leaves a setting alone.

    Raises:
        ConfigError: neither a number nor auto.
    """
    values = deepcopy(values)
    last = values["training"]["phases"][-1]
    if epochs is not None:
        last["epochs"] = epochs
    if lr is not None:
        last["lr"] = number_or_auto(lr, "--lr")
    if batch_size is not None:
        values["training"]["batch_size"] = number_or_auto(batch_size, "--batch-size")
    if size is not None:
        values["data"]["size"] = size
    if split is not None:
        values["data"]["split"]["file"] = str(split)
    values["data"]["cache"]["enabled"] &= not no_cache
    if device != "auto":
        values["training"]["device"] = device
    return values


def _decided_by(given: Collection[str]) -> list[str]:
    """Fields of an experiment that the typed flags set as a whole."""
    fields = {"seed": ["seed"], "guide": ["objective", "transforms"]}
    return [field for flag, names in fields.items() if flag in given for field in names]


def number_or_auto(text: str, flag: str) -> float | int | str:
    """ "auto" or a number."""
    if text == "auto":
        return text
    try:
        return float(text) if "." in text or "e" in text.lower() else int(text)
    except ValueError:
        raise ConfigError(f"{flag} takes a number or auto, got '{text}'.") from None


def _tracker(name: str, folder: Path, config: dict[str, Any]) -> Any:
    from foveate.training.observers import TRACKERS

    if name not in TRACKERS:
        raise ConfigError(f"There is no tracker '{name}'; choose one of {', '.join(TRACKERS)}.")
    return TRACKERS[name](folder, config)
