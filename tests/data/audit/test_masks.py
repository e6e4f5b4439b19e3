"""Masks: every fault is named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.data.audit import AuditConfig, audit
from foveate.data.audit.facts import look_at_mask

from .conftest import scene

PLAIN = AuditConfig(probes=False, class_floor=0)


def mask(size: tuple[int, int], share: float) -> Image.Image:
    pixels = np.zeros((size[1], size[0]), np.uint8)
    pixels[: round(size[1] * share)] = 255
    return Image.fromarray(pixels)


CASES = {
    "good": (mask((64, 48), 0.5), None),
    "scaled": (mask((128, 96), 0.5), "mask-size"),
    "rounded": (mask((32, 25), 0.5), "mask-size"),
    "another shape": (mask((64, 64), 0.5), "mask-shape"),
    "lying": (mask((48, 64), 0.5), "mask-shape"),
    "empty": (mask((64, 48), 0), "mask-empty"),
    "full": (mask((64, 48), 1), "mask-full"),
}


@pytest.mark.parametrize("name", CASES)
def test_fault_is_found(make: Callable, tmp_path: Path, name: str) -> None:
    picture, code = CASES[name]
    picture.save(tmp_path / "mask.png")
    rows = [("x", "a.png", scene(1), {"mask": "png:mask.png"})]
    rows += [("x", f"{k}.png", scene(k), {"mask": "box:5,5,40,40"}) for k in range(2, 6)]
    result = audit(make(rows), PLAIN)
    assert [(p.code, p.path) for p in result.problems] == ([(code, "a.png")] if code else [])
    assert result.quarantine() == ({"a.png"} if code == "mask-shape" else set())


def test_unreadable_and_missing(make: Callable, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"nothing")
    rows = [
        ("x", f"{k}.png", scene(k), {"mask": m})
        for k, m in enumerate(["png:bad.png", "png:gone.png", "box:1,2"])
    ]
    rows += [("x", f"{k}.png", scene(k), {}) for k in range(5, 8)]
    result = audit(make(rows), PLAIN)
    assert [p.code for p in result.problems] == ["mask-unreadable"] * 3 + ["mask-missing"]
    assert result.problems[-1].related == ("5.png", "6.png", "7.png")
    assert "3 of 6" in result.problems[-1].message
    assert result.quarantine() == {"0.png", "1.png", "2.png"}


def test_mask_of_the_picture_as_stored_fits_after_turning(tmp_path: Path) -> None:
    mask((64, 48), 0.25).save(tmp_path / "mask.png")
    facts = look_at_mask(tmp_path, "png:mask.png", (48, 64), orientation=6)
    assert facts.failure is None
    assert facts.scaled_from is None
    assert facts.area == pytest.approx(0.25)
    assert look_at_mask(tmp_path, "png:mask.png", (48, 64)).failure[0] == "mask-shape"


def plain(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values.astype(np.uint8))


def ring(inside: int, outside: int) -> Image.Image:
    values = np.full((48, 64), outside)
    values[15:35, 20:40] = inside
    return plain(values)


SOFT = plain(np.clip(np.mgrid[:48, :64][1] * 8 - 120, 0, 255))
READINGS = {
    "plain": ([ring(255, 0)] * 4, []),
    "inverted": ([ring(0, 255)] * 3 + [ring(255, 0)], [("mask-inverted", "3 of 4 masks run along", 3)]),
    "one inverted": ([ring(0, 255)] + [ring(255, 0)] * 3, []),
    "no zero": ([ring(255, 1)] * 2 + [ring(255, 0)] * 2, [("mask-no-zero", "2 of 4 masks hold no 0", 2)]),
    "soft": ([SOFT] * 4, [("mask-read-as", "4 of 4 masks are soft", 4)]),
    "labels": (
        [ring(255, 0)] * 3 + [plain(np.mgrid[:48, :64][1] // 16)],
        [("mask-read-as", "1 of 4 masks hold sev", 1)],
    ),
}


@pytest.mark.parametrize("name", READINGS)
def test_how_masks_were_read_is_said_once(make: Callable, tmp_path: Path, name: str) -> None:
    pictures, expected = READINGS[name]
    for k, picture in enumerate(pictures):
        picture.save(tmp_path / f"mask{k}.png")
    rows = [("x", f"{k}.png", scene(k), {"mask": f"png:mask{k}.png"}) for k in range(4)]
    found = audit(make(rows), PLAIN).problems
    assert [(p.code, len(p.related)) for p in found] == [(code, count) for code, _, count in expected]
    assert all(p.message.startswith(words) for p, (_, words, _) in zip(found, expected, strict=True))


def test_what_is_advised_for_inverted_masks_turns_them_round(make: Callable, tmp_path: Path) -> None:
    ring(0, 255).save(tmp_path / "mask.png")
    rows = [("x", f"{k}.png", scene(k), {"mask": "png[0]:mask.png"}) for k in range(4)]
    assert audit(make(rows), PLAIN).problems == ()
    assert look_at_mask(tmp_path, "png[0]:mask.png", (64, 48)).area == pytest.approx(20 * 20 / (48 * 64))
