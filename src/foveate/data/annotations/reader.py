"""What every kind of mask reference shares: the reference, the error, the base class of its reader."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foveate.core.errors import DataError

Size = tuple[int, int]
"""(width, height) in pixels, as Pillow has it."""

_REFERENCE = re.compile(
    r"(?P<kind>[a-z]+)(?:\[(?P<values>\d{1,9}(?:,\d{1,9})*)\])?:(?P<payload>.+)", re.DOTALL
)


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
        raise NotImplementedError

    def only_boxes(self, root: Path, reference: MaskReference) -> bool:
        """Whether nothing finer than boxes was drawn."""
        return False
