"""Which masks training sees: all, some, none, other pictures', boxes, proposed or learned ones. Measuring takes the
true ones.

How many masks are needed, and whether it matters where they lie, is asked by changing the masks of training pictures
alone: validation and test pictures, and so the look scores and the background tests, keep theirs.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field

from foveate.core.config import Config, Mark
from foveate.core.errors import ConfigError
from foveate.core.rng import numpy_generator
from foveate.data.cache import Item, Pictures
from foveate.data.catalog import UNLABELLED, Catalog
from foveate.data.listing import scan
from foveate.data.mask_search import find_masks

SIZE_CLASSES = 4
"""Classes of equally many masks by area, within which ``shuffled`` exchanges them."""
CHUNK = 64

HOW = {
    "all": "as they are",
    "none": "the masks are left alone",
    "shuffled": "each is the mask of another picture, of about the same area",
    "boxes": "the box around each mask",
    "random_boxes": "a box as large as that around each mask, somewhere else",
    "whole": "the whole picture in place of each mask",
}


class PerClass(Config):
    """So many of every class."""

    per_class: int = Field(ge=1, le=1_000_000, strict=True)


class ProposedMasks(Config):
    """Masks that ``foveate masks propose`` made, or anybody else."""

    proposed: Path
    """Their folder, relative to the data folder."""


class LearnedMasks(Config):
    """Masks of a few pictures, and for all others what a network learns from these."""

    learned: int = Field(ge=1, le=1_000_000_000, strict=True)
    """Pictures whose masks are used; at least 5 can teach anything."""


class MasksConfig(Config):
    """Which masks training sees."""

    use: (
        Literal["all", "none", "shuffled", "boxes", "random_boxes", "whole"]
        | Annotated[int, Field(ge=1, le=1_000_000_000, strict=True)]
        | PerClass
        | ProposedMasks
        | LearnedMasks
    ) = "all"
    """all; none; a number: of so many pictures, drawn by the seed, in proportion to the classes; {per_class: 5}: of
    five pictures a class (all where there are fewer); boxes: the box around each mask; {proposed: FOLDER}: those of a
    folder; {learned: 10}: those of ten pictures, from which the run's backbone, as it is before training, learns the
    masks of all other training pictures (as ``foveate masks propose --from-masks``). Controls: shuffled: another
    picture's mask of about the same area; random_boxes: a box as large as that around the mask, at a random place;
    whole: the whole picture."""
    shuffled: Annotated[bool, Mark.LATER] = False
    """The same control for any ``use``: the masks that are used are exchanged among their pictures."""


def require_masks(catalog: Catalog, rows: Sequence[int] | np.ndarray) -> None:
    """Whether there is a mask to train with.

    Args:
        rows: those whose masks training sees; none in a pretext task.

    Raises:
        ConfigError: there is none.
    """
    if not any(catalog.samples[int(row)].mask for row in rows):
        raise ConfigError(
            "A guide, loss or transform of this run learns from masks, and no training picture has one (the questions "
            "of a pretext task never do): draw some, let foveate masks propose make them, or leave it out."
        )


def training_masks(
    catalog: Catalog,
    rows: Sequence[int] | np.ndarray,
    config: MasksConfig,
    seed: int,
    open_pictures: Callable[[Catalog], Pictures],
    learn: Callable[[Catalog, np.ndarray, Pictures], tuple[Pictures, str]],
) -> tuple[Pictures, str, str]:
    """The catalog's pictures with the masks that training sees for ``rows``; how many, and how they are, in words.

    Whatever is drawn is keyed by seed and path: neither the order of rows nor processes change it.

    Args:
        learn: (the catalog with the masks of a few pictures alone, rows, pictures) -> pictures in which those of the
            rows have masks, and how good these are, in words.

    Raises:
        ConfigError: there are no masks to use, or fewer than asked for.
        DataError: the folder of proposed masks does not exist or fits no picture.
    """
    rows = np.asarray(rows, dtype=np.int64)
    use = config.use
    if isinstance(use, ProposedMasks):
        masks = [sample.mask for sample in catalog.samples]
        paths = [sample.path for sample in catalog.samples]
        found = find_masks(catalog.root, scan(catalog.root), masks=[use.proposed], kind="png", pictures=paths)
        for row in rows.tolist():
            masks[row] = found.references.get(paths[row], "")
        catalog = catalog.with_column("mask", masks)
    pictures = open_pictures(catalog)
    masked = [row for row in rows.tolist() if catalog.samples[row].mask]
    masked.sort(key=lambda row: catalog.samples[row].path)
    if not masked and use not in ("all", "none"):
        raise ConfigError(f"data.masks.use is {use}, but no training picture has a mask; leave it out.")
    kept, how = masked, HOW[use] if isinstance(use, str) else ""
    if use == "none":
        kept = []
    elif isinstance(use, int | PerClass):
        kept, how = _drawn(catalog, masked, use, seed)
    elif isinstance(use, ProposedMasks):
        how = f"masks of {use.proposed} in place of the pictures' own"
    elif isinstance(use, LearnedMasks):
        few, how = _drawn(catalog, masked, use.learned, seed)
        drawn = ["" if row not in set(few) else s.mask for row, s in enumerate(catalog.samples)]
        pictures, good = learn(catalog.with_column("mask", drawn), rows, pictures)
        kept = sorted(rows.tolist(), key=lambda row: catalog.samples[row].path)
        how = f"{len(few)} {how}, and what is learned from them. {good}"
    told = f"{len(kept)} of {len(rows)} pictures"
    source = np.where([bool(sample.mask) for sample in catalog.samples], np.arange(len(catalog)), -1)
    source[rows] = -1
    source[kept] = kept
    if (use == "shuffled" or config.shuffled) and kept:
        source[kept] = _exchanged(pictures, catalog, kept, seed)
        how = HOW["shuffled"] if use in ("all", "shuffled") else f"{how}; {HOW['shuffled']}"
    elif use == "all" or isinstance(use, ProposedMasks | LearnedMasks):
        return pictures, told, how
    places = {
        row: numpy_generator(seed, "mask's place", catalog.samples[row].path).random(2)
        for row in (kept if use in REDRAWN else ())
    }
    return OtherMasks(pictures, source, places, str(use)), told, how


def _drawn(catalog: Catalog, masked: Sequence[int], use: int | PerClass, seed: int) -> tuple[list[int], str]:
    """Rows of ``masked`` (sorted by path) whose mask is used, and how they were drawn."""
    members: dict[int, list[int]] = defaultdict(list)
    for row in masked:
        members[catalog.samples[row].label].append(row)
    sizes = {label: len(own) for label, own in sorted(members.items())}
    names = {label: "unlabelled" if label == UNLABELLED else catalog.classes[label] for label in sizes}
    if isinstance(use, PerClass):
        counts = {label: min(use.per_class, size) for label, size in sizes.items()}
        how = f"{use.per_class} of each class, drawn by the seed"
        short = [f"{names[label]} {size}" for label, size in sizes.items() if size < use.per_class]
        short += [f"{name} 0" for label, name in enumerate(catalog.classes) if label not in sizes]
        how += f"; there are fewer of {', '.join(short)}" if short else ""
    else:
        if use > len(masked):
            raise ConfigError(
                f"data.masks.use asks for the masks of {use} training pictures, but only {len(masked)} have one."
            )
        wanted = {label: use * size / len(masked) for label, size in sizes.items()}
        counts = {label: int(share) for label, share in wanted.items()}
        rest = sorted(sizes, key=lambda label: counts[label] - wanted[label])[: use - sum(counts.values())]
        counts = dict(Counter(counts) + Counter(rest))
        how = "drawn by the seed, in proportion to the classes"
    kept = []
    for label, own in members.items():  # more masks: the same ones and further
        order = numpy_generator(seed, "masks", names[label]).permutation(own)
        kept += order[: counts.get(label, 0)].tolist()
    return sorted(kept), how


def _exchanged(pictures: Pictures, catalog: Catalog, masked: Sequence[int], seed: int) -> np.ndarray:
    """For each of ``masked`` another of them, whose mask has about the same area; each is taken once."""
    if len(masked) < 2:
        raise ConfigError("The masks in training are to be shuffled, but one picture alone has one.")
    rows = np.array(masked)
    parts = np.split(rows, range(CHUNK, len(rows), CHUNK))
    areas = np.concatenate([pictures.read_many(p)[1].float().mean(dim=(1, 2, 3)).numpy() for p in parts])
    taken = np.empty_like(rows)
    by_area = np.argsort(areas, kind="stable")
    for k, part in enumerate(np.array_split(by_area, min(SIZE_CLASSES, len(rows) // 2))):
        order = numpy_generator(seed, "shuffled masks", k).permutation(part)
        taken[order] = rows[np.roll(order, 1)]
    return taken


REDRAWN = ("boxes", "random_boxes", "whole")
"""Uses that draw another mask in place of each."""


def _redrawn(mask: torch.Tensor, use: str, place: np.ndarray) -> torch.Tensor:
    """The whole picture, the box around a mask (1, S, S), or one as large at ``place``, in shares of the room left."""
    if use == "whole":
        return torch.full_like(mask, 255)
    ys, xs = torch.nonzero(mask[0] > 127, as_tuple=True)
    drawn = torch.zeros_like(mask)
    if len(ys):
        top, left = int(ys.min()), int(xs.min())
        height, width = int(ys.max()) + 1 - top, int(xs.max()) + 1 - left
        if use == "random_boxes":
            room = mask.shape[-1] + 1 - np.array([height, width])
            top, left = (place * room).astype(int).tolist()
        drawn[:, top : top + height, left : left + width] = 255
    return drawn


class _Masked(Pictures):
    """The same pictures, whose masks are others."""

    def __init__(self, pictures: Pictures, *, has_masks: bool) -> None:
        self._pictures, self.size, self.has_masks = pictures, pictures.size, has_masks

    def __len__(self) -> int:
        return len(self._pictures)

    def name(self, row: int) -> str:
        return self._pictures.name(row)


class MoreMasks(_Masked):
    """Pictures of which some have a mask (S, S) bool that lies in memory."""

    def __init__(self, pictures: Pictures, masks: dict[int, np.ndarray]) -> None:
        super().__init__(pictures, has_masks=pictures.has_masks or bool(masks))
        self._packed = {row: np.packbits(mask) for row, mask in masks.items()}

    def read(self, row: int) -> Item:
        image, mask, has_mask = self._pictures.read(row)
        packed = self._packed.get(row)
        if packed is None:
            return image, mask, has_mask
        bits = np.unpackbits(packed, count=self.size**2).reshape(1, self.size, self.size)
        return image, torch.from_numpy(bits * np.uint8(255)), True


class OtherMasks(_Masked):
    """Pictures of which some have other masks.

    Args:
        source: (N,) the row whose mask a row has; -1 = none.
        places: {row whose mask is redrawn: a random place, (2,)}.
        use: how, one of ``REDRAWN`` where any is redrawn.
    """

    def __init__(
        self, pictures: Pictures, source: np.ndarray, places: dict[int, np.ndarray], use: str
    ) -> None:
        super().__init__(pictures, has_masks=bool((source >= 0).any()))
        self._source, self._places, self._use = source, places, use

    def read(self, row: int) -> Item:
        image, mask, _ = self._pictures.read(row)
        source = int(self._source[row])
        if source < 0:
            return image, torch.zeros_like(mask), False
        if source != row:
            mask = self._pictures.read(source)[1]
        place = self._places.get(row)
        return image, mask if place is None else _redrawn(mask, self._use, place), True
