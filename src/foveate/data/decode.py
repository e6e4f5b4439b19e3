"""Files -> pictures: upright 8-bit RGB whatever the file holds, or one clear error.

Pillow does the decoding. Whatever it raises for a bad file becomes ``DecodeError``; its warnings never leak.
"""

import importlib
import importlib.util
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from foveate.core.errors import DataError, first_line
from foveate.data import bit_depth
from foveate.data.bit_depth import to_8bit

MAX_PIXELS = 200_000_000
"""Width times height above which a file is refused as a decompression bomb."""

IMAGE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".tif", ".tiff"),
        *(".bmp", ".dib", ".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm"),
        *(".pnm", ".tga"),
    )
)
"""Lower-case suffixes of files that count as pictures."""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEIF = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
"""Brands after "ftyp" of pictures that phones write."""
NO_HEIF = (
    "it is HEIC, which is read once pillow-heif is there (pip install 'foveate[heic]'); or convert it to JPEG"
)

_turn = Image.Transpose
TRANSPOSES = {
    2: _turn.FLIP_LEFT_RIGHT,
    3: _turn.ROTATE_180,
    4: _turn.FLIP_TOP_BOTTOM,
    5: _turn.TRANSPOSE,
    6: _turn.ROTATE_270,
    7: _turn.TRANSVERSE,
    8: _turn.ROTATE_90,
}
"""{EXIF orientation: what sets the picture upright}"""


class BadFile(DataError):
    """A file cannot be used. ``path`` names it, ``reason`` says why (no full stop)."""

    sentence: ClassVar[str]
    """With a place for each."""

    def __init__(self, path: Path | str, reason: str = "") -> None:
        self.path = Path(path)
        self.reason = reason
        # A DataLoader rebuilds a worker's exception from its finished message alone, which comes in as path.
        super().__init__(self.sentence.format(path, reason) if reason else str(path))

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return type(self), (str(self.path), self.reason)


class DecodeError(BadFile):
    """A file cannot be read as a picture."""

    sentence = "{} cannot be read: {}; replace or remove it."


_lock = threading.Lock()
_inside = 0
_saved: list[object] = []


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Inside: Pillow refuses pictures above ``MAX_PIXELS`` and its warnings are not shown. Safe with threads.

    Both settings are global to the process and ``warnings.catch_warnings`` alone is not safe with threads
    (the last to leave may put back what another had set), so the first to enter sets and the last to leave
    restores.
    """
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1:
            caught = warnings.catch_warnings()
            caught.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
            _saved[:] = [caught, Image.MAX_IMAGE_PIXELS]
            Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow warns above this and raises above twice this
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                caught, Image.MAX_IMAGE_PIXELS = _saved  # type: ignore[assignment]
                caught.__exit__(None, None, None)


_REASONS: dict[type[Exception], str] = {
    FileNotFoundError: "there is no such file",
    IsADirectoryError: "it is a folder",
    PermissionError: "reading it is not permitted",
    Image.DecompressionBombError: f"it has more than {MAX_PIXELS:,} pixels (a bomb, or a scan to scale down first)",
    UnidentifiedImageError: "its bytes are not a picture format that is known here",
}


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Inside: what Pillow raises, on damaged files nearly every built-in exception, becomes a ``DecodeError``."""
    try:
        with quiet_pillow():
            yield
    except (MemoryError, DecodeError):
        raise
    except Exception as error:
        damaged = f"the file is damaged ({str(error).strip().rstrip('.') or type(error).__name__})"
        told = (reason for kind, reason in _REASONS.items() if isinstance(error, kind))
        raise DecodeError(path, next(told, damaged)) from error


