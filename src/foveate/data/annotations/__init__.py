r"""Mask references -> masks. A reference is a string ``kind:payload`` in ``Sample.mask``.

| reference | object is |
|---|---|
| ``png:masks/a/x.png`` | what is not 0, see ``picture_masks.object_of``; several files joined by ``\|`` are united |
| ``png[128,255]:masks/a/x.png`` | the pixels with one of these values (JPEG: within 20 of one) |
| ``trimap:trimaps/x.png`` | 1 (object) and 3 (border), not 2; or 255 and 128 (border), not 0 |
| ``parts:head/x.png|thorax/x.png`` | the union of these masks, closed |
| ``soft:segmentations/x.png`` | what is above the middle of the scale |
| ``black:cut/x.jpg`` | what is not black in a copy of the picture with a black background, holes filled |
| ``blue:segmim/x.jpg`` | what is not blue in a copy of the picture with a blue background |
| ``box:x0,y0,x1,y1;x0,y0,x1,y1`` | the boxes, in pixels of the picture as stored, before EXIF turns it |
| ``coco:annotations.json#17`` | the union of all annotations of image id 17 |
| ``cvat:annotations.xml#a/x.jpg`` | the union of all polygons, boxes, ellipses and masks of the image of that name |
| ``labelstudio:export.json#3`` | the union of all areas (brush too) of task 3 |
| ``brush:part_locs.txt#3`` | Label Studio's strokes of all parts of picture 3, gaps closed |
| ``labelme:a/x.json`` | the union of all shapes with an area |
| ``voc:a/x.xml`` | the union of all objects' boxes or polygons |

Paths are relative to ``Catalog.root``. Whatever the kind, ``read_mask`` returns the mask of the upright
picture.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from foveate.data.annotations import picture_masks
from foveate.data.annotations.coco import CocoReader
from foveate.data.annotations.cvat import CvatReader
from foveate.data.annotations.documents import DocumentReader
from foveate.data.annotations.labelme import LabelmeReader
from foveate.data.annotations.labelstudio import LabelStudioReader
from foveate.data.annotations.part_strokes import PartStrokesReader
from foveate.data.annotations.picture_masks import FileReader
from foveate.data.annotations.reader import BoxReader, MaskError, MaskReference, Reader, Size
from foveate.data.annotations.voc import VocReader
from foveate.data.catalog import Catalog
from foveate.data.decode import TRANSPOSES, open_image, orientation, upright_size

__all__ = [
    "DOCUMENTS", "Found", "HOW", "MaskError", "MaskReference", "MaskShapeError", "READERS", "find_mask", "mask_files",
    "only_boxes", "read_mask", "reader_of", "recognise", "same_shape", "sample_mask",
]  # fmt: skip

READERS: dict[str, Reader] = {
    "png": FileReader(picture_masks.png),
    "trimap": FileReader(picture_masks.trimap),
    "parts": FileReader(picture_masks.png, closed=True),
    "soft": FileReader(picture_masks.soft),
    "black": FileReader(picture_masks.black),
    "blue": FileReader(picture_masks.blue),
    "box": BoxReader(),
    "coco": CocoReader(),
    "labelme": LabelmeReader(),
    "voc": VocReader(),
    "cvat": CvatReader(),
    "labelstudio": LabelStudioReader(),
    "brush": PartStrokesReader(),
}

DOCUMENTS = {
    kind: reader for kind, reader in READERS.items() if isinstance(reader, DocumentReader) and reader.marks
}
"""The kinds that are text files of annotations and are recognised by their beginning."""
HEAD = 4096
"""Bytes by which a document is recognised."""

HOW = {
    "soft": "masks are soft (more than a few grey values): object is what is above the middle of the scale",
    "labels": "masks hold several values: object is every value but 0",
    "void": "masks are label maps with 255 beside small labels: 255 counts as void, not as object",
    "no zero": "masks hold no 0: the value along most of the picture's edge counts as background",
    "upright": "masks give the size of the picture as stored but fit the upright one: they are used upright",
    "turned": "masks have the shape of the picture as stored: they are turned with it",
}
"""{how a mask was understood: in words, after a count}; what is plain is not there."""


@dataclass(frozen=True)
class Found:
    """A mask fitted to its picture."""

    image: Image.Image
    """Mode L, 0 background and 255 object, as large as the picture."""
    own: Size
    """Its own size, before it was turned or scaled."""
    how: str = ""
    """How it was understood: a key of ``HOW``, or "" when that was plain."""


class MaskShapeError(MaskError):
    """A mask has another shape than its picture."""


def same_shape(one: Size, other: Size) -> bool:
    """Whether two sizes have the same aspect, up to the rounding of one pixel that resizing causes."""
    (w, h), (width, height) = one, other
    return abs(h - w * height / width) <= 1 or abs(w - h * width / height) <= 1


def reader_of(reference: MaskReference) -> Reader:
    """The reader of a reference's kind.

    Raises:
        MaskError: the kind is unknown.
    """
    if reference.kind not in READERS:
        known = ", ".join(f"{kind}:" for kind in READERS)
        raise MaskError(str(reference), f"it does not start with a known kind ({known})")
    return READERS[reference.kind]


def recognise(path: Path) -> str | None:
    """The kind of document (JSON or XML of annotations) that a file seems to be, from its beginning; None: of none.

    Raises:
        MaskError: it cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            head = stream.read(HEAD)
    except OSError as error:
        raise MaskError(path, error.strerror or str(error)) from error
    return next((kind for kind, reader in DOCUMENTS.items() if reader.knows(path, head)), None)


