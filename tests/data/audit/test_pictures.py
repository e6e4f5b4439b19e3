"""Every kind of bad or odd file is found by name, and good files are not accused."""

import functools
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from foveate.data.audit import AuditConfig, audit
from foveate.data.audit.facts import look
from foveate.data.catalog import Catalog, Sample

from .conftest import scene

PLAIN = AuditConfig(probes=False, class_floor=0)


def png_16_bit_rgb(path: Path) -> None:
    """Pillow cannot write it, so by hand: 40x40, 16 bits a channel."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    values = np.random.default_rng(0).integers(0, 65536, (40, 120)).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", 40, 40, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )


def bomb(path: Path) -> None:
    """A PNG header that promises 30000 x 30000 pixels."""
    scene(1).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 30000, 30000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(bytes(data))


def truncated(path: Path) -> None:
    scene(2, (200, 200)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def exif(path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    scene(3).save(path, exif=tags)


def animated(path: Path) -> None:
    scene(4).save(path, save_all=True, append_images=[scene(5)], duration=100, loop=0)


def alpha(path: Path) -> None:
    picture = scene(6).convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save(path)


CASES = {
    "unreadable": ("a.jpg", lambda p: p.write_bytes(b"this is not a picture")),
    "unreadable ": ("b.png", lambda p: p.write_bytes(b"")),
    "truncated": ("c.jpg", truncated),
    "truncated ": ("d.png", truncated),
    "too-large": ("e.png", bomb),
    "wrong-extension": ("f.png", lambda p: scene(7).save(p, format="JPEG")),
    "cmyk": ("g.jpg", lambda p: scene(8).convert("CMYK").save(p)),
    "sixteen-bit": ("h.png", png_16_bit_rgb),
    "sixteen-bit ": (
        "i.png",
        lambda p: Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(p),
    ),
    "palette": ("j.png", lambda p: scene(9).quantize(64).save(p)),
    "alpha": ("k.png", alpha),
    "animated": ("l.gif", animated),
    "rotated": ("m.jpg", exif),
    "grey-among-colour": ("n.jpg", lambda p: scene(10).convert("L").save(p)),
    "grey-among-colour ": ("o.jpg", lambda p: scene(11).convert("L").convert("RGB").save(p)),
    "tiny": ("p.png", lambda p: scene(12, (20, 60)).save(p)),
    "blank": ("q.png", lambda p: Image.new("RGB", (50, 50), (90, 10, 30)).save(p)),
}
ERRORS = {"unreadable", "truncated", "too-large"}
ALONG = {"l.gif": {"palette"}, "i.png": {"grey-among-colour"}}  # true of that file too


@pytest.mark.parametrize(
    ("code", "case"), CASES.items(), ids=[f"{c.strip()}-{n}" for c, (n, _) in CASES.items()]
)
def test_kind_is_found(tmp_path: Path, code: str, case: tuple) -> None:
    name, write = case
    write(tmp_path / name)
    for k in range(3):
        scene(100 + k).save(tmp_path / f"good{k}.jpg")
    names = [name, *(f"good{k}.jpg" for k in range(3))]
    result = audit(Catalog(tmp_path, ("x",), tuple(Sample(n, 0) for n in names)), PLAIN)
    found = {(p.path, p.code, p.severity) for p in result.problems if p.path}
    code = code.strip()
    assert code in {c for _, c, _ in found}
    assert {c for _, c, _ in found} <= {code} | ALONG.get(name, set())
    assert {p for p, _, _ in found} == {name}
    assert ({s for _, _, s in found} == {"error"}) == (code in ERRORS)
    assert all(p.message[-1] in ".?" and len(p.message) > 10 for p in result.problems)
    assert (name in result.quarantine()) == (code in ERRORS)


def test_missing_file_is_an_error_not_an_exception(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, ("x",), tuple(Sample(f"none{k}.png", 0) for k in range(3)))
    assert [p.code for p in audit(catalog, PLAIN).errors] == ["unreadable"] * 3


def test_no_pictures() -> None:
    assert audit(Catalog(Path("/nowhere"), (), ())).problems == ()


FORMATS = ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "TGA", "JPEG2000")


@functools.cache
def encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    tags = Image.Exif()
    tags[0x0112], tags[0x0110] = 6, "camera"
    picture = scene(1, (40, 30))
    more = (
        {"save_all": True, "append_images": [scene(2, (40, 30))]} if kind in ("GIF", "TIFF", "WEBP") else {}
    )
    picture.save(stream, kind, **more, **({"exif": tags} if kind in ("PNG", "JPEG", "TIFF", "WEBP") else {}))
    return stream.getvalue()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=12),
    st.floats(0.05, 1),
)
def test_damaged_bytes_become_problems_not_exceptions(
    tmp_path: Path, kind: str, changes: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(encoded(kind))
    for where, value in changes:
        data[int(where**2 * len(data))] = value  # more often in the header
    (tmp_path / "a.img").write_bytes(bytes(data[: math.ceil(kept * len(data))]))
    facts = look(tmp_path / "a.img", tmp_path, "", 1)
    assert facts.failure is not None or (facts.size > (0, 0) and facts.pixels)
    assert facts.failure is None or facts.failure[0] in ("unreadable", "truncated", "too-large")


def test_all_grey_is_no_problem(tmp_path: Path) -> None:
    for k in range(4):
        scene(k).convert("L").save(tmp_path / f"{k}.png")
    catalog = Catalog(tmp_path, ("x",), tuple(Sample(f"{k}.png", 0) for k in range(4)))
    assert audit(catalog, PLAIN).problems == ()


def test_threads_do_not_change_the_result(tmp_path: Path) -> None:
    for k in range(12):
        scene(k % 9).save(tmp_path / f"{k}.png")
    catalog = Catalog(tmp_path, ("x", "y"), tuple(Sample(f"{k}.png", k % 2) for k in range(12)))
    calls: list[tuple[str, int, int]] = []
    one = audit(catalog, AuditConfig(threads=1, probes=False), progress=lambda *call: calls.append(call))
    assert one == audit(catalog, AuditConfig(threads=4, probes=False))
    assert [done for stage, done, total in calls if stage == "pictures"] == list(range(1, 13))