def open_image(path: Path | str, content: bytes | None = None) -> Image.Image:
    """Open lazily: the header is read and checked, no pixel is decoded. Use it in a ``with`` block.

    (But TIFFs that Pillow cannot read are decoded, see ``foveate.data.bit_depth``; they come as 8-bit RGB.)

    Args:
        path: the file.
        content: bytes to open instead; ``path`` then says in messages where they stand.

    Raises:
        DecodeError: missing, empty, not a picture, damaged header, or more than ``MAX_PIXELS`` pixels.
    """
    path = Path(path)
    if content is None and not path.is_file() and path.exists() and not path.is_dir():
        raise DecodeError(path, "it is a pipe, socket or device, not a file")  # opening could wait for ever
    with _named(path):
        if content is None:
            with open(path, "rb") as stream:
                head = stream.read(12)
        else:
            head = content[:12]
        if not head:
            raise DecodeError(path, "the file is empty")
        phone = head[4:8] == b"ftyp" and head[8:12] in _HEIF
        missing = phone and importlib.util.find_spec("pillow_heif") is None
        if phone and not missing:
            importlib.import_module("pillow_heif").register_heif_opener()
        try:
            image = Image.open(path if content is None else BytesIO(content))
        except UnidentifiedImageError as error:
            if content is None and head[:4] in _TIFF:
                return _tiff(path)
            if phone:
                raise DecodeError(path, NO_HEIF if missing else "the file is damaged (HEIC)") from error
            raise
        if content is None and bit_depth.needs_tifffile(image):
            image.close()
            return _tiff(path)
        return image


def _tiff(path: Path) -> Image.Image:
    """A TIFF that Pillow cannot read, upright."""
    try:
        image, turn = bit_depth.read_tiff(path, MAX_PIXELS)
    except MemoryError:
        raise
    except Exception as error:  # as Pillow
        raise DecodeError(path, first_line(error)) from error
    image = image.transpose(TRANSPOSES[turn]) if turn in TRANSPOSES else image
    image.format, image.info[bit_depth.DEEP] = "TIFF", True
    return image


def load_image(path: Path | str, *, content: bytes | None = None) -> Image.Image:
    """Open and decode, nothing converted or turned: for label maps and other pictures whose mode matters.

    Raises:
        DecodeError: as ``read_image``; arguments as of ``open_image``.
    """
    return _loaded(Path(path), open_image(path, content))


def _loaded(path: Path, image: Image.Image, at_least: int | None = None) -> Image.Image:
    try:
        with _named(path):
            if at_least is not None:
                image.draft(image.mode, (at_least, at_least))  # does nothing except for JPEG
            image.load()
    except BaseException:
        image.close()
        raise
    return image


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 (upright) where there is none or the EXIF block is damaged, as viewers do.

    On an image whose pixels are loaded this is what remains to be done: for TIFF Pillow turns while loading.
    """
    try:
        with quiet_pillow():
            value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  damaged EXIF, good pixels: the picture is still worth having
        return 1
    return value if value in TRANSPOSES else 1


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as EXIF says; itself when there is nothing to turn."""
    turn = TRANSPOSES.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) after ``upright``, from the header alone."""
    if image.format != "TIFF" and orientation(image) >= 5:  # Pillow already swaps the sides of a TIFF
        return image.height, image.width
    return image.size


def read_image(path: Path | str, *, at_least: int | None = None) -> Image.Image:
    """Decode to upright 8-bit RGB.

    Grey, 1-bit, palette and CMYK are converted; transparency is laid on white; 16-bit and float are scaled,
    not clipped; of an animation or a multi-page file the first frame is taken.

    Args:
        path: the file.
        at_least: lets a JPEG be decoded at 1/2, 1/4 or 1/8 size (several times faster) as long as its short
            side stays at least this many pixels. The result differs a little from decoding in full.

    Raises:
        DecodeError: the file is missing, truncated, damaged, not a picture, or too large.
    """
    path = Path(path)
    image = open_image(path)
    tiles = bit_depth.low_tiles(image)
    with _loaded(path, image, at_least):
        turn = TRANSPOSES.get(orientation(image))
        if tiles:
            with open_image(path) as second, _named(path):
                image = bit_depth.whole(image, second, tiles)
        try:
            return _to_rgb(image if turn is None else image.transpose(turn))
        except ValueError as error:  # a colour space without a way to RGB (LAB)
            raise DecodeError(path, str(error)) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(to_8bit(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        # What lies under transparent pixels is arbitrary (black, or the scene that was cut away) and not
        # meant to be seen. White is what the author saw in a viewer or on a page, whatever the program that
        # saved it.
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")  # a copy even when nothing changes, so it outlives the open file
