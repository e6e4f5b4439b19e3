"""The Python API: the same shape as the command line."""

from pathlib import Path
from typing import Any

from foveate.data.audit import Audit, audit
from foveate.data.discover import LayoutConfig, discover
from foveate.experiment import Experiment, Run, run
from foveate.recipes import finetune
from foveate.reporting import build_report
from foveate.training import Observer

REPORT = "report.html"


def train(
    data: Path | str,
    out: Path | str,
    experiment: Experiment | None = None,
    *,
    quarantine: bool = False,
    observer: Observer | None = None,
    **settings: Any,
) -> Run:
    """Train a classifier from a folder of pictures; the run folder ``out`` holds everything afterwards.

    Args:
        data: class folders, a train/val/test tree, a CSV manifest ... (see docs/data.md).
        out: a new folder, or one whose run was stopped: then training goes on.
        experiment: a full specification; without it ``settings`` go to the recipe ``finetune`` (backbone, weights,
            guide, augment, seed, size, ...).
        quarantine: leave out pictures in which the check found errors, instead of refusing to train.

    Raises:
        FoveateError: whatever a user can mend, in one sentence.
    """
    finished = run(experiment or finetune(**settings), data, out, quarantine=quarantine, observer=observer)
    if finished.finished and not (finished.folder / REPORT).is_file():
        build_report(finished.folder)
    return finished


def report(run: Run | Path | str, out: Path | str | None = None) -> Path:
    """Write a run's report, one HTML file that needs nothing else; into the run folder unless ``out`` says where."""
    folder = run.folder if isinstance(run, Run) else Run.open(run).folder
    return build_report(folder, Path(out) if out else None)


def check(data: Path | str, layout: LayoutConfig | None = None) -> Audit:
    """What is wrong with a folder of pictures, and which trivial cues give the class away."""
    found = discover(Path(data), layout or LayoutConfig())
    return audit(found.catalog, empty_classes=found.empty_classes)
