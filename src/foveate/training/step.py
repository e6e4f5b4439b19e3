"""The one step: prepare, transforms, forward, objective, weigh. Loop, validation, finders and trials all take it."""

import copy
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.func import functional_call

from foveate.core.errors import ConfigError
from foveate.core.progress import Progress
from foveate.core.rng import numpy_generator
from foveate.data.batch import Batch
from foveate.models.networks import Network
from foveate.models.output import Output
from foveate.models.taps import edit_tap
from foveate.objectives import Objective
from foveate.objectives.objective import Weighed
from foveate.objectives.term import alone
from foveate.training.precision import Precision
from foveate.training.training_job import Job

UNDER_WAY = Progress(epoch=100_000, share=0.5, training=0.5)
"""What trials of memory and speed are told: everything that begins in a later epoch takes part."""


@dataclass(frozen=True)
class Outcome:
    """One batch after a step; nothing is differentiated yet."""

    batch: Batch
    """As the network saw it."""
    output: Output
    terms: dict[str, torch.Tensor]
    """Every term, unweighted."""
    weighed: Weighed


@dataclass(frozen=True)
class Step:
    """What every batch of a phase goes through.

    Modes of network and objective are the caller's.
    """

    job: Job
    objective: Objective
    precision: Precision
    stored: bool = False
    """Batches hold stored features of the frozen backbone: nothing is left to prepare, and the head alone is asked."""

    def train(
        self, network: Network, raw: Batch, progress: Progress, *moment: int | str, through: Any = None
    ) -> Outcome:
        """As in training: with the batch transforms, in the phase's precision.

        Args:
            raw: from a feed.
            moment: the key of what the transforms draw.
            through: the compiled network, that the pass goes through.
        """
        network.progress = progress
        # Transforms work on whole planes: the layout of the precision comes after them.
        batch = self._prepared(raw, Precision("fp32") if self.job.transforms else self.precision)
        process = self.job.accelerator.process_index
        if process:  # its pictures are its own, and so is what is drawn for them
            moment = (*moment, process)
        for number, transform in enumerate(self.job.transforms):
            rng = numpy_generator(self.job.seed, "transform", number, *moment)
            batch = transform(batch, network, rng, progress)
        if self.job.transforms:
            images = batch.images.contiguous(memory_format=self.precision.memory_format)
            batch = batch.replace(images=images)
        if batch.edits and self.job.config.compile:
            raise ConfigError(
                "A batch transform changes feature maps inside the network, which a compiled network does not notice; "
                "leave training.compile or the transform out."
            )
        with self.precision.autocast(self.job.accelerator.device):
            output = self._forward(network, self.objective.prepare(batch), through)
        return self._judged(batch, output, progress)

    def evaluate(self, network: Network, raw: Batch, progress: Progress) -> Outcome:
        """As in validation: the pictures as they are, in float32."""
        batch = self.objective.prepare(self._prepared(raw, self.precision))
        return self._judged(batch, self._forward(network, batch, None), progress)

    def apart(self) -> "Step":
        """The same step for finders and trials: what weightings measure and the gradients of the objective's
        parameters are not the run's, and every process is by itself."""
        objective = copy.deepcopy(self.objective).train()
        objective.add_by(alone)
        return replace(self, objective=objective)

    def _prepared(self, raw: Batch, precision: Precision) -> Batch:
        return raw if self.stored else self.job.prepare(raw, precision)

    def _forward(self, network: Network, batch: Batch, through: Any) -> Output:
        if self.stored:
            assert network.head is not None, "networks that store features have a head"
            return Output(network.head(batch.images))
        with ExitStack() as stack:
            for tap, edit in batch.edits.items():
                stack.enter_context(edit_tap(network.backbone, tap, batch.images, edit))
            return pass_through(self.objective, through or network, batch, plain=network)

    def _judged(self, batch: Batch, output: Output, progress: Progress) -> Outcome:
        terms = self.objective(output, batch, progress)
        return Outcome(batch, output, terms, self.objective.weigh(terms, output, progress))


def pass_through(objective: Objective, network: Any, batch: Batch, plain: Network | None = None) -> Output:
    """What ``network`` says of the batch: the feature maps that the objective wants, and ``again`` set.

    Args:
        plain: the network itself where ``network`` is compiled: ``again`` goes round that.
    """
    output: Output = network(batch.images, taps=objective.taps, differentiable=objective.needs_tap_gradient)
    asked = plain if plain is not None else network
    device = batch.images.device.type
    # The objective is computed outside of autocast; a second pass has the precision of the first.
    enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)

    def again(images: torch.Tensor) -> torch.Tensor:
        # In training mode BatchNorm takes the statistics of these pictures, as in the first pass, but its running
        # statistics are not to know of them: the pass runs on copies of all buffers.
        copies = {name: buffer.clone() for name, buffer in asked.named_buffers()}
        with torch.autocast(device, dtype, enabled=enabled):
            answer: Output = functional_call(asked, copies, (images,))
        return answer.logits

    return replace(output, again=again)
