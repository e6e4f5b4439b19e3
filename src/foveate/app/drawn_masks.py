"""Masks that a person draws over the pictures of a run: a folder of their own that mirrors these, and the command that
learns from them."""

import shlex
from io import BytesIO
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from foveate.core.errors import DataError
from foveate.core.files import write_bytes
from foveate.data.annotations import find_mask
from foveate.data.decode import open_image, orientation, upright_size
from foveate.data.grabcut import to_picture
from foveate.data.layout_settings import AUTO, OFF
from foveate.data.listing import scan
from foveate.data.mask_matching import Lookup, stem
from foveate.data.mask_search import PROPOSALS
from foveate.experiment.consumed import consumed
from foveate.experiment.mask_proposals import check_place, mask_names
from foveate.experiment.run import Run
from foveate.experiment.specification import Experiment, merge

SIDE = 1024
"""px of the longer side of what is painted on; the mask that is kept has the picture's size."""
EARLIER = ".earlier"
"""Folder inside for masks that were drawn again; names with a dot are not read."""


class DrawnMasks:
    """The folder, and what it means for the run's pictures.

    Args:
        folder: of the masks; None: beside the data, NAME-drawn.

    Raises:
        DataError: the run's pictures are gone; masks in the folder would be taken for pictures, or it holds others.
    """

    def __init__(self, run: Run, folder: Path | None = None) -> None:
        self.run, self.catalog = run, run.catalog
        self.data = Path(run.environment["data"])
        root = self.catalog.root
        if not root.is_dir():
            raise DataError(
                f"The pictures of {run.folder} are not in {root} any more; bring them back to correct where it looks."
            )
        kind = run.experiment.data.layout.mask_kind
        if kind in ("black", "parts"):
            raise DataError(
                f"The masks of {run.folder} are read as '{kind}' ones, beside which none can be drawn."
            )
        base = self.data if self.data.is_dir() else self.data.parent
        self.folder = Path(folder or base.with_name(f"{base.name}-drawn")).absolute()
        check_place(root, self.folder, base)
        names = mask_names(self.catalog)
        self.names = [name for name, _ in names]
        self.reasons = [reason for _, reason in names]
        if (self.folder / PROPOSALS).is_file():
            raise DataError(
                f"{self.folder} holds proposed masks, before which drawn ones count; name another folder (--masks)."
            )
        others = (
            [name for name in scan(self.folder).pictures if name not in self.names]
            if self.folder.is_dir()
            else []
        )
        matched, _ = Lookup(sample.path for sample in self.catalog.samples).match(
            [(o, stem(o)) for o in others]
        )
        if matched:
            raise DataError(
                f"{self.folder / matched[0][1]} is a mask of {matched[0][0]} too, beside the one that would be drawn; "
                "name another folder (--masks)."
            )

    def file(self, row: int) -> Path:
        """Where the mask of a picture is drawn.

        Raises:
            DataError: it can have none.
        """
        if not self.names[row]:
            raise DataError(f"No mask can be drawn of {self.catalog.samples[row].path}: {self.reasons[row]}.")
        return self.folder / self.names[row]

    def drawn(self, row: int) -> bool:
        """Whether there is one."""
        return bool(self.names[row]) and (self.folder / self.names[row]).is_file()

    def reference(self, row: int) -> str:
        """The mask that a picture has by now, as ``Sample.mask``."""
        return f"png:{self.folder / self.names[row]}" if self.drawn(row) else self.catalog.samples[row].mask

    def whole(self, row: int) -> np.ndarray:
        """(height, width) bool over the upright picture.

        Raises:
            DataError: picture or mask cannot be read.
        """
        with open_image(self.catalog.file(row)) as image:
            size, turn = upright_size(image), orientation(image)
        reference = self.reference(row)
        if not reference:
            return np.zeros((size[1], size[0]), dtype=bool)
        return np.asarray(find_mask(self.catalog.root, reference, size, turn).image) > 0

    def painted(self, row: int) -> np.ndarray:
        """The same as it is painted on, (h, w) bool, at most ``SIDE`` px wide and high."""
        return _shrunk(self.whole(row))

    def save(self, row: int, painted: np.ndarray) -> Path:
        """Keep a mask as it was painted, (h, w) bool as of ``painted``; what was not touched keeps its finer outline,
        and an earlier drawn mask is moved into the folder ``EARLIER``.

        Raises:
            DataError: another shape, or the picture can have no mask.
        """
        file, before = self.file(row), self.whole(row)
        shown = _shrunk(before)
        if painted.shape != shown.shape:
            raise DataError(
                f"The mask of {self.catalog.samples[row].path} should have {shown.shape[1]} x {shown.shape[0]} "
                f"pixels, got {painted.shape[1]} x {painted.shape[0]}."
            )
        size = before.shape[1], before.shape[0]
        mask = np.asarray(to_picture(painted, size)) > 0
        if before.any():
            touched = Image.fromarray(painted != shown).resize(size, Image.Resampling.NEAREST)
            mask = np.where(np.asarray(touched), mask, before)
        values = self.run.experiment.data.layout.mask_values or (255,)
        ground = next(value for value in (0, 255, 127) if value not in values)
        if file.is_file():
            places = (self.folder / EARLIER / f"{stem(self.names[row])}.{n}.png" for n in count(1))
            write_bytes(next(place for place in places if not place.exists()), file.read_bytes())
        buffer = BytesIO()
        Image.fromarray(np.where(mask, values[0], ground).astype(np.uint8)).save(buffer, "PNG")
        write_bytes(file, buffer.getvalue())
        return file

    def command(self) -> str:
        """What is typed to train again from the run with the masks that are drawn by now, which count before all others
        that it had; as it was trained, and guided where it was not."""
        values = merge(self.run.experiment.to_dict(), {"data": {"masks": {"use": "all", "shuffled": False}}})
        experiment = Experiment.from_dict(values)
        words = ["foveate", "train", self.data, "--from", self.run.folder, "--config"]
        words += [self.run.folder / "experiment.yaml", "--masks", self.folder]
        others = [str(place) for place in experiment.data.layout.mask_sources] or [AUTO]
        for place in others:
            words += ["--masks", place] if place not in (OFF, str(self.folder)) else []
        if "masks" not in consumed(experiment):
            own = experiment.model.network.kind == "attention_branch"
            words += ["--guide", "attention-branch" if own else "backgrounds"]
        if experiment.data.masks != self.run.experiment.data.masks:
            words += ["--set", "data.masks.use=all", "--set", "data.masks.shuffled=false"]
        if all(phase.trainable == "head" for phase in experiment.training.phases):
            words += ["--freeze", "none", *(["--set", "last_layer=null"] if experiment.last_layer else [])]
        out, number = self.run.folder.with_name(f"{self.run.folder.resolve().name}-corrected"), 2
        while out.exists():
            out, number = out.with_name(f"{self.run.folder.resolve().name}-corrected-{number}"), number + 1
        return shlex.join(map(str, [*words, "--out", out]))


def _shrunk(mask: np.ndarray) -> np.ndarray:
    height, width = mask.shape
    scale = min(1.0, SIDE / max(mask.shape))
    return np.asarray(to_picture(mask, (max(1, round(width * scale)), max(1, round(height * scale))))) > 0
