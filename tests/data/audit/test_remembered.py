"""What was seen in a picture is not looked at again, until the picture or its mask changes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.data import picture_store
from foveate.data.audit import AuditConfig, audit, facts
from foveate.data.audit.auditor import checked, remember
from foveate.data.cache_config import CacheConfig
from foveate.data.catalog import Catalog, Sample
from foveate.data.discover import Discovery

from .conftest import scene


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pictures that were read since it was emptied."""
    monkeypatch.setattr(picture_store, "RACY", 0)  # files are trusted at once
    names: list[str] = []
    real = facts.look
    monkeypatch.setattr(facts, "look", lambda path, *rest: names.append(path.name) or real(path, *rest))
    return names


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """24 pictures of two classes, half of them with a mask; two are near copies, one cannot be read."""
    samples = []
    for k in range(24):
        picture = scene(k, (60, 48)) if k != 5 else scene(4, (60, 48)).resize((90, 72))
        picture.save(tmp_path / f"{k:02}.png")
        marked = np.zeros((48, 60), dtype=np.uint8)
        marked[10 : 20 + k // 2, 10:40] = 255
        if k % 2:
            Image.fromarray(marked).save(tmp_path / f"{k:02}_mask.png")
        samples.append(Sample(f"{k:02}.png", k % 2, mask=f"png:{k:02}_mask.png" if k % 2 and k != 5 else ""))
    (tmp_path / "07.png").write_bytes(b"no picture")
    return Catalog(tmp_path, ("a", "b"), tuple(samples))


def test_a_second_look_reads_nothing_and_says_the_same(
    catalog: Catalog, looked: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = CacheConfig(folder=tmp_path_factory.mktemp("cache"))
    first = audit(catalog, cache=cache)
    assert sorted(looked) == [sample.path for sample in catalog.samples]
    assert first.alike == (("04.png", "05.png"),)
    assert first.as_dict() == audit(catalog).as_dict(), "without a cache"
    looked.clear()
    assert audit(catalog, cache=cache).as_dict() == first.as_dict()
    assert looked == ["07.png"], "what could not be read may be mended"

    divided = replace(
        catalog,
        samples=tuple(replace(s, split="train" if k % 3 else "test") for k, s in enumerate(catalog.samples)),
    )
    other = AuditConfig(near_duplicate_bits=3, seed=1)
    looked.clear()
    assert audit(divided, other, cache=cache).as_dict() == audit(divided, other).as_dict()
    assert looked.count("03.png") == 1, "by the audit without a cache"


def test_what_changes_is_looked_at_again(
    catalog: Catalog, looked: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = CacheConfig(folder=tmp_path_factory.mktemp("cache"))
    audit(catalog, cache=cache)
    scene(50, (64, 64)).save(catalog.file(2))
    Image.new("L", (60, 48), 255).save(Path(catalog.root) / "09_mask.png")
    looked.clear()
    again = audit(catalog, cache=cache)
    assert sorted(looked) == ["02.png", "07.png", "09.png"]
    assert again.as_dict() == audit(catalog).as_dict()
    assert "mask-full" in [problem.code for problem in again.problems]
    looked.clear()
    audit(catalog, AuditConfig(mask_edge=3), cache=cache)
    assert len(looked) == 24, "other cues"


def test_files_that_were_changed_just_now_are_not_trusted(
    catalog: Catalog,
    looked: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    monkeypatch.setattr(picture_store, "RACY", 10**15)
    cache = CacheConfig(folder=tmp_path_factory.mktemp("cache"))
    audit(catalog, cache=cache)
    looked.clear()
    audit(catalog, cache=cache)
    assert len(looked) == 24


def test_check_split_and_train_read_once(
    catalog: Catalog,
    looked: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path_factory.mktemp("cache")))
    cache = CacheConfig()
    whole = replace(catalog, samples=tuple(s for s in catalog.samples if s.path != "07.png"))
    found = Discovery(whole, "manifest")
    remember(found, audit(whole, cache=cache))
    looked.clear()
    checked(found, cache)
    train = replace(whole, samples=tuple(replace(s, split="train") for s in whole.samples))
    checked(Discovery(train, "manifest"), cache)
    assert looked == []
