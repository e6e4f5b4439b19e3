"""Pictures decoded once: a memory-mapped cache of bytes, keyed by content and shared by all runs that need it.

A store is a folder ``<cache>/<kind>-<key>/``, see ``picture_store``. Pictures lie channel first: measured over
augmentation, batching and normalisation this is never slower than channel last (the resampling does not care, flips,
shifts and the copy into the batch are faster).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import PIL
import torch

from foveate.core.threads import in_threads, usable_cores
from foveate.data.annotations import mask_files, sample_mask
from foveate.data.cache_config import CacheConfig, cache_folder
from foveate.data.catalog import Catalog
from foveate.data.decode import read_image
from foveate.data.picture_store import HashMemo, Store
from foveate.data.square import Fit, resize, resize_mask, whole

FORMAT = 3
"""Raise it when the bytes of a store would change."""

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done, total)."""
Item = tuple[torch.Tensor, torch.Tensor, bool]


class Pictures:
    """Square pictures and masks by catalog row. Picklable: workers open files again."""

    size: int
    """Side in pixels."""
    has_masks: bool
    """Whether any row has a mask."""

    def __len__(self) -> int:
        raise NotImplementedError

    def read(self, row: int) -> Item:
        """(picture (3, size, size) uint8, mask (1, size, size) uint8 0/255, whether there is a mask)."""
        raise NotImplementedError

    def read_many(self, rows: Sequence[int] | np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Pictures (n, 3, size, size) uint8, masks (n, 1, size, size) uint8, has_mask (n,) bool; one row at least."""
        return _stacked(self.read(int(row)) for row in rows)

    def name(self, row: int) -> str:
        """The file, for messages."""
        raise NotImplementedError


def open_pictures(
    catalog: Catalog,
    size: int,
    fit: Fit = "squash",
    config: CacheConfig | None = None,
    progress: Progress | None = None,
) -> Pictures:
    """The catalog's pictures, at ``config.size`` or ``size`` pixels; builds the cache when there is none.

    Raises:
        DecodeError, MaskError: a file cannot be read; the message names it.
        DataError: too little room on the disk, or a file changed meanwhile.
    """
    config = config or CacheConfig()
    side = config.size or size
    if not config.enabled:
        return DecodedPictures(catalog, side, fit)
    folder = cache_folder(config)
    report = progress or (lambda what, done, total: None)
    files = [catalog.file(row) for row in range(len(catalog))]
    files_of = {ref: mask_files(catalog.root, ref) for ref in {s.mask for s in catalog.samples} - {""}}
    memo = HashMemo(folder, catalog.root)
    needed = dict.fromkeys([*files, *(file for listed in files_of.values() for file in listed)])
    hashes = memo.hash_all(list(needed), partial(report, "reading files"))

    def stored(
        kind: str, what: str, contents: Sequence[str], channels: int, decode: Callable[..., np.ndarray]
    ) -> tuple[Store, np.ndarray]:
        """The store of these contents and the place of each row in it, -1 where the content is "".

        Places follow the sorted contents, so the key does not depend on paths, labels or the order of rows.
        """
        rows = {content: row for row, content in reversed([*enumerate(contents)]) if content}
        ordered = sorted(rows)
        recipe = f"{FORMAT} {PIL.__version__} {side} {fit}"
        digest = hashlib.sha256("\n".join([kind, recipe, *ordered]).encode()).hexdigest()[:24]
        store = Store(folder / f"{kind}-{digest}", what, (len(ordered), channels, side, side))
        if ordered or kind == "images":
            store.build(
                lambda slot: decode(catalog, rows[ordered[slot]], side, fit), report, memo.refuse_changed
            )
        place = {content: slot for slot, content in enumerate(ordered)}
        return store, np.array([place.get(content, -1) for content in contents], dtype=np.int64)

    contents = [hashes[file] for file in files]
    # A mask depends on its reference, on the bytes of its files, and on the size and turn of its picture.
    mask_contents = [
        " ".join((s.mask, contents[row], *(hashes[file] for file in files_of[s.mask]))) if s.mask else ""
        for row, s in enumerate(catalog.samples)
    ]
    images = stored("images", "pictures", contents, 3, _decode)
    masks = stored("masks", "masks", mask_contents, 1, _decode_mask)
    return CachedPictures(*images, *masks, tuple(map(str, files)))


class DecodedPictures(Pictures):
    """No cache: every read decodes. Gives the same bytes as the cache."""

    def __init__(self, catalog: Catalog, size: int, fit: Fit = "squash") -> None:
        self.catalog, self.size, self.fit = catalog, size, fit
        self.has_masks = catalog.has_masks

    def __len__(self) -> int:
        return len(self.catalog)

    def name(self, row: int) -> str:
        return str(self.catalog.file(row))

    def read(self, row: int) -> Item:
        image = torch.from_numpy(_decode(self.catalog, row, self.size, self.fit))
        if not self.catalog.samples[row].mask:
            return image, torch.zeros((1, self.size, self.size), dtype=torch.uint8), False
        return image, torch.from_numpy(_decode_mask(self.catalog, row, self.size, self.fit)), True

    def read_many(self, rows: Sequence[int] | np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        # One of several worker processes has a core to itself and no more.
        threads = 1 if torch.utils.data.get_worker_info() else usable_cores()
        return _stacked(in_threads(self.read, [int(row) for row in rows], threads=threads))


class CachedPictures(Pictures):
    """Pictures and masks from two stores. Rows with equal content share their bytes.

    Args:
        slots, mask_slots: (N,) the place of each row in the stores; -1 = no mask.
    """

    def __init__(
        self, images: Store, slots: np.ndarray, masks: Store, mask_slots: np.ndarray, names: tuple[str, ...]
    ) -> None:
        self.images, self.slots, self.masks, self.mask_slots, self.names = (
            images,
            slots,
            masks,
            mask_slots,
            names,
        )
        self.size = images.shape[-1]
        self.has_masks = masks.nbytes > 0

    def __len__(self) -> int:
        return len(self.slots)

    def name(self, row: int) -> str:
        return self.names[row]

    def read(self, row: int) -> Item:
        images, masks, has_mask = self.read_many([row])
        return images[0], masks[0], bool(has_mask[0])

    def read_many(self, rows: Sequence[int] | np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows = np.asarray(rows, dtype=np.int64)
        # Indexing with rows copies: a tensor on read-only pages would let a careless write crash the process.
        images = torch.from_numpy(self.images.array[self.slots[rows]])
        slots = self.mask_slots[rows]
        masks = torch.zeros((len(rows), 1, self.size, self.size), dtype=torch.uint8)
        has_mask = torch.from_numpy(slots >= 0)
        if has_mask.any():
            masks[has_mask] = torch.from_numpy(self.masks.array[slots[slots >= 0]])
        return images, masks, has_mask


def _stacked(items: Iterable[Item]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    images, masks, has_mask = zip(*items, strict=True)
    return torch.stack(images), torch.stack(masks), torch.tensor(has_mask)


def _decode(catalog: Catalog, row: int, size: int, fit: Fit) -> np.ndarray:
    """(3, size, size) uint8. JPEGs are decoded at no less than twice the size, which loses nothing that is kept."""
    image = resize(read_image(catalog.file(row), at_least=2 * whole(fit, size)[1]), size, fit)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def _decode_mask(catalog: Catalog, row: int, size: int, fit: Fit) -> np.ndarray:
    """(1, size, size) uint8, 0 or 255."""
    mask = sample_mask(catalog, row)
    assert mask is not None
    return np.array(resize_mask(mask, size, fit))[None]
