"""Every layout that is found without being told, from empty files: discovery never opens a picture."""

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.core.config import parse
from foveate.core.errors import ConfigError, DataError
from foveate.data.catalog import Sample
from foveate.data.decode import open_image
from foveate.data.discover import Discovery, discover, loose_pictures
from foveate.data.layout_settings import LayoutConfig
from foveate.data.listing import scan
from foveate.data.split import SplitConfig, split


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def table(found: Discovery) -> dict[str, tuple[str, str]]:
    """{path: (class name, split)}"""
    catalog = found.catalog
    return {s.path: (catalog.classes[s.label] if s.label >= 0 else "", s.split) for s in catalog.samples}


def masks(found: Discovery) -> dict[str, str]:
    return {sample.path: sample.mask for sample in found.catalog.samples}


def noted(found: Discovery, text: str) -> bool:
    return any(text in note for note in found.notes)


def test_class_folders(tmp_path: Path) -> None:
    touch(tmp_path, "tulip/b.JPG", "rose/a.png", "rose/deep/er/c.tif", "rose/a.txt")
    found = discover(tmp_path)
    assert (found.layout, found.catalog.root, found.catalog.classes) == (
        "class folders",
        tmp_path,
        ("rose", "tulip"),
    )
    assert table(found) == {
        "rose/a.png": ("rose", ""),
        "rose/deep/er/c.tif": ("rose", ""),
        "tulip/b.JPG": ("tulip", ""),
    }
    assert [sample.path for sample in found.catalog.samples] == sorted(table(found))
    assert noted(found, "2 classes, sorted alphabetically")
    assert noted(found, "1 other files are left alone (1 .txt), for example rose/a.txt")
    assert discover(tmp_path) == found


@pytest.mark.parametrize(
    "names",
    [
        {"train": "train", "val": "val", "test": "test"},
        {"Train": "train", "VALID": "val"},
        {"validation": "val", "TEST": "test"},
        {"Training": "train", "Testing": "test"},
        {"train_set": "train", "test-set": "test"},
        {"trainData": "train", "Dev Images": "val", "evaluation": "test"},
        {"train2017": "train", "val2017": "val"},
        {"images_train": "train", "validate": "val"},
        {"seg_train": "train", "seg_test": "test", "seg_pred": "test"},
        {"ISIC2018_Task3_Training_Input": "train", "ISIC2018_Task3_Validation_Input": "val"},
    ],
)
@pytest.mark.parametrize("again", [False, True])
def test_split_folders(tmp_path: Path, names: dict[str, str], again: bool) -> None:
    for name in names:
        folder = f"{name}/{name}" if again else name
        touch(tmp_path, *(f"{folder}/{c}/{i}.jpg" for c in ("a", "b") for i in range(2)))
    found = discover(tmp_path)
    assert found.layout == "split folders"
    assert found.catalog.classes == ("a", "b")
    assert {path.split("/")[0]: where for path, (_, where) in table(found).items()} == names
    for name, part in names.items():
        assert noted(found, f"{name}/ is read as {part}") == (name.lower() != part)


@pytest.mark.parametrize(
    "names",
    [("train_station", "bus_station"), ("test_tube", "train"), ("trainers", "sandals"), ("folder_1", "x")],
)
def test_classes_that_are_no_splits(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, *(f"{name}/{i}.jpg" for name in names for i in range(2)))
    if "train" in names:
        with pytest.raises(DataError, match="say so with --label part:1"):
            discover(tmp_path)
    found = discover(tmp_path, LayoutConfig(label="part:1"))
    assert (found.layout, found.catalog.classes) == ("class folders", tuple(sorted(names)))
    if "train" not in names:
        assert table(discover(tmp_path)) == table(found)


def test_splits_below_the_classes(tmp_path: Path) -> None:
    touch(tmp_path, "rose/train/1.jpg", "rose/test/2.jpg", "ash/train/1.jpg", "ash/test/sub/2.jpg")
    found = discover(tmp_path)
    assert table(found) == {
        "rose/train/1.jpg": ("rose", "train"),
        "rose/test/2.jpg": ("rose", "test"),
        "ash/train/1.jpg": ("ash", "train"),
        "ash/test/sub/2.jpg": ("ash", "test"),
    }
    assert noted(found, "divided into test, train, which are read as splits")


@pytest.mark.parametrize("place", ["fold_{k}", "Fold {k}", "train/fold{k}", "C-NMC_training_data/fold_{k}"])
def test_folds_are_no_classes(tmp_path: Path, place: str) -> None:
    folds = [place.format(k=k) for k in range(3)]
    touch(tmp_path, *(f"{fold}/{c}/{i}.bmp" for fold in folds for c in ("all", "hem") for i in range(4)))
    if place.startswith("train/"):
        touch(tmp_path, "test/all/1.bmp", "test/hem/1.bmp")
    found = discover(tmp_path)
    assert found.catalog.classes == ("all", "hem")
    groups = {s.path: s.group for s in found.catalog.samples}
    assert all(group == ("" if "test" in path else path.split("/")[-3]) for path, group in groups.items())
    assert noted(found, "are read as folds, not as classes")
    own = discover(tmp_path, LayoutConfig(group="part:-1"))
    assert {s.group for s in own.catalog.samples} >= {"0.bmp", "3.bmp"}
    if not place.startswith("train/"):
        divided = split(found.catalog, SplitConfig(folds=3))
        of_group = {
            (s.group, fold) for s, fold in zip(found.catalog.samples, divided.folds or (), strict=True)
        }
        assert sorted(of_group) == [(group, k) for k, group in enumerate(sorted({*groups.values()}))]


