"""Every kind of good and bad picture file, against pixels that were drawn here."""

import io
import pickle
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from foveate.core.errors import DataError
from foveate.data import decode
from foveate.data.decode import (
    DecodeError,
    load_image,
    open_image,
    orientation,
    quiet_pillow,
    read_image,
    upright_size,
)
from foveate.data.square import resize


def gradient(width: int = 60, height: int = 40) -> Image.Image:
    """A smooth picture without any symmetry."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return Image.fromarray((np.stack([x, y, x * y], axis=2) * 255).astype(np.uint8))


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "tga"])
def test_lossless_rgb_is_unchanged(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    gradient().save(path)
    assert f".{suffix}" in decode.IMAGE_SUFFIXES
    assert np.array_equal(pixels(read_image(path)), pixels(gradient()))


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_rgb_is_close(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    gradient().save(path, quality=95)
    assert np.abs(pixels(read_image(path)) - pixels(gradient())).mean() < 4


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("value", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str, value: int) -> None:
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = value
    gradient().save(path, exif=exif, quality=95)
    tagged = gradient()
    tagged.getexif()[0x0112] = value
    expected = ImageOps.exif_transpose(tagged)
    got = read_image(path)
    assert got.size == expected.size
    assert np.abs(pixels(got) - pixels(expected)).mean() < 5
    with open_image(path) as image:
        assert upright_size(image) == expected.size


def test_damaged_or_senseless_exif_does_not_lose_the_picture(tmp_path: Path) -> None:
    for number, exif in enumerate([b"Exif\x00\x00nonsense", b"Exif\x00\x00MM\x00*\x00\x00\xff\xff", b""]):
        path = tmp_path / f"{number}.jpg"
        gradient().save(path, exif=exif)
        assert read_image(path).size == (60, 40)
    senseless = Image.Exif()
    senseless[0x0112] = 77
    gradient().save(tmp_path / "s.jpg", exif=senseless)
    with open_image(tmp_path / "s.jpg") as image:
        assert orientation(image) == 1


def test_grey_one_bit_palette_and_cmyk(tmp_path: Path) -> None:
    grey = gradient().convert("L")
    grey.save(tmp_path / "grey.png")
    assert np.array_equal(
        pixels(read_image(tmp_path / "grey.png")), np.repeat(pixels(grey)[..., None], 3, axis=2)
    )
    grey.point(lambda v: 255 * (v > 100)).convert("1").save(tmp_path / "bit.png")
    assert set(np.unique(pixels(read_image(tmp_path / "bit.png")))) == {0, 255}
    palette = gradient().quantize(200)
    palette.save(tmp_path / "palette.png")
    assert np.array_equal(pixels(read_image(tmp_path / "palette.png")), pixels(palette.convert("RGB")))
    gradient().convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert np.abs(pixels(read_image(tmp_path / "cmyk.jpg")) - pixels(gradient())).mean() < 5


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(tmp_path: Path, mode: str) -> None:
    alpha = np.zeros((40, 60), dtype=np.uint8)
    alpha[:, 30:] = 255
    image = gradient().convert("RGBA")
    image.putalpha(Image.fromarray(alpha))
    if mode == "P":
        image = image.quantize(255)
    elif mode == "LA":
        image = image.convert("LA")
    path = tmp_path / "a.png"
    image.save(path)
    got = pixels(read_image(path))
    assert (got[:, :30] == 255).all()
    assert (
        np.abs(
            got[:, 30:]
            - pixels(gradient().convert(mode[:1] if mode == "LA" else "RGB").convert("RGB"))[:, 30:]
        ).mean()
        < 6
    )


def test_half_transparent_is_blended(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (100, 0, 200, 128)).save(tmp_path / "a.png")
    share = 128 / 255
    expected = [round(share * value + (1 - share) * 255) for value in (100, 0, 200)]
    assert np.abs(pixels(read_image(tmp_path / "a.png"))[0, 0] - expected).max() <= 1


def test_colour_key_of_a_grey_png_is_transparent(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 7], [7, 90]], dtype=np.uint8)).save(tmp_path / "a.png", transparency=7)
    assert pixels(read_image(tmp_path / "a.png"))[..., 0].tolist() == [[0, 255], [255, 90]]


@pytest.mark.parametrize("white", [255, 4095, 65535])
def test_sixteen_bit_is_scaled_by_its_depth(tmp_path: Path, white: int) -> None:
    values = np.linspace(0, white, 2400).reshape(40, 60).astype(np.uint16)
    for suffix in ("png", "tif"):
        Image.fromarray(values).save(tmp_path / f"a.{suffix}")
        got = pixels(read_image(tmp_path / f"a.{suffix}"))
        assert np.array_equal(got[..., 0], np.rint(values / white * 255).astype(int))
        assert np.array_equal(got[..., 0], got[..., 2])


def test_sixteen_bit_depths_keep_brightness_between_pictures(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 1000, dtype=np.uint16)).save(tmp_path / "dark.png")
    Image.fromarray(np.full((4, 4), 4000, dtype=np.uint16)).save(tmp_path / "bright.png")
    dark, bright = (pixels(read_image(tmp_path / name))[0, 0, 0] for name in ("dark.png", "bright.png"))
    assert (dark, bright) == (round(1000 / 4095 * 255), round(4000 / 4095 * 255))


@pytest.mark.parametrize(
    ("low", "high", "expected_low", "expected_high"),
    [(0, 1, 0, 255), (0, 0.5, 0, 128), (0, 200, 0, 200), (-3, 5, 0, 255), (10, 1e6, 0, 255)],
)
def test_float_is_scaled(
    tmp_path: Path, low: float, high: float, expected_low: int, expected_high: int
) -> None:
    Image.fromarray(np.linspace(low, high, 100, dtype=np.float32).reshape(10, 10)).save(tmp_path / "a.tif")
    got = pixels(read_image(tmp_path / "a.tif"))
    assert (got.min(), got.max()) == (expected_low, expected_high)


def test_float_with_nan_and_a_constant_negative_picture(tmp_path: Path) -> None:
    values = np.array([[0, np.nan], [np.inf, 1]], dtype=np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert pixels(read_image(tmp_path / "a.tif"))[..., 0].tolist() == [[0, 0], [0, 255]]
    Image.fromarray(np.full((3, 3), -5, dtype=np.float32)).save(tmp_path / "b.tif")
    assert (pixels(read_image(tmp_path / "b.tif")) == 0).all()


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_first_frame_of_an_animation(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **options)
    assert (pixels(read_image(tmp_path / f"a.{suffix}")) == [255, 0, 0]).all()


def test_draft_keeps_the_short_side(tmp_path: Path) -> None:
    path = tmp_path / "big.jpg"
    gradient(1600, 1000).save(path, quality=95)
    assert read_image(path).size == (1600, 1000)
    for at_least in (100, 125, 126, 400, 999, 1000, 5000):
        small = read_image(path, at_least=at_least)
        assert min(small.size) >= min(at_least, 1000)
        assert abs(small.width / small.height - 1.6) < 0.02
    assert min(read_image(path, at_least=125).size) == 125
    full, drafted = (pixels(resize(read_image(path, at_least=n), 64)) for n in (5000, 125))
    assert np.abs(full - drafted).mean() < 2
    gradient().save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", at_least=5).size == (60, 40)


def encoded(suffix: str) -> bytes:
    noisy = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    stream = io.BytesIO()
    noisy.save(stream, format={"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()))
    return stream.getvalue()


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "webp", "tif"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_truncated_files_are_errors(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"cut.{suffix}"
    content = encoded(suffix)
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DecodeError) as caught:
        read_image(path)
    assert caught.value.path == path
    assert caught.value.reason in str(caught.value)
    assert str(path) in str(caught.value)
    assert "empty" in caught.value.reason or share > 0


def test_reasons(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("this is not a picture")
    (tmp_path / "folder.jpg").mkdir()
    for name, reason in [
        ("text.jpg", "not a picture format"),
        ("folder.jpg", "folder"),
        ("none.jpg", "no such file"),
    ]:
        for function in (open_image, read_image, load_image):
            with pytest.raises(DecodeError, match=reason):
                function(tmp_path / name)
    assert issubclass(DecodeError, DataError)


def test_a_wrong_suffix_is_still_read(tmp_path: Path) -> None:
    gradient().save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert np.array_equal(pixels(read_image(tmp_path / "a.jpg")), pixels(gradient()))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size: the start of a decompression bomb."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


def test_bombs_are_refused_and_large_scans_are_opened_without_warning(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    (tmp_path / "bomb.png").write_bytes(png_header(20_000, 10_001))
    (tmp_path / "scan.png").write_bytes(png_header(20_000, 10_000))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for function in (open_image, read_image):
            with pytest.raises(DecodeError, match="200,000,000 pixels"):
                function(tmp_path / "bomb.png")
        with open_image(tmp_path / "scan.png") as image:
            assert image.width * image.height == decode.MAX_PIXELS
    assert seen == []
    assert before == Image.MAX_IMAGE_PIXELS


def test_pillow_is_put_back_after_nested_and_parallel_use() -> None:
    limit, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    barrier = threading.Barrier(4)

    def work(turns: int) -> None:
        with quiet_pillow():
            barrier.wait()
            for _ in range(turns):
                with quiet_pillow():
                    assert Image.MAX_IMAGE_PIXELS == decode.MAX_PIXELS // 2

    threads = [threading.Thread(target=work, args=(50 * (i + 1),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limit == Image.MAX_IMAGE_PIXELS
    assert list(warnings.filters) == filters


def test_errors_survive_pickling_and_rebuilding_from_a_message() -> None:
    error = DecodeError(Path("a/b.jpg"), "the file is empty")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.path, copy.reason, str(copy)) == (error.path, error.reason, str(error))
    assert str(DecodeError("Caught DecodeError in worker 0.")) == "Caught DecodeError in worker 0."


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "tif", "webp", "bmp"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_give_a_picture_or_a_decode_error(
    tmp_path: Path, suffix: str, data: st.DataObject
) -> None:
    content = bytearray(encoded(suffix))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, min(len(content) - 1, 700)))] = data.draw(st.integers(0, 255))
    path = tmp_path / f"fuzz.{suffix}"
    path.write_bytes(content)
    try:
        mode = read_image(path).mode
    except DecodeError as error:
        mode = "RGB" if error.reason else ""
    assert mode == "RGB"


def test_a_tiff_of_planes_with_too_many_bands_is_not_called_damaged(tmp_path):
    file = tmp_path / "four.tif"
    tifffile.imwrite(
        file,
        np.zeros((4, 12, 10), np.uint16),
        photometric="minisblack",
        planarconfig="separate",
        metadata=None,
    )
    with pytest.raises(DecodeError) as problem:
        read_image(file)
    assert "damaged" not in str(problem.value)
    assert str(problem.value).count("cannot be read") == 1
    assert "4 bands" in str(problem.value)
