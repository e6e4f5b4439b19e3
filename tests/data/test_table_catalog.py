"""Tables of pictures: what is written with the csv module is read back whatever the names."""

import csv
import os
import string
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.core.errors import DataError
from foveate.data.catalog import Catalog, Sample
from foveate.data.layout_settings import parse_columns
from foveate.data.table_catalog import read_columns, read_manifest


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def table(root: Path, text: str, name: str = "table.csv", encoding: str = "utf-8") -> Path:
    path = root / name
    path.write_text(text, encoding=encoding)
    return path


names = st.text(
    st.one_of(
        st.sampled_from("ab,;\"' \t#%é漢🦋"),
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"),
    ),
    min_size=1,
    max_size=12,
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)
labels = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
    .map(str.strip)
    .filter(bool)
)


def held(cell: str) -> str:
    """What a cell means: spaces around it, the Unicode form and a program's word for nothing do not count."""
    text = unicodedata.normalize("NFC", cell.strip())
    return "" if text.lower() in ("nan", "<na>", "#n/a", "n/a", "null") else text


rows = st.lists(
    st.tuples(
        names, names, labels | st.just(""), st.sampled_from(["train", "Val", "TEST", "validation", ""]), names
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda row: (row[0].casefold(), row[1].casefold()),
)


@settings(max_examples=60, deadline=None)
@given(rows=rows, delimiter=st.sampled_from([",", ";", "\t"]))
def test_any_names_survive(rows: list[tuple[str, str, str, str, str]], delimiter: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = [f"{first}/x{second}.jpg" for first, second, *_ in rows]
        touch(root, *paths)
        with open(root / "table.csv", "w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, delimiter=delimiter)
            writer.writerow(["Path", "Label", "Split", "Group"])
            writer.writerows((path, row[2], row[3], row[4]) for path, row in zip(paths, rows, strict=True))
        catalog = read_manifest(root / "table.csv")
    split = {"": "", "train": "train", "Val": "val", "TEST": "test", "validation": "val"}
    for sample, path, (_, _, label, where, group) in zip(catalog.samples, paths, rows, strict=True):
        assert sample.path == path
        assert (catalog.classes[sample.label] if sample.label >= 0 else "") == held(label)
        assert (sample.split, sample.group) == (split[where], held(group))
    assert set(catalog.classes) == {held(row[2]) for row in rows} - {""}


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_a_catalog_writes_is_a_manifest(data: st.DataObject) -> None:
    letters = st.text(string.ascii_letters + ' ,"ü', min_size=1, max_size=6).map(lambda t: f"c{t}c")
    classes = sorted(data.draw(st.lists(letters, min_size=1, max_size=5, unique=True)))
    ids = data.draw(st.permutations([str(n) for n in range(4700, 4700 + len(classes))]))
    order = sorted(range(len(classes)), key=lambda i: int(ids[i]))
    classes, ids = [classes[i] for i in order], [ids[i] for i in order]
    masks = st.sampled_from(["", "png[128]:m/a.png", "box:1,2,3,4"])
    samples = [Sample(f"d/{i}.jpg", i, "train", data.draw(masks), f"g{i}") for i in range(len(classes))]
    samples.append(Sample("d/loose.jpg", -1, "test"))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(os.path.abspath(folder))
        touch(root, *(sample.path for sample in samples))
        catalog = Catalog(root, tuple(classes), tuple(samples), tuple(ids))
        catalog.to_csv(root / "catalog.csv")
        assert read_manifest(root / "catalog.csv") == catalog


@pytest.mark.parametrize("path_column", ["path", "file", "filename", "image", " Image "])
@pytest.mark.parametrize("label_column", ["label", "class", "species", "target", "LABEL"])
def test_column_names(tmp_path: Path, path_column: str, label_column: str) -> None:
    touch(tmp_path, "a.jpg")
    catalog = read_manifest(table(tmp_path, f"x,{path_column},{label_column}\n1,a.jpg,rose\n"))
    assert (catalog.samples, catalog.classes) == ((Sample("a.jpg", 0),), ("rose",))


def test_excel_writes_a_byte_order_mark_and_semicolons(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    path = table(tmp_path, "path;label\r\na.jpg;Bär, grün\r\n\r\n", encoding="utf-8-sig")
    assert read_manifest(path).classes == ("Bär, grün",)


def test_numbers_are_sorted_as_numbers(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{i}.jpg" for i in range(3)))
    catalog = read_manifest(table(tmp_path, "path,label\n0.jpg,10\n1.jpg,9\n2.jpg,100\n"))
    assert catalog.classes == ("9", "10", "100")
    assert catalog.labels.tolist() == [1, 0, 2]


def test_paths_absolute_windows_and_with_dots(tmp_path: Path) -> None:
    touch(tmp_path, "data/a.jpg", "data/b/c.jpg", "elsewhere/d.jpg")
    outside = tmp_path / "elsewhere/d.jpg"
    inside = tmp_path / "data/a.jpg"
    catalog = read_manifest(
        table(tmp_path / "data", f"path,label\n{inside},x\nb\\c.jpg,x\n{outside},y\n./b/../e.jpg,y\n")
    )
    assert [sample.path for sample in catalog.samples] == ["a.jpg", "b/c.jpg", str(outside), "e.jpg"]
    assert catalog.file(2) == outside


def test_a_table_elsewhere_may_start_at_the_data_folder(tmp_path: Path) -> None:
    touch(tmp_path, "data/a.jpg", "tables/own.jpg")
    path = table(tmp_path / "tables", "path,label\na.jpg,x\n")
    assert read_manifest(path, root=tmp_path / "data").root == tmp_path / "data"
    path = table(tmp_path / "tables", "path,label\nown.jpg,x\n")
    assert read_manifest(path, root=tmp_path / "data").root == tmp_path / "tables"


def test_masks_are_paths_or_references(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    rows = 'a.jpg,x,m\\a.png\nb.jpg,x,"box:1,2,3,4"\nc.jpg,x,\n'
    (tmp_path / "m").mkdir()
    catalog = read_manifest(table(tmp_path, f"path,label,mask\n{rows}"))
    assert [sample.mask for sample in catalog.samples] == ["png:m/a.png", "box:1,2,3,4", ""]


def test_groups(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    path = table(tmp_path, "path,label,group,Plant\na.jpg,x,g,p\n")
    assert read_manifest(path).samples[0].group == "g"
    assert read_manifest(path, columns={"group": "plant"}).samples[0].group == "p"
    with pytest.raises(DataError, match="no column 'camera'"):
        read_manifest(path, columns={"group": "camera"})


def read(tmp_path: Path, text: str, columns: str | None = None) -> tuple[Catalog, str]:
    notes: list[str] = []
    return read_manifest(table(tmp_path, text), columns=parse_columns(columns), notes=notes), " ".join(notes)


def labels_of(catalog: Catalog) -> list[str]:
    return [catalog.classes[s.label] if s.label >= 0 else "" for s in catalog.samples]


def test_columns_can_be_named(tmp_path: Path) -> None:
    touch(tmp_path, "part_1/I1.jpg", "part_2/I2.jpg")
    text = "lesion_id,image_id,DX\nL1,I1,nv\nL2,I2,mel\n"
    catalog, notes = read(tmp_path, text, "path=image_id, label=dx,group=lesion_id")
    assert catalog.samples == (Sample("part_1/I1.jpg", 1, group="L1"), Sample("part_2/I2.jpg", 0, group="L2"))
    assert (
        "exists as it is written ('I1'), so the pictures were found by their names, as part_1/I1.jpg" in notes
    )
    with pytest.raises(
        DataError, match=r"no column 'diagnosis' for the label; it has lesion_id, image_id, dx"
    ):
        read(tmp_path, text, "path=image_id,label=diagnosis")


def test_paths_of_another_machine_are_found_by_most_folders_in_common(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.jpg", "test/1.jpg", "train/2.jpg", "3.jpg")
    rows = "".join(f"C:\\x\\{path},a\n" for path in ("train\\1.jpg", "test\\1.jpg", "old\\2.JPG", "1.jpg"))
    catalog, _ = read(tmp_path, f"path,label\n{rows}")
    # 1.jpg alone could be either, so it stays as it is written and is named as missing
    assert [s.path for s in catalog.samples] == ["train/1.jpg", "test/1.jpg", "train/2.jpg", "C:/x/1.jpg"]
    catalog, notes = read(tmp_path, "path,label\ntrain/1.jpg,a\ntrain/3.jpg,a\n")
    assert [s.path for s in catalog.samples] == [
        "train/1.jpg",
        "train/3.jpg",
    ]  # one exists: then nothing is guessed
    assert notes == ""


def test_one_column_a_class(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    catalog, notes = read(tmp_path, "image,MEL,NV,age\na.jpg,1.0,0.0,50\nb.jpg,0.0,1.0,61\n")
    assert labels_of(catalog) == ["MEL", "NV"]
    assert "The columns MEL, NV hold 0 and 1 and are the classes." in notes
    for rows in ("a.jpg,1,1\nb.jpg,0,1\n", "a.jpg,0,0\nb.jpg,0,1\n"):
        with pytest.raises(DataError, match="it needs a path"):
            read(tmp_path, f"image,MEL,NV\n{rows}")


@pytest.mark.parametrize("nothing", ["NaN", "nan", "<NA>", " N/A ", "null", ""])
def test_nothing_is_no_class_and_no_group(tmp_path: Path, nothing: str) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    catalog, notes = read(
        tmp_path, f"path,label,group,split\na.jpg,{nothing},{nothing},{nothing}\nb.jpg,none,g,val\n"
    )
    assert catalog.samples == (Sample("a.jpg"), Sample("b.jpg", 0, "val", group="g"))
    assert catalog.classes == ("none",)
    assert ("1 rows hold no label" in notes) == bool(nothing)


def test_labels_written_as_decimal_numbers(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    catalog, notes = read(tmp_path, "path,label\na.jpg,10.0\nb.jpg,2.00\nc.jpg,2\n")
    assert catalog.classes == ("2", "10")
    assert "read as whole ones" in notes
    assert read(tmp_path, "path,label\na.jpg,1.5\nb.jpg,2.0\n")[0].classes == ("1.5", "2.0")


def test_several_names_in_one_cell_are_pointed_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    _, notes = read(tmp_path, 'path,label\na.jpg,wren\nb.jpg,"wren, rain"\nc.jpg,"tit, blue"\n')
    assert "1 labels join several names, for example 'wren, rain'" in notes


def test_splits_by_other_names(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    catalog, _ = read(tmp_path, "path,label,split\na.jpg,x,Training\nb.jpg,x,testing\n")
    assert [s.split for s in catalog.samples] == ["train", "test"]
    catalog, notes = read(tmp_path, "path,label,is_valid\na.jpg,x,False\nb.jpg,x,True\n")
    assert [s.split for s in catalog.samples] == ["train", "val"]
    assert "The split comes from the column is_valid" in notes


def test_spaces_around_cells_do_not_count(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", " b.jpg")
    catalog, _ = read(tmp_path, "path , label,group\n a.jpg , x ,P1\n b.jpg,x,P1 \n")
    assert catalog.samples == (Sample("a.jpg", 0, group="P1"), Sample(" b.jpg", 0, group="P1"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it needs a path"),
        ("path,split\na.jpg,train\n", "it needs a path"),
        ("label,split\na,train\n", "it needs a path"),
        ("path,label\n", "no rows"),
        ("path,label\nnone.jpg,x\n", "None of the 1 pictures"),
        ("path,label\na.jpg,x\n,x\n", "line 3: the path is empty"),
        ("path,label\na.jpg,x,\n", "line 2: 3 cells"),
        ("path,label,split\na.jpg,x,holdout\n", "line 2: split 'holdout'"),
        ("path,label,is_valid\na.jpg,x,perhaps\n", "line 2: split 'perhaps'"),
        ("a.jpg,x\n", "its first line is already a picture"),
        ("image_id,dx\na,x\n", "as --columns path=image_id,label=dx"),
        ("path,label,class_id\na.jpg,x,1\nb.jpg,y,1\n", "line 3: class 'y'"),
        ("path,label,class_id\na.jpg,x,1\nb.jpg,x,2\n", "line 3: class 'x'"),
        ("path,label,Label\na.jpg,x,y\n", "same column twice"),
        ("path,label\na.jpg,x\na.jpg,y\n", "listed twice"),
    ],
)
def test_messages(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(DataError, match=message):
        read_manifest(table(tmp_path, text))


def test_other_encodings_are_refused_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    for encoding, text in [("latin-1", "path,label\na.jpg,Bär\n"), ("utf-16", "path,label\na.jpg,x\n")]:
        with pytest.raises(DataError, match="UTF-8"):
            read_manifest(table(tmp_path, text, encoding=encoding))
    with pytest.raises(DataError, match="does not exist"):
        read_columns(tmp_path / "none.csv")
