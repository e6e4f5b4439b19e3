"""The probe: planted cues are found and named, absent ones are not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn import model_selection
from sklearn.metrics import balanced_accuracy_score

from foveate.data.audit import AuditConfig, audit, cues, facts


@pytest.fixture(autouse=True)
def _small_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cues, "_TREES", 30)


CONFIG = AuditConfig(class_floor=0, near_duplicates=False)


def texture(
    rng: np.random.Generator, size: tuple[int, int] = (64, 64), colour: tuple = (120, 120, 120)
) -> np.ndarray:
    return np.clip(rng.normal(0, 30, (size[1], size[0], 3)) + colour, 0, 255).astype(np.uint8)


def found(make: Callable, draw: Callable, n: int = 80, **fields: Callable) -> dict:
    """Pictures k = 0..n-1 of class k % 2 (names a, b), drawn by draw(rng, k % 2)."""
    rng = np.random.default_rng(0)
    rows = []
    for k in range(n):
        extra = {name: value(k) for name, value in fields.items()}
        rows.append(("ab"[k % 2], f"{k}.png", Image.fromarray(draw(rng, k % 2)), extra))
    return {cue.name: cue for cue in audit(make(rows), CONFIG).cues}


def test_nothing_planted_nothing_found(make: Callable) -> None:
    table = found(make, lambda rng, c: texture(rng), mask=lambda k: f"box:{10 + k % 7},10,40,{30 + k % 11}")
    assert set(table) == {"background", "border", "picture size", "file size", "object", "mean colour"}
    for cue in table.values():
        assert not cue.far_above
        assert cue.interval[0] <= cue.chance + 0.1
        assert cue.chance == 0.5
        assert cue.n == 80


def planted_background(rng: np.random.Generator, c: int) -> np.ndarray:
    picture = texture(rng, colour=((90, 120, 120), (160, 120, 120))[c])
    picture[16:48, 16:48] = texture(rng, (32, 32))
    return picture


def planted_object(rng: np.random.Generator, c: int) -> np.ndarray:
    picture = texture(rng)
    picture[16:48, 16:48] = texture(rng, (32, 32), ((60, 120, 120), (190, 120, 120))[c])
    return picture


def test_background_is_told_from_object(make: Callable) -> None:
    box = {"mask": lambda k: "box:14,14,50,50"}
    cheat = found(make, planted_background, **box)
    assert cheat["background"].accuracy > 0.95
    assert cheat["background"].far_above
    assert cheat["background"].kind == "shortcut"
    assert "chance 50%: a network can cheat here" in cheat["background"].verdict
    assert cheat["border"].far_above
    honest = found(make, planted_object, **box)
    assert not honest["background"].far_above
    assert not honest["border"].far_above
    assert honest["mean colour"].far_above
    assert honest["mean colour"].kind == "information"


def test_rim_of_the_object_is_not_background() -> None:
    picture = np.full((64, 64, 3), 100, np.uint8)
    picture[19:45, 19:45] = 250  # two cells more than the mask says
    mask = np.zeros((64, 64), np.uint8)
    mask[21:43, 21:43] = 255
    assert facts.describe(picture, mask, edge=2)["background"][3:6].max() < 1e-6
    assert facts.describe(picture, mask, edge=0)["background"][3:6].max() > 0.01


def test_size_file_size_and_exif(tmp_path: Path, make: Callable) -> None:
    table = found(make, lambda rng, c: texture(rng, ((64, 64), (64, 80))[c]))
    assert table["picture size"].accuracy == 1
    assert table["picture size"].far_above
    assert "camera" not in table
    rng = np.random.default_rng(0)
    rows = []
    for k in range(60):
        tags = Image.Exif()
        tags[0x010F] = "Lens & Sons"
        tags[0x0132] = f"2024:0{1 + k % 2}:{1 + k % 28:02d} 12:00:00"
        Image.fromarray(texture(rng)).save(tmp_path / f"e{k}.jpg", exif=tags, quality=90 if k % 2 else 50)
        rows.append(("ab"[k % 2], f"e{k}.jpg", None, {}))
    table = {cue.name: cue for cue in audit(make(rows), CONFIG).cues}
    assert table["camera"].far_above
    assert table["file size"].far_above
    assert table["picture size"].accuracy == table["picture size"].chance == 0.5


def test_groups_are_not_divided(make: Callable) -> None:
    """Colour names the animal, not the class: only a probe that divides animals finds a cue."""
    colours = np.random.default_rng(1).integers(40, 215, (20, 3))
    draws = iter(range(10_000))

    def draw(rng: np.random.Generator, c: int) -> np.ndarray:
        return texture(rng, colour=tuple(colours[next(draws) % 20]))

    loose = found(make, draw, n=200)
    draws = iter(range(10_000))
    grouped = found(make, draw, n=200, group=lambda k: f"animal{k % 20}")
    assert loose["mean colour"].accuracy > 0.9
    assert grouped["mean colour"].accuracy < 0.8
    assert not grouped["mean colour"].far_above
    width = {
        name: np.ptp(table["mean colour"].interval)
        for name, table in (("loose", loose), ("grouped", grouped))
    }
    assert width["grouped"] > 2 * width["loose"]


def test_too_small_classes_are_left_out(make: Callable) -> None:
    rng = np.random.default_rng(0)
    rows = [("abc"[min(k // 20, 2)], f"{k}.png", Image.fromarray(texture(rng)), {}) for k in range(43)]
    assert {cue.n for cue in audit(make(rows), CONFIG).cues} == {40}
    assert audit(make(rows[:22]), CONFIG).cues == ()


def test_sample_keeps_proportions() -> None:
    labels = np.repeat([0, 1, 2], [900, 90, 10])
    kept = cues._sample(np.arange(1000), labels, 100, seed=0)
    assert np.bincount(labels[kept]).tolist() == [90, 10, 10]
    assert cues._sample(np.arange(50), labels, 100, seed=0).tolist() == list(range(50))


def test_interval_of_many_classes_holds_the_accuracy() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(40), 20)
    features = rng.normal(labels[:, None], 0.6, (800, 3)).astype(np.float32)
    cue = cues._judge("border", features, labels, np.arange(800), 0.1, 0)
    assert 0.7 < cue.accuracy < 0.99
    assert cue.interval[0] < cue.accuracy < cue.interval[1]


def test_accuracy_is_scikit_learns_balanced_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    guesses = []

    def spy(*given: object, **named: object) -> np.ndarray:
        guesses.append(real(*given, **named))
        return guesses[-1]

    real = model_selection.cross_val_predict
    monkeypatch.setattr(model_selection, "cross_val_predict", spy)
    rng = np.random.default_rng(3)
    features = rng.normal(size=(90, 4)).astype(np.float32)
    labels = np.repeat([1, 4, 7], [60, 20, 10])
    features[:, 0] += labels * 0.4
    cue = cues._judge("border", features, labels, np.arange(90), 0.1, 0)
    assert cue.accuracy == pytest.approx(
        balanced_accuracy_score(np.repeat([0, 1, 2], [60, 20, 10]), guesses[0])
    )
    assert cue.interval[0] < cue.accuracy < cue.interval[1]
