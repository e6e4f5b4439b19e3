"""foveate pretext"""

from pathlib import Path
from typing import Any

from rich.markup import escape

from foveate.cli.screen import guarded, out, screen_observer
from foveate.cli.train import describe, describe_neighbours, with_flags


@guarded
def pretext(data: Path, folder: Path, *, quarantine: bool, **flags: Any) -> None:
    """Build the experiment from recipe, file, flags and --set, in this order, and run it."""
    from foveate.api import train as train_and_report

    experiment = build_pretext(**flags)
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
        f"Next: foveate train DATA --from {escape(str(finished.folder))} --trunk frozen --out RUN",
        soft_wrap=True,
    )


def build_pretext(
    *, task: str, backbone: str | None, weights: str, size: int | None, augment: str | None, faithful: bool,
    epochs: int | None, batch_size: str | None, lr: str | None, split: Path | None, no_cache: bool,
    config: Path | None, assignments: list[str], seed: int, device: str,
) -> Any:  # fmt: skip
    """The experiment that the flags describe.

    Raises:
        ConfigError: whatever does not fit, with its path.
    """
    from foveate.experiment import Experiment
    from foveate.experiment.specification import assign, merge, read_yaml
    from foveate.recipes import pretext

    recipe = pretext(task, backbone=backbone, weights=weights, augment=augment, faithful=faithful, seed=seed)
    values = recipe.to_dict()
    if config:
        values = merge(values, read_yaml(config))
    values = with_flags(
        values, epochs=epochs, lr=lr, batch_size=batch_size, size=size, split=split, no_cache=no_cache, device=device
    )  # fmt: skip
    for assignment in assignments:
        values = assign(values, assignment)
    return Experiment.from_dict(values, source=str(config) if config else "The command line")
