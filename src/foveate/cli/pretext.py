"""foveate pretext"""

from rich.markup import escape

from foveate.cli.arguments import ConfigFile, Data, Quarantine, RunOut
from foveate.cli.flags import LAYOUT, Typed, build_experiment, takes
from foveate.cli.screen import guarded, out, screen_observer
from foveate.cli.train import describe, describe_neighbours


@takes(
    "task", "backbone", "weights", "size", "augment", "faithful", "epochs", "batch_size", "lr", "split", *LAYOUT,
    "no_cache", "seed", "device", "set", needs=("task",),
)  # fmt: skip
@guarded
def pretext(
    data: Data, folder: RunOut, typed: Typed, quarantine: Quarantine = False, config: ConfigFile = None
) -> None:
    """Train a network on a task that needs no labels; foveate train --from goes on with it.

    DATA may be class folders (classes are only used to judge the features) or one flat folder.
    """
    from foveate.api import train as train_and_report
    from foveate.recipes import pretext as recipe

    experiment = build_experiment(recipe, typed, config)
    observer = screen_observer()
    try:
        finished = train_and_report(data, folder, experiment, quarantine=quarantine, observer=observer)
    finally:
        observer.close()
    if not finished.finished:
        return  # a helper process of a distributed run
    for split in ("val", "test"):
        metrics = finished.result["metrics"].get(split, {})
        if metrics.get("accuracy") is not None:
            out.print(f"{escape(experiment.task_name)}, {escape(describe(split, metrics))}", soft_wrap=True)
        if metrics.get("neighbours"):
            out.print(f"{split}: {escape(describe_neighbours(metrics['neighbours']))}", soft_wrap=True)
    out.print(f"Report: [bold]{escape(str(finished.folder / 'report.html'))}[/]")
    out.print(
        f"Next: foveate train DATA --from {escape(str(finished.folder))} --freeze backbone --out RUN",
        soft_wrap=True,
    )
