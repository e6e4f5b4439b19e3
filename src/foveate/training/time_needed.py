"""How long a training takes on this machine: one figure before the work, from a few timed steps."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from foveate.core.durations import about
from foveate.data.batch import Batch
from foveate.models.freeze import apply_trainable, set_modes
from foveate.models.networks import Network
from foveate.training.decisions import Decision
from foveate.training.observers import Observer
from foveate.training.phase_plan import views_of, why_not_stored
from foveate.training.phases import PhaseConfig
from foveate.training.precision import Precision, candidates, measure
from foveate.training.step import UNDER_WAY, Step
from foveate.training.training_job import Job
from foveate.training.untrainable_terms import phase_objective

Timed = Callable[[Network, Precision, Batch], None]
SECONDS = 0.5
"""A phase is timed about so long."""


def time_needed(job: Job) -> float:
    """Seconds of all phases at their full length, without what is measured afterwards; the job is left as it is."""
    # What "auto" will choose is not known yet: the faster of the two most likely.
    asked = job.config.precision
    names = (
        candidates(job.accelerator.device)[0][:2] if asked == "auto" else (Precision(asked).unscaled.name,)
    )
    train, val = (len(job.feeds.rows.get(split, ())) for split in ("train", "val"))

    def look(network: Network, precision: Precision, raw: Batch) -> None:
        network.eval()
        with torch.no_grad():
            network(job.prepare(raw, precision).images)

    looking, seconds = _rate(job, job.model, look, names), 0.0
    for phase in job.config.phases:
        model = copy.deepcopy(job.model)
        apply_trainable(model, phase.trainable)
        own = replace(job, model=model)
        own = replace(own, objective=phase_objective(own, phase)[0])
        if why_not_stored(own, phase) is None:
            seconds += (train * views_of(own, phase) + val) / looking
        else:
            seconds += phase.epochs * (train / _training_rate(own, phase, names) + val / looking)
    return seconds


def _training_rate(job: Job, phase: PhaseConfig, names: Sequence[str]) -> float:
    trial = Step(job, job.objective, Precision("fp32")).apart()

    def step(network: Network, precision: Precision, raw: Batch) -> None:
        set_modes(network, phase.trainable, phase.freeze_bn)
        taken = replace(trial, precision=precision).train(network, raw, UNDER_WAY, "time needed")
        taken.weighed.total.backward()
        network.zero_grad(set_to_none=True)

    return _rate(job, job.model, step, names)


def _rate(job: Job, model: Network, step: Timed, names: Sequence[str]) -> float:
    """Pictures/s in the fastest of these precisions."""
    device, size = job.accelerator.device, job.batch_size
    found = measure(step, job.feeds.sample, model, device, size, names, seconds=SECONDS, rounds=1)
    return max(found.rates.values())


class FirstPictures:
    """One figure of time for work on many pictures, from the first of them."""

    def __init__(self, total: int, observer: Observer) -> None:
        self.total, self.observer, self.since = total, observer, time.perf_counter()
        self.said: str | None = None

    def done(self, count: int) -> None:
        """So many of them are done, at least a batch; said once, as long as some are left."""
        if self.said is None and count < self.total:
            left = self.total - count
            self.said = f"about {about((time.perf_counter() - self.since) / count * left)}"
            reason = f"for {left} pictures more, by the time that the first {count} took on this machine"
            self.observer.decision(Decision("time needed", self.said, reason))
