"""Pictures that lie in arrays, as BMP files in the cache (quickly written, nothing lost): whole or absent, named by
their content."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from foveate.core.errors import refusals_in_words
from foveate.data.cache_config import CacheConfig, cache_folder


def picture_name(split: str, number: int) -> str:
    """Where a picture lies below ``unpacked``."""
    return f"{split}/{number:05d}.bmp"


@refusals_in_words()
def unpacked(arrays: Mapping[str, np.ndarray]) -> Path:
    """The folder with the pictures of {split: (N, H, W, 3) uint8}; they are written when nobody has done it before.

    Raises:
        FileError: the cache cannot be written.
    """
    digest = hashlib.sha256()
    for split, pictures in arrays.items():
        digest.update(f"{split} {pictures.shape}".encode())
        digest.update(np.ascontiguousarray(pictures).data)
    folder = Path(os.path.abspath(cache_folder(CacheConfig()))) / "unpacked" / digest.hexdigest()[:24]
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    try:
        for split, pictures in arrays.items():
            (building / split).mkdir()
            for number, pixels in enumerate(pictures):
                Image.fromarray(pixels).save(building / picture_name(split, number))
        building.chmod(0o755)
        if not folder.is_dir():  # another process may have been faster
            os.rename(building, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder
