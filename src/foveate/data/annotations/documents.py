"""Annotations in text files (JSON, XML): read once, checked, drawn when a mask is asked for.

A document holds one entry a picture. ``kind:FILE#KEY`` names an entry; where every picture has a file of its own it
is ``kind:FILE``. A new format is a subclass of ``DocumentReader`` in a file of its own and a line in ``READERS``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import pydantic

from foveate.core.config import in_words
from foveate.data.annotations.reader import Drawn, MaskError, MaskReference, Reader, Size
from foveate.data.decode import MAX_PIXELS
from foveate.data.shapes import Box, Shape, draw, fits

Parts = Sequence[tuple[str, Any]]
"""What was drawn: (name for messages, what ``DocumentReader.shapes_of`` takes)."""


class Checked(pydantic.BaseModel):
    """A part of a document: what it must have; everything else in it is left alone."""

    model_config = pydantic.ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Entry:
    """What a document says about one picture."""

    file_name: str
    """The picture, as the document names it."""
    size: Size | None
    """(width, height) of the picture as the document says; None when it does not."""
    parts: Parts
    """What marks the object; empty where nothing was drawn at all."""
    shapes_of: Callable[[Any], Sequence[Shape]]

    def shapes(self) -> list[tuple[str, Shape]]:
        """The shapes, each with a name for messages.

        Raises:
            ValueError: one is malformed.
        """
        named = []
        for name, part in self.parts:
            try:
                named += [(name, shape) for shape in self.shapes_of(part)]
            except KeyError as error:
                raise ValueError(f"{name}: it has no {error}") from None
            except (ValueError, TypeError, OverflowError) as error:
                raise ValueError(f"{name}: {error}") from None
        return named


@dataclass(frozen=True)
class Document:
    """A file of annotations."""

    entries: Mapping[str, Entry]
    """{key: entry}; the key of a file about a single picture is ""."""
    orphans: Sequence[str] = ()
    """What belongs to no picture of the document, in words."""

    @cached_property
    def upright(self) -> bool:
        """Whether some shapes fit the turned size only: the exporter writes the sizes of pictures as stored beside
        shapes drawn on the upright ones. Then that holds for the pictures too whose shapes fit both ways."""
        sized = (entry for entry in self.entries.values() if entry.size and entry.size[0] != entry.size[1])
        return any(_ways(entry) == (False, True) for entry in sized)


class DocumentReader(Reader):
    """Reads one format."""

    title: ClassVar[str]
    """The format's name."""
    suffix: ClassVar[str] = ".json"
    single: ClassVar[bool] = False
    """Whether every picture has a document of its own."""
    start: ClassVar[bytes] = b"{"
    """The first character that is no space."""
    marks: ClassVar[tuple[bytes, ...]]
    """Words of which one stands near the beginning of such a file."""

    def knows(self, path: Path, head: bytes) -> bool:
        """Whether a file that begins with ``head`` seems to be of this format."""
        begins = head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(self.start)
        return path.suffix.lower() == self.suffix and begins and any(mark in head for mark in self.marks)

    def parse(self, path: Path) -> Document:
        """Read a document.

        Raises:
            OSError: missing or unreadable.
            ValueError: not of this format.
        """
        raise NotImplementedError

    def shapes_of(self, part: Any) -> Sequence[Shape]:
        """The shapes of one part of an entry; ValueError, TypeError or KeyError where it is malformed."""
        raise NotImplementedError

    def entry(self, name: str, size: tuple[float | None, float | None], parts: Parts) -> Entry:
        """What is said about the picture ``name`` of (width, height), if that is said, in pixels."""
        width, height = (round(side or 0) for side in size)
        return Entry(name, (width, height) if width and height else None, parts, self.shapes_of)

    def document(self, path: Path) -> Document:
        """``parse``, once as long as the file does not change.

        Raises:
            MaskError: see ``parse``; the message names the file.
        """
        try:
            status = path.stat()
            if not path.is_file():
                raise MaskError(path, "it is a folder, pipe or device, not a file")
            return _parsed(self, path, status.st_mtime_ns, status.st_size)
        except OSError as error:
            raise MaskError(path, error.strerror or str(error)) from error
        except ValueError as error:
            raise MaskError(path, f"as {self.title} it is malformed ({error})") from error

    def read(self, root: Path, reference: MaskReference, picture: Size) -> Drawn:
        document, entry = self._entry(root, reference)
        try:
            size, how = self._size(document, entry, picture, str(reference))
            return Drawn(draw(entry.shapes(), *(size or picture)), how)
        except ValueError as error:
            raise MaskError(str(reference), f"on the picture {entry.file_name}, {error}") from error

    def files(self, reference: MaskReference) -> list[str]:
        return [self.split(reference.payload)[0]]

    def only_boxes(self, root: Path, reference: MaskReference) -> bool:
        _, entry = self._entry(root, reference)
        try:
            shapes = entry.shapes()
        except ValueError:
            return False  # named when it is read
        return bool(shapes) and all(isinstance(shape, Box) for _, shape in shapes)

    def _entry(self, root: Path, reference: MaskReference) -> tuple[Document, Entry]:
        name, key = self.split(reference.payload)
        document = self.document(root / name)
        if key not in document.entries:
            raise MaskError(str(reference), f"{name} has no picture {key}")
        return document, document.entries[key]

    def split(self, payload: str) -> tuple[str, str]:
        """(file, key) of a reference's payload."""
        if self.single:
            return payload, ""
        end = payload.lower().find(f"{self.suffix}#")
        at = payload.rfind("#") if end < 0 else end + len(self.suffix)
        return payload[: max(at, 0)], payload[at + 1 :]

    def _size(self, document: Document, entry: Entry, picture: Size, name: str) -> tuple[Size | None, str]:
        """The size to draw in, and how it was understood."""
        if entry.size is None:
            return None, ""
        if entry.size[0] * entry.size[1] > MAX_PIXELS or min(entry.size) < 1:
            sides = f"{entry.size[0]} x {entry.size[1]}"
            raise MaskError(name, f"the picture {entry.file_name} is said to have {sides} pixels")
        swapped = entry.size[::-1]
        if entry.size != picture == swapped:
            # The size of the picture as stored is given. Were the shapes drawn on that, or on the upright one?
            said, turned = _ways(entry)
            if turned and (document.upright or not said):
                return swapped, "upright"
        return entry.size, ""


