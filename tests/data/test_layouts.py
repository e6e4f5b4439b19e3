"""Published layouts, drawn small: what is read beside torchvision's own classes, and lists that are damaged."""

import os
import pickle
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from scipy.io import savemat

import layout_copies as copies
from foveate.core.errors import DataError
from foveate.core.torchvision_guard import datasets
from foveate.data.annotations import MaskError, read_mask, sample_mask
from foveate.data.audit import AuditConfig, audit
from foveate.data.discover import Discovery, discover
from foveate.data.layout_settings import LayoutConfig
from foveate.data.split import SplitConfig, split

DRAWN: dict[str, Callable[[Path], Path]] = {
    "CUB-200-2011": copies.cub,
    "the wild bees of Learn 2 Look": copies.wild_bees,
    "FGVC-Aircraft": copies.aircraft,
    "Stanford Cars": copies.cars,
    "Stanford Dogs": copies.dogs,
    "Oxford-IIIT Pet": copies.pets,
    "Flowers-102": copies.flowers,
    "CIFAR-10": copies.cifar10,
    "CIFAR-100": copies.cifar100,
    "Imagenette or another part of ImageNet": copies.imagenette,
    "ASL alphabet": copies.asl_alphabet,
    "Food-101": copies.food101,
    "PlantVillage": copies.plant_village,
}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("FOVEATE_CACHE", str(folder))
    return folder


def table(found: Discovery) -> dict[str, tuple[str, str]]:
    """{name of the file: (class, split)}"""
    catalog = found.catalog
    return {
        Path(s.path).name: (catalog.classes[s.label] if s.label >= 0 else "", s.split)
        for s in catalog.samples
    }


def mask(found: Discovery, row: int = 0) -> np.ndarray:
    image = sample_mask(found.catalog, row)
    assert image is not None
    return np.asarray(image) > 0


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """(H, W) bool of the rows and columns from ``left`` and ``top`` on, without ``right`` and ``bottom``."""
    inside = np.zeros((copies.SIDE, copies.SIDE), bool)
    inside[top:bottom, left:right] = True
    return inside


@pytest.mark.parametrize("name", DRAWN)
def test_each_is_recognised_said_in_one_line_and_has_no_errors(name: str, tmp_path: Path) -> None:
    found = discover(DRAWN[name](tmp_path))
    catalog = found.catalog
    assert found.layout == name
    assert [note for note in found.notes if "Recognised" in note] == [found.notes[0]]
    assert f"{name}: {len(catalog)} pictures, {len(catalog.classes)} classes" in found.notes[0]
    assert all(catalog.file(row).is_file() for row in range(len(catalog)))
    assert (catalog.labels >= 0).all()
    report = audit(catalog, AuditConfig(probes=False, near_duplicates=False))
    assert not report.errors
    assert discover(tmp_path).catalog.hash == catalog.hash


@pytest.mark.parametrize("name", DRAWN)
def test_the_official_test_is_the_test_and_validation_is_drawn_from_training(
    name: str, tmp_path: Path
) -> None:
    catalog = discover(DRAWN[name](tmp_path)).catalog
    published = {s.path: s.split for s in catalog.samples}
    result = split(catalog, SplitConfig(val=0.3)).catalog
    drawn = {s.path: s.split for s in result.samples}
    assert set(drawn.values()) == {"train", "val", "test"}
    if "test" in published.values():
        assert {p for p in drawn if drawn[p] == "test"} == {p for p in published if published[p] == "test"}
        assert all(drawn[p] == "val" for p in published if published[p] == "val")
    else:
        assert name in ("the wild bees of Learn 2 Look", "PlantVillage")


def test_aircraft_as_torchvision_reads_it(tmp_path: Path) -> None:
    copies.aircraft(tmp_path)
    for level in ("variant", "family", "manufacturer"):
        found = discover(tmp_path, LayoutConfig(label=f"column:{level}"))
        for part in ("train", "val", "test"):
            theirs = datasets.FGVCAircraft(tmp_path, part, level)
            assert list(found.catalog.classes) == theirs.classes
            expected = {
                Path(file).name: theirs.classes[label]
                for file, label in zip(theirs._image_files, theirs._labels, strict=True)
            }
            assert {n: c for n, (c, where) in table(found).items() if where == part} == expected
    assert discover(tmp_path).catalog == discover(tmp_path, LayoutConfig(label="column:variant")).catalog
    assert np.array_equal(mask(found), box(10, 8, 30, 30))  # pixels count from 1, both edges belong to it


