"""Before a study: how many trainings, how long, which gain it could show, and what it is about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from accelerate import Accelerator

from foveate.core.errors import FoveateError
from foveate.evaluation.subject import pick_device
from foveate.experiment.consumed import consumed
from foveate.experiment.execute import asked, build_job, build_model
from foveate.experiment.prepare import prepare
from foveate.studies.results import SWAPPED
from foveate.studies.specification import Cell, Study
from foveate.training import Decisions, Observer
from foveate.training.time_needed import time_needed

TIMED = 6
"""Cells of which steps are timed, at most."""
ACCURACY = 0.9
"""Assumed of the baseline, for what could be shown."""


@dataclass(frozen=True)
class Expectation:
    """Of the cells that are left."""

    trainings: int
    seconds: float | None
    """For all of them, training alone and at full length; None: no step could be timed."""
    timed: int
    """Cells of which steps were timed."""
    stops: bool
    """Training may stop early in some of them."""
    primary: str
    """The metric that the study is about."""
    detectable: str
    """A sentence; "" without test pictures."""


def expectation(
    study: Study, folders: Mapping[str, Path], cells: Sequence[Cell], trainings: Sequence[Cell], jobs: int,
    threads: int, quarantine: bool, out: Path,
) -> Expectation:  # fmt: skip
    """Times a few steps of some of the trainings, in this process.

    Args:
        cells: of the whole study.
        trainings: those that are left; of one that was stopped only its other epochs count.
        out: the study's folder.
    """
    left = sum(_left(cell, out / "cells" / cell.key) for cell in trainings)
    kinds = list({(cell.place, cell.block, cell.arm): cell for cell in trainings}.values())
    chosen = [kinds[i] for i in np.linspace(0, len(kinds) - 1, min(TIMED, len(kinds))).round().astype(int)]
    seconds, tested, masks = [], 0, False
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for cell in chosen:
            try:
                took, tested, masks = _timed(cell, folders[cell.place], quarantine)
            except FoveateError:
                continue  # told when that cell is tried
            seconds.append(took)
    finally:
        torch.set_num_threads(before)
    own = "test.accuracy" if tested else "val.accuracy"
    guided = masks and any("masks" in consumed(cell.experiment) for cell in cells[: len(study.arm_changes())])
    pairs = len({cell.pair for cell in cells})
    # As the analysis will count them: a primary arm is tested alone.
    arms = 1 if study.leading_arm else max(1, len(study.arm_changes()) - 1)
    return Expectation(
        len(trainings), fmean(seconds) * left / max(1, jobs) if seconds else None, len(seconds),
        any(phase.early_stopping or phase.until for cell in trainings for phase in cell.experiment.training.phases),
        study.primary or (SWAPPED if guided else own), _shown(study, tested, pairs, arms) if tested > 1 else "",
    )  # fmt: skip


def _left(cell: Cell, run: Path) -> float:
    """The share of its epochs that is not trained yet."""
    most = sum(phase.epochs for phase in cell.experiment.training.phases)
    history = run / "history.csv"
    begun = (run / "checkpoint").is_dir() and history.is_file()
    return max(0, most - history.read_bytes().count(b"\n") + 1) / most if begun else 1


def _shown(study: Study, tested: int, pairs: int, arms: int) -> str:
    from foveate.studies.power import plan, reading  # scipy.stats and statsmodels load only when asked

    made = plan(tested, pairs, ACCURACY, arms=arms)
    said = reading(made)
    baseline = "without a guide" if study.baseline_arm == "none" else f"with '{study.baseline_arm}'"
    return (
        f"Assuming that {100 * ACCURACY:.0f} % are right {baseline}: {said[:1].lower()}{said[1:]}"
        + " Where fewer are right, as on swapped backgrounds, there is more to gain."
        * (made.designs[-1].detectable is None)
    )


def _timed(cell: Cell, data: Path, quarantine: bool) -> tuple[float, int, bool]:
    """Seconds of training, test pictures, and whether any picture has a mask."""
    experiment = cell.experiment
    if experiment.first() is not None:
        raise FoveateError("It starts from a run that is not there yet.")
    if experiment.training.batch_size == "auto":
        training = experiment.training.model_copy(update={"batch_size": 32})
        experiment = experiment.model_copy(update={"training": training})
    accelerator = Accelerator(cpu=pick_device(experiment.training.device).type == "cpu")
    labels = experiment.task is None
    known = prepare(data, experiment.data, quarantine=quarantine, observer=Observer(), labels=labels).catalog
    catalog = asked(experiment, known)
    model, size, _ = build_model(experiment, None, catalog, accelerator)
    job = build_job(experiment, catalog, model, size, accelerator, None, Observer(), Decisions(), None)
    return time_needed(job), len(catalog.indices("test")), known.has_masks
