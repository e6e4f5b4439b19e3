"""Small pictures drawn on the spot, a cache folder of their own for every test session, one torch thread."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing a user has cached is read or written."""
    before = os.environ.get("FOVEATE_CACHE")
    os.environ["FOVEATE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["FOVEATE_CACHE"]
    else:
        os.environ["FOVEATE_CACHE"] = before


def draw_tree(root: Path, classes: int = 3, each: int = 16, size: int = 32, seed: int = 0) -> Path:
    """``root/images/<class>/<n>.png`` with a bright square whose colour is the class, and masks of it beside."""
    rng = np.random.default_rng(seed)
    colours = np.array([[220, 40, 40], [40, 220, 40], [40, 40, 220], [220, 220, 40]])
    for label in range(classes):
        for n in range(each):
            picture = rng.integers(60, 160, size=(size, size, 3), dtype=np.uint8)
            mask = np.zeros((size, size), dtype=np.uint8)
            y, x = rng.integers(2, size // 2, size=2)
            mask[y : y + size // 3, x : x + size // 3] = 255
            picture[mask > 0] = colours[label] + rng.integers(-25, 25, size=3)
            for folder, array in (("images", picture), ("masks", mask)):
                file = root / folder / f"class{label}" / f"{n:03d}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(file)
    return root


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 pictures of 3 classes with masks."""
    return draw_tree(tmp_path_factory.mktemp("tree"))
