"""Problems of single files: what cannot be read, and what Foveate changes about what can."""

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from PIL import Image

from foveate.data.audit.facts import Facts
from foveate.data.audit.report import Problem
from foveate.data.catalog import Catalog

_TINY = 32
_SAME_FORMAT = {"MPO": "JPEG"}  # a JPEG that carries a second picture


def problems(catalog: Catalog, facts: Sequence[Facts]) -> list[Problem]:
    """Everything about single files."""
    readable = [fact for fact in facts if fact.failure is None]
    colourless = sum(fact.colourless for fact in readable)
    mixed = 0 < colourless < len(readable)
    found = []
    for sample, fact in zip(catalog.samples, facts, strict=True):
        found += [Problem.of(code, sample.path, text) for code, text in _of(sample.path, fact, mixed)]
    return found


def _of(path: str, fact: Facts, mixed: bool) -> Iterator[tuple[str, str]]:
    if fact.failure is not None:
        code, reason = fact.failure
        yield code, f"{reason[:1].upper()}{reason[1:]}."
        return
    expected = Image.registered_extensions().get(PurePath(path).suffix.lower())
    actual = _SAME_FORMAT.get(fact.format, fact.format)
    if expected is not None and _SAME_FORMAT.get(expected, expected) != actual:
        yield (
            "wrong-extension",
            f"The name says {expected}, the content is {actual}; it is read by its content.",
        )
    if fact.mode in ("CMYK", "LAB", "YCbCr"):
        yield "cmyk", f"Stored as {fact.mode}; converted to RGB without a colour profile, colours may be off."
    if fact.deep:
        yield "sixteen-bit", f"Stored with more than 8 bits a channel (mode {fact.mode}); scaled to 8 bits."
    if fact.mode in ("P", "PA"):
        yield "palette", "Stored with a palette of at most 256 colours; converted to RGB."
    if fact.alpha:
        yield "alpha", "Has transparency; it is laid on white."
    if fact.frames > 1:
        yield "animated", f"Holds {fact.frames} frames or pages; only the first is used."
    if fact.rotated:
        yield "rotated", "EXIF says that it is turned; it is set upright."
    if min(fact.size) < _TINY:
        yield "tiny", f"Only {fact.size[0]}x{fact.size[1]} pixels; it is enlarged to the working size."
    if fact.flat:
        yield "blank", "Shows one flat colour; is the file what it should be?"
    if mixed and fact.colourless:
        yield (
            "grey-among-colour",
            "Grey while others have colour; it is used as it is.",
        )
