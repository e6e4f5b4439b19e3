"""The default way: a pretrained network, head first, then everything; or the same network from scratch."""

from pathlib import Path
from typing import Any

from foveate.core.errors import ConfigError
from foveate.experiment.specification import Experiment
from foveate.models.weights import brings_backbone
from foveate.studies.guides import guidance

BACKBONE = "mobilenetv3_small_100"
"""Runs everywhere; name another one with ``backbone``."""
FREEZE = ("none", "backbone", "weights", "probe")
"""What stays as it is."""


def finetune(
    *,
    backbone: str | None = None,
    weights: str = "pretrained",
    start: Path | str | None = None,
    guide: str = "none",
    augment: str | None = None,
    freeze: str = "none",
    seed: int = 0,
    **data: Any,
) -> Experiment:
    """Fine-tuning in two phases, or one phase from scratch with ``weights="none"``.

    Phase "head" trains the head on stored features of the frozen backbone; phase "all" trains everything, the backbone
    at 0.3 of the head's rate, once up and down. The epoch with the lowest validation loss of both phases is kept.
    The numbers were chosen on the validation pictures of three small sets (dermoscopy, blood cells, birds).
    Pictures are turned and scaled bicubically, or all that is learnt from would be blurred (results/plants.md).

    Args:
        start: instead of ``weights`` a finished run (see pretext), whose features are judged by their neighbours too.
            Its head is kept where it was trained for the same classes.
        augment: None: "standard", and with ``freeze="probe"`` "none".
        freeze: "none"; "backbone" trains the head alone; "weights" does so too, but the BatchNorm statistics of the
            frozen backbone keep moving, as in the 15-Scene report; "probe" fits the head by ridge regression on the
            frozen backbone's features of the pictures as they are, its strength chosen on validation pictures.

    Raises:
        ConfigError: another ``freeze``, or a setting that does not fit.
    """
    if freeze not in FREEZE:
        raise ConfigError(f"--freeze takes {', '.join(FREEZE)}, got '{freeze}'.")
    probe = freeze == "probe"
    if probe and (guide != "none" or augment not in (None, "none")):
        raise ConfigError(
            "--freeze probe trains nothing: the head is fitted on the pictures as they are, so there is nothing to "
            "guide or to augment for. Leave --guide and --augment out, or take --freeze backbone."
        )
    weights = weights if start is None else str(start)
    guide_fields = guidance(guide)
    phases: list[dict[str, Any]] = [
        {"name": "head", "epochs": 40, "trainable": "head", "lr": 2e-3, "schedule": {"kind": "cosine"}},
        {
            "name": "all",
            "epochs": 20,
            # Batch statistics of a few look-alike pictures are worse than the pretrained ones.
            "freeze_bn": "all",
            "lr": 1e-3,
            "lr_factors": {"backbone": 0.3},
            "schedule": {"kind": "one_cycle"},
            "early_stopping": {"patience": 8},
        },
    ]
    if probe:  # a run has an epoch; what it leaves in the head is replaced
        phases = [{"name": "head", "epochs": 1, "trainable": "head", "restore_best": None}]
    elif freeze != "none":
        phases = [{**phases[0], "epochs": 50, "freeze_bn": freeze == "backbone"}]
    elif weights == "none":
        phases = [{"name": "scratch", "epochs": 40, "lr": 2e-3, "schedule": {"kind": "one_cycle"}}]
    return Experiment.from_dict(
        {
            "data": {
                "augment": {
                    "preset": augment or ("none" if probe else "standard"),
                    "interpolation": "bicubic",
                },
                **data,
            },
            "model": {
                "backbone": backbone or (None if brings_backbone(weights) else BACKBONE),
                "weights": weights,
                "keep_head": start is not None,
                **guide_fields.pop("model", {}),
            },
            "training": {"phases": phases, "clip": 1.0},
            "evaluation": {"neighbours": None if freeze == "none" and start is None else 20},
            "last_layer": {"kind": "ridge"} if probe else None,
            "seed": seed,
            **guide_fields,
        }
    )
