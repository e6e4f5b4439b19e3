"""What every kind of mask reference shares: the reference, the error, the base class of its reader."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foveate.data.decode import BadFile
from foveate.data.shapes import draw, parse_boxes

Size = tuple[int, int]
"""(width, height) in pixels, as Pillow has it."""

_REFERENCE = re.compile(
    r"(?P<kind>[a-z]+)(?:\[(?P<values>\d{1,9}(?:,\d{1,9})*)\])?:(?P<payload>.+)", re.DOTALL
)


class MaskError(BadFile):
    """A mask cannot be used; ``path`` names the file or reference."""

    sentence = "The mask {} cannot be used: {}; mend or remove it."


@dataclass(frozen=True)
class MaskReference:
    """A parsed reference; whether its kind is known, ``foveate.data.annotations.reader_of`` says."""

    kind: str
    payload: str
    values: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "MaskReference":
        """Read ``kind:payload`` or ``kind[v,w]:payload``.

        Raises:
            MaskError: it has another form, or values for a kind that takes none.
        """
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise MaskError(text, "it is not written kind:place, for example png:masks/a.png")
        values = tuple(int(value) for value in match["values"].split(",")) if match["values"] else ()
        if values and match["kind"] != "png":
            raise MaskError(text, "only png takes values in square brackets")
        return cls(match["kind"], match["payload"], values)

    def __str__(self) -> str:
        values = f"[{','.join(map(str, self.values))}]" if self.values else ""
        return f"{self.kind}{values}:{self.payload}"


@dataclass(frozen=True)
class Drawn:
    """A mask in its own size."""

    mask: np.ndarray
    """(h, w) bool, True = object."""
    how: str = ""
    """How it was understood, when that was not plain: a key of ``foveate.data.annotations.HOW``."""


class Reader:
    """One kind of reference. Readers return masks in their own size, ``read_mask`` fits them."""

    as_stored = False
    """Whether coordinates refer to the picture as stored (then EXIF turns the mask), not upright."""

    def read(self, root: Path, reference: MaskReference, picture: Size) -> Drawn:
        """Draw it; ``picture`` is the (width, height) that readers without a size of their own draw in."""
        raise NotImplementedError

    def files(self, reference: MaskReference) -> list[str]:
        """What ``read`` opens, relative to ``Catalog.root``."""
        return []

    def only_boxes(self, root: Path, reference: MaskReference) -> bool:
        """Whether nothing finer than boxes was drawn."""
        return False


class BoxReader(Reader):
    """Boxes written in the reference itself, in pixels of the picture as it is stored, before EXIF turns it."""

    as_stored = True

    def read(self, root: Path, reference: MaskReference, picture: Size) -> Drawn:
        try:
            return Drawn(draw([("", box) for box in parse_boxes(reference.payload)], *picture))
        except ValueError as error:
            raise MaskError(str(reference), str(error)) from error

    def only_boxes(self, root: Path, reference: MaskReference) -> bool:
        return True