def test_cars_as_torchvision_reads_them(tmp_path: Path) -> None:
    found = discover(copies.cars(tmp_path))
    for part in ("train", "test"):
        theirs = datasets.StanfordCars(tmp_path, part)
        expected = {
            Path(file).relative_to(tmp_path / "stanford_cars").as_posix(): theirs.classes[label]
            for file, label in theirs._samples
        }
        catalog = found.catalog
        assert {s.path: catalog.classes[s.label] for s in catalog.samples if s.split == part} == expected
    assert found.catalog.classes == tuple(copies.CARS)
    assert np.array_equal(mask(found), box(10, 8, 30, 32))


def test_cars_without_the_labels_of_the_test_and_cars_in_one_list(tmp_path: Path) -> None:
    found = discover(copies.cars(tmp_path / "devkit", labelled=False)).catalog
    assert {s.label >= 0 for s in found.samples if s.split == "train"} == {True}
    assert {s.label for s in found.samples if s.split == "test"} == {-1}
    one = discover(copies.cars_in_one(tmp_path / "one"))
    assert one.layout == "Stanford Cars"
    assert table(one)["000002.jpg"] == (copies.CARS[1], "train")
    assert table(one)["000012.jpg"] == (copies.CARS[2], "test")
    assert np.array_equal(mask(one), box(10, 8, 30, 32))


def test_pets_as_torchvision_reads_them(tmp_path: Path) -> None:
    found = discover(copies.pets(tmp_path))
    for part, ours in (("trainval", "train"), ("test", "test")):
        theirs = datasets.OxfordIIITPet(tmp_path, part)
        expected = {
            file.name: theirs.classes[label]
            for file, label in zip(theirs._images, theirs._labels, strict=True)
        }
        shown = {
            n: " ".join(w.title() for w in c.split("_"))
            for n, (c, where) in table(found).items()
            if where == ours
        }
        assert shown == expected
    assert found.catalog.classes == ("Abyssinian", "american_bulldog", "Bengal")
    border = copies.middle()
    border[9, 10:30] = True
    assert np.array_equal(mask(found), border)
    assert any("3 (border) are object" in note for note in found.notes)
    inner = discover(tmp_path, LayoutConfig(mask_values=(1,)))
    assert np.array_equal(mask(inner), copies.middle())
    shutil.rmtree(tmp_path / "oxford-iiit-pet" / "annotations" / "trimaps")
    assert np.array_equal(mask(discover(tmp_path)), box(10, 8, 30, 20))


def test_flowers_as_torchvision_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = discover(copies.flowers(tmp_path))
    monkeypatch.setattr(
        "torchvision.datasets.flowers102.check_integrity", lambda *_: True
    )  # of the published bytes
    for part in ("train", "val", "test"):
        theirs = datasets.Flowers102(tmp_path, part)
        assert list(found.catalog.classes) == theirs.classes
        expected = {
            file.name: theirs.classes[label]
            for file, label in zip(theirs._image_files, theirs._labels, strict=True)
        }
        assert {n: c for n, (c, where) in table(found).items() if where == part} == expected
    assert iou(mask(found), copies.middle()) > 0.98  # JPEG blurs the edge
    bare = discover(copies.flowers(tmp_path / "bare", masks=False))
    assert not bare.catalog.has_masks


def test_food_as_torchvision_reads_it(tmp_path: Path) -> None:
    found = discover(copies.food101(tmp_path)).catalog
    for part in ("train", "test"):
        theirs = datasets.Food101(tmp_path, part)
        assert list(found.classes) == theirs.classes
        expected = {
            file.relative_to(tmp_path / "food-101").as_posix(): label
            for file, label in zip(theirs._image_files, theirs._labels, strict=True)
        }
        assert {s.path: s.label for s in found.samples if s.split == part} == expected


