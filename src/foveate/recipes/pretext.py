"""A pretext run: a network learns a task that makes its own labels; another run can then start from it."""

from typing import Any

from foveate.core.errors import ConfigError
from foveate.experiment.specification import Experiment
from foveate.models.weights import brings_backbone
from foveate.pretext import TASKS
from foveate.recipes.finetune import BACKBONE

AUGMENT: list[dict[str, Any]] = [
    {"kind": "crop", "scale": [0.4, 1.0], "ratio": [0.75, 4 / 3]},
    {"kind": "hflip"},
]
"""What a question is asked about: a part of the picture, perhaps mirrored. Nothing that is itself an answer."""


def pretext(
    task: str = "rotation",
    *,
    backbone: str | None = None,
    weights: str = "none",
    augment: str | None = None,
    faithful: bool = False,
    seed: int = 0,
    **data: Any,
) -> Experiment:
    """One phase that trains everything on the questions of ``task``, one cycle of the learning rate.

    Args:
        task: a name of ``foveate.pretext.TASKS``.
        weights: what the network starts from; "none" (random) is what "without labels" means.
        augment: a preset; None takes this recipe's own, or what the task asks for.
        faithful: the published program with its faults, for the tasks that have one.

    Raises:
        ConfigError: no such task, or one without a faithful variant.
    """
    chosen = TASKS.find(task)
    if faithful and "faithful" not in chosen.Config.__pydantic_fields__:
        raise ConfigError(f"The task '{task}' has no faithful variant; leave --faithful out.")
    phase = {"name": "pretext", "epochs": 30, "lr": 1e-3, "schedule": {"kind": "one_cycle"}}
    own = AUGMENT if chosen.augment is None else chosen.augment
    steps = {"preset": augment} if augment else {"steps": list(own)}
    return Experiment.from_dict(
        {
            "data": {"augment": {**steps, "interpolation": "bicubic"}, **data},
            "model": {
                "backbone": backbone or (None if brings_backbone(weights) else BACKBONE),
                "weights": weights,
                "head": chosen.head,
            },
            "training": {"phases": [phase], "clip": 1.0},
            "evaluation": {"neighbours": 20},
            "task": {"kind": task, **({"faithful": True} if faithful else {})},
            "seed": seed,
            **({"objective": chosen.objective} if chosen.objective else {}),
        }
    )
