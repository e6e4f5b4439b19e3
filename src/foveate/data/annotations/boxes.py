"""Boxes written in the reference itself."""

from pathlib import Path

from foveate.data.annotations.reader import Drawn, MaskError, MaskReference, Reader, Size
from foveate.data.shapes import draw, parse_boxes


class BoxReader(Reader):
    """Boxes in pixels of the picture as it is stored, before EXIF turns it."""

    as_stored = True

    def read(self, root: Path, reference: MaskReference, picture: Size) -> Drawn:
        try:
            return Drawn(draw([("", box) for box in parse_boxes(reference.payload)], *picture))
        except ValueError as error:
            raise MaskError(str(reference), str(error)) from error

    def files(self, reference: MaskReference) -> list[str]:
        return []

    def only_boxes(self, root: Path, reference: MaskReference) -> bool:
        return True
