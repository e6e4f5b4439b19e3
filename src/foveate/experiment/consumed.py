"""What an experiment consumes beside pictures and their classes, derived from its settings alone."""

from collections.abc import Iterator, Mapping
from typing import Any

from foveate.core.config import Config
from foveate.experiment.specification import Experiment

KINDS = ("masks", "attribute labels", "validation labels")


def consumed(experiment: Experiment) -> tuple[str, ...]:
    """Those of ``KINDS`` that training and the last layer look at; what is measured afterwards does not count.

    Every settings class says it of itself (``Config.consumes``). Terms of weight 0 train nothing.
    """
    parts = (experiment.objective, experiment.transforms, experiment.feedback, experiment.training)
    found = set(_used((*parts, experiment.last_layer)))
    if experiment.data.masks.use == "none":
        found.discard("masks")
    if experiment.task is not None:  # what is validated are its own questions
        found.discard("validation labels")
    return tuple(kind for kind in KINDS if kind in found)


def needs_own_masks(experiment: Experiment) -> bool:
    """Whether training learns from the masks that pictures have; other ``data.masks.use`` say themselves what lacks."""
    return "masks" in consumed(experiment) and experiment.data.masks.use == "all"


def _used(value: Any) -> Iterator[str]:
    if isinstance(value, Config):
        if getattr(value, "weight", 1):
            yield from value.consumes()
            yield from _used([getattr(value, name) for name in type(value).__pydantic_fields__])
    elif isinstance(value, Mapping):
        yield from _used(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _used(item)
