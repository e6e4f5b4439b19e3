"""Pictures of more than 8 bits a channel and of phones, against pixels that were drawn here."""

import struct
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile

from foveate.data.audit.facts import look
from foveate.data.decode import DecodeError, load_image, open_image, read_image, upright_size

H, W = 40, 60


def colours(white: int) -> np.ndarray:
    """(40, 60, 3) uint16 without symmetry, from 0 to ``white``, every lower byte in use."""
    x, y = np.meshgrid(np.linspace(0, 1, W), np.linspace(0, 1, H))
    return np.rint(np.stack([x, y, (x + y) / 2], axis=2) * white).astype(np.uint16)


def scaled(values: np.ndarray, white: float) -> np.ndarray:
    return np.rint(values.astype(float) / white * 255).astype(int)


def write_png(path: Path, values: np.ndarray, orientation: int = 1) -> None:
    """A 16-bit PNG of 2 (grey, alpha), 3 or 4 channels, by the PNG specification."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    exif = Image.Exif()
    exif[0x0112] = orientation
    extra = chunk(b"eXIf", exif.tobytes()[6:]) if orientation > 1 else b""
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.parametrize("white", [255, 4095, 65535])
def test_colour_of_sixteen_bits_is_scaled_as_grey_is(tmp_path: Path, white: int) -> None:
    values = colours(white)
    write_png(tmp_path / "a.png", values)
    for name, options in {"b": {}, "c": {"compression": "zlib"}, "d": {"byteorder": ">"}}.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", values, photometric="rgb", **options)
    for path in sorted(tmp_path.iterdir()):
        assert np.array_equal(np.asarray(read_image(path)), scaled(values, white)), path.name
        assert look(path, tmp_path, "", 1).deep, path.name


@pytest.mark.parametrize("white", [4095, 65535])
def test_alpha_of_sixteen_bits(tmp_path: Path, white: int) -> None:
    """Alpha is on the full scale, whatever the colours are on; half of it lies on white."""
    values = colours(white)
    opaque = np.where(np.mgrid[:H, :W][0] < 20, 65535, 0).astype(np.uint16)
    expected = np.where(opaque[..., None] > 0, scaled(values, white), 255)
    write_png(tmp_path / "colour.png", np.dstack([values, opaque]))
    assert np.array_equal(np.asarray(read_image(tmp_path / "colour.png")), expected)
    write_png(tmp_path / "grey.png", np.dstack([values[..., 2], opaque]))
    assert np.array_equal(np.asarray(read_image(tmp_path / "grey.png")), expected[..., [2, 2, 2]])


def test_turned_pictures_of_sixteen_bits(tmp_path: Path) -> None:
    values = colours(4095)
    write_png(tmp_path / "a.png", values, orientation=6)
    for name, options in {
        "b": {"photometric": "rgb"},
        "c": {"photometric": "rgb", "planarconfig": "separate"},
    }.items():
        data = np.moveaxis(values, 2, 0) if "planarconfig" in options else values
        tifffile.imwrite(tmp_path / f"{name}.tif", data, extratags=[(274, "H", 1, 6, True)], **options)
    for path in sorted(tmp_path.iterdir()):
        assert np.array_equal(np.asarray(read_image(path)), np.rot90(scaled(values, 4095), -1)), path.name
        with open_image(path) as image:
            assert upright_size(image) == (H, W), path.name


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
@pytest.mark.parametrize(
    ("dtype", "white"), [("uint8", 255), ("uint16", 65535), ("uint16", 4095), ("float32", 1)]
)
def test_tiffs_of_three_bands(
    tmp_path: Path, dtype: str, white: int, photometric: str, separate: bool
) -> None:
    values = (colours(65535) / 65535 * white).astype(dtype)
    if photometric == "minisblack" and not separate:
        options: dict[str, Any] = {"photometric": photometric, "planarconfig": "contig"}
    else:
        options = {"photometric": photometric, "planarconfig": "separate" if separate else None}
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(values, 2, 0) if separate else values, **options)
    assert np.array_equal(np.asarray(read_image(tmp_path / "a.tif")), scaled(values, white))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_further_bands(tmp_path: Path, dtype: str) -> None:
    white = 255 if dtype == "uint8" else 65535
    colour = (colours(65535) / 65535 * white).astype(dtype)
    values = np.dstack([colour, colour[..., :1]])
    extra = {"extrasamples": ["unspecified"], "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "said.tif", values, photometric="rgb", **extra)
    assert np.array_equal(np.asarray(read_image(tmp_path / "said.tif")), scaled(colour, white))
    tifffile.imwrite(tmp_path / "unsaid.tif", values, photometric="minisblack", planarconfig="contig")
    for function in (open_image, load_image, read_image):
        with pytest.raises(
            DecodeError, match=r"unsaid.tif cannot be read: it has 4 bands and does not say which"
        ):
            function(tmp_path / "unsaid.tif")


def test_damaged_tiffs_that_pillow_cannot_open(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tifffile.imwrite(tmp_path / "a.tif", (colours(65535) / 65535).astype(np.float32), photometric="rgb")
    content = (tmp_path / "a.tif").read_bytes()
    for length in (4, 9, 100, len(content) // 2):
        (tmp_path / "cut.tif").write_bytes(content[:length])
        with pytest.raises(DecodeError, match=r"cut\.tif cannot be read"):
            read_image(tmp_path / "cut.tif")


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"0" * 40


@pytest.mark.parametrize("name", ["a.HEIC", "a.jpg"])
def test_heic_without_its_reader_is_named(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    (tmp_path / name).write_bytes(HEIC)
    with pytest.raises(DecodeError, match=r"it is HEIC, .*foveate\[heic\]"):
        read_image(tmp_path / name)


class FakeHeif(ImageFile.ImageFile):
    """A reader that finds one blue pixel in every file of phones."""

    format = "HEIF"

    def _open(self) -> None:
        self._mode, self._size = "RGB", (1, 1)
        self.tile = []

    def load(self) -> Any:
        self.im = Image.new("RGB", (1, 1), (0, 0, 255)).im
        return super().load()


def test_heic_is_read_where_its_reader_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("pillow_heif")
    module.register_heif_opener = lambda: Image.register_open(
        "HEIF", FakeHeif, lambda head: head[4:12] == b"ftypheic"
    )  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    (tmp_path / "a.heic").write_bytes(HEIC)
    try:
        assert np.asarray(read_image(tmp_path / "a.heic")).tolist() == [[[0, 0, 255]]]
    finally:
        Image.OPEN.pop("HEIF", None)
        if "HEIF" in Image.ID:
            Image.ID.remove("HEIF")
