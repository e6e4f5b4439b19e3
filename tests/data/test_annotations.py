"""Every kind of mask reference, drawn here and read back, against plain loops, Pillow and pycocotools."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from pycocotools import mask as coco_mask
from scipy import ndimage

from foveate.core.errors import DataError
from foveate.data.annotations import (
    MaskError,
    MaskReference,
    find_mask,
    mask_files,
    only_boxes,
    read_mask,
    same_shape,
    sample_mask,
)
from foveate.data.catalog import Catalog, Sample

SIZE = (60, 40)


def blob(width: int = 60, height: int = 40) -> np.ndarray:
    """(height, width) bool: an off-centre L, so that every turn and flip differs."""
    mask = np.zeros((height, width), dtype=bool)
    mask[5:30, 8:20] = True
    mask[22:30, 8:45] = True
    return mask


def save(values: np.ndarray, path: Path, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path, **options)


def read(root: Path, ref: str, size: tuple[int, int] = SIZE, orientation: int = 1) -> np.ndarray:
    mask = read_mask(root, ref, size, orientation)
    assert mask.mode == "L"
    assert mask.size == size
    values = np.asarray(mask)
    assert set(np.unique(values)) <= {0, 255}
    return values == 255


def test_png_any_value_or_listed_values(tmp_path: Path) -> None:
    labels = np.where(blob(), 128, 0)
    labels[24:28, 10:30] = 255
    labels[0, 0] = 7
    save(labels, tmp_path / "a.png")
    assert np.array_equal(read(tmp_path, "png:a.png"), labels != 0)
    assert np.array_equal(read(tmp_path, "png[128,255]:a.png"), labels >= 128)
    assert np.array_equal(read(tmp_path, "png[255]:a.png"), labels == 255)
    assert not read(tmp_path, "png[9]:a.png").any()


@pytest.mark.parametrize("mode", ["1", "RGB", "RGBA", "I;16", "VOC palette", "grey palette", "cut-out"])
def test_png_of_other_modes(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(blob().astype(np.uint8) * 255)
    if mode == "I;16":
        image = Image.fromarray(blob().astype(np.uint16) * 300)
    elif mode == "VOC palette":
        image = Image.fromarray(blob().astype(np.uint8) * 3)
        image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
    elif mode == "grey palette":  # index 0 is white, index 1 black: the values count and not the indices
        image = Image.fromarray(1 - blob().astype(np.uint8))
        image.putpalette([255, 255, 255, 0, 0, 0])
    elif mode == "cut-out":
        image = Image.new("RGBA", SIZE, (0, 0, 0, 255))
        image.putalpha(grey)
    else:
        image = grey.convert(mode)
    image.save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path, "png:a.png"), blob())


def test_palette_indices_are_values(tmp_path: Path) -> None:
    image = Image.fromarray(np.where(blob(), 2, 1).astype(np.uint8))
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    image.save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path, "png[2]:a.png"), blob())


def test_jpeg_masks_are_thresholded(tmp_path: Path) -> None:
    save(blob() * 255, tmp_path / "a.jpg", quality=60)
    noisy = np.asarray(Image.open(tmp_path / "a.jpg"))
    assert len(np.unique(noisy)) > 10
    assert np.array_equal(read(tmp_path, "png:a.jpg"), noisy > 127)
    assert np.array_equal(read(tmp_path, "png:a.jpg"), blob())
    save(blob() * 128, tmp_path / "b.jpg", quality=90)
    assert (read(tmp_path, "png[128]:b.jpg") != blob()).mean() < 0.02


def test_trimaps_in_both_codes(tmp_path: Path) -> None:
    inner = ndimage.binary_erosion(blob(), iterations=2)
    save(np.where(inner, 1, np.where(blob(), 3, 2)), tmp_path / "oxford.png")
    save(np.where(inner, 255, np.where(blob(), 128, 0)), tmp_path / "grey.png")
    save(np.full((40, 60), 2), tmp_path / "nothing.png")
    assert np.array_equal(read(tmp_path, "trimap:oxford.png"), blob())
    assert np.array_equal(read(tmp_path, "trimap:grey.png"), blob())
    assert not read(tmp_path, "trimap:nothing.png").any()


def test_parts_are_united_and_closed(tmp_path: Path) -> None:
    whole = np.zeros((300, 400), dtype=bool)
    whole[100:200, 50:350] = True
    head, rest = whole.copy(), whole.copy()
    head[:, 150:] = False
    rest[:, :154] = False  # a gap of 4 pixels, less than two radii of 3
    hole = whole.copy()
    hole[140:160, 200:220] = False  # far larger than the disc
    save(head * 255, tmp_path / "head/a.png")
    save((rest & hole) * 255, tmp_path / "rest/a.png")
    got = read(tmp_path, "parts:head/a.png|rest/a.png", (400, 300))
    assert got[102:198, 50:350][:, 100:104].all()
    assert not got[145:155, 205:215].any()
    radius = 3
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = x**2 + y**2 <= radius**2
    union = np.pad(head | (rest & hole), 10)
    expected = ndimage.binary_closing(union, disc)[10:-10, 10:-10]
    assert np.array_equal(got, expected)


def test_closing_keeps_masks_at_the_edge_and_empty_ones(tmp_path: Path) -> None:
    edge = np.zeros((40, 60), dtype=bool)
    edge[:10] = True
    save(edge * 255, tmp_path / "edge.png")
    save(edge * 0, tmp_path / "empty.png")
    assert np.array_equal(read(tmp_path, "parts:edge.png"), edge)
    assert not read(tmp_path, "parts:empty.png").any()


def test_parts_of_different_sizes_are_refused(tmp_path: Path) -> None:
    save(blob() * 255, tmp_path / "a.png")
    save(blob(70, 40) * 255, tmp_path / "b.png")
    with pytest.raises(MaskError, match="different sizes"):
        read_mask(tmp_path, "parts:a.png|b.png", SIZE)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_black_background_copies(tmp_path: Path, suffix: str) -> None:
    mask = np.zeros((200, 300), dtype=bool)
    mask[40:160, 60:240] = True
    picture = np.random.default_rng(0).integers(90, 255, (200, 300, 3)) * mask[..., None]
    picture[90:110, 140:160] = 0  # a black spot on the object
    save(picture, tmp_path / f"a.{suffix}", **({"quality": 75} if suffix == "jpg" else {}))
    got = read(tmp_path, f"black:a.{suffix}", (300, 200))
    assert got[90:110, 140:160].all()
    wrong = (got != mask).mean()
    assert wrong == 0 if suffix == "png" else wrong < 0.03


def test_black_background_ignores_specks(tmp_path: Path) -> None:
    picture = np.zeros((200, 300, 3), dtype=np.uint8)
    picture[50:100, 50:100] = 200
    picture[3, 3] = 60
    save(picture, tmp_path / "a.png")
    got = read(tmp_path, "black:a.png", (300, 200))
    assert got.sum() == 2500


def test_boxes_cover_pixel_centres(tmp_path: Path) -> None:
    boxes = [(3.0, 4.0, 20.0, 9.0), (10.4, 6.0, 30.6, 39.5), (50.0, 0.0, 61.5, 3.0)]
    ref = "box:" + ";".join(",".join(map(str, box)) for box in boxes)
    expected = np.zeros((40, 60), dtype=bool)
    for y in range(40):
        for x in range(60):
            expected[y, x] = any(x0 <= x + 0.5 < x1 and y0 <= y + 0.5 < y1 for x0, y0, x1, y1 in boxes)
    assert np.array_equal(read(tmp_path, ref), expected)
    assert only_boxes(tmp_path, ref)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("1,2,3", "not four numbers"),
        ("a,b,c,d", "not four numbers"),
        ("5,5,5,9", "no area"),
        ("9,5,2,9", "no area"),
        ("0,0,nan,4", "no area"),
        ("0,0,300,20", "reaches out of the picture"),
        ("-20,0,30,20", "reaches out of the picture"),
    ],
)
def test_bad_boxes(tmp_path: Path, payload: str, reason: str) -> None:
    with pytest.raises(MaskError, match=reason):
        read_mask(tmp_path, f"box:{payload}", SIZE)


def coco_file(path: Path, **annotation: object) -> None:
    other = {"id": 9, "image_id": 8, "bbox": [0, 0, 60, 40], "segmentation": []}
    content = {
        "images": [
            {"id": 7, "file_name": "a.jpg", "width": 60, "height": 40},
            {"id": 8, "file_name": "b.jpg", "width": 60, "height": 40},
        ],
        "annotations": [{"id": 1, "image_id": 7, **annotation}, other],
    }
    path.write_text(json.dumps(content))


def test_coco_polygons_are_united(tmp_path: Path) -> None:
    polygons = [[5, 5, 30, 5, 30, 20, 5, 20], [20, 10, 50, 12, 35, 35]]
    coco_file(tmp_path / "c.json", segmentation=polygons)
    got = read(tmp_path, "coco:c.json#7")
    y, x = np.mgrid[:40, :60] + 0.5
    depths = []  # (40, 60): how far a pixel's centre lies inside each (convex, clockwise) polygon
    for polygon in polygons:
        corners = np.array(polygon, dtype=float).reshape(-1, 2)
        edges = np.roll(corners, -1, axis=0) - corners
        depths.append(
            np.min(
                [
                    (ex * (y - cy) - ey * (x - cx)) / np.hypot(ex, ey)
                    for (cx, cy), (ex, ey) in zip(corners, edges, strict=True)
                ],
                axis=0,
            )
        )
    depth = np.max(depths, axis=0)
    assert (depth > 1).sum() > 500
    assert got[depth > 1].all()
    assert not got[depth < -1].any()
    assert read(tmp_path, "coco:c.json#8").all()
    assert not only_boxes(tmp_path, "coco:c.json#7")


def plain_runs(mask: np.ndarray) -> list[int]:
    """Run lengths over columns, beginning with background, by a plain loop."""
    runs, value = [0], False
    for pixel in mask.T.ravel():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


@pytest.mark.parametrize("compressed", [False, True])
def test_coco_run_lengths(tmp_path: Path, compressed: bool) -> None:
    if compressed:
        runs = coco_mask.encode(np.asfortranarray(blob().astype(np.uint8)))["counts"].decode()
    else:
        runs = plain_runs(blob())
    coco_file(tmp_path / "c.json", segmentation={"size": [40, 60], "counts": runs}, iscrowd=1)
    assert np.array_equal(read(tmp_path, "coco:c.json#7"), blob())


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([[1, 2, 3, 4]], "three points"),
        ({"size": [41, 60], "counts": [10, 2450]}, "made for 60 x 41"),
        ({"size": [40, 60], "counts": [10, 20]}, "add up"),
        ({"size": [40, 60]}, "annotation 1: it has no 'counts'"),
        ("nonsense", "annotation 1: its segmentation is neither"),
    ],
)
def test_bad_coco_annotations(tmp_path: Path, segmentation: object, reason: str) -> None:
    coco_file(tmp_path / "c.json", segmentation=segmentation)
    with pytest.raises(MaskError, match=reason):
        read_mask(tmp_path, "coco:c.json#7", SIZE)


def test_bad_coco_files(tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text("{")
    (tmp_path / "other.json").write_text("[1, 2]")
    coco_file(tmp_path / "c.json", segmentation=[])
    for ref, reason in [
        ("coco:text.json#1", "as COCO it is malformed"),
        ("coco:other.json#1", "as COCO it is malformed"),
        ("coco:none.json#1", "No such file"),
        ("coco:c.json#99", "has no picture 99"),
    ]:
        with pytest.raises(MaskError, match=reason):
            read_mask(tmp_path, ref, SIZE)


def test_a_changed_coco_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    coco_file(path, bbox=[0, 0, 10, 10])
    assert read(tmp_path, "coco:c.json#7").sum() == 100
    coco_file(path, bbox=[0, 0, 20, 10])
    os.utime(path, ns=(1, 1))
    assert read(tmp_path, "coco:c.json#7").sum() == 200


def test_another_size_of_the_same_shape_is_resized(tmp_path: Path) -> None:
    save(blob() * 255, tmp_path / "a.png")
    assert find_mask(tmp_path, "png:a.png", (120, 80)).own == SIZE
    doubled = read(tmp_path, "png:a.png", (120, 80))
    assert np.array_equal(doubled, blob().repeat(2, axis=0).repeat(2, axis=1))


def test_another_shape_is_refused(tmp_path: Path) -> None:
    save(blob() * 255, tmp_path / "a.png")
    for size in [(40, 60), (60, 60), (120, 90)]:
        with pytest.raises(MaskError, match="another shape") as caught:
            read_mask(tmp_path, "png:a.png", size)
        assert caught.value.path.name == "a.png"
        assert "60 x 40" in caught.value.reason


def test_same_shape_allows_the_rounding_of_resizing() -> None:
    for width, height in [(1000, 751), (640, 427), (333, 500)]:
        for short in (7, 64, 224, 256):
            scale = short / min(width, height)
            assert same_shape((round(width * scale), round(height * scale)), (width, height))
            assert same_shape((int(width * scale), int(height * scale)), (width, height))
    assert not same_shape((224, 224), (224, 200))
    assert not same_shape((640, 480), (480, 640))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_masks_of_turned_pictures(tmp_path: Path, orientation: int, suffix: str) -> None:
    """A mask that fits the upright picture stays, one that fits the stored one turns, boxes turn."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", SIZE).save(tmp_path / f"a.{suffix}", exif=exif)
    tagged = Image.fromarray(blob().astype(np.uint8) * 255)
    save(np.asarray(tagged), tmp_path / "stored.png")
    tagged.getexif()[0x0112] = orientation
    upright = ImageOps.exif_transpose(tagged)
    upright.save(tmp_path / "upright.png")
    box = Image.fromarray(np.zeros((40, 60), dtype=np.uint8))
    box.paste(255, (2, 5, 30, 12))
    box.getexif()[0x0112] = orientation
    refs = {"png:upright.png": upright, "box:2,5,30,12": ImageOps.exif_transpose(box)}
    if orientation >= 5:
        refs["png:stored.png"] = upright
    for ref, expected in refs.items():
        catalog = Catalog(tmp_path, ("c",), (Sample(f"a.{suffix}", 0, mask=ref),))
        got = sample_mask(catalog, 0)
        assert got is not None
        assert got.size == expected.size
        assert np.array_equal(np.asarray(got), np.asarray(expected))


