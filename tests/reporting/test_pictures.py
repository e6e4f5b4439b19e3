"""Thumbnails of every kind of picture, and overlays."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.data import decode as decode_module
from foveate.reporting.pictures import THUMBNAIL, gallery_picture, thumbnail


def decode(uri: str | None) -> np.ndarray:
    assert uri is not None
    head, data = uri.split(",", 1)
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), dtype=int)


def test_thumbnail_is_small_and_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (900, 600), "blue")
    image.paste("red", (0, 0, 900, 100))  # a red bar at the top of the stored picture
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: the bar belongs to the right
    image.save(tmp_path / "a.jpg", exif=exif)
    uri, why = thumbnail(tmp_path / "a.jpg")
    pixels = decode(uri)
    assert why == ""
    assert pixels.shape[0] == THUMBNAIL
    assert pixels.shape[1] == pytest.approx(THUMBNAIL * 2 / 3, abs=1)
    assert pixels[100, -5, 0] > 200
    assert pixels[100, 5, 2] > 200


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA", "CMYK", "I;16"])
def test_every_mode_can_be_shown(tmp_path: Path, mode: str) -> None:
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    if mode == "I;16":
        image = Image.fromarray(ramp.astype(np.uint16) * 200)
    else:
        image = Image.fromarray(ramp).convert("RGB").convert(mode)
    path = tmp_path / ("a.tif" if mode in ("CMYK", "I;16") else "a.png")
    image.save(path)
    pixels = decode(thumbnail(path)[0])
    assert pixels.shape == (48, 64, 3)
    assert pixels[20, 60].mean() > pixels[20, 3].mean() + 150


def test_transparent_is_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert decode(thumbnail(tmp_path / "a.png")[0]).min() > 250


def test_what_cannot_be_shown_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert thumbnail(tmp_path / "no.png") == (None, "picture no longer at its place")
    (tmp_path / "bad.png").write_bytes(b"no")
    assert thumbnail(tmp_path / "bad.png") == (None, "picture cannot be read")
    Image.effect_noise((64, 64), 50).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:900])
    assert thumbnail(tmp_path / "cut.png") == (None, "picture cannot be read")
    Image.new("RGB", (40, 40)).save(tmp_path / "big.png")
    monkeypatch.setattr(decode_module, "MAX_PIXELS", 1000)
    assert thumbnail(tmp_path / "big.png") == (None, "picture too large to draw")


def test_overlay_is_brighter_where_the_map_is_and_outlines_the_mask() -> None:
    image = np.full((40, 40, 3), 128, np.uint8)
    values = np.zeros((2, 2), np.float16)
    values[0, 0] = 1
    pixels = decode(gallery_picture(image, None, values, side=80))
    assert pixels.shape == (80, 80, 3)
    assert pixels[10, 10].sum() > pixels[70, 70].sum() + 200
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 255
    outlined = decode(gallery_picture(image, mask, None, side=80))
    assert outlined[40, 20:23].mean(1).max() > 190  # the line runs just inside the mask's edge
    assert abs(outlined[40, 40].mean() - 128) < 8  # and leaves the inside alone
    assert abs(outlined[5, 5].mean() - 128) < 8
