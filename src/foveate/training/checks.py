"""What can be said about all phases before the first: said at once, not hours later."""

import copy

import torch

from foveate.core.errors import ConfigError
from foveate.models.freeze import apply_trainable, set_modes
from foveate.models.networks import Network
from foveate.training.phase_plan import phase_groups
from foveate.training.phases import PhaseConfig
from foveate.training.training_job import Job, TrainingConfig
from foveate.training.untrainable_terms import phase_objective


def check_phases(job: Job) -> None:
    """Everything a phase names exists, and every phase has something to learn.

    Raises:
        ConfigError: what is wrong, in which phase.
    """
    if not any(getattr(transform, "makes_views", False) for transform in job.transforms):
        for name, term in job.objective.terms.items():
            if term.needs_views and term.config.weight:
                raise ConfigError(
                    f"The term '{name}' of the objective compares several views of each picture, and nothing makes "
                    "them; add the transform augmix, or leave the term out."
                )
    for phase in job.config.phases:
        _check(job, phase)
    for feedback in job.feedbacks:
        feedback.check(sum(phase.epochs for phase in job.config.phases))
        if feedback.changes_pictures and job.feeds.train_transform.part:
            raise ConfigError(
                "A feedback that shows other pictures needs a network that sees all of a picture; leave the side out "
                "of data.fit (squash instead of squash@550), or the feedback."
            )
    totals = {"train_loss", "val_loss"}
    if job.objective.moves and any(totals & set(phase.watched()) for phase in job.config.phases):
        job.observer.message(
            "Weights of the objective change over time, so the losses of different epochs are different sums: an "
            "accuracy, or a single term (val_<term>), is safer to watch."
        )


def check_batches(model: Network, config: TrainingConfig, pictures: int, copies: int = 1) -> None:
    """Whether every phase can learn from the smallest batch that there will be.

    Args:
        pictures: training pictures of this process.
        copies: times that each of them is in a batch (questions of a pretext task).

    Raises:
        ConfigError: a batch norm would see one value a channel.
    """
    batch = config.batch_size if config.batch_size != "auto" else pictures
    # A rest of one picture joins the batch before it (Loader), so no other batch is as small.
    if min(max(1, batch // copies), pictures) * copies > 1:
        return
    side, device = model.input_size, next(model.parameters()).device
    for phase in config.phases:
        apply_trainable(model, phase.trainable)
        tried = copy.deepcopy(model)
        set_modes(tried, phase.trainable, phase.freeze_bn)
        try:
            with torch.no_grad():
                # The backbone alone where more follows: what that makes of a blank picture says nothing.
                (tried if tried.stores_features else tried.features)(
                    torch.zeros(1, 3, side, side, device=device)
                )
        except ValueError as error:
            if "more than 1 value" not in str(error):
                raise
            cure = (
                "set training.batch_size to 2 or more" if pictures > 1 else "one training picture is too few"
            )
            raise ConfigError(
                f"A batch holds one picture, and in phase '{phase.name}' a batch norm of {model.card.architecture} at "
                f"{side} px would see one value a channel, from which it cannot learn: {cure}."
            ) from error


def _check(job: Job, phase: PhaseConfig) -> None:
    apply_trainable(job.model, phase.trainable)
    phase_groups(phase, job.model, job.objective)
    objective, idle = phase_objective(job, phase)
    if not objective.trains:
        without = f" ({', '.join(idle)} cannot train anything on a frozen backbone)" if idle else ""
        raise ConfigError(
            f"In phase '{phase.name}' no term of the objective has a weight{without}, so nothing is learned."
        )
    validated = job.feeds.validated
    sides = ("train_", "val_") if validated else ("train_",)
    labelled = job.feeds.labelled
    columns = ("loss", "accuracy", *objective.names) if labelled else ("loss", *objective.names)
    absent = [name for name in objective.names if not objective.always(name)]
    known = [side + name for side in sides for name in columns if name not in absent]
    known += ["val_balanced_accuracy", "val_macro_f1"] if validated and labelled else []
    if validated and labelled:
        known += [f"val_worst_{name}_accuracy" for name in job.feeds.attributes_of("val")]
    for metric in phase.watched():
        if metric not in known:
            hint = "" if validated else " (there are no validation pictures)"
            if metric.split("_", 1)[-1] in idle:
                hint = " (that term cannot train anything on a frozen backbone and is left out of this phase)"
            raise ConfigError(
                f"Phase '{phase.name}' watches '{metric}'{hint}; choose one of {sorted(known)}."
            )
