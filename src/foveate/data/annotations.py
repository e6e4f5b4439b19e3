"""Mask references -> masks. A reference is a string ``kind:payload`` in ``Sample.mask``.

| reference | object is |
|---|---|
| ``png:masks/a/x.png`` | every pixel that is not 0 (JPEG: above 200) |
| ``png[128,255]:masks/a/x.png`` | the pixels with one of these values (JPEG: within 20 of one) |
| ``trimap:trimaps/x.png`` | 1 (object) and 3 (border), not 2; or 255 and 128 (border), not 0 |
| ``parts:head/x.png|thorax/x.png`` | the union of these masks, closed |
| ``black:cut/x.jpg`` | what is not black in a copy of the picture with a black background, holes filled |
| ``box:x0,y0,x1,y1;x0,y0,x1,y1`` | the boxes, in pixels of the picture as stored, before EXIF turns it |
| ``coco:annotations.json#17`` | the union of all annotations of image id 17 |

Paths are relative to ``Catalog.root``. Whatever the kind, ``read_mask`` returns the mask of the upright
picture.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from foveate.core.errors import DataError
from foveate.data.catalog import Catalog
from foveate.data.decode import (
    TRANSPOSES,
    DecodeError,
    load_image,
    open_image,
    orientation,
    upright,
    upright_size,
)
from foveate.data.shapes import CocoImage, close, coco_index, draw_boxes, draw_coco, parse_boxes

JPEG_OBJECT = 200
"""Values above this are object in a mask stored as JPEG, whose edges ring (METHODS 1.4)."""
JPEG_TOLERANCE = 20
"""How far a JPEG may move a listed mask value."""
BLACK_LOSSLESS, BLACK_JPEG = 4, 20
"""Brightest channel up to which a pixel counts as black background."""
SPECK = 1e-4
"""Objects of a "black background" copy smaller than this share of the picture are compression noise."""
Size = tuple[int, int]
"""(width, height) in pixels, as Pillow has it."""

_REFERENCE = re.compile(r"(?P<kind>[a-z]+)(?:\[(?P<values>\d+(?:,\d+)*)\])?:(?P<payload>.+)", re.DOTALL)


class MaskError(DataError):
    """A mask cannot be used. ``path`` names the file or reference, ``reason`` says why (no full stop)."""

    def __init__(self, path: Path | str, reason: str = "") -> None:
        self.path = Path(path)
        self.reason = reason
        # A DataLoader rebuilds a worker's exception from its finished message alone, which comes in as path.
        super().__init__(
            f"The mask {path} cannot be used: {reason}; mend or remove it." if reason else str(path)
        )

    def __reduce__(self) -> tuple[type["MaskError"], tuple[str, str]]:
        return type(self), (str(self.path), self.reason)


@dataclass(frozen=True)
class MaskReference:
    """A parsed reference."""

    kind: str
    payload: str
    values: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "MaskReference":
        """Read ``kind:payload`` or ``kind[v,w]:payload``.

        Raises:
            MaskError: unknown kind, or values for a kind that takes none.
        """
        match = _REFERENCE.fullmatch(text)
        if match is None or match["kind"] not in READERS:
            known = ", ".join(f"{kind}:" for kind in READERS)
            raise MaskError(text, f"it does not start with a known kind ({known})")
        values = tuple(int(value) for value in match["values"].split(",")) if match["values"] else ()
        if values and match["kind"] != "png":
            raise MaskError(text, "only png takes values in square brackets")
        return cls(match["kind"], match["payload"], values)

    def __str__(self) -> str:
        values = f"[{','.join(map(str, self.values))}]" if self.values else ""
        return f"{self.kind}{values}:{self.payload}"


class Reader:
    """One kind of reference. Readers return masks in their own size, ``read_mask`` fits them."""

    as_stored = False
    """Whether coordinates refer to the picture as stored (then EXIF turns the mask), not upright."""

    def size(self, root: Path, reference: MaskReference) -> Size | None:
        """The mask's own size from headers alone; None when it has none (boxes)."""
        raise NotImplementedError

    def read(self, root: Path, reference: MaskReference, picture: Size) -> np.ndarray:
        """(h, w) bool, True = object; ``picture`` is used by readers without a size of their own."""
        raise NotImplementedError


