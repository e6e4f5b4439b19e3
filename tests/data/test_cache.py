"""The cache: same bytes as decoding, keyed by content, whole or absent."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.core.errors import DataError
from foveate.core.memo import read_memo
from foveate.data import cache, picture_store
from foveate.data.cache import CachedPictures, open_pictures
from foveate.data.cache_config import CacheConfig
from foveate.data.catalog import Catalog, Sample
from foveate.data.decode import DecodeError, read_image
from foveate.data.picture_store import HashMemo
from foveate.data.square import resize


def draw(root: Path, count: int = 6, masks: bool = True, size: tuple[int, int] = (50, 40)) -> Catalog:
    """Noise with every second picture masked; one EXIF-turned JPEG; one exact copy."""
    rng = np.random.default_rng(0)
    samples = []
    for i in range(count):
        image = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
        name = f"images/{i}.{'jpg' if i == 1 else 'png'}"
        (root / "images").mkdir(parents=True, exist_ok=True)
        (root / "masks").mkdir(exist_ok=True)
        if i == 1:
            exif = Image.Exif()
            exif[0x0112] = 6
            image.save(root / name, exif=exif)
        elif i == 5:
            (root / name).write_bytes((root / "images/4.png").read_bytes())
        else:
            image.save(root / name)
        ref = ""
        if masks and i % 2 == 0:
            mask = np.zeros((size[1], size[0]), dtype=np.uint8)
            mask[5 + i : 25, 10:30] = 255
            Image.fromarray(mask).save(root / f"masks/{i}.png")
            ref = f"png:masks/{i}.png"
        samples.append(Sample(name, i % 2, mask=ref))
    return Catalog(root, ("a", "b"), tuple(samples))


def settings(folder: Path, **values) -> CacheConfig:
    return CacheConfig(folder=folder, **values)


def stores(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in ("hashes", picture_store.LOCKS))


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_cached_and_decoded_are_the_same_bytes(tmp_path, fit):
    catalog = draw(tmp_path / "data")
    cached = open_pictures(catalog, 32, fit, settings(tmp_path / "cache"))
    decoded = open_pictures(catalog, 32, fit, CacheConfig(enabled=False))
    assert isinstance(cached, CachedPictures)
    assert len(cached) == len(decoded) == 6
    for row in range(6):
        for one, other in zip(cached.read(row), decoded.read(row), strict=True):
            assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))
        assert cached.name(row) == decoded.name(row) == str(catalog.file(row))
    rows = [4, 1, 1, 0]
    for one, other in zip(cached.read_many(rows), decoded.read_many(rows), strict=True):
        assert torch.equal(one, other)
    image, mask, has_mask = cached.read(0)
    plain = resize(read_image(catalog.file(0)), 32, fit)  # a slow path of its own
    assert torch.equal(image, torch.from_numpy(np.array(plain)).permute(2, 0, 1))
    assert mask.any()
    assert has_mask
    assert not cached.read(3)[1].any()
    assert not cached.read(3)[2]
    image += 1  # a copy: the cache is not changed
    assert not torch.equal(cached.read(0)[0], image)


def test_config_overrides_size_and_fit(tmp_path):
    catalog = draw(tmp_path / "data", masks=False)
    pictures = open_pictures(catalog, 32, "crop", settings(tmp_path / "cache", size=24))
    assert pictures.size == 24
    assert not pictures.has_masks
    assert pictures.read(0)[0].shape == (3, 24, 24)


def test_equal_pictures_share_bytes_and_order_does_not_matter(tmp_path):
    catalog = draw(tmp_path / "data")
    first = open_pictures(catalog, 32, config=settings(tmp_path / "cache"))
    assert first.images.shape[0] == 5
    before = stores(tmp_path / "cache")
    second = open_pictures(catalog.subset([5, 3, 1, 0, 2, 4]), 32, config=settings(tmp_path / "cache"))
    moved = tmp_path / "elsewhere"
    (tmp_path / "data").rename(moved)
    third = open_pictures(replace(catalog, root=moved), 32, config=settings(tmp_path / "cache"))
    assert stores(tmp_path / "cache") == before
    assert torch.equal(first.read(5)[0], second.read(0)[0])
    assert torch.equal(first.read(2)[1], third.read(2)[1])


def test_pickled_by_path(tmp_path):
    pictures = open_pictures(draw(tmp_path / "data"), 32, config=settings(tmp_path / "cache"))
    pictures.read(0)
    sent = pickle.dumps(pictures)
    assert len(sent) < 3000
    again = pickle.loads(sent)
    assert torch.equal(again.read(4)[0], pictures.read(4)[0])
    assert torch.equal(again.read(4)[1], pictures.read(4)[1])
    assert not again.images.array.flags.writeable


def test_a_changed_file_gives_a_new_key(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_store, "RACY", 0)  # the memo trusts files at once
    catalog = draw(tmp_path / "data")
    config = settings(tmp_path / "cache")
    time.sleep(0.02)
    before = open_pictures(catalog, 32, config=config)
    file = catalog.file(0)
    entries = HashMemo(tmp_path / "cache", catalog.root).entries
    assert str(file) in entries
    state, old = file.stat(), file.read_bytes()
    Image.fromarray(255 - np.array(Image.open(file))).save(file)
    new = file.read_bytes()
    file.write_bytes(new.ljust(len(old), b"\0"))
    file.write_bytes(file.read_bytes()[: len(old)] if len(new) <= len(old) else new)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))  # as rsync and cp -p do
    after = open_pictures(catalog, 32, config=config)
    assert not torch.equal(before.read(0)[0], after.read(0)[0])
    mask = tmp_path / "data/masks/2.png"
    Image.fromarray(255 - np.array(Image.open(mask))).save(mask)
    third = open_pictures(catalog, 32, config=config)
    assert third.images.folder == after.images.folder  # pictures are not decoded again for a mask
    assert not torch.equal(after.read(2)[1], third.read(2)[1])


def test_annotations_of_a_picture_whose_name_looks_like_a_reference(tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "x#1.png")
    file = tmp_path / "all.xml"
    catalog = Catalog(tmp_path, ("a",), (Sample("x#1.png", 0, mask="cvat:all.xml#x#1.png"),))
    sums = []
    for edge in (10, 20):
        box = f'<box xtl="0" ytl="0" xbr="{edge}" ybr="{edge}"/>'
        file.write_text(
            f'<annotations><image name="x#1.png" width="40" height="40">{box}</image></annotations>'
        )
        mask = open_pictures(catalog, 40, config=settings(tmp_path / "cache")).read(0)[1]
        sums.append(int(mask.sum()) // 255)
    assert sums == [100, 400]


def test_the_memo_saves_reading_but_never_trusts_a_fresh_file(tmp_path, monkeypatch):
    catalog = draw(tmp_path / "data")
    read = []
    real = picture_store._hash
    monkeypatch.setattr(picture_store, "_hash", lambda file: read.append(file) or real(file))
    config = settings(tmp_path / "cache")
    open_pictures(catalog, 32, config=config)
    first = len(read)
    assert first == 9
    open_pictures(catalog, 32, config=config)
    assert len(read) == 2 * first  # written a moment ago: hashed again
    monkeypatch.setattr(picture_store, "RACY", 0)
    open_pictures(catalog, 32, config=config)
    assert len(read) == 3 * first
    open_pictures(catalog, 32, config=config)
    assert len(read) == 3 * first  # remembered
    catalog.file(3).touch()
    open_pictures(catalog, 32, config=config)
    assert len(read) == 3 * first + 1


def test_a_damaged_memo_is_made_again(tmp_path):
    catalog = draw(tmp_path / "data")
    config = settings(tmp_path / "cache")
    open_pictures(catalog, 32, config=config)
    memo = HashMemo(tmp_path / "cache", catalog.root).path
    memo.write_text("{half")
    open_pictures(catalog, 32, config=config)
    assert read_memo(memo) is not None


def test_a_bad_picture_is_named_and_nothing_stays(tmp_path):
    catalog = draw(tmp_path / "data")
    catalog.file(3).write_bytes(catalog.file(3).read_bytes()[:200])
    with pytest.raises(DecodeError, match=r"3\.png"):
        open_pictures(catalog, 32, config=settings(tmp_path / "cache"))
    assert stores(tmp_path / "cache") == []
    catalog.file(3).unlink()
    with pytest.raises(DataError, match=r"3\.png cannot be read"):
        open_pictures(catalog, 32, config=settings(tmp_path / "cache"))


def test_a_file_changed_during_the_build_is_refused(tmp_path, monkeypatch):
    catalog = draw(tmp_path / "data")
    real = cache._decode

    def meddle(catalog, row, size, fit):
        Image.new("RGB", (50, 40)).save(catalog.file(0))
        return real(catalog, row, size, fit)

    monkeypatch.setattr(cache, "_decode", meddle)
    with pytest.raises(DataError, match=r"0\.png was changed while"):
        open_pictures(catalog, 32, config=settings(tmp_path / "cache"))
    assert stores(tmp_path / "cache") == []


def test_too_little_room_is_said_before_decoding(tmp_path, monkeypatch):
    catalog = draw(tmp_path / "data")
    usage = picture_store.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(picture_store.shutil, "disk_usage", lambda path: usage._replace(free=3 * 2**20))
    with pytest.raises(
        DataError, match=r"needs 0 MB in .* where 3 MB are free; point FOVEATE_CACHE .*--no-cache"
    ):
        open_pictures(catalog, 32, config=settings(tmp_path / "cache"))
    assert stores(tmp_path / "cache") == []


def test_a_store_of_wrong_size_is_built_again(tmp_path):
    catalog = draw(tmp_path / "data")
    config = settings(tmp_path / "cache")
    expected = open_pictures(catalog, 32, config=config).read(0)[0]
    [images] = (tmp_path / "cache").glob("images-*")
    (images / "bytes.u8").write_bytes(b"short")
    assert torch.equal(open_pictures(catalog, 32, config=config).read(0)[0], expected)


def damage(path: Path, kind: str, rng: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    place = int(rng.integers(len(content)))
    if kind == "flip":
        content[place] ^= int(rng.integers(1, 256))
    elif kind == "zero":
        content[place:] = bytes(len(content) - place)
    elif kind == "truncate":
        del content[place:]
    elif kind == "grow":
        content += b"0"
    else:
        path.unlink()
        if kind == "folder":
            path.mkdir()
        return
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["flip", "zero", "truncate", "grow", "delete", "folder"])
def test_damage_anywhere_is_noticed_said_and_mended(tmp_path, monkeypatch, caplog, kind):
    monkeypatch.setattr(picture_store, "RACY", 0)
    monkeypatch.setattr(picture_store, "BLOCK", 5000)  # several blocks
    catalog = draw(tmp_path / "data")
    folder = tmp_path / "cache"
    plain = open_pictures(catalog, 32, config=CacheConfig(enabled=False)).read_many(range(6))
    time.sleep(0.02)
    open_pictures(catalog, 32, config=settings(folder))
    rng = np.random.default_rng(0)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    assert len(files) == 5  # a memo, two stores of two files
    for path in files * 8:
        before = path.read_bytes()
        caplog.clear()
        damage(path, kind, rng)
        changed = not path.is_file() or path.read_bytes() != before
        found = open_pictures(catalog, 32, config=settings(folder))
        for one, other in zip(found.read_many(range(6)), plain, strict=True):
            assert torch.equal(one, other)
        if path.parent.name == "hashes" and kind == "folder":
            path.rmdir()  # what a user put there stays, and is said
            open_pictures(catalog, 32, config=settings(folder))
        elif path.suffix == ".u8" and changed:
            assert path.read_bytes() == before
            assert "was damaged; the" in caplog.text
            assert "decoded again" in caplog.text


def test_bytes_are_compared_once_in_a_process(tmp_path, monkeypatch):
    catalog = draw(tmp_path / "data")
    opened = []
    real = picture_store.Store._described
    monkeypatch.setattr(
        picture_store.Store, "_described", lambda self, *rest: opened.append(self.what) or real(self, *rest)
    )
    for _ in range(3):
        open_pictures(catalog, 32, config=settings(tmp_path / "cache"))
    assert opened == ["pictures", "masks"] * 2  # when written, and when opened


@pytest.mark.parametrize("name", ["x", "host-1-abc", "", "images-0", "a-b"])
@pytest.mark.parametrize("folder", [True, False])
def test_leftovers_of_a_build_are_removed(tmp_path, name, folder):
    catalog = draw(tmp_path / "data", masks=False)
    left = tmp_path / "cache" / f"{picture_store.BUILDING}{name}"
    left.parent.mkdir()
    if folder:
        left.mkdir()
        (left / "bytes.u8").write_bytes(b"half")
    else:
        left.write_bytes(b"half")
    open_pictures(catalog, 32, config=settings(tmp_path / "cache"))
    assert [found[:7] for found in stores(tmp_path / "cache")] == ["images-"]


def test_a_cache_that_can_only_be_read_serves(tmp_path, monkeypatch):
    catalog = draw(tmp_path / "data")
    expected = open_pictures(catalog, 32, config=settings(tmp_path / "cache")).read(0)[0]

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(picture_store.Path, "mkdir", refuse)
    assert torch.equal(open_pictures(catalog, 32, config=settings(tmp_path / "cache")).read(0)[0], expected)
    with pytest.raises(DataError, match=r"cannot be written \(Permission denied\); point FOVEATE_CACHE"):
        open_pictures(catalog, 24, config=settings(tmp_path / "cache"))


def test_settings_of_earlier_versions_are_read():
    assert CacheConfig.model_validate({"size": 24, "fit": "pad"}) == CacheConfig(size=24)


def test_progress_is_reported(tmp_path):
    seen = []
    open_pictures(
        draw(tmp_path / "data"),
        32,
        "squash",
        settings(tmp_path / "cache"),
        lambda *report: seen.append(report),
    )
    counts = {"reading files": 9, "decoding pictures": 5, "decoding masks": 3}
    assert seen == [(what, done, count) for what, count in counts.items() for done in range(1, count + 1)]


def test_the_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "a"))
    assert cache.cache_folder(CacheConfig()) == tmp_path / "a"
    assert cache.cache_folder(CacheConfig(folder=tmp_path / "b")) == tmp_path / "b"
    monkeypatch.delenv("FOVEATE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    assert cache.cache_folder(CacheConfig()) == tmp_path / "c/foveate"


def test_an_empty_catalog(tmp_path):
    assert len(open_pictures(Catalog(tmp_path, ("a",), ()), 32, config=settings(tmp_path / "cache"))) == 0


def _build(root: Path, folder: Path, gate, results) -> None:
    catalog = draw_catalog_only(root)
    gate.wait()
    pictures = open_pictures(catalog, 64, config=CacheConfig(folder=folder))
    results.put(int(pictures.read_many(range(len(catalog)))[0].long().sum()))


def draw_catalog_only(root: Path) -> Catalog:
    names = sorted(path.name for path in (root / "images").iterdir())
    return Catalog(root, ("a",), tuple(Sample(f"images/{name}", 0) for name in names))


def test_two_processes_build_at_once(tmp_path):
    draw(tmp_path / "data", count=40, masks=False, size=(300, 300))
    context = multiprocessing.get_context("fork")
    gate, results = context.Barrier(2), context.Queue()
    both = [
        context.Process(target=_build, args=(tmp_path / "data", tmp_path / "cache", gate, results))
        for _ in range(2)
    ]
    for process in both:
        process.start()
    sums = [results.get(timeout=60) for _ in both]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    catalog = draw_catalog_only(tmp_path / "data")
    plain = open_pictures(catalog, 64, config=CacheConfig(enabled=False)).read_many(range(40))[0]
    assert sums == [int(plain.long().sum())] * 2
    assert [name[:7] for name in stores(tmp_path / "cache")] == ["images-"]


def child(catalog: Catalog, folder: Path, seconds: float) -> subprocess.Popen:
    """A process that builds and takes so long for each picture; all its threads are at their first."""
    code = f"""
        import os
        import time
        from foveate.core.threads import usable_cores
        from pathlib import Path
        from foveate.data import cache
        from foveate.data.catalog import Catalog, Sample

        begun = []

        def slow(catalog, row, size, fit, real=cache._decode):
            begun.append(row)
            if len(begun) == min(usable_cores(), {len(catalog)}):  # no thread is about to be started any more
                os.write(1, b"inside\\n")
            time.sleep({seconds})
            return real(catalog, row, size, fit)

        cache._decode = slow
        samples = tuple(Sample(path) for path in {[s.path for s in catalog.samples]!r})
        catalog = Catalog(Path({str(catalog.root)!r}), ("a",), samples)
        cache.open_pictures(catalog, 32, config=cache.CacheConfig(folder=Path({str(folder)!r})))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_build_is_never_taken_for_a_cache(tmp_path, number):
    catalog = draw(tmp_path / "data", count=30 * (os.cpu_count() or 1), masks=False, size=(20, 20))
    with child(catalog, tmp_path / "cache", 5) as process:
        [left] = stores(tmp_path / "cache")
        assert left.startswith(picture_store.BUILDING)
        picture_store._clean(tmp_path / "cache")
        assert stores(tmp_path / "cache") == [left]  # its process is alive
        process.send_signal(number)
        process.communicate(timeout=60)  # all pictures together would take hundreds of seconds
        assert process.returncode == -number
    if number == signal.SIGINT:
        assert stores(tmp_path / "cache") == []
    pictures = open_pictures(catalog, 32, config=settings(tmp_path / "cache"))
    assert [name[:7] for name in stores(tmp_path / "cache")] == ["images-"]
    plain = open_pictures(catalog, 32, config=CacheConfig(enabled=False))
    rows = range(len(catalog))
    assert torch.equal(pictures.read_many(rows)[0], plain.read_many(rows)[0])


@pytest.mark.slow
def test_who_waits_for_another_process_says_so_and_decodes_nothing(tmp_path, monkeypatch):
    catalog = draw(tmp_path / "data", masks=False)
    with child(catalog, tmp_path / "cache", 1.5):
        monkeypatch.setattr(cache, "_decode", None)
        seen = []
        pictures = open_pictures(
            catalog, 32, "squash", settings(tmp_path / "cache"), lambda *report: seen.append(report)
        )
    assert ("waiting for another process that decodes the pictures", 0, 5) in seen
    monkeypatch.undo()
    plain = open_pictures(catalog, 32, config=CacheConfig(enabled=False))
    assert torch.equal(pictures.read_many(range(6))[0], plain.read_many(range(6))[0])
