"""Copies: found however they were stored, judged by split and class, and look-alikes are let be."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance
from scipy.sparse.csgraph import connected_components

from foveate.data.audit import AuditConfig, audit, duplicates
from foveate.data.audit.facts import Facts
from foveate.data.catalog import Catalog

from .conftest import scene

PLAIN = AuditConfig(probes=False, class_floor=0)


def codes(result) -> list[str]:
    return [problem.code for problem in result.problems]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 15), st.integers(0, 2**32 - 1), st.integers(2, 120))
def test_candidates_equal_all_pairs(bits: int, seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64)
    for k in range(1, n):  # half of them near another one
        if rng.random() < 0.5:
            flips = rng.choice(64, rng.integers(0, bits + 3), replace=False)
            hashes[k] = hashes[rng.integers(0, k)] ^ np.uint64(sum(1 << int(f) for f in flips))
    slow = {
        (i, j) for i, j in combinations(range(n), 2) if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= bits
    }
    told: list[tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_CHUNK", 7 * n)
        pairs = list(duplicates.candidates(hashes, bits, lambda *step: told.append(step)))
    assert told == sorted(told)
    assert told[-1] == (n, n)
    fast = [(int(a), int(b)) for i, j in pairs for a, b in zip(i, j, strict=True)]
    assert len(fast) == len(set(fast))
    assert set(fast) == slow


@pytest.mark.parametrize("same", [0, 900])
def test_candidates_of_many_equal_all_pairs_though_few_are_compared(same: int) -> None:
    """Of 3000 hashes, of which ``same`` are one, and some are near another."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 3000, dtype=np.uint64)
    hashes[:same] = hashes[0]
    for k in range(1000, 3000, 7):
        flips = rng.choice(64, rng.integers(0, 13), replace=False)
        hashes[k] = hashes[k - 900] ^ np.uint64(sum(1 << int(f) for f in flips))
    i, j = np.nonzero(np.triu(np.bitwise_count(hashes[:, None] ^ hashes) <= 10, 1))
    looked_at = 0
    real = duplicates._Band.pairs

    def counted(*given: object) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        nonlocal looked_at
        for pair in real(*given):  # type: ignore[arg-type]
            looked_at += len(pair[0])
            yield pair

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates._Band, "pairs", counted)
        found = np.concatenate([np.stack(pair) for pair in duplicates.candidates(hashes, 10)], axis=1)
    assert sorted(zip(*found.tolist(), strict=True)) == [*zip(i.tolist(), j.tolist(), strict=True)]
    if not same:
        assert looked_at < 3000**2 / 10


def test_sets_are_those_of_all_pairs() -> None:
    """Against every pair proven, in a set with copies, films and look-alikes."""
    rng = np.random.default_rng(0)
    facts = []
    for k in range(150):
        base = np.asarray(scene(k % 12, (32, 32)).convert("L")).astype(int)
        if k % 3:
            y, x = rng.integers(0, 20, 2)
            base[y : y + 9, x : x + 9] += int(rng.integers(-200, 200))
        grey = np.clip(base + rng.integers(-2, 3, base.shape), 0, 255).astype(np.uint8)
        phash = int.from_bytes(np.packbits(imagehash.phash(Image.fromarray(grey)).hash).tobytes())
        facts.append(Facts(pixels=str(k).encode(), phash=phash, grey=grey, size=(32, 32)))
    graph = np.zeros((150, 150), dtype=bool)
    for i, j in combinations(range(150), 2):
        if (facts[i].phash ^ facts[j].phash).bit_count() <= 10:
            graph[i, j] = duplicates.difference(facts[i].grey[None], facts[j].grey[None])[0] <= 0.35
    count, member = connected_components(graph, directed=False)
    slow = sorted(found.tolist() for k in range(count) if len(found := np.flatnonzero(member == k)) > 1)
    found, tired = duplicates.alike(facts, bits=10, limit=0.35)
    assert sorted(found) == slow
    assert len(slow) > 5
    assert tired == 0


def test_look_alikes_without_copies_cost_no_square(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "TRIES", 10)
    base = np.asarray(scene(1, (32, 32)).convert("L")).astype(int)
    rng = np.random.default_rng(0)
    facts = []
    for k in range(400):
        grey = base.copy()
        y, x = rng.integers(2, 22, 2)
        grey[y : y + 7, x : x + 7] = rng.integers(0, 256)
        facts.append(Facts(pixels=str(k).encode(), phash=7, grey=grey.astype(np.uint8), size=(32, 32)))
    facts += [replace(fact, pixels=fact.pixels + b"copy", phash=7) for fact in facts[:5]]
    proven = []
    real = duplicates.difference
    monkeypatch.setattr(duplicates, "difference", lambda a, b: proven.append(len(a)) or real(a, b))
    _, tired = duplicates.alike(facts, bits=10, limit=0.05)
    assert tired > 100
    assert sum(proven) < 405 * 40  # of 81 810 pairs
    (said,) = duplicates.problems(Catalog(Path("x"), (), ()), [], [], tired)
    assert said.severity == "info"
    assert said.message.startswith(f"{tired} pictures resemble 10 others or more")


def test_hash_is_imagehash(make: Callable) -> None:
    from foveate.data.audit.facts import scan

    (fact,) = scan(make([("x", "a.png", scene(1), {})]), mask_edge=2)
    thumb = scene(1).resize((64, 64), Image.Resampling.BOX)
    assert f"{fact.phash:016x}" == str(imagehash.phash(thumb))


