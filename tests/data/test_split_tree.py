"""A split as folders: every picture once, under its class; nothing is written over or lost."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from foveate.core.errors import DataError
from foveate.data.catalog import Catalog, Sample
from foveate.data.discover import discover
from foveate.data.split_tree import write_tree


def make(root: Path, paths: dict[str, tuple[int, str]], ids: tuple[str, ...] = ()) -> Catalog:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    samples = tuple(Sample(path, label, split) for path, (label, split) in paths.items())
    return Catalog(root, ("bee", "wasp"), samples, ids)


PATHS = {
    "bee/a/1.png": (0, "train"), "bee/b/1.png": (0, "train"), "bee/b/2.png": (0, "test"), "wasp/1.png": (1, "val"),
    "wasp/1.PNG": (1, "val"), "wasp/3.png": (1, "train"), "x.png": (-1, "test"),
}  # fmt: skip


def held(out: Path) -> dict[str, str]:
    return {p.relative_to(out).as_posix(): p.read_text() for p in sorted(out.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("linking", [True, False])
def test_every_labelled_picture_is_there_once(
    linking: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EXDEV, "another disk")

    if not linking:
        monkeypatch.setattr(os, "link", refuse)
    catalog = make(tmp_path / "data", PATHS)
    assert write_tree(catalog, tmp_path / "out") == ((6, 0) if linking else (0, 6))
    found = held(tmp_path / "out")
    assert sorted(found.values()) == sorted(path for path in PATHS if path != "x.png")
    for place, path in found.items():
        label, split = PATHS[path]
        assert place.split("/")[:2] == [split, catalog.classes[label]]
    assert "train/bee/bee_a_1.png" in found
    assert "test/bee/2.png" in found
    assert os.path.samefile(tmp_path / "out/test/bee/2.png", tmp_path / "data/bee/b/2.png") is linking


def test_ids_are_read_again(tmp_path: Path) -> None:
    paths = {f"{k}.png": (k % 2, ("train", "test")[k // 2]) for k in range(4)}
    catalog = make(tmp_path / "data", paths, ("17", "4780"))
    write_tree(catalog, tmp_path / "out")
    read = discover(tmp_path / "out").catalog
    assert (read.classes, read.class_ids) == (catalog.classes, catalog.class_ids)


def test_nothing_is_written_over_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    catalog = make(tmp_path / "data", PATHS)
    with pytest.raises(DataError, match="lies among the pictures"):
        write_tree(catalog, tmp_path / "data" / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="holds files already"):
        write_tree(catalog, tmp_path / "out")
    assert held(tmp_path / "out") == {"mine.txt": "mine"}
    with pytest.raises(DataError, match="cannot be the name of a folder"):
        write_tree(Catalog(tmp_path / "data", ("a/b", "c"), ()), tmp_path / "new")
    with pytest.raises(DataError, match=r"Two classes of .* would both be the folder 1_a"):
        write_tree(Catalog(tmp_path / "data", ("1_a", "a"), (), ("1_a", "1")), tmp_path / "new")
    (tmp_path / "data" / "wasp" / "3.png").unlink()
    with pytest.raises(DataError, match=r"wasp/3\.png is gone, or a link to nothing"):
        write_tree(catalog, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out"]


def test_links_do_not_lead_among_the_pictures_and_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = make(tmp_path / "data", PATHS)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").symlink_to("empty")
    linked = Catalog(tmp_path / "link", catalog.classes, catalog.samples)
    for given, out in ((catalog, tmp_path / "link" / "out"), (linked, tmp_path / "data" / "out")):
        with pytest.raises(DataError, match="lies among the pictures"):
            write_tree(given, out)
    assert write_tree(catalog, tmp_path / "other") == (6, 0)
    assert (tmp_path / "other").is_symlink()
    assert len(held(tmp_path / "empty")) == 6
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(DataError, match="the folder that you are in"):
        write_tree(catalog, Path())


def test_no_picture_is_lost_on_a_disk_that_does_not_tell_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {"bee/a/1.png": (0, "train"), "bee/a/1.PNG": (0, "train"), "wasp/1.png": (1, "train")}
    catalog = make(tmp_path / "data", paths)
    copy, link = shutil.copy2, os.link

    def linking(source: str, target: Path) -> None:
        if target.with_name(target.name.lower()).exists():
            raise OSError(errno.EPERM, "such a disk knows no links")
        link(source, target.with_name(target.name.lower()))

    monkeypatch.setattr(os, "link", linking)
    monkeypatch.setattr(
        shutil, "copy2", lambda source, target: copy(source, target.with_name(target.name.lower()))
    )
    with pytest.raises(DataError, match="differ in case alone"):
        write_tree(catalog, tmp_path / "out")
    assert not (tmp_path / "out").exists()