def test_no_mask_is_none(tmp_path: Path) -> None:
    assert sample_mask(Catalog(tmp_path, ("c",), (Sample("a.jpg", 0),)), 0) is None


@pytest.mark.parametrize("kind", ["png", "trimap", "parts", "black"])
def test_unreadable_mask_files(tmp_path: Path, kind: str) -> None:
    save(np.random.default_rng(0).integers(0, 255, (40, 60)), tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.png").write_text("no mask")
    for name, reason in [("cut.png", "damaged"), ("text.png", "not a picture"), ("none.png", "no such file")]:
        with pytest.raises(MaskError, match=reason) as caught:
            read_mask(tmp_path, f"{kind}:{name}", SIZE)
        assert caught.value.path == tmp_path / name


@pytest.mark.parametrize(
    "ref", ["a.png", "jpeg:a.png", "png:", "png[x]:a.png", "trimap[1]:a.png", "png[]:a.png", ""]
)
def test_bad_references(tmp_path: Path, ref: str) -> None:
    with pytest.raises(MaskError):
        read_mask(tmp_path, ref, SIZE)


@pytest.mark.parametrize(
    "ref", ["png:a b/ü,c.png", "png[128,255]:x:y[1].png", "parts:a|b", "coco:a#b.json#3", "png:a|b"]
)
def test_references_round_trip(ref: str) -> None:
    assert str(MaskReference.parse(ref)) == ref


@pytest.mark.parametrize(
    ("ref", "files"),
    [
        ("png:a#1.png", ["a#1.png"]),
        ("png[1]:a#1.png|b.png|gone.png", ["a#1.png", "b.png"]),
        ("parts:b.png|a#1.png", ["b.png", "a#1.png"]),
        ("coco:a.json#17", ["a.json"]),
        ("cvat:a.xml#x#1.png", ["a.xml"]),
        ("cvat:a.xml#x|y.png", ["a.xml"]),
        ("labelme:a#1.json", ["a#1.json"]),
        ("box:" + ";".join(["10,10,20,20"] * 50), []),
        ("jpeg:b.png", []),
        ("", []),
    ],
)
def test_files_of_a_reference(tmp_path: Path, ref: str, files: list[str]) -> None:
    for name in ("a", "a#1.png", "b.png", "a.json", "a.xml", "a#1.json"):
        (tmp_path / name).touch()
    assert mask_files(tmp_path, ref) == [tmp_path / name for name in files]


def test_errors_survive_pickling() -> None:
    error = MaskError(Path("a.png"), "it is empty")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.path, copy.reason, str(copy)) == (error.path, error.reason, str(error))
    assert isinstance(error, DataError)
