"""Attributes: what is known of pictures beside their class, from a table or from the path."""

import csv
from pathlib import Path

import pytest

from foveate.core.config import parse
from foveate.core.errors import ConfigError, DataError
from foveate.data.catalog import Catalog, Sample
from foveate.data.discover import discover
from foveate.data.layout_settings import LayoutConfig

ROWS = [
    ("bee/hill/1.png", "bee", "forest", ""),
    ("bee/lake/2.png", "bee", " snow ", "7"),
    ("wasp/hill/3.png", "wasp", "forest", "7"),
    ("wasp/lake/4.png", "wasp", "NaN", "8"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, *_ in ROWS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    return tmp_path


@pytest.fixture
def table(folder: Path) -> Path:
    with open(folder / "table.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([("path", "label", "Background", "camera"), *ROWS])
    return folder


def test_columns_of_a_table_and_parts_of_the_path(table: Path) -> None:
    asked = ("camera", "place=part:2", "background")
    found = discover(table, LayoutConfig(attributes=asked))
    assert found.catalog.attributes == ("camera", "place", "background")
    assert found.catalog.values("camera") == ("", "7", "7", "8")
    assert found.catalog.values("place") == ("hill", "lake", "hill", "lake")
    assert found.catalog.values("background") == ("forest", "snow", "forest", "")
    assert "Attribute background: forest 2, snow 1; 1 pictures have none." in found.notes


def test_a_folder_tree_has_them_in_its_paths(folder: Path) -> None:
    found = discover(folder, LayoutConfig(attributes=(r"odd=regex:[13](?=\.png)", "place=part:2")))
    assert [sample.attributes for sample in found.catalog.samples] == [
        ("1", "hill"), ("", "lake"), ("3", "hill"), ("", "lake")
    ]  # fmt: skip


def test_they_survive_the_file_and_count_in_the_hash(table: Path, tmp_path: Path) -> None:
    with_them = discover(table, LayoutConfig(attributes=("background",))).catalog
    without = discover(table).catalog
    assert without.attributes == ()
    assert with_them.hash != without.hash
    for catalog in (with_them, without):
        catalog.to_csv(tmp_path / "catalog.csv")
        again = Catalog.from_csv(tmp_path / "catalog.csv", catalog.root, catalog.classes)
        assert again == catalog
        assert again.hash == catalog.hash


def test_a_catalog_without_any_has_the_hash_that_it_always_had() -> None:
    samples = (Sample("a/1.png", 0, "train", "", "g"), Sample("b/2.png", 1, "test", "png:m.png"))
    assert Catalog(Path("x"), ("a", "b"), samples).hash == "9c273b45ca75"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            ["weather"],
            "no column 'weather' for the attribute weather; it has path, label, background, camera",
        ),
        (["deep=part:7"], "No picture of .* has a value for the attribute 'deep' \\(part:7\\)"),
        (["=part:2"], "use COLUMN, or NAME=part:K"),
        (["a=part:0"], "part:K needs a whole number"),
        (["camera", "camera=part:2"], "the attribute camera is named twice"),
    ],
)
def test_what_cannot_be_is_said(table: Path, asked: list[str], message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        discover(table / "table.csv", parse(LayoutConfig, {"attributes": asked}, source="test"))


def test_values_of_something_else(table: Path) -> None:
    with pytest.raises(
        DataError, match=r"have no attribute 'place' .they have camera.; name it with --attribute"
    ):
        discover(table, LayoutConfig(attributes=("camera",))).catalog.values("place")


def test_none_switches_them_off(table: Path) -> None:
    assert LayoutConfig(attributes=("none",)) == LayoutConfig()
