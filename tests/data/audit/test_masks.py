"""Masks: every fault is named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.data.audit import AuditConfig, audit
from foveate.data.audit.masks import look_at_mask

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
