"""Ways of telling a network where to look; each is a part of an experiment, and they can be joined with "+"."""

from collections.abc import Callable
from typing import Any

from foveate.core.errors import ConfigError


def _spatial() -> dict[str, Any]:
    """MSE between the late feature map and the mask (Learn 2 Look), weight 1."""
    return {"objective": {"spatial": {"loss": "spatial_mse", "tap": "late"}}}


def _class_map() -> dict[str, Any]:
    """Share of the true class's Grad-CAM outside the mask, weight 0.3."""
    look = {"loss": "spatial_energy", "aggregate": "gradcam", "tap": "late", "weight": 0.3}
    return {"objective": {"look": look}}


def _backgrounds() -> dict[str, Any]:
    """Another picture's background behind the object, always."""
    return {"transforms": [{"transform": "background_swap", "p": 1.0}]}


GUIDES: dict[str, Callable[[], dict[str, Any]]] = {
    "spatial": _spatial,
    "class-map": _class_map,
    "backgrounds": _backgrounds,
}


def guidance(name: str) -> dict[str, Any]:
    """Fields of an Experiment that add this guidance to plain cross-entropy.

    Args:
        name: "none", or names of GUIDES joined with "+", for example "backgrounds+class-map".

    Raises:
        ConfigError: unknown name.
    """
    objective: dict[str, Any] = {"classification": {"loss": "cross_entropy"}}
    transforms: list[Any] = []
    for part in [] if name == "none" else name.split("+"):
        if part not in GUIDES:
            raise ConfigError(
                f"There is no guidance '{part}'; choose none, or of {', '.join(GUIDES)} one or several joined by '+'."
            )
        fields = GUIDES[part]()
        objective |= fields.get("objective", {})
        transforms += fields.get("transforms", [])
    return {"objective": objective, "transforms": transforms}
