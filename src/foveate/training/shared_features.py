"""Features of a frozen backbone, kept in a folder that several runs share: the arms of a study compute them once."""

import hashlib
import json
import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from foveate.core.files import write_bytes
from foveate.models.networks import Network

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SharedFeatures:
    """A folder of stored features, found again by everything that decides their bits."""

    folder: Path
    pictures: str
    """What identifies the pictures as they reach the network: files, size, fit, augmentation, seed."""

    def get(
        self, model: Network, settings: dict[str, Any], compute: Callable[[], torch.Tensor]
    ) -> torch.Tensor:
        """The features (V, n, F) of these settings: what another run left, or ``compute()``, which is then left here.

        A file that is damaged is computed again, and a warning says so.

        Args:
            settings: JSON-able; split, views, batch size, precision: whatever else changes the features.
        """
        file = self.folder / f"{self._key(model, settings)}.safetensors"
        features = _load(file)
        if features is None:
            features = compute().cpu().contiguous()
            try:
                write_bytes(file, save({"features": features}, {"checksum": _checksum(features)}))
            except OSError as error:
                log.warning(
                    "The features cannot be kept in %s (%s); the next run computes them again.", file, error
                )
        return features.to(next(model.parameters()).device)

    def _key(self, model: Network, settings: dict[str, Any]) -> str:
        digest = hashlib.sha256(self.pictures.encode())
        machine = f"{torch.__version__} {torch.get_num_threads()} {next(model.parameters()).device.type}"
        digest.update(f"{json.dumps(settings, sort_keys=True)} {model.feature_mode} {machine}".encode())
        for name, value in model.backbone.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:20]


def _load(file: Path) -> torch.Tensor | None:
    """The features (V, n, F) on the CPU; None when there are none, or not those that were written."""
    if not file.is_file():
        return None
    try:
        with safe_open(file, "pt") as opened:
            features: torch.Tensor = opened.get_tensor("features")
            whole = (opened.metadata() or {}).get("checksum") == _checksum(features)
    except (OSError, SafetensorError):
        whole = False
    if not whole:
        log.warning("The features in %s are damaged or of another version; they are computed again.", file)
        return None
    return features


def _checksum(features: torch.Tensor) -> str:
    """Of the bytes, the shape and the type of a contiguous tensor."""
    number = zlib.crc32(features.reshape(-1).view(torch.uint8).numpy().data)
    return f"{number:08x} {features.dtype} {tuple(features.shape)}"
