"""Ways of telling a network where to look; each is a part of an experiment, and they can be joined with "+"."""

from dataclasses import dataclass, field
from typing import Any

from foveate.core.errors import ConfigError
from foveate.experiment.specification import merge
from foveate.studies.specification import PLACEBO


@dataclass(frozen=True)
class Guide:
    """One use of masks."""

    about: str
    objective: dict[str, Any] = field(default_factory=dict)
    """Terms beside the classification."""
    transforms: tuple[dict[str, Any], ...] = ()
    model: dict[str, Any] = field(default_factory=dict)


# A new use of masks: one entry here.
GUIDES = {
    "spatial": Guide(
        "MSE between the late feature map and the mask (Learn 2 Look), weight 1.",
        {"spatial": {"kind": "spatial_mse", "tap": "late"}},
    ),
    "class-map": Guide(
        "Share of the true class's Grad-CAM outside the mask, weight 0.3.",
        {
            "look": {
                "kind": "spatial_energy",
                "aggregate": "signed_gradcam",
                "normalise": "minmax",
                "tap": "late",
                "weight": 0.3,
            }
        },
    ),
    "dice": Guide(
        "Dice between a learned projection of the late feature map and the mask, weight 1.",
        {"dice": {"kind": "spatial_dice", "aggregate": "projection", "tap": "late"}},
    ),
    "right-reasons": Guide(
        "Share of the input gradient outside the mask (Right for the Right Reasons, without its scale), weight 1.",
        {"reasons": {"kind": "right_reasons", "score": "true_class", "norm": "share"}},
    ),
    "attention-mining": Guide(
        "GAIN with its external supervision: class map like the mask, no class left without it, weight 1 each.",
        {
            "mining": {"kind": "attention_mining", "tap": "late"},
            "look": {"kind": "spatial_mse", "aggregate": "gradcam", "tap": "late"},
        },
    ),
    "counterfactual": Guide(
        "Once the object is painted out, the label no longer holds, weight 1.",
        {"counterfactual": {"kind": "counterfactual"}},
    ),
    "attention-branch": Guide(
        "A network that weighs its features with a map of its own, which is taught the mask, weight 1.",
        {
            "branch": {"kind": "cross_entropy", "on": "attention"},
            "edited": {"kind": "spatial_mse", "tap": "attention", "normalise": "none"},
        },
        model={"network": {"kind": "attention_branch"}},
    ),
    "cut-out": Guide(
        "A network that cuts the object out, in training and in prediction, as masks teach it, weight 1.",
        {"object": {"kind": "spatial_bce", "tap": "object", "normalise": "sigmoid"}},
        model={"network": {"kind": "cut_out"}},
    ),
    "backgrounds": Guide(
        "Another picture's background behind the object, always (p 1).",
        transforms=({"kind": "background_swap", "p": 1.0},),
    ),
    "backgrounds-half": Guide(
        "Another picture's background behind the object, in half of the pictures (p 0.5).",
        transforms=({"kind": "background_swap", "p": 0.5},),
    ),
    "blurred": Guide(
        "A background without content behind the object, in half of the pictures (p 0.5).",
        transforms=({"kind": "background_swap", "p": 0.5, "fill": "blur"},),
    ),
}


def with_guides(arms: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Arms of a study in which ``guide: NAME`` stands for the settings of that guidance.

    Beside each stands its placebo, the same masks but of other pictures of about the same area; ``placebo: false``
    leaves it out.

    Raises:
        ConfigError: as ``guidance``.
    """
    found: dict[str, dict[str, Any]] = {}
    for arm, changes in arms.items():
        if "guide" not in changes:
            found[arm] = changes
            continue
        others = {name: value for name, value in changes.items() if name not in ("guide", "placebo")}
        dotted = {name: value for name, value in others.items() if "." in name}
        nested = {name: value for name, value in others.items() if "." not in name}
        found[arm] = merge(guidance(str(changes["guide"])), nested) | dotted
        if changes["guide"] != "none" and changes.get("placebo", True) and f"{arm}{PLACEBO}" not in arms:
            # By its older name where all masks are used, which recorded studies have.
            other = "data.masks.shuffled" if "data.masks.use" in dotted else "data.masks.use"
            found[f"{arm}{PLACEBO}"] = {
                **found[arm],
                other: True if other.endswith("shuffled") else "shuffled",
            }
    return found


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
        twice = sorted(set(objective) & set(GUIDES[part].objective))
        if twice:
            raise ConfigError(
                f"The guidances of '{name}' both have a term '{twice[0]}'; leave one out, or write the objective "
                "into a configuration file."
            )
        objective |= GUIDES[part].objective
        transforms += GUIDES[part].transforms
        model |= GUIDES[part].model
    return {"objective": objective, "transforms": transforms} | ({"model": model} if model else {})


def guides_of(changes: dict[str, Any]) -> list[str]:
    """The guides, by name, whose joined settings these are; none where something else is among them."""
    terms, transforms = changes.get("objective") or {}, changes.get("transforms") or []
    names = [
        name
        for name, guide in GUIDES.items()
        if all(terms.get(term) == settings for term, settings in guide.objective.items())
        and all(transform in transforms for transform in guide.transforms)
    ]
    own = guidance("+".join(names)) if names else {}
    return names if all(own.get(part) == changes.get(part) for part in ("objective", "transforms")) else []
