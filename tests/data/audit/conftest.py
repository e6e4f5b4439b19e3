"""Small pictures drawn on disc, and catalogs of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.data.catalog import Catalog, Sample


def scene(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A picture with large and small structure that no other seed resembles. size: (W, H)."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    noise = rng.integers(-12, 13, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(coarse).astype(int) + noise, 0, 255).astype(np.uint8))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Catalog]:
    """make([(class, name, picture or None, {split, group, mask})...]) -> Catalog; None: the file exists."""

    def build(rows: list[tuple[str, str, Image.Image | None, dict[str, str]]]) -> Catalog:
        classes = tuple(sorted({row[0] for row in rows if row[0]}))
        samples = []
        for label, name, picture, fields in rows:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if picture is not None:
                picture.save(path)
            samples.append(Sample(name, classes.index(label) if label else -1, **fields))
        return Catalog(tmp_path, classes, tuple(samples))

    return build
