"""foveate train, foveate pretext"""

import os
import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from foveate.cli.command import command
from foveate.cli.flags import LAYOUT, Typed, build_experiment
from foveate.cli.result_lines import result_lines
from foveate.cli.screen import open_run, say, watched
from foveate.core.errors import ConfigError


@command(
    "backbone", "weights", "start", "freeze", "size", "augment", "guide", "epochs", "batch_size", "lr", "split",
    *LAYOUT, "no_cache", "seed", "device", "set",
)  # fmt: skip
def train(
    data: Path, *, out: Path, typed: Typed, quarantine: bool = False, track: str | None = None,
    config: Path | None = None,
) -> None:  # fmt: skip
    """Train a classifier; killed or stopped, the same command goes on where it was.

    Args:
        out: Run folder: new, or one that was stopped (then it goes on).
        track: Also log to tensorboard or wandb (extras to install).
    """
    from foveate import api
    from foveate.experiment.ownership import claim, hold
    from foveate.recipes import finetune
    from foveate.training.observers import Several

    if "start" in typed:
        check_start(typed["start"], typed.get("weights"))
    experiment = build_experiment(finetune, typed, config)
    *before, last = experiment.training.phases
    if "epochs" in typed and before:
        first = ", ".join(f"{phase.epochs} of {phase.name}" for phase in before)
        say(f"--epochs is for the phase {last.name}; before it come at most {first}.", style="dim")
    main_process = os.environ.get("RANK", "0") == "0"  # of a distributed run (torchrun)
    with ExitStack() as held, watched() as screen:
        observer = screen
        if track and main_process:
            held.enter_context(hold(out))
            claim(experiment, out)  # trackers write into the run folder, which must be ours by then
            observer = Several([_tracker(track, out, experiment.to_dict()), screen])
            held.callback(observer.close)
        finished = api.train(data, out, experiment, quarantine=quarantine, observer=observer)
    if not main_process:
        return
    for split in ("train", "val", "test"):
        for line in result_lines(split, finished.result["metrics"].get(split) or {}):
            say(line)
    say("Report: ", finished.folder / "report.html")
    say(f"Next: foveate predict {shlex.quote(str(finished.folder))} NEW --out predictions.csv")


@command(
    "task", "backbone", "weights", "size", "augment", "faithful", "epochs", "batch_size", "lr", "split", *LAYOUT,
    "no_cache", "seed", "device", "set", needs=("task",),
)  # fmt: skip
def pretext(
    data: Path, *, out: Path, typed: Typed, quarantine: bool = False, config: Path | None = None
) -> None:
    """Train a network on a task that needs no labels; foveate train --from goes on with it.

    DATA may be class folders (classes are only used to judge the features) or one flat folder.

    Args:
        out: Run folder: new, or one that was stopped (then it goes on).
    """
    from foveate import api
    from foveate.recipes import pretext as recipe

    experiment = build_experiment(recipe, typed, config)
    with watched() as screen:
        finished = api.train(data, out, experiment, quarantine=quarantine, observer=screen)
    if not finished.finished:
        return  # a helper process of a distributed run
    for split in ("val", "test"):
        for line in result_lines(split, finished.result["metrics"].get(split) or {}):
            say(f"{experiment.task_name}, {line}")
    say("Report: ", finished.folder / "report.html")
    say(f"Next: foveate train DATA --from {finished.folder} --freeze backbone --out RUN")


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
