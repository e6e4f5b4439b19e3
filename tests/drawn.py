"""Pictures that tests draw."""

from pathlib import Path

import numpy as np
from PIL import Image


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
