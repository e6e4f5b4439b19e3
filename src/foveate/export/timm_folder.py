"""A run -> a folder that timm loads by itself, as Hugging Face's hub keeps its networks."""

from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import timm
import torch

from foveate.core.errors import RunError
from foveate.core.files import write_bytes, write_json
from foveate.data.square import resampling
from foveate.experiment.run import Run
from foveate.export.card import ExportCard
from foveate.export.graph import Graph, card_of, subject_for_export
from foveate.export.program import TRIED, tried
from foveate.models.heads import LinearHead


def export_timm(run: Run, folder: Path, *, limit: int = TRIED) -> ExportCard:
    """Write ``model.safetensors`` and ``config.json``: ``timm.create_model("local-dir:FOLDER", pretrained=True)``.

    Raises:
        RunError: the network is more than timm's own with one linear layer, or answers otherwise there.
    """
    subject = subject_for_export(run)
    model = subject.model
    said = model.card
    if (
        said.network["kind"] != "classifier"
        or type(model.head) is not LinearHead
        or said.absent
        or subject.tta != "none"
    ):
        raise RunError(
            f"The network of {run.folder} is not timm's own {said.architecture} with one linear layer and one view "
            "of a picture, so timm cannot build it; export it with --onnx or --torch."
        )
    default: Any = timm.models.get_pretrained_cfg(said.architecture)
    layer = default.classifier
    tensors = model.backbone.state_dict() | {
        f"{layer}.{name}": value for name, value in model.head.classifier.state_dict().items()
    }
    arguments = dict(said.architecture_kwargs)
    if default.fixed_input_size:
        arguments["img_size"] = subject.size
    config = {
        "architecture": said.architecture.partition(".")[0],
        "num_classes": said.classes,
        "num_features": said.features,
        "model_args": arguments,
        "pretrained_cfg": {
            "input_size": [3, subject.size, subject.size], "fixed_input_size": default.fixed_input_size,
            "mean": said.mean, "std": said.std, "interpolation": resampling(subject.fit), "crop_pct": 1.0,
            "crop_mode": {"crop": "center", "pad": "border"}.get(subject.fit.partition("_")[0], "squash"),
            "num_classes": said.classes, "classifier": layer, "first_conv": default.first_conv,
            "label_names": list(subject.catalog.classes),
        },
    }  # fmt: skip
    content = safetensors.torch.save({name: value.contiguous().clone() for name, value in tensors.items()})
    write_bytes(folder / "model.safetensors", content)
    write_json(folder / "config.json", config)
    made: Any = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    card = card_of(subject, Graph(subject))

    def logits(files: Any) -> np.ndarray:
        with torch.no_grad():
            given = [torch.from_numpy(card.square(file))[None].float() / 255 for file in files]
            mean, std = model.mean.view(3, 1, 1), model.std.view(3, 1, 1)
            return np.concatenate([made((one - mean) / std).numpy() for one in given])

    try:
        return tried(subject, card, logits, run.folder, limit)
    except RunError:
        for name in ("model.safetensors", "config.json"):
            (folder / name).unlink()
        raise
