"""The batch-size finder applied to a job: real pictures, the job's transforms, its objective and its last phase."""

from dataclasses import replace
from functools import partial
from typing import Any

from foveate.data.batch import Batch
from foveate.models.freeze import apply_trainable, set_modes
from foveate.models.networks import Network
from foveate.training.finders import find_batch_size
from foveate.training.optimizers import build_optimizer, parameter_groups
from foveate.training.precision import Precision
from foveate.training.step import UNDER_WAY, Step
from foveate.training.training_job import Job
from foveate.training.untrainable_terms import phase_objective


def decide_batch_size(job: Job) -> Job:
    """The job with a measured batch size, recorded among its decisions."""
    phase = job.config.phases[-1]
    # Memory and speed are those of the phase that trains most; precision is settled after the batch size.
    name = job.config.precision if job.config.precision != "auto" else "fp32_channels_last"
    apply_trainable(job.model, phase.trainable)
    taken = Step(job, phase_objective(job, phase)[0], Precision(name)).apart()
    read: dict[int, Batch] = {}

    def step(network: Network, size: int) -> None:
        # Read once: starting a loader for each step would make small batches look slow.
        if size not in read:
            read.clear()
            read[size] = job.feeds.sample(size)
        apply_trainable(network, phase.trainable)
        set_modes(network, phase.trainable, phase.freeze_bn)
        network.to(memory_format=taken.precision.memory_format)  # type: ignore[call-overload]
        optimizer = build_optimizer(phase.optimizer, parameter_groups(network, 0.0, {}, None), 1e-9)
        taken.train(network, read[size], UNDER_WAY, "batch size").weighed.total.backward()
        optimizer.step()

    def decide() -> tuple[Any, str]:
        pictures = len(job.feeds.rows["train"])
        tell = partial(job.observer.progress, "trying batch sizes")
        search = job.config.batch_search
        return find_batch_size(
            step, job.model, job.accelerator.device,
            pictures=pictures, start=search.start, largest=search.largest, tell=tell,
        )  # fmt: skip

    return replace(job, batch_size=int(job.decisions.make("batch size", decide)))
