"""The pictures of a folder one after another: the same, in the same order, as a list of all that is sorted."""

from pathlib import Path

import pytest

from foveate.core.errors import DataError
from foveate.data.listing import UNREADABLE, pictures_below, scan

NAMES = (
    "a/2.png",
    "a/10.png",
    "a-b/1.png",
    "a.png",
    "a/b/c.JPG",
    "a b/x.png",
    "B/1.png",
    "a/raw.cr2",
    "a/notes.txt",
    ".x/1.png",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / "here" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "here" / name).touch()
    (tmp_path / "there" / "sub").mkdir(parents=True)
    (tmp_path / "there" / "sub" / "1.png").touch()
    for name, target in {"0 again": "here/a", "link": "there", "z": "there", "a/circle": "here"}.items():
        (tmp_path / "here" / name).symlink_to(tmp_path / target)
    return tmp_path / "here"


def test_the_order_is_that_of_sorted_paths(folder: Path) -> None:
    listed = scan(folder)
    assert list(pictures_below(folder, [folder])) == list(listed.pictures)
    assert "link/sub/1.png" in listed.pictures
    odd = {name for name in listed.others if Path(name).suffix in UNREADABLE}
    assert list(pictures_below(folder, [folder], unreadable=True)) == sorted({*listed.pictures, *odd})


def test_files_and_folders_are_taken_in_the_order_given(folder: Path) -> None:
    given = [folder / "a.png", folder / "a" / "b", folder / "a.png"]
    assert list(pictures_below(folder, given)) == ["a.png", "a/b/c.JPG", "a.png"]
    with pytest.raises(DataError, match="does not exist; give picture files"):
        list(pictures_below(folder, [folder / "gone"]))
