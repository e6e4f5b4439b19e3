"""Ways of telling a network where to look; each is a part of an experiment, and they can be joined with "+"."""

from collections.abc import Callable
from typing import Any

from foveate.core.errors import ConfigError


def _spatial() -> dict[str, Any]:
    """MSE between the late feature map and the mask (Learn 2 Look), weight 1."""
    return {"objective": {"spatial": {"kind": "spatial_mse", "tap": "late"}}}


def _class_map() -> dict[str, Any]:
    """Share of the true class's Grad-CAM outside the mask, weight 0.3."""
    look = {"kind": "spatial_energy", "aggregate": "gradcam", "tap": "late", "weight": 0.3}
    return {"objective": {"look": look}}


def _dice() -> dict[str, Any]:
    """Dice between a learned projection of the late feature map and the mask, weight 1."""
    return {"objective": {"dice": {"kind": "spatial_dice", "aggregate": "projection", "tap": "late"}}}


def _right_reasons() -> dict[str, Any]:
    """Share of the input gradient outside the mask (Right for the Right Reasons, without its scale), weight 1."""
    return {"objective": {"reasons": {"kind": "right_reasons", "score": "true_class", "norm": "share"}}}


def _attention_mining() -> dict[str, Any]:
    """GAIN with its external supervision: class map like the mask, and nothing of the class left without it."""
    like_mask = {"kind": "spatial_mse", "aggregate": "gradcam", "tap": "late"}
    return {"objective": {"mining": {"kind": "attention_mining", "tap": "late"}, "look": like_mask}}


def _counterfactual() -> dict[str, Any]:
    """Once the object is painted out, the label no longer holds, weight 1."""
    return {"objective": {"counterfactual": {"kind": "counterfactual"}}}


def _attention_branch() -> dict[str, Any]:
    """A network that weighs its features with a map of its own, which is taught the mask, weight 1."""
    return {
        "model": {"network": {"kind": "attention_branch"}},
        "objective": {
            "branch": {"kind": "cross_entropy", "on": "attention"},
            "edited": {"kind": "spatial_mse", "tap": "attention", "normalise": "none"},
        },
    }


def _backgrounds_half() -> dict[str, Any]:
    """Another picture's background behind the object, in half of the pictures."""
    return {"transforms": [{"kind": "background_swap", "p": 0.5}]}


def _blurred() -> dict[str, Any]:
    """A background without content behind the object, in half of the pictures."""
    return {"transforms": [{"kind": "background_swap", "p": 0.5, "fill": "blur"}]}


def _backgrounds() -> dict[str, Any]:
    """Another picture's background behind the object, always."""
    return {"transforms": [{"kind": "background_swap", "p": 1.0}]}


GUIDES: dict[str, Callable[[], dict[str, Any]]] = {
    "spatial": _spatial,
    "class-map": _class_map,
    "dice": _dice,
    "right-reasons": _right_reasons,
    "attention-mining": _attention_mining,
    "counterfactual": _counterfactual,
    "attention-branch": _attention_branch,
    "backgrounds": _backgrounds,
    "backgrounds-half": _backgrounds_half,
    "blurred": _blurred,
}


def guidance(name: str) -> dict[str, Any]:
    """Fields of an Experiment that add this guidance to plain cross-entropy.

    Args:
        name: "none", or names of GUIDES joined with "+", for example "backgrounds+class-map".

    Raises:
        ConfigError: unknown name, or two that cannot be joined.
    """
    objective: dict[str, Any] = {"classification": {"kind": "cross_entropy"}}
    transforms: list[Any] = []
    model: dict[str, Any] = {}
    for part in [] if name == "none" else name.split("+"):
        if part not in GUIDES:
            raise ConfigError(
                f"There is no guidance '{part}'; choose none, or of {', '.join(GUIDES)} one or several joined by '+'."
            )
        fields = GUIDES[part]()
        twice = sorted(set(objective) & set(fields.get("objective", {})))
        if twice:
            raise ConfigError(
                f"The guidances of '{name}' both have a term '{twice[0]}'; leave one out, or write the objective "
                "into a configuration file."
            )
        objective |= fields.get("objective", {})
        transforms += fields.get("transforms", [])
        model |= fields.get("model", {})
    return {"objective": objective, "transforms": transforms} | ({"model": model} if model else {})