class FileReader(Reader):
    """A mask file. Subclasses say which pixels are object."""

    def size(self, root: Path, reference: MaskReference) -> Size | None:
        try:
            with open_image(root / reference.payload) as image:
                return upright_size(image)
        except DecodeError as error:
            raise MaskError(error.path, error.reason) from error

    def read(self, root: Path, reference: MaskReference, picture: Size) -> np.ndarray:
        path = root / reference.payload
        try:
            with load_image(path) as image:
                lossy = image.format in ("JPEG", "MPO")
                return self.select(upright(image), lossy, reference.values)
        except DecodeError as error:
            raise MaskError(error.path, error.reason) from error

    def select(self, image: Image.Image, lossy: bool, values: Sequence[int]) -> np.ndarray:
        """(h, w) bool of an upright mask picture; ``lossy`` when it was a JPEG."""
        raise NotImplementedError


def mask_values(image: Image.Image) -> np.ndarray:
    """(h, w) integers of a mask picture, whatever its mode.

    Palette: the grey values when the palette is grey, else the indices (label maps of PASCAL VOC are such).
    With real transparency: 255 where it is opaque. Colour: the brightest channel.
    """
    if image.mode == "P" and "transparency" not in image.info:
        indices = np.asarray(image)
        palette = np.asarray(image.convert("RGB"))
        return palette[..., 0] if (np.ptp(palette, axis=2) == 0).all() else indices
    if image.has_transparency_data:
        pixels = np.asarray(image.convert("RGBA"))
        alpha = pixels[..., 3]
        return pixels[..., :3].max(axis=2) if alpha.min() == 255 else np.where(alpha > 127, 255, 0)
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    if image.mode == "L" or image.mode.startswith("I") or image.mode == "F":
        return np.asarray(image)
    return np.asarray(image.convert("RGB")).max(axis=2)


class PngReader(FileReader):
    """An ordinary mask picture, or chosen values of a label map."""

    def select(self, image: Image.Image, lossy: bool, values: Sequence[int]) -> np.ndarray:
        grey = mask_values(image)
        if not values:
            return np.asarray(grey > JPEG_OBJECT if lossy else grey != 0)
        if not lossy:
            return np.isin(grey, values)
        distance = np.abs(grey[..., None].astype(np.int32) - np.asarray(values, dtype=np.int32))
        return np.asarray((distance <= JPEG_TOLERANCE).any(axis=-1))


class TrimapReader(FileReader):
    """Oxford-IIIT Pet trimaps (1 object, 2 background, 3 border), or 0 background, 128 border, 255 object."""

    def select(self, image: Image.Image, lossy: bool, values: Sequence[int]) -> np.ndarray:
        grey = mask_values(image)
        return np.isin(grey, (1, 3)) if grey.max() <= 3 else np.asarray(grey >= 64)


class BlackReader(FileReader):
    """A copy of the picture whose background was painted black."""

    def select(self, image: Image.Image, lossy: bool, values: Sequence[int]) -> np.ndarray:
        brightest = np.asarray(image.convert("RGB")).max(axis=2)
        found, count = ndimage.label(brightest > (BLACK_JPEG if lossy else BLACK_LOSSLESS), np.ones((3, 3)))
        areas = np.bincount(found.ravel(), minlength=count + 1)
        keep = areas >= SPECK * found.size
        keep[0] = False  # the background
        return np.asarray(ndimage.binary_fill_holes(keep[found]))


class PartsReader(Reader):
    """Part masks (head|thorax|abdomen), united and closed."""

    def _parts(self, reference: MaskReference) -> list[MaskReference]:
        return [MaskReference("png", part) for part in reference.payload.split("|") if part]

    def size(self, root: Path, reference: MaskReference) -> Size | None:
        return READERS["png"].size(root, self._parts(reference)[0])

    def read(self, root: Path, reference: MaskReference, picture: Size) -> np.ndarray:
        parts = [READERS["png"].read(root, part, picture) for part in self._parts(reference)]
        if len({part.shape for part in parts}) > 1:
            sizes = ", ".join(f"{part.shape[1]} x {part.shape[0]}" for part in parts)
            raise MaskError(reference.payload, f"its parts have different sizes ({sizes})")
        return close(np.logical_or.reduce(parts))