def test_nested_classes(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{p}/{i}.jpg" for p in ("Aves/robin", "Aves/tit", "Mammalia/fox") for i in range(2)))
    touch(tmp_path, "Mammalia/3.jpg")
    found = discover(tmp_path)
    assert found.catalog.classes == ("Aves", "Mammalia")
    assert noted(found, "6 of 7 pictures lie deeper than their class folder, for example Aves/robin/0.jpg")
    assert noted(found, "the first folder (Aves, Mammalia) is taken as the class")
    assert noted(found, "--label part:2")
    lower = discover(tmp_path, LayoutConfig(label="part:-2"))
    assert lower.catalog.classes == ("Mammalia", "fox", "robin", "tit")
    assert not noted(lower, "deeper")
    with pytest.raises(DataError, match=r"no class in 1 of 7 paths, for example Mammalia/3\.jpg"):
        discover(tmp_path, LayoutConfig(label="part:2"))
    assert not noted(discover(tmp_path / "Aves"), "deeper")


def test_nested_classes_below_splits(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *(f"{s}/{p}/1.jpg" for s in ("train", "test") for p in ("Aves/robin", "Aves/tit", "Mammalia/fox")),
    )
    assert noted(discover(tmp_path), "--label part:3")
    lower = discover(tmp_path, LayoutConfig(label="part:3"))
    assert table(lower)["test/Aves/tit/1.jpg"] == ("tit", "test")


def test_copies_of_one_set_as_classes_are_pointed_out(tmp_path: Path) -> None:
    kinds, classes = ("color", "grayscale"), ("scab", "healthy")
    touch(tmp_path, *(f"raw/{kind}/{name}/1.jpg" for kind in kinds for name in classes))
    found = discover(tmp_path / "raw")
    assert noted(found, "they hold folders of the same names (healthy, scab), as copies of one set do")
    assert discover(tmp_path / "raw/color").catalog.classes == ("healthy", "scab")
    assert discover(tmp_path / "raw", LayoutConfig(label="part:2")).catalog.classes == ("healthy", "scab")


def test_a_label_from_the_file_name(tmp_path: Path) -> None:
    touch(tmp_path, *(f"train/{name}.{i}.jpg" for name in ("cat", "dog") for i in range(3)), "test/1.jpg")
    config = LayoutConfig(label=r"regex:(cat|dog)\.")
    found = discover(tmp_path, config)
    assert table(found)["train/cat.0.jpg"] == ("cat", "train")
    assert table(found)["test/1.jpg"] == ("", "test")
    assert noted(found, "Classes by regex:(cat|dog)")
    assert noted(found, "1 pictures of test give the label rule no class; they are unlabelled.")
    touch(tmp_path, "train/cow.1.jpg")
    with pytest.raises(DataError, match=r"no class in 1 of 8 paths, for example train/cow\.1\.jpg"):
        discover(tmp_path, config)
    flat_folder = discover(tmp_path / "train", LayoutConfig(label="regex:(.+?)[.]"))
    assert flat_folder.catalog.classes == ("cat", "cow", "dog")
    (tmp_path / "list.csv").write_text("file\ntrain/cat.0.jpg\ntrain/dog.0.jpg\n")
    assert discover(tmp_path / "list.csv", config).catalog.classes == ("cat", "dog")


def test_ids_and_an_unlabelled_test_folder(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "train/10000_Oak/a.jpg",
        "train/4780_Chestnut/b.jpg",
        "train/4781_Ash_tree/c.jpg",
        "test/z.jpg",
        "test/y.jpg",
    )
    found = discover(tmp_path)
    catalog = found.catalog
    assert catalog.classes == ("Chestnut", "Ash_tree", "Oak")
    assert catalog.class_ids == ("4780", "4781", "10000")
    assert table(found)["train/10000_Oak/a.jpg"] == ("Oak", "train")
    assert [s for s in catalog.samples if s.split == "test"] == [
        Sample("test/y.jpg", -1, "test"),
        Sample("test/z.jpg", -1, "test"),
    ]
    assert noted(found, "2 pictures of test lie in no class folder; they are unlabelled")
    assert noted(found, "4780 to 10000")


@pytest.mark.parametrize("separator", ["_", ".", "-", " ", "_-_"])
def test_id_separators(tmp_path: Path, separator: str) -> None:
    touch(tmp_path, f"002{separator}ash/a.jpg", f"001{separator}oak/a.jpg")
    catalog = discover(tmp_path).catalog
    assert (catalog.classes, catalog.class_ids) == (("oak", "ash"), ("001", "002"))


@pytest.mark.parametrize(
    ("folders", "classes"),
    [
        (["1_oak", "2_oak"], ("1_oak", "2_oak")),
        (["1_oak", "01_ash"], ("01_ash", "1_oak")),
        (["1_oak", "ash"], ("1_oak", "ash")),
        (["10", "9", "100"], ("9", "10", "100")),
        (["b", "a", "C"], ("C", "a", "b")),
    ],
)
def test_names_that_are_not_ids(tmp_path: Path, folders: list[str], classes: tuple[str, ...]) -> None:
    touch(tmp_path, *(f"{folder}/x.jpg" for folder in folders))
    catalog = discover(tmp_path).catalog
    assert catalog.classes == catalog.class_ids == classes


def test_a_single_foreign_folder_in_test_is_unlabelled(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/b/2.jpg", "test/unknown/3.jpg", "val/a/4.jpg")
    found = discover(tmp_path)
    assert found.catalog.classes == ("a", "b")
    assert table(found)["test/unknown/3.jpg"] == ("", "test")
    assert table(found)["val/a/4.jpg"] == ("a", "val")
    assert noted(found, "test/unknown/ is no class of train")


def test_classes_without_training_pictures_and_case(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/b/2.jpg", "test/A/3.jpg", "test/b/3.jpg")
    found = discover(tmp_path)
    assert noted(found, "no picture in train: A.")
    assert noted(found, "upper and lower case or spaces only: A and a.")


def test_an_unpacked_archive(tmp_path: Path) -> None:
    touch(tmp_path, "flowers/train/a/1.jpg", "flowers/train/b/1.jpg", "flowers/masks/train/a/1.png")
    found = discover(tmp_path)
    assert found.catalog.root == tmp_path / "flowers"
    assert masks(found)["train/a/1.jpg"] == "png:masks/train/a/1.png"
    assert noted(found, "All pictures lie in flowers/")


def test_one_class_alone_is_a_class(tmp_path: Path) -> None:
    touch(tmp_path, "rose/1.jpg", "rose/2.jpg")
    assert discover(tmp_path).catalog.classes == ("rose",)


def test_empty_class_folders_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg", "masks/a/1.png", "text/1.txt")
    (tmp_path / "empty/below").mkdir(parents=True)
    found = discover(tmp_path)
    assert found.catalog.classes == ("a", "b")
    assert found.empty_classes == ("empty", "text")
    touch(tmp_path, "s/train/a/1.jpg", "s/train/b/1.jpg", "s/test/c/1.jpg", "s/test/a/1.jpg")
    for name in ("train/c", "train/d", "val"):
        (tmp_path / "s" / name).mkdir()
    assert discover(tmp_path / "s").empty_classes == ("d",)


def test_left_behind_files_are_ignored(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "a/1.jpg",
        "b/1.jpg",
        "a/._1.jpg",
        "a/.DS_Store",
        "b/Thumbs.db",
        "__MACOSX/a/1.jpg",
        ".cache/x/1.jpg",
    )
    found = discover(tmp_path)
    assert sorted(table(found)) == ["a/1.jpg", "b/1.jpg"]
    assert len(found.notes) == 1


def test_loose_and_unreadable_pictures_are_noted(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg", "sheet.png", "a/2.psd", "b/3.CR2")
    found = discover(tmp_path)
    assert "sheet.png" not in table(found)
    assert noted(found, "1 pictures lie in no class folder and are left out, for example sheet.png")
    assert noted(found, ".cr2, .psd are not read here")


def test_symbolic_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    touch(tmp_path, "store/1.jpg", "store/deep/2.jpg", "data/a/1.jpg")
    os.symlink(tmp_path / "store", tmp_path / "data/b")
    os.symlink(tmp_path / "store/deep", tmp_path / "data/z")
    os.symlink(tmp_path / "data", tmp_path / "data/a/up")
    os.symlink(tmp_path / "nowhere.jpg", tmp_path / "data/a/broken.jpg")
    found = discover(tmp_path / "data")
    assert sorted(table(found)) == ["a/1.jpg", "a/broken.jpg", "b/1.jpg", "b/deep/2.jpg"]
    assert noted(
        found, "2 links to folders that are read under another name already are left out, for example a/up"
    )


def test_folders_that_link_to_each_other_do_not_multiply(tmp_path: Path) -> None:
    names = [f"f{i}" for i in range(9)]
    touch(tmp_path, *(f"{name}/1.jpg" for name in names))
    for name in names:
        for other in names:
            os.symlink(tmp_path / other, tmp_path / name / f"to_{other}")
    found = scan(tmp_path)
    assert list(found.pictures) == [f"{name}/1.jpg" for name in names]
    assert len(found.links) == 81


def test_a_pipe_is_named_and_not_read(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    os.mkfifo(tmp_path / "b/x.jpg")
    with pytest.raises(DataError, match=r"b/x\.jpg is a pipe, socket or device, not a file"):
        discover(tmp_path)
    with pytest.raises(DataError, match="pipe"):
        open_image(tmp_path / "b/x.jpg")


def test_classes_that_differ_in_unicode_form_only_are_one(tmp_path: Path) -> None:
    composed, apart = "Zaunk\u00f6nig", "Zaunko\u0308nig"
    touch(tmp_path, f"train/{composed}/1.jpg", f"test/{apart}/2.jpg", "train/Amsel/3.jpg", "test/Amsel/4.jpg")
    found = discover(tmp_path)
    assert found.catalog.classes == ("Amsel", composed)
    assert table(found)[f"test/{apart}/2.jpg"] == (composed, "test")
    assert not noted(found, "no picture in train")
    assert found.empty_classes == ()


def test_names_that_are_not_unicode_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", 'b/ü,"漢.jpg')
    assert 'b/ü,"漢.jpg' in table(discover(tmp_path))
    try:
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/a/\xff.jpg"))).touch()
    except OSError:
        pytest.skip("this file system only takes Unicode names")
    with pytest.raises(DataError, match="not valid UTF-8"):
        discover(tmp_path)


@pytest.mark.parametrize(
    ("picture", "mask"),
    [
        ("images/{c}/{n}.jpg", "masks/{c}/{n}.png"),
        ("images/{c}/{n}.jpg", "mask/{c}/{n}.png"),
        ("images/{c}/{n}.jpg", "segmentations/{c}/{n}_mask.png"),
        ("Images/{c}/{n}.jpg", "Masks/{c}/{n}.png"),
        ("{c}/{n}.jpg", "masks/{c}/{n}.png"),
        ("{c}/deep/{n}.jpg", "masks/{c}/deep/{n}_segmentation.png"),
        ("train/{c}/{n}.jpg", "masks/train/{c}/{n}.png"),
        ("train/{c}/{n}.jpg", "train/masks/{c}/{n}.png"),
        ("train/{c}/{n}.jpg", "masks/{c}/{n}.png"),
        ("images/train/{c}/{n}.jpg", "masks/train/{c}/{n}.png"),
        ("train/images/{c}/{n}.jpg", "train/masks/{c}/{n}.png"),
        ("{c}/images/{n}.jpg", "{c}/masks/{n}.png"),
        ("images/{c}/{c}{n}.jpg", "masks/{c}{n}.png"),
        ("images/{c}/{n}.jpg", "masks/{c}/{n}.jpg"),
    ],
)
def test_mask_trees(tmp_path: Path, picture: str, mask: str) -> None:
    pairs = {picture.format(c=c, n=n): mask.format(c=c, n=n) for c in ("ash", "oak") for n in "123"}
    touch(tmp_path, *pairs, *pairs.values())
    found = discover(tmp_path)
    assert found.catalog.classes == ("ash", "oak")
    assert masks(found) == {path: f"png:{ref}" for path, ref in pairs.items()}
    assert {s.split for s in found.catalog.samples} == {"train" if "train" in picture else ""}
    assert noted(found, "masks come from")
    assert not noted(found, "no mask")


def test_trimaps_and_masks_without_partner(tmp_path: Path) -> None:
    touch(tmp_path, "images/a/1.jpg", "images/a/2.jpg", "images/b/3.jpg")
    touch(
        tmp_path, "annotations/trimaps/a/1.png", "annotations/trimaps/b/3.png", "annotations/trimaps/b/9.png"
    )
    found = discover(tmp_path)
    assert masks(found) == {
        "images/a/1.jpg": "trimap:annotations/trimaps/a/1.png",
        "images/a/2.jpg": "",
        "images/b/3.jpg": "trimap:annotations/trimaps/b/3.png",
    }
    assert found.catalog.classes == ("a", "b")
    listed = discover(tmp_path, LayoutConfig(mask_values=(1,)))
    assert masks(listed)["images/a/1.jpg"] == "png[1]:annotations/trimaps/a/1.png"
    assert noted(found, "1 entries of annotations/trimaps/ (read as trimap) belong to no picture")
    assert noted(found, "Pictures without a mask: 1, for example images/a/2.jpg")


def test_parts(tmp_path: Path) -> None:
    touch(tmp_path, "images/train/a/1.jpg", "images/train/b/2.jpg")
    touch(
        tmp_path, *(f"parts/{part}/train/a/1.png" for part in ("thorax", "head")), "parts/head/train/b/2.png"
    )
    assert masks(discover(tmp_path)) == {
        "images/train/a/1.jpg": "parts:parts/head/train/a/1.png|parts/thorax/train/a/1.png",
        "images/train/b/2.jpg": "parts:parts/head/train/b/2.png",
    }


def test_marks_are_known_but_not_used(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "images/a/1.jpg",
        "images/b/2.jpg",
        "masks/a/1.png",
        "masks/b/2.png",
        "marks/a/1.png",
        "marks/b/2.png",
    )
    found = discover(tmp_path)
    assert masks(found)["images/a/1.jpg"] == "png:masks/a/1.png"
    assert len(found.catalog) == 2
    assert noted(found, "marks/ mirrors the pictures")
    asked = discover(tmp_path, LayoutConfig(masks=Path("marks"), mask_values=(128, 255)))
    assert masks(asked)["images/a/1.jpg"] == "png[128,255]:marks/a/1.png"
    assert len(asked.catalog) == 2


@pytest.mark.parametrize(
    "folders",
    [
        {"mask": range(8), "no_mask": range(8)},
        {"mask": range(8), "no_mask": range(8), "incorrect": range(100, 108)},
        {"mask": range(16), "no_mask": range(8), "incorrect": range(8, 15)},
        {
            "train/mask": range(8),
            "train/no_mask": range(8),
            "test/mask": range(20, 24),
            "test/no_mask": range(20, 24),
        },
        {"images": range(8), "documents": range(8)},
        {"segmentation": range(8), "other": range(8), "third": range(10, 18)},
        {"parts": range(8), "whole": range(8), "third": range(10, 18)},
        {"mask": range(8), "images": range(20, 28), "other": range(8)},
    ],
)
def test_classes_may_be_called_as_masks_are(tmp_path: Path, folders: dict[str, range]) -> None:
    touch(tmp_path, *(f"{folder}/{n}.jpg" for folder, numbers in folders.items() for n in numbers))
    found = discover(tmp_path)
    assert set(found.catalog.classes) == {folder.split("/")[-1] for folder in folders}
    assert len(found.catalog) == sum(len(numbers) for numbers in folders.values())
    assert not found.catalog.has_masks
    if "mask" in folders:
        assert noted(found, "mask/: read as pictures, since as masks the files fit too few of the others")


def test_masks_none(tmp_path: Path) -> None:
    touch(tmp_path, "masks/1.jpg", "hats/2.jpg")
    with pytest.raises(DataError, match="say --masks none if it is a class"):
        discover(tmp_path)
    assert discover(tmp_path, LayoutConfig(masks=Path("none"))).catalog.classes == ("hats", "masks")


@pytest.mark.parametrize(
    "name",
    [
        "{n}_mask.png", "{n}-mask.jpg", "{n}_Mask.PNG", "{n} mask.png", "{n}_segmentation.png", "{n}_GT.bmp",
        "mask_{n}.png", "seg-{n}.png", "{n}.mask.png", "{n}_ground_truth.png", "{n}_trimap.png", "{n}_mask1.png",
        "{n}_mask (1).png",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["{c}", "train/{c}", "images/{c}"])
def test_masks_beside_pictures(tmp_path: Path, name: str, place: str) -> None:
    folders = [place.format(c=c) for c in ("benign", "normal")]
    pairs = {f"{f}/case ({n}).png": f"{f}/{name.format(n=f'case ({n})')}" for f in folders for n in range(3)}
    touch(tmp_path, *pairs, *pairs.values())
    found = discover(tmp_path)
    kind = "trimap" if "trimap" in name else "png"
    assert masks(found) == {path: f"{kind}:{mask}" for path, mask in pairs.items()}
    assert noted(found, f"6 masks come from files beside the pictures, as {folders[0]}/")
    assert len(discover(tmp_path, LayoutConfig(masks=Path("none"))).catalog) == 12


def test_several_masks_beside_one_picture_are_joined(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *(f"a/{n}{end}.png" for n in range(12) for end in ("", "_mask")),
        "a/3_mask_1.png",
        "b/1.png",
    )
    touch(tmp_path, "a/99_mask.png")
    found = discover(tmp_path)
    assert masks(found)["a/3.png"] == "png:a/3_mask.png|a/3_mask_1.png"
    assert masks(found)["b/1.png"] == ""
    assert len(found.catalog) == 13
    assert noted(found, "1 entries of files beside the pictures")
    assert noted(found, "belong to no picture and are left out: a/99_mask.png")
    touch(tmp_path, *(f"masks/a/{n}.png" for n in range(12)))
    both = discover(tmp_path, LayoutConfig(masks=Path("masks")))
    assert masks(both)["a/3.png"] == "png:masks/a/3.png"
    assert len(both.catalog) == 13


def test_a_name_alone_makes_no_mask(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *(f"cars/{name}.jpg" for name in ("mustang", "mustang_gt", "ford_gt", "golf_gt", "audi")),
        "x/1.jpg",
    )
    touch(tmp_path, *(f"people/{n}_mask.jpg" for n in range(4)))
    found = discover(tmp_path)
    assert len(found.catalog) == 10
    assert not found.catalog.has_masks


def test_classes_called_mask(tmp_path: Path) -> None:
    touch(tmp_path, "mask/1.jpg", "mask/2.jpg", "no_mask/1.jpg", "no_mask/2.jpg")
    assert discover(tmp_path).catalog.classes == ("mask", "no_mask")
    assert not discover(tmp_path).catalog.has_masks
    touch(tmp_path, "three/no_mask/1.jpg", "three/wrong/2.jpg", *(f"three/mask/{i}.jpg" for i in range(5)))
    assert discover(tmp_path / "three").catalog.classes == ("mask", "no_mask", "wrong")


def test_asked_masks_elsewhere_and_of_another_kind(tmp_path: Path) -> None:
    touch(tmp_path, "data/a/1.jpg", "data/b/2.jpg", "cut/a/1.jpg", "cut/b/2.jpg")
    found = discover(tmp_path / "data", LayoutConfig(masks=tmp_path / "cut", mask_kind="black"))
    assert masks(found) == {
        "a/1.jpg": f"black:{tmp_path}/cut/a/1.jpg",
        "b/2.jpg": f"black:{tmp_path}/cut/b/2.jpg",
    }
    with pytest.raises(DataError, match="do not exist"):
        discover(tmp_path / "data", LayoutConfig(masks=Path("nowhere")))
    touch(tmp_path, "strange/x/9.png")
    with pytest.raises(DataError, match="None of the 1 files"):
        discover(tmp_path / "data", LayoutConfig(masks=tmp_path / "strange"))


def test_boxes(tmp_path: Path) -> None:
    touch(tmp_path, "images/a/1.jpg", "images/b/2.jpg")
    rows = "images/a/1.jpg,1,2,30,40\nimages/a/1.jpg,5,6,7,8.5\nimages/b/9.jpg,0,0,1,1\n"
    (tmp_path / "boxes.csv").write_text(f"file,xmin,ymin,xmax,ymax\n{rows}")
    found = discover(tmp_path)
    assert masks(found) == {"images/a/1.jpg": "box:1,2,30,40;5,6,7,8.5", "images/b/2.jpg": ""}
    assert noted(found, "1 entries of boxes.csv belong to no picture")
    (tmp_path / "boxes.csv").write_text("file,xmin,ymin,xmax,ymax\nimages/a/1.jpg,9,2,3,4\n")
    with pytest.raises(DataError, match=r"boxes.csv, line 2: box 9,2,3,4 has no area"):
        discover(tmp_path)
    (tmp_path / "boxes.csv").write_text("file,x,y\n")
    with pytest.raises(DataError, match="needs file, xmin"):
        discover(tmp_path)


@pytest.mark.parametrize(
    ("name", "file_name"),
    [
        ("annotations.json", "images/a/1.jpg"),
        ("annotations.json", "a/1.jpg"),
        ("images/_annotations.coco.json", "a/1.jpg"),
        ("annotations/instances_train.json", "1.jpg"),
    ],
)
def test_coco(tmp_path: Path, name: str, file_name: str) -> None:
    touch(tmp_path, "images/a/1.jpg", "images/b/2.jpg", name)
    images = [{"id": 5, "file_name": file_name}, {"id": 6, "file_name": "b/2.jpg"}]
    annotations = [{"id": 1, "image_id": 5, "bbox": [0, 0, 2, 2]}]
    (tmp_path / name).write_text(json.dumps({"images": images, "annotations": annotations}))
    assert masks(discover(tmp_path)) == {"images/a/1.jpg": f"coco:{name}#5", "images/b/2.jpg": ""}
    (tmp_path / name).write_text("[]")
    with pytest.raises(DataError, match="none of the annotations that are read here"):
        discover(tmp_path)


def test_groups(tmp_path: Path) -> None:
    touch(tmp_path, "a/frame1_0.jpg", "b/frame1_1.jpg", "b/frame2_0.jpg")

    def groups(group: str) -> list[str]:
        return [sample.group for sample in discover(tmp_path, LayoutConfig(group=group)).catalog.samples]

    assert groups(r"regex:(frame\d+)_") == ["frame1", "frame1", "frame2"]
    assert groups(r"regex:frame\d") == ["frame1", "frame1", "frame2"]
    assert groups("part:1") == ["a", "b", "b"]
    assert groups("part:-1") == ["frame1_0.jpg", "frame1_1.jpg", "frame2_0.jpg"]
    for group in ("part:3", "part:-3", "regex:camera(.)"):
        with pytest.raises(DataError, match=f"Group '{group.partition('(')[0]}"):
            groups(group)
    with pytest.raises(DataError, match=r"no table that lists pictures and has the columns plant \(group\)"):
        groups("column:plant")


@pytest.mark.parametrize(
    "values",
    [
        {"group": "frame"},
        {"group": "part:0"},
        {"label": "folder"},
        {"label": "regex:["},
        {"columns": "path"},
        {"columns": "picture=a"},
        {"columns": "label=a", "label": "column:b"},
        {"group": "part:x"},
        {"group": "regex:("},
        {"mask_kind": "trimap", "mask_values": (1,)},
        {"mask_kind": "coco"},
        {"mask": "x"},
    ],
)
def test_bad_settings(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        parse(LayoutConfig, values, source="test")


def test_manifests(tmp_path: Path) -> None:
    touch(tmp_path, "pictures/1.jpg", "pictures/2.jpg", "masks/1.png", "boxes.csv")
    (tmp_path / "labels.csv").write_text("file,species,plant\npictures/1.jpg,oak,p1\npictures/2.jpg,ash,p2\n")
    (tmp_path / "boxes.csv").write_text("file,xmin,ymin,xmax,ymax\npictures/2.jpg,1,2,3,4\n")
    found = discover(tmp_path)
    assert found.layout == "manifest"
    assert table(found) == {"pictures/1.jpg": ("oak", ""), "pictures/2.jpg": ("ash", "")}
    assert masks(found) == {"pictures/1.jpg": "png:masks/1.png", "pictures/2.jpg": "box:1,2,3,4"}
    assert noted(found, "labels.csv is used, since it is the one table")
    direct = discover(tmp_path / "labels.csv", LayoutConfig(group="column:plant"))
    assert [sample.group for sample in direct.catalog.samples] == ["p1", "p2"]
    asked = discover(
        tmp_path / "pictures", LayoutConfig(manifest=tmp_path / "labels.csv", group="regex:(.).jpg")
    )
    assert asked.catalog.root == tmp_path
    assert [sample.group for sample in asked.catalog.samples] == ["1", "2"]


def test_manifest_rows_without_a_file_stay_and_are_noted(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg")
    (tmp_path / "t.csv").write_text("path,label\n1.jpg,a\n2.jpg,b\n")
    found = discover(tmp_path)
    assert len(found.catalog) == 2
    assert noted(found, "1 pictures of t.csv do not exist, for example 2.jpg")


def test_tables_that_do_not_decide(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/b/2.jpg", "test/3.jpg")
    (tmp_path / "sample_submission.csv").write_text("image,label\n3,a\n")
    found = discover(tmp_path)
    assert found.layout == "split folders"
    assert noted(found, "sample_submission.csv lists no picture that exists")
    for name in ("x.csv", "y.csv"):
        (tmp_path / name).write_text("image,label\ntest/3.jpg,a\n")
    found = discover(tmp_path)
    assert found.layout == "split folders"
    assert noted(found, "not the tables x.csv, y.csv")
    assert discover(tmp_path, LayoutConfig(manifest=Path("x.csv"))).layout == "manifest"


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "holds no pictures"),
        (["a/1.txt", "a/2.dng"], "convert them"),
        (["1.jpg", "2.jpg"], "no class folders"),
        (["test/1.jpg"], "no class folders"),
        (["train/a/1.jpg", "oak/1.jpg"], "not clear what the classes are"),
        (["images/a/1.jpg", "masks/x/9.png"], "match no picture"),
        (["images/a/1.jpg", "images/b/1.jpg", "outlines/a/1.png", "outlines/b/1.png"], "--masks outlines"),
        (["train/images/a/1.jpg", "train/outlines/a/1.png"], "--masks train/outlines"),
    ],
)
def test_what_cannot_be_read_is_explained(tmp_path: Path, paths: list[str], message: str) -> None:
    touch(tmp_path, *paths)
    with pytest.raises(DataError, match=message):
        discover(tmp_path)


def test_missing_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        discover(tmp_path / "none")
    touch(tmp_path, "a.jpg")
    with pytest.raises(DataError, match="single file"):
        discover(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="exists neither"):
        discover(tmp_path, LayoutConfig(manifest=Path("none.csv")))


def test_loose_pictures(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "a/b/2.png", "a/x.txt", "c/odd.dat")
    folder = loose_pictures([tmp_path / "a"])
    assert folder.root == tmp_path / "a"
    assert folder.samples == (Sample("1.jpg"), Sample("b/2.png"))
    assert folder.classes == ()
    several = loose_pictures([tmp_path / "c/odd.dat", tmp_path / "a", tmp_path / "a/1.jpg"])
    assert several.root == tmp_path
    assert [sample.path for sample in several.samples] == ["a/1.jpg", "a/b/2.png", "c/odd.dat"]
    assert loose_pictures([tmp_path / "a/1.jpg"]).file(0) == tmp_path / "a/1.jpg"
    with pytest.raises(DataError, match="does not exist"):
        loose_pictures([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="No picture"):
        loose_pictures([tmp_path / "empty"])


LABELME = json.dumps({"shapes": [{"points": [[0, 0], [2, 0], [2, 2]]}], "imagePath": "1.jpg"})
VOC = "<annotation><filename>1.jpg</filename></annotation>"


@pytest.mark.parametrize("place", ["images/a/{}", "annotations/a/{}", "a/labels/{}"])
@pytest.mark.parametrize(("kind", "suffix", "text"), [("labelme", "json", LABELME), ("voc", "xml", VOC)])
def test_documents_beside_pictures(tmp_path: Path, place: str, kind: str, suffix: str, text: str) -> None:
    base = "images/" if place.startswith("images") else ""
    touch(tmp_path, f"{base}a/1.jpg", f"{base}a/2.jpg", f"{base}b/3.jpg")
    document = place.format(f"1.{suffix}")
    touch(tmp_path, document, f"{base}b/3.json")
    (tmp_path / document).write_text(text)
    (tmp_path / f"{base}b/3.json").write_text('{"camera": "x"}')  # something else beside a picture
    expected = {f"{base}a/1.jpg": f"{kind}:{document}", f"{base}a/2.jpg": "", f"{base}b/3.jpg": ""}
    found = discover(tmp_path)
    assert masks(found) == expected
    assert noted(found, "1 other files are left alone (1 .json)")
    folder = document.rsplit("/", 1)[0]
    assert masks(discover(tmp_path, LayoutConfig(masks=folder))) == expected


def test_cvat_and_label_studio(tmp_path: Path) -> None:
    touch(tmp_path, "images/a/1.jpg", "images/b/1.jpg", "images/b/2.jpg")
    image = '<image name="{}" width="9" height="9"><box xtl="0" ytl="0" xbr="2" ybr="2"/></image>'
    names = ("set/b/1.jpg", "2.jpg", "b/gone.jpg")
    (tmp_path / "annotations.xml").write_text(
        f"<annotations>{''.join(map(image.format, names))}</annotations>"
    )
    found = discover(tmp_path)
    expected = {"images/a/1.jpg": "", "images/b/1.jpg": "cvat:annotations.xml#set/b/1.jpg"}
    assert masks(found) == {**expected, "images/b/2.jpg": "cvat:annotations.xml#2.jpg"}
    assert noted(found, "1 entries of annotations.xml belong to no picture and are left out: b/gone.jpg")
    (tmp_path / "annotations.xml").unlink()
    area = {"type": "rectanglelabels", "value": {}, "original_width": 9, "original_height": 9}
    names = ("/data/upload/1/1a2b3c4d-2.jpg", "/data/local-files/?d=set/a/1.jpg", "s3://bucket/c/1.jpg")
    tasks = [
        {"id": k, "data": {"image": name}, "annotations": [{"result": [area]}]}
        for k, name in enumerate(names)
    ]
    (tmp_path / "project-1.json").write_text(json.dumps(tasks))
    found = discover(tmp_path)
    expected = {"images/a/1.jpg": "labelstudio:project-1.json#1", "images/b/1.jpg": ""}
    assert masks(found) == {**expected, "images/b/2.jpg": "labelstudio:project-1.json#0"}
    assert noted(found, "is left out: c/1.jpg (images/a/1.jpg, images/b/1.jpg).")


def test_brush_masks_of_label_studio(tmp_path: Path) -> None:
    touch(
        tmp_path, "images/a/1-x.jpg", "images/b/2.jpg", "masks/a/1-x-red-leaf-0.png", "masks/a/1-x-spot-1.png"
    )
    joined = "png:masks/a/1-x-red-leaf-0.png|masks/a/1-x-spot-1.png"
    assert masks(discover(tmp_path)) == {"images/a/1-x.jpg": joined, "images/b/2.jpg": ""}
    touch(tmp_path, "strokes/task-7-annotation-1-by-1-tag-leaf-0.png")
    for config in (LayoutConfig(), LayoutConfig(masks="strokes")):
        with pytest.raises(DataError, match=r"task-7-annotation-1-by-1-tag-leaf-0.png .* export as JSON"):
            discover(tmp_path, config)
    area = {"type": "brushlabels", "value": {"rle": []}, "original_width": 9, "original_height": 9}
    task = {"id": 7, "data": {"image": "/x/2.jpg"}, "annotations": [{"result": [area]}]}
    (tmp_path / "export.json").write_text(json.dumps([task]))
    for config in (LayoutConfig(), LayoutConfig(masks="strokes")):
        found = discover(tmp_path, config)
        assert masks(found)["images/b/2.jpg"] == "labelstudio:export.json#7"
        assert found.catalog.classes == ("a", "b")


def test_annotations_without_a_picture_and_pictures_named_twice(tmp_path: Path) -> None:
    touch(tmp_path, "images/a/1.jpg", "images/b/2.jpg")
    images = [{"id": 5, "file_name": "a/1.jpg"}, {"id": 6, "file_name": "1.jpg"}]
    annotations = [
        {"id": 1, "image_id": 5, "bbox": [0, 0, 2, 2]},
        {"id": 9, "image_id": 77, "bbox": [0, 0, 2, 2]},
    ]
    (tmp_path / "annotations.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    found = discover(tmp_path)
    assert masks(found)["images/a/1.jpg"] == "coco:annotations.json#5"
    assert noted(found, "1 annotations of annotations.json belong to no picture that it lists")
    assert noted(found, "annotation 9 (of image 77)")
    annotations[1]["image_id"] = 6
    (tmp_path / "annotations.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    with pytest.raises(DataError, match=r"two entries for the picture images/a/1.jpg \(5 and 6\)"):
        discover(tmp_path)


LEVELS = [
    ("train", "Test", "val2017"),
    ("fold_0", "fold_1", "Test"),
    ("images", "masks"),
    ("rose", "Rose", "tulip", "mask", "parts"),
    ("1_ash", "2_oak", "segmentation", "images"),
    ("deep", "train", "masks"),
]
file_names = st.sampled_from(
    [f"{stem}{end}" for stem in "123" for end in (".jpg", ".png", "_mask.png", "_gt.png")]
)


@settings(max_examples=150, deadline=None)
@given(levels=st.lists(st.sampled_from(LEVELS), min_size=1, max_size=3), data=st.data())
def test_no_picture_is_lost_in_silence(levels: list[tuple[str, ...]], data: st.DataObject) -> None:
    path = st.tuples(*(st.sampled_from(level) for level in levels), file_names).map("/".join)
    shallow = st.tuples(st.sampled_from(levels[0]), file_names).map("/".join)
    paths = data.draw(st.sets(path, min_size=2, max_size=14)) | data.draw(
        st.sets(shallow | file_names, max_size=2)
    )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(os.path.abspath(folder))
        touch(root, *paths)
        try:
            found = discover(root)
        except DataError:
            return
        named = {str((found.catalog.root / s.path).relative_to(root)) for s in found.catalog.samples}
        used = {
            str((found.catalog.root / part).relative_to(root))
            for sample in found.catalog.samples
            for part in sample.mask.partition(":")[2].split("|")
            if sample.mask
        }
        assert named <= paths
        assert not named & used
        if paths - named - used:
            assert noted(found, "left out") or noted(found, "not used")
        assert all(
            0 <= s.label < len(found.catalog.classes) or s.split in ("val", "test", "train")
            for s in found.catalog.samples
        )
        assert discover(root) == found
