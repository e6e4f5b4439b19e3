"""Ways of telling a network where to look; each is a part of an experiment."""

from typing import Any, Literal, get_args

from foveate.core.errors import ConfigError

Guide = Literal["none", "spatial", "class-map", "backgrounds"]


def guidance(name: Guide) -> dict[str, Any]:
    """Fields of an Experiment that add this guidance to plain cross-entropy.

    spatial: MSE between the late feature map and the mask (Learn 2 Look), weight 1.
    class-map: share of the true class's Grad-CAM outside the mask, weight 1.
    backgrounds: other pictures' backgrounds behind the object, probability 0.7.

    Raises:
        ConfigError: unknown name.
    """
    classification = {"loss": "cross_entropy"}
    if name == "none":
        return {"objective": {"classification": classification}}
    if name == "spatial":
        return {
            "objective": {"classification": classification, "spatial": {"loss": "spatial_mse", "tap": "late"}}
        }
    if name == "class-map":
        return {
            "objective": {
                "classification": classification,
                "look": {"loss": "class_map_energy", "tap": "late"},
            }
        }
    if name == "backgrounds":
        return {
            "objective": {"classification": classification},
            "transforms": [{"transform": "background_swap", "p": 0.7}],
        }
    raise ConfigError(f"There is no guidance '{name}'; choose one of {', '.join(get_args(Guide))}.")
