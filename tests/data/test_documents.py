"""Annotation files of every format, against shapes drawn by plain loops; and whatever else may stand in such a file."""

import base64
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from foveate.core.errors import FoveateError
from foveate.data.annotations import DOCUMENTS, find_mask, only_boxes, read_mask, recognise
from foveate.data.annotations.labelstudio import unpack_brush

SIZE = (96, 80)
SQUARE = [(20, 10), (60, 10), (60, 50), (20, 50)]


def square(left: int = 20, top: int = 10, right: int = 60, bottom: int = 50) -> np.ndarray:
    mask = np.zeros((80, 96), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def ellipse(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    down, across = np.mgrid[:80, :96] + 0.5
    return ((across - x) / rx) ** 2 + ((down - y) / ry) ** 2 <= 1


def runs(mask: np.ndarray) -> list[int]:
    """Run lengths along the rows, beginning with background."""
    found, value = [0], False
    for pixel in mask.ravel():
        if pixel != value:
            found.append(0)
            value = pixel
        found[-1] += 1
    return found


def pack_brush(mask: np.ndarray) -> list[int]:
    """Label Studio's run lengths of an RGBA picture, by a plain loop: one run a value, lengths of 17 bits."""
    rgba = np.zeros((*mask.shape, 4), dtype=int)
    rgba[mask] = 255
    bits = f"{rgba.size:032b}{7:05b}{0:04b}{7:04b}{11:04b}{15:04b}"
    values = rgba.ravel().tolist()
    while values:
        length = next((i for i, value in enumerate(values) if value != values[0]), len(values))
        length = min(length, 2**16)
        bits += f"1{3:02b}{length - 1:016b}{values[0]:08b}"
        values = values[length:]
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def read(root: Path, ref: str) -> np.ndarray:
    return np.asarray(read_mask(root, ref, SIZE)) == 255


def labelme(*shapes: dict[str, Any], **fields: object) -> str:
    content = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": "a.jpg", "imageData": None}
    return json.dumps(content | {"imageHeight": 80, "imageWidth": 96} | fields)


def voc(*objects: str, size: tuple[int, int] = SIZE) -> str:
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f'<annotation verified="yes"><filename>a.jpg</filename>{sides}{"".join(objects)}</annotation>'


def cvat(*elements: str, name: str = "c/a.jpg") -> str:
    image = f'<image id="0" name="{name}" width="96" height="80">{"".join(elements)}</image>'
    return f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>{image}</annotations>'


def label_studio(*results: dict[str, Any], image: str = "/data/upload/1/1a2b3c4d-a.jpg") -> str:
    sized = [
        {"original_width": 96, "original_height": 80, "image_rotation": 0, **result} for result in results
    ]
    return json.dumps([{"id": 3, "annotations": [{"id": 5, "result": sized}], "data": {"image": image}}])


def per_cent(x: float, y: float) -> tuple[float, float]:
    return x / 96 * 100, y / 80 * 100


def box_of(left: float, top: float, right: float, bottom: float) -> str:
    corners = zip(("xmin", "ymin", "xmax", "ymax"), (left, top, right, bottom), strict=True)
    return f"<object><name>x</name><bndbox>{''.join(f'<{k}>{v}</{k}>' for k, v in corners)}</bndbox></object>"


def test_labelme(tmp_path: Path) -> None:
    png = io.BytesIO()
    Image.fromarray(square()[10:50, 20:60]).save(png, "PNG")
    mask = {
        "shape_type": "mask",
        "points": [[20, 10], [59, 49]],
        "mask": base64.b64encode(png.getvalue()).decode(),
    }
    cases: dict[str, tuple[dict[str, Any], np.ndarray]] = {
        "polygon": ({"points": SQUARE}, square()),
        "rectangle": ({"shape_type": "rectangle", "points": [[60, 50], [20, 10]]}, square()),
        "mask": (mask, square()),
        "circle": ({"shape_type": "circle", "points": [[50, 40], [70, 40]]}, ellipse(50, 40, 20, 20)),
    }
    for name, (shape, expected) in cases.items():
        line = {"label": "scale", "shape_type": "line", "points": [[0, 0], [90, 70]]}
        (tmp_path / "a.json").write_text(labelme({"label": "leaf", **shape}, line))
        got = read(tmp_path, "labelme:a.json")
        assert (got != expected).sum() <= (0 if name != "circle" else 20), name
    assert recognise(tmp_path / "a.json") == "labelme"


def test_voc_counts_from_one_and_includes_both_edges(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(voc(box_of(21, 11, 60, 50), box_of(1, 1, 10, 5)))
    assert np.array_equal(read(tmp_path, "voc:a.xml"), square() | square(0, 0, 10, 5))
    assert only_boxes(tmp_path, "voc:a.xml")
    corners = "".join(f"<x{i}>{x}</x{i}><y{i}>{y}</y{i}>" for i, (x, y) in enumerate(SQUARE, start=1))
    (tmp_path / "a.xml").write_text(voc(f"<object><polygon>{corners}</polygon></object>", size=(0, 0)))
    assert np.array_equal(read(tmp_path, "voc:a.xml"), square())
    assert not only_boxes(tmp_path, "voc:a.xml")
    assert recognise(tmp_path / "a.xml") == "voc"


def test_cvat(tmp_path: Path) -> None:
    lengths = ", ".join(map(str, runs(ellipse(20, 20, 18, 15)[:40, :40])))
    cases = {
        '<polygon label="a" points="20,10;60,10;60,50;20,50"/>': square(),
        '<box label="a" xtl="20" ytl="10" xbr="60" ybr="50"/>': square(),
        '<box label="a" xtl="20" ytl="20" xbr="60" ybr="40" rotation="90"/>': square(30, 10, 50, 50),
        f'<mask label="a" rle="{lengths}" left="30" top="15" width="40" height="40"/>': np.pad(
            ellipse(20, 20, 18, 15)[:40, :40], ((15, 25), (30, 26))
        ),
    }
    for element, expected in cases.items():
        (tmp_path / "annotations.xml").write_text(cvat(element, '<points label="eye" points="1,1"/>'))
        assert np.array_equal(read(tmp_path, "cvat:annotations.xml#c/a.jpg"), expected), element
    (tmp_path / "annotations.xml").write_text(
        cvat('<ellipse cx="50" cy="40" rx="30" ry="20"/>', name="a#1.jpg")
    )
    got = read(tmp_path, "cvat:annotations.xml#a#1.jpg")
    assert (got != ellipse(50, 40, 30, 20)).sum() <= 20
    assert recognise(tmp_path / "annotations.xml") == "cvat"


def test_label_studio(tmp_path: Path) -> None:
    x, y = per_cent(20, 10)
    sides = dict(zip(("width", "height"), per_cent(40, 40), strict=True))
    centre, radii = per_cent(50, 40), dict(zip(("radiusX", "radiusY"), per_cent(30, 20), strict=True))
    blob = ellipse(60, 30, 25, 20)
    cases: list[tuple[str, dict[str, Any], np.ndarray]] = [
        ("brushlabels", {"format": "rle", "rle": pack_brush(blob)}, blob),
        ("polygonlabels", {"points": [per_cent(*corner) for corner in SQUARE]}, square()),
        ("rectanglelabels", {"x": x, "y": y, **sides, "rotation": 0}, square()),
        ("rectanglelabels", {"x": per_cent(60, 0)[0], "y": y, **sides, "rotation": 90}, square()),
        ("ellipselabels", {"x": centre[0], "y": centre[1], **radii, "rotation": 0}, ellipse(50, 40, 30, 20)),
    ]
    choice = {"type": "choices", "value": {"choices": ["good"]}}
    for kind, value, expected in cases:
        (tmp_path / "e.json").write_text(label_studio({"type": kind, "value": value}, choice))
        got = read(tmp_path, "labelstudio:e.json#3")
        assert (got != expected).sum() <= (20 if kind.startswith("ellipse") else 0), kind
    assert recognise(tmp_path / "e.json") == "labelstudio"


def test_brush_strokes_that_are_not_repeated() -> None:
    """Three values written one by one, then one repeated: the example of the format's description."""
    bits = (
        f"{8:032b}{7:05b}{2:04b}{3:04b}{4:04b}{7:04b}"
        + f"0{0:02b}{3:03b}"
        + "".join(f"{value:08b}" for value in (9, 9, 9, 255))
        + f"1{0:02b}{3:03b}{0:08b}"
    )
    bits += "0" * (-len(bits) % 8)
    packed = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    assert unpack_brush(packed, 2, 1).tolist() == [[True, False]]
    with pytest.raises(ValueError, match="cut off"):
        unpack_brush(packed[:-2], 2, 1)
    with pytest.raises(ValueError, match="holds 2 pixels, not 4 x 4"):
        unpack_brush(packed, 4, 4)


BAD: list[tuple[str, str, str]] = [
    ("labelme:a.json", labelme({"points": [[1, 2], [3, 4]], "label": "leaf"}), r"picture a.jpg, shape 1 \(leaf\): a"),
    ("labelme:a.json", labelme({"points": SQUARE, "shape_type": "cuboid"}), r"shape 1 \(no label\): its type 'cuboid'"),
    ("labelme:a.json", labelme({"points": [[1, 1]], "shape_type": "point"}), "only points and lines"),
    ("labelme:a.json", labelme({"points": [[1, 1], [900, 1], [4, 4]]}), r"reaches out .* 96 x 80 pixels \(x 1 to 900"),
    ("labelme:a.json", labelme({"points": SQUARE}, imageHeight=70), "another shape than its picture"),
    ("labelme:a.json", '{"shapes": 5}', r"a.json cannot be used: as labelme JSON it is malformed \(shapes must"),
    ("labelme:a.json", '{"shapes": ' + "[" * 100_000, "as labelme JSON it is malformed"),
    ("voc:a.xml", voc("<object><name>bee</name></object>"), r"object 1 \(bee\): it has neither a bndbox nor"),
    ("voc:a.xml", voc(box_of(5, 5, 4, 9)), "has no area"),
    ("voc:a.xml", voc(box_of(5, 5, float("nan"), 9)), "its xmax is 'nan' and no number"),
    ("voc:a.xml", "<annotation><size>", "not XML"),
    ("voc:a.xml", "<kml/>", "its root is <kml>"),
    ("cvat:a.xml#c/a.jpg", cvat('<polygon label="leaf" points="1,1;2"/>'), r"polygon 1 \(leaf\): its points"),
    ("cvat:a.xml#c/a.jpg", cvat('<mask rle="4,4" left="0" top="0" width="3" height="3"/>'), "do not add up to 3 x 3"),
    ("cvat:a.xml#c/a.jpg", cvat('<mask rle="4" left="0" top="0" width="9000000" height="9000000"/>'), "pixels large"),
    ("cvat:a.xml#b.jpg", cvat(), "a.xml has no picture b.jpg"),
    ("cvat:a.xml#x", "<annotations><track/></annotations>", "CVAT for video"),
    ("labelstudio:a.json#3", label_studio({"type": "brushlabels", "value": {"rle": [1]}}), "result None .*cut off"),
    ("labelstudio:a.json#3", label_studio({"type": "polygon", "value": {}}), "it has no 'points'"),
    ("labelstudio:a.json#3", label_studio({"type": "polygon", "value": {}, "image_rotation": 90}), "turned by 90"),
    ("labelstudio:a.json#9", label_studio(), "has no picture 9"),
    ("labelstudio:a.json#3", '[{"id": 1}]', r"malformed \(0.data is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("ref", "content", "words"), BAD)
def test_bad_documents_are_named(tmp_path: Path, ref: str, content: str, words: str) -> None:
    name = ref.partition(":")[2].partition("#")[0]
    (tmp_path / name).write_text(content)
    with pytest.raises(FoveateError, match=words) as caught:
        read_mask(tmp_path, ref, SIZE)
    assert len(str(caught.value)) < 400


def test_entities_are_refused(tmp_path: Path) -> None:
    """A kilobyte that would grow to gigabytes."""
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    for kind, root in (("voc", "annotation"), ("cvat", "annotations")):
        text = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{levels}]><{root}>&l9;</{root}>'
        for encoding in ("utf-8", "utf-16"):
            (tmp_path / "a.xml").write_bytes(text.encode(encoding))
            with pytest.raises(FoveateError, match="declares XML entities"):
                read_mask(tmp_path, f"{kind}:a.xml" + ("#a" if kind == "cvat" else ""), SIZE)
    (tmp_path / "a.xml").write_text(
        '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><annotation>&f;</annotation>'
    )
    with pytest.raises(FoveateError, match="declares XML entities"):
        read_mask(tmp_path, "voc:a.xml", SIZE)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(FoveateError, match="not a file"):
            read_mask(tmp_path, f"voc:{name}", SIZE)


def coco(path: Path, *entries: tuple[str, tuple[int, int], list[Any]]) -> None:
    images = [{"id": i, "file_name": n, "width": w, "height": h} for i, (n, (w, h), _) in enumerate(entries)]
    shapes = [{"id": i, "image_id": i, "segmentation": s} for i, (_, _, s) in enumerate(entries)]
    path.write_text(json.dumps({"images": images, "annotations": shapes}))


def flat(corners: list[tuple[int, int]]) -> list[int]:
    return [number for corner in corners for number in corner]


@pytest.mark.parametrize(
    "segmentation", [flat(SQUARE), [flat(SQUARE)], [[list(c) for c in SQUARE]], [flat(SQUARE), []]]
)
def test_polygons_of_coco_however_they_are_wrapped(tmp_path: Path, segmentation: list[Any]) -> None:
    coco(tmp_path / "c.json", ("a.jpg", SIZE, segmentation))
    assert np.array_equal(read(tmp_path, "coco:c.json#0"), square())


def test_coco_sizes_of_turned_pictures(tmp_path: Path) -> None:
    """Label Studio writes the size as stored (160 x 120) beside polygons of the upright picture (120 x 160)."""
    upright = (120, 160)
    low = [30, 100, 90, 100, 90, 150, 30, 150]
    high = [30, 20, 90, 20, 90, 60, 30, 60]
    expected = {}
    for name, rows in (("low", slice(100, 150)), ("high", slice(20, 60))):
        expected[name] = np.zeros((160, 120), dtype=bool)
        expected[name][rows, 30:90] = True
    coco(tmp_path / "c.json", ("low.jpg", (160, 120), [low]), ("high.jpg", (160, 120), [high]))
    for row, name in enumerate(("low", "high")):
        found = find_mask(tmp_path, f"coco:c.json#{row}", upright, orientation=6)
        assert found.how == "upright"
        assert np.array_equal(np.asarray(found.image) == 255, expected[name])
    coco(tmp_path / "c.json", ("high.jpg", (160, 120), [high]))  # nothing speaks against the size as stored
    found = find_mask(tmp_path, "coco:c.json#0", upright, orientation=6)
    assert found.how == "turned"
    stored = np.zeros((120, 160), dtype=bool)
    stored[20:60, 30:90] = True
    assert np.array_equal(np.asarray(found.image) == 255, np.rot90(stored, -1))
    coco(tmp_path / "c.json", ("far.jpg", (160, 120), [[200, 10, 260, 10, 260, 50]]))
    with pytest.raises(
        FoveateError, match=r"far.jpg, annotation 0 reaches out of the picture of 160 x 120 pixels"
    ):
        find_mask(tmp_path, "coco:c.json#0", upright, orientation=6)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
numbers = st.one_of(st.integers(-50, 200), st.floats(), st.integers(), st.just("7"), st.none())
points = st.lists(st.lists(numbers, max_size=3), max_size=5)


def either(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(strategy, json_values)


coco_files = st.fixed_dictionaries(
    {
        "images": either(st.just([{"id": 1, "file_name": "a.jpg", "width": 96, "height": 80}])),
        "annotations": either(
            st.lists(
                st.fixed_dictionaries(
                    {"image_id": st.sampled_from([1, "1", 2])},
                    optional={
                        "segmentation": either(
                            st.lists(numbers, max_size=8)
                            | st.lists(st.lists(numbers, max_size=8), max_size=3)
                            | points
                            | st.fixed_dictionaries(
                                {"size": st.lists(numbers), "counts": st.text() | st.lists(numbers)}
                            )
                        ),
                        "bbox": either(st.lists(numbers, min_size=3, max_size=5)),
                    },
                ),
                max_size=3,
            )
        ),
    }
)
labelme_files = st.fixed_dictionaries(
    {
        "shapes": either(
            st.lists(
                st.fixed_dictionaries(
                    {"points": points | st.lists(st.tuples(numbers, numbers), max_size=4)},
                    optional={
                        "shape_type": st.sampled_from(
                            ["polygon", "rectangle", "circle", "mask", "line", "x", None]
                        ),
                        "mask": either(st.text()),
                    },
                ),
                max_size=3,
            )
        )
    },
    optional={"imageWidth": either(numbers), "imageHeight": either(numbers)},
)
label_studio_files = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.just(1),
            "data": either(st.just({"image": "/data/a.jpg"})),
            "annotations": either(
                st.lists(
                    st.fixed_dictionaries(
                        {
                            "result": st.lists(
                                st.fixed_dictionaries(
                                    {
                                        "type": st.sampled_from(["brush", "polygon", "rectangle", "ellipse"]),
                                        "value": either(
                                            st.fixed_dictionaries(
                                                {},
                                                optional={
                                                    name: either(
                                                        st.lists(st.integers(0, 255)) | numbers | points
                                                    )
                                                    for name in (
                                                        "rle",
                                                        "points",
                                                        "x",
                                                        "y",
                                                        "width",
                                                        "height",
                                                        "radiusX",
                                                    )
                                                },
                                            )
                                        ),
                                        "original_width": either(st.just(96)),
                                        "original_height": either(st.just(80)),
                                    }
                                ),
                                max_size=2,
                            )
                        }
                    ),
                    max_size=2,
                )
            ),
        }
    ),
    max_size=2,
)
texts = st.one_of(numbers.map(str), st.text("0123456789.,;-e", max_size=20), st.just("96"))


@st.composite
def xml_files(draw: Callable[..., Any], root: str) -> str:
    def element(tag: str, depth: int) -> str:
        names = [
            "name",
            "width",
            "height",
            "points",
            "rle",
            "left",
            "top",
            "xtl",
            "ytl",
            "xbr",
            "ybr",
            "cx",
            "rotation",
        ]
        attributes = draw(st.dictionaries(st.sampled_from(names), texts, max_size=8))
        tags = [
            "image",
            "polygon",
            "box",
            "mask",
            "ellipse",
            "object",
            "bndbox",
            "size",
            "xmin",
            "ymax",
            "x1",
            "width",
        ]
        inner = (
            draw(texts)
            if depth > 2
            else "".join(
                element(child, depth + 1) for child in draw(st.lists(st.sampled_from(tags), max_size=3))
            )
        )
        written = " ".join(f'{name}="{value}"' for name, value in attributes.items())
        return f"<{tag} {written}>{inner}</{tag}>"

    return element(root, 0)


def harmless(folder: Path, kind: str, content: bytes) -> None:
    """Whatever stands in the file: an error of ours, or masks of the right size for each of its pictures."""
    reader = DOCUMENTS[kind]
    path = folder / f"a{reader.suffix}"
    path.write_bytes(content)
    try:
        entries = reader.parse(path).entries
    except ValueError:
        entries = {"": None}
    for key in entries:
        ref = f"{kind}:{path.name}" if reader.single else f"{kind}:{path.name}#{key or 1}"
        try:
            mask = find_mask(folder, ref, SIZE, orientation=6).image
        except FoveateError:
            continue
        assert mask.size == SIZE
        assert set(np.unique(np.asarray(mask))) <= {0, 255}


relaxed = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@relaxed
@given(content=coco_files | json_values)
@example(
    content={"images": [{"id": 1, "file_name": "a", "width": 10**9, "height": 10**9}], "annotations": []}
)
def test_anything_as_coco(tmp_path: Path, content: Any) -> None:
    harmless(tmp_path, "coco", json.dumps(content).encode())


@relaxed
@given(content=labelme_files | json_values)
def test_anything_as_labelme(tmp_path: Path, content: Any) -> None:
    harmless(tmp_path, "labelme", json.dumps(content).encode())


@relaxed
@given(content=label_studio_files | json_values)
def test_anything_as_label_studio(tmp_path: Path, content: Any) -> None:
    harmless(tmp_path, "labelstudio", json.dumps(content).encode())


@relaxed
@given(content=xml_files("annotations"))
def test_anything_as_cvat(tmp_path: Path, content: str) -> None:
    harmless(tmp_path, "cvat", content.encode())


@relaxed
@given(content=xml_files("annotation"))
def test_anything_as_voc(tmp_path: Path, content: str) -> None:
    harmless(tmp_path, "voc", content.encode())


@relaxed
@given(content=st.binary(max_size=200))
@example(content=b"[" * 200_000)
@example(content=b"<annotation>" * 50_000)
@example(content=b"<a " * 50_000)
@example(content=b'<?xml version="1.0" encoding="no-such"?><annotation/>')
@example(content="\ufeff{}".encode("utf-16"))
@pytest.mark.parametrize("kind", sorted(DOCUMENTS))
def test_any_bytes(tmp_path: Path, kind: str, content: bytes) -> None:
    harmless(tmp_path, kind, content)