def _ways(entry: Entry) -> tuple[bool, bool]:
    """Whether the shapes of an entry fit its size as said, and turned; malformed ones are named when they are read."""
    try:
        extents = [shape.extent for _, shape in entry.shapes()]
    except ValueError:
        return True, False
    width, height = entry.size or (0, 0)
    return all(fits(e, width, height) for e in extents), all(fits(e, height, width) for e in extents)


@lru_cache(maxsize=8)
def _parsed(reader: DocumentReader, path: Path, _modified: int, _bytes: int) -> Document:
    return reader.parse(path)


def read_json(path: Path, model: Any) -> Any:
    """A JSON file as ``model``, a type.

    Raises:
        OSError: missing or unreadable.
        ValueError: not JSON, or not as the model says; names the place in the file.
    """
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        return pydantic.TypeAdapter(model).validate_json(content)
    except pydantic.ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}{in_words(first['type'], first['msg'])}".removeprefix(": ")) from None


def read_xml(path: Path, root: str) -> Element:
    """The root element of an XML file, which is called ``root``.

    Raises:
        OSError: missing or unreadable.
        ValueError: not XML, another root, or it declares entities (which can grow a small file without end).
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = _refuse
    parser.buffer_text = True
    try:
        parser.Parse(path.read_bytes(), True)
    except (expat.ExpatError, LookupError) as error:
        raise ValueError(f"not XML: {error}") from None
    top = builder.close()
    if top.tag != root:
        raise ValueError(f"its root is <{top.tag[:40]}> and not <{root}>")
    return top


def _refuse(*_: object) -> None:
    raise ValueError("it declares XML entities, which no annotation needs")


def number(text: str | None, what: str) -> float:
    """A number of an XML file.

    Raises:
        ValueError: it is missing, no number, or not finite.
    """
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"its {what} is {text!r} and no number" if text else f"its {what} is missing")
    return value
