"""New pictures: in the order given, those that cannot be read apart."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from foveate.cli.main import app
from foveate.core.errors import DataError
from foveate.experiment import Run


@pytest.fixture
def new(tree: Path, tmp_path: Path) -> Path:
    """Five good pictures, two of one name, and four that cannot be read."""
    sources = sorted((tree / "images").rglob("*.png"))
    for number, name in enumerate(["10.png", "9.png", "2.png", "a/photo.png", "b/photo.png"]):
        (tmp_path / "new" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sources[7 * number], tmp_path / "new" / name)
    whole = sources[1].read_bytes()
    (tmp_path / "new" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "new" / "empty.jpg").touch()
    (tmp_path / "new" / "raw.cr2").write_bytes(b"II*\0")
    (tmp_path / "new" / "a" / "text.png").write_text("no picture")
    (tmp_path / "new" / "readme.txt").write_text("no picture either")
    return tmp_path / "new"


GOOD = ["10.png", "2.png", "9.png", "a/photo.png", "b/photo.png"]
BROKEN = ["a/text.png", "cut.png", "empty.jpg", "raw.cr2"]


def foveate(*words: object) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def rows(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_rest_is_predicted_and_what_is_broken_is_listed(finished: Run, new: Path, tmp_path: Path) -> None:
    result = foveate("predict", finished.folder, new, "--out", tmp_path / "p.csv")
    assert result.exit_code == 1
    assert "4 of 9 pictures could not be read and have no prediction" in " ".join(result.output.split())
    table = rows(tmp_path / "p.csv")
    assert [row["path"] for row in table] == GOOD
    alone = finished.predict(new / "a" / "photo.png")
    assert float(table[3]["confidence"]) == pytest.approx(float(alone.confidence[0]), abs=1e-5)
    listed = rows(tmp_path / "p.unreadable.csv")
    assert [row["path"] for row in listed] == BROKEN
    assert all(row["reason"] for row in listed)
    for name in BROKEN:
        assert f"not read: {name}: " in result.output
    for name in BROKEN:
        (new / name).unlink()
    again = foveate("predict", finished.folder, new, "--out", tmp_path / "p.csv")
    assert again.exit_code == 0, again.output
    assert not (tmp_path / "p.unreadable.csv").exists(), "it told of pictures that are gone"


def test_in_python_broken_pictures_are_an_error_unless_asked_for(finished: Run, new: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read"):
        finished.predict(new)
    table = finished.predict(new, quarantine=True)
    assert table.path.tolist() == GOOD
    assert list(table.unreadable) == BROKEN
    assert dict(finished.predict(new / "a" / "photo.png", quarantine=True).unreadable) == {}


def test_nothing_can_be_read(finished: Run, new: Path, tmp_path: Path) -> None:
    one = foveate("predict", finished.folder, new / "cut.png", "--out", tmp_path / "p.csv")
    assert one.exit_code == 1
    assert f"{new / 'cut.png'} cannot be read: " in one.output
    two = foveate("predict", finished.folder, new / "cut.png", new / "raw.cr2", "--out", tmp_path / "p.csv")
    assert "Nor can the other 1 be read." in two.output
    assert not (tmp_path / "p.csv").exists()


def test_files_come_in_the_order_given_also_twice(finished: Run, new: Path) -> None:
    asked = ["9.png", "10.png", "2.png", "9.png"]
    table = finished.predict([new / name for name in asked])
    assert table.path.tolist() == asked
    np.testing.assert_array_equal(table.probabilities[0], table.probabilities[3])
    each = [finished.predict(new / name).probabilities[0] for name in asked]
    np.testing.assert_allclose(table.probabilities, each, atol=1e-5)
    mixed = finished.predict([new / "b", new / "2.png", new / "a" / "photo.png"])
    assert mixed.path.tolist() == ["b/photo.png", "2.png", "a/photo.png"]


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_names_are_unique_in_a_competitions_layout(
    finished: Run, new: Path, tmp_path: Path, suffix: str
) -> None:
    def names(*paths: Path) -> list[str]:
        file = tmp_path / f"c{suffix}"
        foveate("predict", finished.folder, *paths, "--layout", "competition", "--out", file)
        found = rows(file) if suffix == ".csv" else json.loads(file.read_text(encoding="utf-8"))
        return [row["file"] for row in found]

    assert names(new) == GOOD
    assert names(new / "a" / "photo.png", new / "2.png") == ["photo.png", "2.png"]
    assert names(new / "2.png", new / "a" / "photo.png", new / "2.png") == ["2.png", "photo.png", "2.png"]