def only_boxes(root: Path, ref: str) -> bool:
    """Whether nothing finer than boxes was drawn.

    Raises:
        MaskError: the reference or the file is bad.
    """
    reference = MaskReference.parse(ref)
    return reader_of(reference).only_boxes(Path(root), reference)


def mask_files(root: Path, ref: str) -> list[Path]:
    """The files that a mask is made of, those that exist; none for a bad reference, which is named when it is read."""
    try:
        reference = MaskReference.parse(ref)
        names = reader_of(reference).files(reference)
    except MaskError:
        return []
    return [file for file in (Path(root) / name for name in names) if file.is_file()]


def find_mask(root: Path, ref: str, size: Size, orientation: int = 1) -> Found:
    """The mask of one picture.

    Args:
        root: ``Catalog.root``.
        ref: ``Sample.mask``.
        size: (width, height) of the upright picture in full, not of a draft.
        orientation: EXIF orientation of the picture (``decode.orientation``). A mask with the shape of the
            upright picture is used as it is; one with the shape of the stored picture is turned with it.

    Raises:
        MaskShapeError: the mask has another shape than the picture. A mask of another size but the same shape is
            resized (nearest).
        MaskError: the reference or the file is bad.
    """
    reference = MaskReference.parse(ref)
    reader = reader_of(reference)
    stored = (size[1], size[0]) if orientation >= 5 else size
    drawn = reader.read(Path(root), reference, stored if reader.as_stored else size)
    mask, how = Image.fromarray(drawn.mask.astype(np.uint8) * 255), drawn.how
    own = mask.size
    turned = not same_shape(own, size) and same_shape(own, stored)
    if orientation in TRANSPOSES and (reader.as_stored or turned):
        mask = mask.transpose(TRANSPOSES[orientation])
        how = how or ("turned" if turned else "")
    if not same_shape(mask.size, size):
        shapes = f"{own[0]} x {own[1]} pixels, the picture {size[0]} x {size[1]}"
        raise MaskShapeError(reference.payload, f"it has another shape than its picture ({shapes})")
    return Found(mask if mask.size == size else mask.resize(size, Image.Resampling.NEAREST), own, how)


def read_mask(root: Path, ref: str, size: Size, orientation: int = 1) -> Image.Image:
    """``find_mask``'s picture alone: mode L, 0 background and 255 object, exactly ``size``."""
    return find_mask(root, ref, size, orientation).image


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