def test_imagenette_as_torchvision_reads_it(tmp_path: Path) -> None:
    found = discover(copies.imagenette(tmp_path))
    for part, ours in (("train", "train"), ("val", "test")):
        theirs = datasets.Imagenette(tmp_path, part)
        assert list(found.catalog.class_ids) == theirs.wnids
        assert list(found.catalog.classes) == [names[0] for names in theirs.classes]
        expected = {
            Path(file).relative_to(tmp_path / "imagenette2").as_posix(): label
            for file, label in theirs._samples
        }
        assert {s.path: s.label for s in found.catalog.samples if s.split == ours} == expected
    assert any("is the test" in note for note in found.notes)


def test_words_of_all_of_imagenette_and_of_names_that_two_ids_share(tmp_path: Path) -> None:
    theirs = datasets.Imagenette._WNID_TO_CLASS
    for name in (*theirs, "n02012849", "n03126707", "n99999999"):  # two cranes, and an id that does not exist
        for split_name in ("train", "val"):
            copies.picture(tmp_path, f"{split_name}/{name}/1.JPEG")
    catalog = discover(tmp_path).catalog
    words = dict(zip(catalog.class_ids, catalog.classes, strict=True))
    assert {name: words[name] for name in theirs} == {name: names[0] for name, names in theirs.items()}
    assert (words["n02012849"], words["n03126707"]) == ("crane (n02012849)", "crane (n03126707)")
    assert words["n99999999"] == "n99999999"


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("number", [10, 100])
def test_cifar_as_torchvision_reads_it(
    number: int, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, theirs = (
        (copies.cifar10, datasets.CIFAR10) if number == 10 else (copies.cifar100, datasets.CIFAR100)
    )
    found = discover(draw(tmp_path, protocol=protocol)).catalog
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    for part in ("train", "test"):
        data = theirs(tmp_path, train=part == "train")
        assert list(found.classes) == data.classes
        rows = [row for row, s in enumerate(found.samples) if s.split == part]
        assert [found.samples[row].label for row in rows] == data.targets
        pixels = np.stack([np.asarray(Image.open(found.file(row))) for row in rows])
        assert np.array_equal(pixels, data.data)


def test_binary_cifar_is_the_same_set(tmp_path: Path) -> None:
    for python, binary in (
        (copies.cifar10, copies.cifar10_binary),
        (copies.cifar100, copies.cifar100_binary),
    ):
        name = python.__name__
        one, other = (
            discover(python(tmp_path / name)).catalog,
            discover(binary(tmp_path / f"{name}b")).catalog,
        )
        assert (one.hash, one.root) == (other.hash, other.root)
    coarse = [
        discover(folder, LayoutConfig(label="column:coarse")).catalog
        for folder in (tmp_path / "cifar100", tmp_path / "cifar100b")
    ]
    assert coarse[0] == coarse[1]
    fine, names, above = copies.CIFAR100
    assert coarse[0].classes == tuple(names)
    assert coarse[0].labels.tolist() == [above[label] for label in one.labels]
    assert one.classes == tuple(fine)


def test_pictures_of_cifar_are_written_once_and_again_when_the_cache_was_emptied(
    tmp_path: Path, cache: Path
) -> None:
    found = discover(copies.cifar10(tmp_path)).catalog
    times = {row: found.file(row).stat().st_mtime_ns for row in range(len(found))}
    again = discover(tmp_path).catalog
    assert {row: again.file(row).stat().st_mtime_ns for row in range(len(again))} == times
    shutil.rmtree(cache)
    assert all(discover(tmp_path).catalog.file(row).is_file() for row in times)
    assert [path.name for path in (cache / "unpacked").iterdir()] == [found.root.name]


def test_cub(tmp_path: Path) -> None:
    found = discover(copies.cub(tmp_path))
    catalog = found.catalog
    assert catalog.root == tmp_path / "CUB_200_2011"
    assert catalog.classes == ("Black_footed_Albatross", "Laysan_Albatross", "Sooty_Albatross")
    assert catalog.class_ids == ("001", "002", "003")
    rows = {s.path: s for s in catalog.samples}
    one = rows["images/002.Laysan_Albatross/Laysan_Albatross_0000_0.jpg"]
    assert (one.label, one.split) == (1, "test")
    assert Counter(s.split for s in catalog.samples) == {"train": 9, "test": 3}
    most = copies.middle()
    most[0] = True  # three of five people
    assert np.array_equal(mask(found), most)
    inside = discover(tmp_path / "CUB_200_2011")  # the segmentations lie beside it
    assert np.array_equal(mask(inside), box(10, 8, 30, 30))
    assert table(inside) == table(found)


def test_wild_bees(tmp_path: Path) -> None:
    found = discover(copies.wild_bees(tmp_path, lists=True))
    assert found.catalog.classes == ("Andrena_fulva", "Bombus_hortorum", "Osmia_cornuta")
    parts = box(10, 10, 16, 30) | box(17, 10, 23, 30) | box(24, 10, 30, 30)
    assert np.array_equal(mask(found), ndimage.binary_closing(parts))  # a disc of 1 pixel is scipy's cross
    assert (mask(found) & ~parts).sum() == 2 * 18
    groups = {s.path: s.group for s in found.catalog.samples}
    assert groups["Osmia_cornuta/Osmia_cornuta_531_2.jpg"] == "Osmia_cornuta_531"
    assert set(Counter(groups.values()).values()) == {2}
    genera = discover(tmp_path, LayoutConfig(label="column:2_genera")).catalog
    assert genera.classes == ("other", "with_B")
    assert Counter(genera.labels.tolist()) == {0: 12, 1: 6}


def test_dogs_have_wordnet_ids_and_boxes(tmp_path: Path) -> None:
    found = discover(copies.dogs(tmp_path))
    assert found.catalog.classes == ("Chihuahua", "Japanese_spaniel", "Maltese_dog")
    assert found.catalog.class_ids == ("n02085620", "n02085782", "n02085936")
    assert table(found)["n02085782_3.jpg"] == ("Japanese_spaniel", "test")
    assert np.array_equal(mask(found), box(10, 8, 30, 32))


def test_hand_signs(tmp_path: Path) -> None:
    found = discover(copies.asl_alphabet(tmp_path))
    assert table(found)["nothing_test.jpg"] == ("nothing", "test")
    assert Counter(s.split for s in found.catalog.samples) == {"train": 16, "test": 3}
    copies.picture(tmp_path, "asl_alphabet_test/asl_alphabet_test/space_test.jpg")
    with pytest.raises(DataError, match="there is no class space"):
        discover(tmp_path)


def test_plant_village_keeps_the_pictures_of_a_leaf_together(tmp_path: Path) -> None:
    found = discover(copies.plant_village(tmp_path))
    assert len(found.catalog) == 18
    assert iou(mask(found), copies.middle()) > 0.95
    groups = Counter(s.group for s in found.catalog.samples)
    assert set(groups.values()) == {2}
    assert "Potato___healthy:::1.0" in groups
    assert any("grayscale/" in note for note in found.notes)


def test_settings_win_over_the_layout(tmp_path: Path) -> None:
    copies.cub(tmp_path)
    plain = discover(tmp_path / "CUB_200_2011", LayoutConfig(label="part:2"))
    assert plain.layout == "class folders"
    assert not any(s.mask for s in discover(tmp_path, LayoutConfig(masks=Path("none"))).catalog.samples)
    for sample in discover(tmp_path).catalog.samples:
        copies.grey(
            tmp_path / "mine",
            sample.path.removeprefix("images/").replace(".jpg", ".png"),
            255 * box(0, 0, 9, 9),
        )
    other = discover(tmp_path, LayoutConfig(masks=tmp_path / "mine"))
    assert np.array_equal(mask(other), box(0, 0, 9, 9))
    birds = discover(tmp_path, LayoutConfig(group="part:2")).catalog
    assert birds.samples[0].group == "001.Black_footed_Albatross"


def test_two_sets_in_one_folder_are_refused(tmp_path: Path) -> None:
    copies.food101(tmp_path)
    copies.aircraft(tmp_path)
    with pytest.raises(
        DataError, match=r"several published data sets \(FGVC-Aircraft in .*, Food-101 in food-101/\)"
    ):
        discover(tmp_path)


def replaced(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def read_with_masks(folder: Path) -> None:
    catalog = discover(folder).catalog
    for row in range(len(catalog)):
        sample_mask(catalog, row)


CUB, PLANES, PETS = "CUB_200_2011", "fgvc-aircraft-2013b/data", "oxford-iiit-pet/annotations"


@pytest.mark.parametrize(
    ("draw", "file", "old", "new", "words"),
    [
        (copies.cub, f"{CUB}/image_class_labels.txt", "5 2\n", "5 4\n", "line 5: class .4. is none of the 3"),
        (copies.cub, f"{CUB}/image_class_labels.txt", "5 2\n", "5 0\n", "line 5: class .0. is none of the 3"),
        (copies.cub, f"{CUB}/image_class_labels.txt", "5 2\n", "", "lacks 5 of images.txt"),
        (copies.cub, f"{CUB}/image_class_labels.txt", "5 2\n", "5\n", "line 5: 1 of 2 cells"),
        (copies.cub, f"{CUB}/image_class_labels.txt", "5 2\n", "99 2\n", "line 5: 99 is no id of images.txt"),
        (copies.cub, f"{CUB}/train_test_split.txt", "5 0\n", "5 2\n", "line 5: .2. is neither 1"),
        (copies.cub, f"{CUB}/train_test_split.txt", "5 0\n", "4 0\n", "line 5: 4 is listed twice"),
        (copies.cub, f"{CUB}/bounding_boxes.txt", "5 10.0 8.0 20.0", "5 10.0 8.0 -20.0", "line 5: .*no area"),
        (copies.cub, f"{CUB}/bounding_boxes.txt", "5 10.0", "5 ten", "line 5: could not convert"),
        (copies.cub, f"{CUB}/images.txt", "0001_1.jpg", "0000_0.jpg", r"twice: .*line 1, and .*line 2"),
        (copies.cub, f"{CUB}/classes.txt", "002.Laysan", "003.Sooty", "gives two classes one name"),
        (copies.aircraft, f"{PLANES}/images_variant_test.txt", "707-320", "787", "'787' is none of the 3"),
        (copies.aircraft, f"{PLANES}/images_variant_val.txt", "1000001", "1000002", "twice: .*val.txt.*test.txt"),
        (copies.pets, f"{PETS}/trainval.txt", "Bengal_2 3 1", "Bengal_2 4 1", "class .4. is none of the 3"),
        (copies.pets, f"{PETS}/trainval.txt", "Bengal_2 3 1", "Bengal_2 1 1", "class 1 is Bengal here and Abyssinian"),
        (copies.food101, "food-101/meta/test.txt", "baklava/", "sushi/", "'sushi' is none of the 3 in classes.txt"),
        (copies.food101, "food-101/meta/test.txt", "baklava/1000", "baklava/1001", "twice: .*train.txt.*test.txt"),
        (copies.wild_bees, "widths_heights.txt", "5 40 40\n", "", "has no picture 5"),
        (copies.wild_bees, "part_locs.txt", "5 1 ", "99 1 ", "99 is no id of images.txt"),
    ],
)  # fmt: skip
def test_lists_that_contradict_each_other_are_refused_in_a_sentence(
    draw: Callable[[Path], Path], file: str, old: str, new: str, words: str, tmp_path: Path
) -> None:
    draw(tmp_path)
    replaced(tmp_path / file, old, new)
    with pytest.raises(DataError, match=words):
        read_with_masks(tmp_path)


@pytest.mark.parametrize("label", [0, 103])
def test_flowers_beyond_the_classes_or_the_pictures_are_refused(label: int, tmp_path: Path) -> None:
    base = copies.flowers(tmp_path) / "flowers-102"
    labels = np.ones((1, 27), np.uint8)
    labels[0, 4] = label
    savemat(base / "imagelabels.mat", {"labels": labels})
    with pytest.raises(DataError, match=rf"entry 5: class '{label}' is none of the 102 from 1 on"):
        discover(tmp_path)
    savemat(base / "imagelabels.mat", {"labels": labels[:, :20] * 0 + 1})
    with pytest.raises(DataError, match=r"picture '2[1-7]' is none of the 20 from 1 on"):
        discover(tmp_path)


def test_labels_of_cars_and_dogs_beyond_the_classes_are_refused(tmp_path: Path) -> None:
    cars = copies.cars(tmp_path / "cars") / "stanford_cars" / "devkit" / "cars_meta.mat"
    savemat(cars, {"class_names": np.array([copies.CARS[:2]], dtype=object)})
    with pytest.raises(DataError, match="entry 3: class '3' is none of the 2 from 1 on"):
        discover(tmp_path / "cars")
    dogs = copies.dogs(tmp_path / "dogs") / "test_list.mat"
    files = np.empty((1, 1), dtype=object)
    files[0, 0] = "n02085620-Chihuahua/n02085620_3.jpg"
    savemat(dogs, {"file_list": files, "labels": np.array([[121]], np.uint8)})
    with pytest.raises(DataError, match="entry 1: class '121' is none of the 3 from 1 on"):
        discover(tmp_path / "dogs")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda file: file.write_bytes(file.read_bytes()[:-40]),
            "setid.mat is no MATLAB file|has no variable",
        ),
        (lambda file: file.write_bytes(b"nothing of the kind"), "setid.mat is no MATLAB file"),
        (lambda file: savemat(file, {"trnid": [1]}), "setid.mat has no variable 'valid'"),
    ],
)
def test_damaged_matlab_files(damage: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    damage(copies.flowers(tmp_path) / "flowers-102" / "setid.mat")
    with pytest.raises(DataError, match=words):
        discover(tmp_path)


def test_damaged_cifar(tmp_path: Path) -> None:
    base = copies.cifar100_binary(tmp_path / "binary") / "cifar-100-binary"
    whole = (base / "train.bin").read_bytes()
    (base / "train.bin").write_bytes(whole[:-5])
    with pytest.raises(DataError, match="no multiple of 3074"):
        discover(base)
    (base / "train.bin").write_bytes(b"\x00\x07" + whole[2:])
    with pytest.raises(DataError, match="picture 0: class '7' is none of the 3 from 0 on"):
        discover(base)
    base = copies.cifar10(tmp_path / "python") / "cifar-10-batches-py"
    (base / "data_batch_3").unlink()
    with pytest.raises(DataError, match=r"data_batch_3 cannot be read"):
        discover(base)


def test_pictures_that_are_missing_or_in_no_list(tmp_path: Path) -> None:
    copies.pets(tmp_path)
    images = tmp_path / "oxford-iiit-pet" / "images"
    (images / "Bengal_1.jpg").unlink()
    copies.picture(images, "Bengal_99.jpg")
    found = discover(tmp_path)
    assert "1 listed pictures do not exist, for example images/Bengal_1.jpg." in found.notes
    assert "1 pictures are in no list and are left out, for example images/Bengal_99.jpg." in found.notes
    copies.picture(tmp_path, "cats/1.jpg")  # beside the set's own folder
    assert (
        "2 pictures are in no list and are left out, for example ../cats/1.jpg." in discover(tmp_path).notes
    )
    report = audit(found.catalog, AuditConfig(probes=False, near_duplicates=False))
    assert [(p.code, p.path) for p in report.errors] == [("unreadable", "images/Bengal_1.jpg")]
    assert report.quarantine() == {"images/Bengal_1.jpg"}
    shutil.rmtree(images)
    with pytest.raises(DataError, match="none of their 12 pictures, for example images/"):
        discover(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(content=st.binary(max_size=200) | st.text("0123 \n-x", max_size=60).map(str.encode))
def test_any_bytes_as_strokes_are_a_mask_or_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "part_locs.txt").write_bytes(content)
    (tmp_path / "widths_heights.txt").write_text("0 4 3\n1 4 3\n")
    said = ""
    try:
        read_mask(tmp_path, "brush:part_locs.txt#1", (4, 3))
    except MaskError as error:
        said = str(error)
    assert not said or "part_locs.txt" in said


class Wicked:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("name", ["meta", "train", "test"])
def test_cifar_with_a_wicked_file_is_refused_and_runs_nothing(name: str, tmp_path: Path, cache: Path) -> None:
    base, mark = copies.cifar100(tmp_path) / "cifar-100-python", tmp_path / "ran"
    held = {"fine_label_names": ["a", "b"], "data": Wicked(mark), "fine_labels": [0, 1]}
    (base / name).write_bytes(pickle.dumps(held, 2))
    with pytest.raises(
        DataError, match=rf"{name} asks for '\w+ system', which no data needs; nothing of it was run"
    ):
        discover(tmp_path)
    assert not mark.exists()
    assert not (cache / "unpacked").exists()
