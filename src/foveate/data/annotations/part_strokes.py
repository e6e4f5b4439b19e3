"""Parts as brush strokes in one list, as the wild bees of Chiaburu et al. (2022) are published."""

from collections import defaultdict
from pathlib import Path

from foveate.data.annotations.documents import Document, DocumentReader
from foveate.data.annotations.labelstudio import unpack_brush
from foveate.data.annotations.reader import Drawn, MaskReference, Size
from foveate.data.shapes import Bitmap, Shape, close

SIZES = "widths_heights.txt"


class PartStrokesReader(DocumentReader):
    """Lines of picture id, part id and Label Studio's run lengths; all parts of a picture together, gaps closed. The
    pictures' sizes are in ``widths_heights.txt`` beside it."""

    title = "brush strokes of parts"
    suffix = ".txt"
    marks = ()

    def parse(self, path: Path) -> Document:
        sizes: dict[str, Size] = {}
        if not (path.parent / SIZES).is_file():
            raise ValueError(f"{SIZES} is not beside it")
        for number, line in enumerate((path.parent / SIZES).read_text().splitlines(), start=1):
            words = line.split()
            if len(words) != 3 or not all(word.isdecimal() for word in words):
                raise ValueError(f"line {number} of {SIZES} is no id, width and height")
            sizes[words[0]] = (int(words[1]), int(words[2]))
        parts = defaultdict(list)
        for line in path.read_text().splitlines():
            key, part, strokes = (*line.split(maxsplit=2), "", "")[:3]
            if key not in sizes:
                raise ValueError(f"{SIZES} has no picture {key[:20]}")
            parts[key].append((f"part {part}", (strokes, sizes[key])))
        return Document({key: self.entry(key, sizes[key], found) for key, found in parts.items()})

    def shapes_of(self, part: tuple[str, Size]) -> list[Shape]:
        strokes, (width, height) = part
        return [Bitmap(unpack_brush([int(number) for number in strokes.split()], width, height))]

    def read(self, root: Path, reference: MaskReference, picture: Size) -> Drawn:
        drawn = super().read(root, reference, picture)
        return Drawn(close(drawn.mask), drawn.how)

    def files(self, reference: MaskReference) -> list[str]:
        name = super().files(reference)[0]
        return [name, (Path(name).parent / SIZES).as_posix()]
