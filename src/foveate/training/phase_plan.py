"""What a phase needs before its first step: feeds, the pass it computes, precision, learning rate.

Every automatic choice is recorded with its reason, and a resumed run takes the recorded one.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from foveate.data.batch import Batch
from foveate.models.folded import folded
from foveate.models.freeze import is_backbone_frozen, set_modes
from foveate.models.in_parts import in_parts
from foveate.models.networks import Network
from foveate.objectives import Objective, Progress
from foveate.training.finders import find_learning_rate
from foveate.training.loaders import FEATURE_LIMIT, Feed
from foveate.training.optimizers import build_optimizer, parameter_groups
from foveate.training.phases import PhaseConfig
from foveate.training.precision import Precision, candidates, choose, machine, measure, remembered
from foveate.training.step import UNDER_WAY, Step
from foveate.training.training_job import Job
from foveate.training.untrainable_terms import phase_objective

SPLITS = {"train": "training", "val": "validation"}


@dataclass(frozen=True)
class PhasePlan:
    """How one phase runs."""

    train: Feed
    validation: Feed | None
    lr: float
    step: Step
    """With the terms that can train something in this phase."""
    compiled: Any = None
    """The compiled network, where it is."""


def plan_phase(job: Job, phase: PhaseConfig) -> PhasePlan:
    """Decide what ``phase`` needs; ``apply_trainable`` has been called."""
    objective, idle = phase_objective(job, phase)
    if idle:
        job.decisions.note(
            f"objective: {phase.name}",
            f"without {', '.join(idle)}",
            "the backbone is frozen and in eval mode: its feature maps are constants, nothing can learn from them",
        )
    job = replace(job, objective=objective)
    reason = why_not_stored(job, phase)
    job.decisions.note(
        f"features: {phase.name}",
        "stored" if reason is None else "recomputed",
        reason or "the backbone is frozen and in eval mode, so it runs once for each picture and view",
    )
    return _stored_plan(job, phase) if reason is None else _full_plan(job, phase)


def phase_groups(
    phase: PhaseConfig, model: torch.nn.Module, objective: Objective | None = None
) -> list[dict[str, Any]]:
    """The parameter groups of ``phase``; see ``parameter_groups``."""
    return parameter_groups(
        model, phase.optimizer.weight_decay, dict(phase.lr_factors), phase.layer_decay, objective
    )


def why_not_stored(job: Job, phase: PhaseConfig) -> str | None:
    """Why features cannot be computed once; None when they can."""
    if not job.model.stores_features:
        return f"the network '{job.model.card.network['kind']}' does more with a picture than to ask a head about it"
    if phase.trainable == "head" and phase.freeze_bn is False:
        return "freeze_bn is off, so the frozen backbone still changes"
    if not is_backbone_frozen(job.model):
        return "the backbone is trained in this phase"
    if job.feeds.asker is not None:
        return "the pretext task changes the pictures at every step"
    if any(feedback.changes_pictures for feedback in job.feedbacks):
        return "a feedback may show other pictures"
    if any(feedback.restarts for feedback in job.feedbacks) and any(
        other.trainable != "head" or other.freeze_bn is False for other in job.config.phases
    ):
        return "a feedback may put the backbone back to its first weights"
    if job.transforms:
        return "batch transforms change the pictures at every step"
    if job.objective.taps:
        return "the objective looks at feature maps"
    if job.objective.needs_input_gradient:
        return "the objective looks at gradients of the pictures"
    if job.objective.asks_again:
        return "the objective asks the network about changed pictures"
    rows = len(job.feeds.rows["train"]) + len(job.feeds.rows.get("val", ()))
    if rows * views_of(job, phase) * job.model.num_features * 4 > FEATURE_LIMIT:
        return f"the features would take more than {FEATURE_LIMIT >> 20} MiB"
    return None


def views_of(job: Job, phase: PhaseConfig) -> int:
    if phase.views != "auto":
        return phase.views
    return min(8, phase.epochs) if job.feeds.train_transform.random else 1


def _stored_plan(job: Job, phase: PhaseConfig) -> PhasePlan:
    views = views_of(job, phase)
    if phase.views == "auto":
        why = "augmented views to draw from" if job.feeds.train_transform.random else "no random augmentation"
        job.decisions.note(f"views: {phase.name}", views, why)
    # Features are what later epochs see again and again: full precision, in the fastest layout.
    precision = Precision("fp32_channels_last")
    model = job.model.to(memory_format=precision.memory_format)  # type: ignore[call-overload]
    model.eval()
    extractor = folded(model, model.input_size)

    def extract(batch: Batch) -> torch.Tensor:
        return in_parts(extractor.features, job.prepare(batch, precision).images).float()

    def stored(split: str, views: int) -> Feed:
        settings = {"split": split, "views": views, "batch": job.batch_size, "precision": precision.name}
        tell = partial(job.observer.progress, f"features of the {SPLITS[split]} pictures")
        if job.shared is None:
            return job.feeds.stored(split, views, job.batch_size, extract, tell=tell)
        keep = partial(job.shared.get, model, settings)
        return job.feeds.stored(split, views, job.batch_size, extract, keep, tell)

    train = stored("train", views)
    validation = stored("val", 0) if job.feeds.validated else None

    step = Step(job, job.objective, Precision("fp32"), stored=True)
    return PhasePlan(train, validation, _learning_rate(phase, train, step), step)


def _full_plan(job: Job, phase: PhaseConfig) -> PhasePlan:
    views = None if phase.views == "auto" else phase.views
    train = job.feeds.train(job.batch_size, views)
    validation = (
        job.feeds.evaluation("val", job.batch_size) if job.feeds.validated else None
    )  # fmt: skip

    step = Step(job, job.objective, Precision(_precision(job, phase)))
    compiled = torch.compile(job.model) if job.config.compile else None
    return PhasePlan(train, validation, _learning_rate(phase, train, step), step, compiled)


def _precision(job: Job, phase: PhaseConfig) -> str:
    if job.config.precision != "auto":
        return job.config.precision
    device, side = job.accelerator.device, job.model.input_size
    key = (
        f"{job.model.card.architecture} {job.model.card.network} {phase.trainable} batch {job.batch_size} {side} taps "
        f"{len(job.objective.taps)}; {machine(device)}"
    )
    trial = Step(job, job.objective, Precision("fp32")).apart()

    def step(network: Network, precision: Precision, raw: Batch) -> None:
        set_modes(network, phase.trainable, phase.freeze_bn)
        taken = replace(trial, precision=precision).train(network, raw, UNDER_WAY, "precision")
        taken.weighed.total.backward()
        network.zero_grad(set_to_none=True)

    def decide() -> tuple[str, str, bool]:
        names, why = candidates(device)
        tell = partial(job.observer.progress, "trying precisions")
        found = measure(step, job.feeds.sample, job.model, device, job.batch_size, names, tell)
        tell(1, 1)
        value, reason = choose(found.rates)
        return value, "; ".join(part for part in (reason, why) if part), found.complete

    return str(job.decisions.make(f"precision: {phase.name}", lambda: remembered(job.memory, key, decide)))


def _learning_rate(phase: PhaseConfig, train: Feed, step: Step) -> float:
    if phase.lr != "auto":
        return phase.lr
    job = step.job

    def decide() -> tuple[float, str]:
        trial = replace(step.apart(), precision=step.precision.unscaled)

        def optimizer_for(network: Network, lr: float) -> torch.optim.Optimizer:
            return build_optimizer(phase.optimizer, phase_groups(phase, network, trial.objective), lr)

        def loss(network: Network, raw: Batch, number: int) -> torch.Tensor:
            set_modes(network, phase.trainable, phase.freeze_bn)
            total = trial.train(network, raw, Progress(), "finder", number).weighed.total
            # Weightings measure the first batch; from then on one set of weights makes the losses comparable.
            trial.objective.eval()
            return total

        tell = partial(job.observer.progress, "trying learning rates")
        found = find_learning_rate(job.model, train, loss, optimizer_for, seed=job.seed, tell=tell)
        return found.suggestion, found.reason

    return float(job.decisions.make(f"learning rate: {phase.name}", decide))
