"""The pictures that are timed: a folder of the user's, or JPEGs drawn for the purpose."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from foveate.core.errors import DataError
from foveate.data.catalog import Catalog, Sample
from foveate.data.synthetic import SyntheticConfig, draw_planned, plan

WIDTH, HEIGHT, SIDE = 500, 375, 640
CUTS = 4
"""Cut out of each drawn picture, at different places: drawing is the slow part."""


@dataclass(frozen=True)
class Photos:
    """Class folders of pictures."""

    root: Path
    files: tuple[tuple[Path, int], ...]
    """(file, label)."""
    classes: tuple[str, ...]
    source: str
    """For the table: where they come from, number and usual size."""

    def catalog(self, count: int) -> Catalog:
        """``count`` training pictures for Foveate; a smaller folder is taken whole."""
        samples = tuple(
            Sample(path.relative_to(self.root).as_posix(), label, "train") for path, label in self.some(count)
        )
        return Catalog(self.root, self.classes, samples)

    def some(self, count: int) -> tuple[tuple[Path, int], ...]:
        """The same ``count`` pictures for anything else, taken evenly from all classes."""
        if count >= len(self.files):
            return self.files
        return tuple(self.files[i] for i in np.linspace(0, len(self.files) - 1, count).astype(int))


def open_photos(folder: Path) -> Photos:
    """A folder of class folders, read as torchvision's ImageFolder reads it.

    Raises:
        DataError: there are no class folders with pictures.
    """
    from foveate.core import torchvision_guard  # noqa: F401  (before torchvision)

    from torchvision.datasets import ImageFolder  # isort: skip

    try:
        found = ImageFolder(str(folder))
    except FileNotFoundError as error:
        raise DataError(f"{folder} is no folder of class folders with pictures: {error}") from None
    files = tuple((Path(path), label) for path, label in found.samples)
    return Photos(folder, files, tuple(found.classes), f"{len(files)} photos of {_usual_size(files)} px")


def draw_photos(folder: Path, count: int = 512) -> Photos:
    """``count`` JPEGs of 500 x 375 px from the embedded data set's painter; kept in ``folder``."""
    config = SyntheticConfig(classes=4, train=-(-count // (4 * CUTS)), val=0, test=0, size=SIDE)
    items = plan(config)
    if len(list(folder.glob("*/*.jpg"))) < CUTS * len(items):
        for path, picture in zip(items, draw_planned(config, items), strict=True):
            _, species, number = Path(path).with_suffix("").parts
            rng = np.random.default_rng(int(number))
            (folder / species).mkdir(parents=True, exist_ok=True)
            for cut in range(CUTS):
                top, left = int(rng.integers(SIDE - HEIGHT)), int(rng.integers(SIDE - WIDTH))
                part = picture.image[top : top + HEIGHT, left : left + WIDTH]
                Image.fromarray(part).save(folder / species / f"{number}{cut}.jpg", quality=90)
    drawn = open_photos(folder)
    return Photos(
        drawn.root, drawn.files, drawn.classes, f"{len(drawn.files)} drawn JPEGs of {WIDTH}x{HEIGHT} px"
    )


def _usual_size(files: tuple[tuple[Path, int], ...]) -> str:
    sides = []
    for path, _ in files[:: max(1, len(files) // 50)]:
        with Image.open(path) as image:
            sides.append(image.size)
    width, height = np.median(np.array([(max(s), min(s)) for s in sides]), axis=0).astype(int)
    return f"{width}x{height}"