class BoxReader(Reader):
    """Boxes in pixels of the picture as it is stored, before EXIF turns it."""

    as_stored = True

    def size(self, root: Path, reference: MaskReference) -> Size | None:
        return None

    def read(self, root: Path, reference: MaskReference, picture: Size) -> np.ndarray:
        try:
            return draw_boxes(parse_boxes(reference.payload), *picture)
        except ValueError as error:
            raise MaskError(str(reference), str(error)) from error


class CocoReader(Reader):
    """Polygons and run lengths (compressed or not) of a COCO file; failing both, the annotation's box.

    The size is the entry's ``width`` and ``height``, which says whether the annotator saw the picture
    upright.
    """

    def _entry(self, root: Path, reference: MaskReference) -> CocoImage:
        name, _, image_id = reference.payload.rpartition("#")
        try:
            return coco_index(root / name)[image_id]
        except KeyError:
            raise MaskError(str(reference), f"{name} has no image with id {image_id}") from None
        except (OSError, ValueError) as error:
            raise MaskError(root / name, getattr(error, "strerror", None) or str(error)) from error

    def size(self, root: Path, reference: MaskReference) -> Size | None:
        return self._entry(root, reference).size

    def read(self, root: Path, reference: MaskReference, picture: Size) -> np.ndarray:
        entry = self._entry(root, reference)
        try:
            return draw_coco(entry, *(entry.size or picture))
        except ValueError as error:
            raise MaskError(str(reference), str(error)) from error


READERS: dict[str, Reader] = {
    "png": PngReader(),
    "trimap": TrimapReader(),
    "parts": PartsReader(),
    "black": BlackReader(),
    "box": BoxReader(),
    "coco": CocoReader(),
}


def same_shape(one: Size, other: Size) -> bool:
    """Whether two sizes have the same aspect, up to the rounding of one pixel that resizing causes."""
    (w, h), (width, height) = one, other
    return abs(h - w * height / width) <= 1 or abs(w - h * width / height) <= 1


def mask_size(root: Path, ref: str) -> Size | None:
    """The size of the mask itself, (width, height), from headers alone; None for boxes.

    Raises:
        MaskError: the reference or the file is bad.
    """
    reference = MaskReference.parse(ref)
    return READERS[reference.kind].size(Path(root), reference)


def read_mask(root: Path, ref: str, size: Size, orientation: int = 1) -> Image.Image:
    """The mask of one picture, mode L, 0 background and 255 object, exactly ``size``.

    Args:
        root: ``Catalog.root``.
        ref: ``Sample.mask``.
        size: (width, height) of the upright picture in full, not of a draft; boxes are given in its pixels.
        orientation: EXIF orientation of the picture (``decode.orientation``). A mask with the shape of the
            upright picture is used as it is; one with the shape of the stored picture is turned with it.

    Raises:
        MaskError: the reference or the file is bad, or the mask has another shape than the picture. A mask of
            another size but the same shape is resized (nearest).
    """
    reference = MaskReference.parse(ref)
    reader = READERS[reference.kind]
    stored = (size[1], size[0]) if orientation >= 5 else size
    found = reader.read(Path(root), reference, stored if reader.as_stored else size)
    mask = Image.fromarray(found.astype(np.uint8) * 255)
    if orientation in TRANSPOSES and (
        reader.as_stored or (not same_shape(mask.size, size) and same_shape(mask.size, stored))
    ):
        mask = mask.transpose(TRANSPOSES[orientation])
    if not same_shape(mask.size, size):
        shapes = f"{mask.width} x {mask.height} pixels, the picture {size[0]} x {size[1]}"
        raise MaskError(reference.payload, f"it has another shape than its picture ({shapes})")
    return mask if mask.size == size else mask.resize(size, Image.Resampling.NEAREST)


def sample_mask(catalog: Catalog, row: int) -> Image.Image | None:
    """The mask of the upright picture in ``row``, or None when it has none. Opens the picture's header.

    Raises:
        MaskError: see ``read_mask``.
        DecodeError: the picture's header is unreadable.
    """
    ref = catalog.samples[row].mask
    if not ref:
        return None
    with open_image(catalog.file(row)) as image:
        return read_mask(catalog.root, ref, upright_size(image), orientation(image))
