"""foveate train"""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from foveate.cli.arguments import ConfigFile, Data, Quarantine, RunOut
from foveate.cli.flags import LAYOUT, Typed, build_experiment, takes
from foveate.cli.screen import guarded, open_run, out, screen_observer
from foveate.core.errors import ConfigError


@takes(
    "backbone", "weights", "start", "freeze", "size", "augment", "guide", "epochs", "batch_size", "lr", "split",
    *LAYOUT, "no_cache", "seed", "device", "set",
)  # fmt: skip
@guarded
def train(
    data: Data,
    folder: RunOut,
    typed: Typed,
    quarantine: Quarantine = False,
    track: Annotated[
        str | None, typer.Option(help="Also log to tensorboard or wandb (extras to install).")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Train a classifier; killed or stopped, the same command goes on where it was."""
    from foveate.api import train as train_and_report
    from foveate.experiment.ownership import claim, hold
    from foveate.recipes import finetune
    from foveate.training.observers import Several

    if "start" in typed:
        check_start(typed["start"], typed.get("weights"))
    experiment = build_experiment(finetune, typed, config)
    *before, last = experiment.training.phases
    if "epochs" in typed and before:
        first = ", ".join(f"{phase.epochs} of {phase.name}" for phase in before)
        out.print(
            escape(f"--epochs is for the phase {last.name}; before it come at most {first}."), style="dim"
        )
    main_process = os.environ.get("RANK", "0") == "0"  # of a distributed run (torchrun)
    with ExitStack() as held:
        observers = []
        if track and main_process:
            held.enter_context(hold(folder))
            claim(experiment, folder)  # trackers write into the run folder, which must be ours by then
            observers.append(_tracker(track, folder, experiment.to_dict()))
        observer = Several([*observers, screen_observer()])
        held.callback(observer.close)
        finished = train_and_report(data, folder, experiment, quarantine=quarantine, observer=observer)
    if not main_process:
        return
    for split in ("train", "val", "test"):
        metrics = finished.result["metrics"].get(split)
        if metrics and metrics["accuracy"] is not None:
            out.print(escape(describe(split, metrics)), soft_wrap=True)
            for line in describe_attributes(metrics):
                out.print(escape(line), soft_wrap=True)
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


def describe_attributes(metrics: dict[str, Any]) -> list[str]:
    """One line an attribute: the value, and the class with a value, that are known worst."""
    lines = []
    for name, found in metrics.get("attributes", {}).items():
        value, group = found["worst"], found["worst_group"]
        lines.append(
            f"by {name}: worst {value['value']} {value['accuracy']:.3f} (n = {value['n']}); "
            f"by class too: {group['class_id']} with {group['value']} {group['accuracy']:.3f} (n = {group['n']})"
        )
    return lines


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
        f"the {found['k']} nearest training pictures, by the backbone's features: class right in "
        f"{found['accuracy']:.3f} (n = {found['n']})"
    )


def check_start(run: Path, weights: str | None) -> None:
    """Whether a training can start from the run that ``--from`` names.

    Raises:
        ConfigError: ``--weights`` says something else.
        RunError: it is no finished run.
    """
    if weights not in (None, str(run)):
        raise ConfigError(f"--from {run} brings its own weights; leave --weights {weights} out.")
    _ = open_run(run).result


def _tracker(name: str, folder: Path, config: dict[str, Any]) -> Any:
    from foveate.training.observers import TRACKERS

    if name not in TRACKERS:
        raise ConfigError(f"There is no tracker '{name}'; choose one of {', '.join(TRACKERS)}.")
    return TRACKERS[name](folder, config)