def altered() -> dict[str, Image.Image]:
    picture = scene(1, (160, 120))
    width, height = picture.size
    return {
        "smaller": picture.resize((80, 60), Image.Resampling.BICUBIC),
        "brighter": ImageEnhance.Brightness(picture).enhance(1.15),
        "flatter": ImageEnhance.Contrast(picture).enhance(0.7),
        "grey": picture.convert("L").convert("RGB"),
        "shifted": picture.crop((4, 3, width, height)).resize((width, height)),
        "squashed": picture.resize((120, 120)),
    }


@pytest.mark.parametrize("name", altered())
def test_altered_copy_is_nearly_alike(make: Callable, name: str) -> None:
    rows = [("x", "a.png", scene(1, (160, 120)), {}), ("x", "b.png", altered()[name], {})]
    result = audit(make([*rows, *(("x", f"{k}.png", scene(k, (160, 120)), {}) for k in range(5, 25))]), PLAIN)
    assert result.alike == (("a.png", "b.png"),)
    assert "near-duplicate" in codes(result)


def test_jpeg_copy_is_nearly_alike_and_png_copy_identical(make: Callable) -> None:
    picture = scene(1, (160, 120))
    rows = [("x", name, picture, {}) for name in ("a.png", "b.bmp", "c.jpg")]
    result = audit(make(rows), PLAIN)
    assert codes(result) == ["duplicate", "near-duplicate"]
    assert result.problems[0].paths == ("a.png", "b.bmp")
    assert result.problems[1].paths == ("a.png", "b.bmp", "c.jpg")


def test_another_object_before_the_same_background_is_not_alike(make: Callable) -> None:
    rows = []
    for k, (x, y) in enumerate([(20, 30), (60, 50), (100, 60), (40, 70), (90, 20)]):
        picture = scene(1, (160, 120))
        ImageDraw.Draw(picture).ellipse(
            (x, y, x + 40, y + 30), fill=(250, 240, 20) if k % 2 else (10, 10, 10)
        )
        rows.append(("x", f"{k}.png", picture, {}))
    assert audit(make(rows), PLAIN).alike == ()


def test_flat_pictures_are_blank_not_alike(make: Callable) -> None:
    rows = [("x", f"{k}.png", Image.new("RGB", (60, 60), (k * 40, 9, 9)), {}) for k in range(4)]
    assert codes(audit(make(rows), PLAIN)) == ["blank"] * 4


def test_long_film_is_one_set_without_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.asarray(scene(1, (32, 32)).convert("L"))
    rng = np.random.default_rng(0)
    facts = []
    for k in range(1500):
        frame = np.clip(grey.astype(int) + rng.integers(-2, 3, grey.shape), 0, 255).astype(np.uint8)
        facts.append(Facts(pixels=str(k).encode(), phash=12345, grey=frame, size=(32, 32)))
    proven = 0
    real = duplicates.difference

    def counted(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        nonlocal proven
        proven += len(a)
        return real(a, b)

    monkeypatch.setattr(duplicates, "difference", counted)
    assert duplicates.alike(facts, bits=10, limit=0.35) == ([list(range(1500))], 0)
    assert proven < 5_000  # of 1 124 250 pairs


WHERE = {
    "within": (("x", "train"), ("x", "train"), {"duplicate"}, {"near-duplicate"}, set()),
    "undecided": (("x", ""), ("x", ""), {"duplicate"}, {"near-duplicate"}, set()),
    "across": (
        ("x", "train"),
        ("x", "test"),
        {"duplicate-across-splits"},
        {"near-duplicate-across-splits"},
        {"a.png"},
    ),
    "two classes": (
        ("x", "train"),
        ("y", "train"),
        {"duplicate-two-classes"},
        {"near-duplicate-two-classes"},
        {"a.png", "b.png"},
    ),
    "both": (
        ("x", "val"),
        ("y", "test"),
        {"duplicate-two-classes", "duplicate-across-splits"},
        {"near-duplicate-two-classes", "near-duplicate-across-splits"},
        {"a.png", "b.png"},
    ),
    "unlabelled test": (
        ("x", "train"),
        ("", "test"),
        {"duplicate-across-splits"},
        {"near-duplicate-across-splits"},
        {"a.png"},
    ),
}


@pytest.mark.parametrize("where", WHERE)
def test_judged_by_split_and_class(make: Callable, where: str) -> None:
    one, other, exact, near, gone = WHERE[where]
    picture = scene(1, (160, 120))
    more = [
        (c, f"{c}{s}{k}.png", scene(hash_of(c, s, k)), {"split": s})
        for c in "xy"
        for s in splits_of(one, other)
        for k in range(4)
    ]
    rows = [
        (one[0], "a.png", picture, {"split": one[1]}),
        (other[0], "b.png", picture, {"split": other[1]}),
        *more,
    ]
    result = audit(make(rows), PLAIN)
    assert set(codes(result)) == exact
    assert result.quarantine() == gone
    rows[1] = (other[0], "b.png", picture.resize((80, 60)), {"split": other[1]})
    result = audit(make(rows), PLAIN)
    assert set(codes(result)) == near
    assert result.errors == ()
    assert result.quarantine() == set()


def splits_of(one: tuple[str, str], other: tuple[str, str]) -> list[str]:
    return sorted({one[1], other[1]})


def hash_of(*parts: object) -> int:
    return 1000 + sum(ord(c) * 31**i for i, c in enumerate("".join(map(str, parts)))) % 100_000
