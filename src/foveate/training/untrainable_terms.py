"""Terms that cannot train anything in a phase: they are left out of it, so that features can be stored.

With the backbone frozen and in eval mode its feature maps are constants. A term that compares a mean or maximum of them
with a mask moves nothing then. What depends on the head (class maps, gradients of the pictures) or has parameters of
its own stays.
"""

import torch

from foveate.data.batch import Batch
from foveate.models.freeze import is_backbone_frozen, set_modes
from foveate.models.networks import Network
from foveate.models.output import Output
from foveate.models.taps import capture_taps
from foveate.objectives import Objective, Progress
from foveate.training.phases import PhaseConfig
from foveate.training.training_job import Job


def phase_objective(job: Job, phase: PhaseConfig) -> tuple[Objective, tuple[str, ...]]:
    """The objective without the terms that are idle in ``phase``, and their names.

    ``apply_trainable`` has been called; the network's modes are those of the phase afterwards.
    """
    set_modes(job.model, phase.trainable, phase.freeze_bn)
    idle: tuple[str, ...] = ()
    # Where more than a head follows the backbone, what learns may also stand between its stages.
    if job.model.stores_features and is_backbone_frozen(job.model):
        idle = idle_terms(job.objective, job.model)
        set_modes(job.model, phase.trainable, phase.freeze_bn)
    return job.objective.without(idle), idle


def idle_terms(objective: Objective, model: Network) -> tuple[str, ...]:
    """Names of the terms from whose value nothing that learns can be reached while feature maps are constants.

    This is asked of autograd, on two blank pictures with masks, not of the settings. Leaves everything in eval mode.
    """
    asked = {name: term for name, term in objective.terms.items() if term.taps and not term.asks_network}
    if not asked:
        return ()
    model.eval()
    objective.eval()
    device, side = next(model.parameters()).device, model.input_size
    # Half of each mask is object, and the pictures are not of one colour: no map or mask is degenerate.
    slope = torch.linspace(-1, 1, side, device=device)
    batch = Batch(
        images=slope.expand(2, 3, side, side).contiguous(),
        targets=torch.zeros(2, dtype=torch.int64, device=device),
        masks=(slope > 0).float().expand(2, 1, side, side).contiguous(),
        has_mask=torch.ones(2, dtype=torch.bool, device=device),
        index=torch.arange(2),
    )
    with torch.no_grad(), capture_taps(model.backbone, objective.taps, batch.images) as taps:
        model.features(batch.images)
    # In place of the logits something that learns: they come from the head.
    output = Output(torch.zeros(2, model.card.classes or 1, requires_grad=True, device=device), taps=taps)
    return tuple(name for name, term in asked.items() if not term(output, batch, Progress()).requires_grad)
