"""A sheet of pictures, changed by a feedback or drawn on, beside their originals: for the report and for trackers."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from foveate.core.files import write_bytes
from foveate.data.cache import Pictures

FOLDER = "changed_pictures"
"""In the run folder: one sheet for every time that a feedback shows new pictures."""
SHOWN, SIDE, GAP = 8, 160, 4


def sheet(changed: Mapping[int, torch.Tensor], pictures: Pictures) -> np.ndarray:
    """(H, W, 3) uint8: originals above, below each what is shown for it; eight, evenly spread over ``changed``."""
    rows = list(changed)
    rows = [rows[place] for place in np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).round().astype(int)]
    return beside(list(pictures.read_many(np.array(rows))[0]), [changed[row] for row in rows])


def beside(above: Sequence[torch.Tensor], below: Sequence[torch.Tensor]) -> np.ndarray:
    """(H, W, 3) uint8: pictures (3, S, S) of 0 to 255, and one below each."""
    side = min(SIDE, above[0].shape[-1])
    found = np.full((2 * side + GAP, len(above) * (side + GAP) - GAP, 3), 255, dtype=np.uint8)
    for column, pair in enumerate(zip(above, below, strict=True)):
        for line, image in enumerate(pair):
            values = image.round().to(torch.uint8).permute(1, 2, 0).numpy()
            drawn = Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC)
            y, x = line * (side + GAP), column * (side + GAP)
            found[y : y + side, x : x + side] = np.asarray(drawn)
    return found


def keep(folder: Path, name: str, epoch: int, picture: np.ndarray) -> None:
    """Write a sheet into the run folder; ``epoch`` (from 1) is the first that shows the pictures."""
    content = BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    stem = f"from epoch {epoch:04d}, {name}".replace(":", "").replace("/", "-")
    write_bytes(folder / FOLDER / f"{stem}.png", content.getvalue())
