"""Features of a frozen backbone, kept in a folder that several runs share: the arms of a study compute them once."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from foveate.models.classifier import Classifier


@dataclass(frozen=True)
class SharedFeatures:
    """A folder of stored features, found again by everything that decides their bits."""

    folder: Path
    pictures: str
    """What identifies the pictures as they reach the network: files, size, fit, augmentation, seed."""

    def get(
        self, model: Classifier, settings: dict[str, Any], compute: Callable[[], torch.Tensor]
    ) -> torch.Tensor:
        """The features (V, n, F) of these settings: what another run left, or ``compute()``, which is then left here.

        Args:
            settings: JSON-able; split, views, batch size, precision: whatever else changes the features.
        """
        file = self.folder / f"{self._key(model, settings)}.safetensors"
        device = next(model.parameters()).device
        if file.is_file():
            return load_file(file, device=str(device))["features"]
        features = compute()
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        save_file({"features": features.cpu().contiguous()}, temporary)
        os.replace(temporary, file)
        return features

    def _key(self, model: Classifier, settings: dict[str, Any]) -> str:
        digest = hashlib.sha256(self.pictures.encode())
        machine = f"{torch.__version__} {torch.get_num_threads()} {next(model.parameters()).device.type}"
        digest.update(f"{json.dumps(settings, sort_keys=True)} {model.feature_mode} {machine}".encode())
        for name, value in model.backbone.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:20]
