"""Tiny copies of published data sets, drawn in the folders and files that their authors (and torchvision) use."""

import csv
import json
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

SIDE = 40


def picture(root: Path, path: str, seed: int = 0, size: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    """A picture of noise with a bright square in the middle; its pixels."""
    rng = np.random.default_rng([seed, *path.encode()])
    pixels = rng.integers(0, 120, (size[1], size[0], 3), dtype=np.uint8)
    pixels[middle(size)] = rng.integers(180, 255, 3, dtype=np.uint8)
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, quality=95)
    return pixels


def middle(size: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    """(H, W) bool: the square."""
    width, height = size
    mask = np.zeros((height, width), bool)
    mask[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = True
    return mask


def grey(root: Path, path: str, pixels: np.ndarray) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(root / path)


def write(root: Path, path: str, lines: Sequence[str]) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text("".join(f"{line}\n" for line in lines))


def voc(root: Path, path: str, box: tuple[int, int, int, int]) -> None:
    edges = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    inside = "".join(f"<{name}>{edge}</{name}>" for name, edge in edges)
    size = f"<size><width>{SIDE}</width><height>{SIDE}</height><depth>3</depth></size>"
    text = f"<annotation>{size}<object><name>it</name><bndbox>{inside}</bndbox></object></annotation>"
    write(root, path, [text])


def cub(root: Path, each: int = 4) -> Path:
    """``root/CUB_200_2011`` and the segmentations beside it, as the two archives unpack."""
    base = root / "CUB_200_2011"
    classes = ["001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross"]
    names = [f"{name}/{name[4:]}_{k:04d}_{k}" for name in classes for k in range(each)]
    for name in names:
        picture(base, f"images/{name}.jpg")
        people = np.where(middle(), 255, 51)  # one of five people marked the surroundings too
        people[0] = 153
        grey(root, f"segmentations/{name}.png", people)
    ids = range(1, len(names) + 1)
    write(base, "images.txt", [f"{k} {name}.jpg" for k, name in zip(ids, names, strict=True)])
    write(base, "classes.txt", [f"{k} {name}" for k, name in enumerate(classes, 1)])
    write(base, "image_class_labels.txt", [f"{k} {(k - 1) // each + 1}" for k in ids])
    write(base, "train_test_split.txt", [f"{k} {int((k - 1) % each > 0)}" for k in ids])
    write(base, "bounding_boxes.txt", [f"{k} 10.0 8.0 20.0 22.0" for k in ids])
    write(base, "parts/part_locs.txt", [f"{k} 1 5.0 5.0 1" for k in ids])
    write(base, "README", ["CUB"])
    return root


def packed_brush(mask: np.ndarray) -> list[int]:
    """Label Studio's run lengths of a mask, written plainly: every pixel's four bytes alike, as runs of up to 256."""
    flat = np.repeat(mask.ravel().astype(int) * 255, 4)
    bits = f"{len(flat):032b}{7:05b}{0:04b}{1:04b}{3:04b}{7:04b}"  # widths 1, 2, 4 and 8
    start = 0
    while start < len(flat):
        length = 1
        while length < 256 and start + length < len(flat) and flat[start + length] == flat[start]:
            length += 1
        bits += f"1{3:02b}{length - 1:08b}{flat[start]:08b}"
        start += length
    bits += "0" * (-len(bits) % 8)
    return [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]


def wild_bees(root: Path, *, lists: bool = False) -> Path:
    """Head, thorax and abdomen are three columns of the square with gaps of one pixel."""
    names = [
        f"{species}/{species}_{observation}_{k}.jpg"
        for species in ("Andrena_fulva", "Bombus_hortorum", "Osmia_cornuta")
        for observation in (279, 531, 777)
        for k in (1, 2)
    ]
    columns = [slice(10, 16), slice(17, 23), slice(24, 30)]
    strokes = []
    for k, name in enumerate(names, 1):
        picture(root, name)
        for part, column in enumerate(columns, 1):
            mask = np.zeros((SIDE, SIDE), bool)
            mask[10:30, column] = True
            strokes.append(f"{k} {part} {' '.join(map(str, packed_brush(mask)))}")
    write(root, "images.txt", [f"{k} {name}" for k, name in enumerate(names, 1)])
    write(root, "parts.txt", ["1 Head", "2 Thorax", "3 Abdomen"])
    write(root, "part_locs.txt", strokes)
    write(root, "widths_heights.txt", [f"{k} {SIDE} {SIDE}" for k in range(1, len(names) + 1)])
    write(root, "bounding_boxes.txt", [f"{k} 10.0 10.0 20.0 20.0" for k in range(1, len(names) + 1)])
    if lists:
        write(root, "2_genera/classes.txt", ["1 with_B", "2 other"])
        labels = [f"{k} {1 if name.startswith('Bombus') else 2}" for k, name in enumerate(names, 1)]
        write(root, "2_genera/image_class_labels.txt", labels)
    return root


def aircraft(root: Path, each: int = 3) -> Path:
    base = root / "fgvc-aircraft-2013b" / "data"
    levels = {
        "variant": ["707-320", "737-200", "F-16A/B"],
        "family": ["Boeing 707", "Boeing 737", "F-16"],
        "manufacturer": ["Boeing", "Lockheed Martin"],
    }
    above = {"variant": [0, 1, 2], "family": [0, 1, 2], "manufacturer": [0, 0, 1]}
    ids = [f"{1000000 + k:07d}" for k in range(9 * each)]
    for key in ids:
        picture(base, f"images/{key}.jpg")
    write(base, "images_box.txt", [f"{key} 11 9 30 30" for key in ids])
    plural = {"variant": "variants", "family": "families", "manufacturer": "manufacturers"}
    for level, names in levels.items():
        write(base, f"{plural[level]}.txt", names)
        lines = {key: f"{key} {names[above[level][k // (3 * each)]]}" for k, key in enumerate(ids)}
        for part, split in enumerate(("train", "val", "test")):
            write(base, f"images_{level}_{split}.txt", [lines[key] for key in ids[part::3]])
        trainval = [lines[key] for k, key in enumerate(ids) if k % 3 < 2]
        write(base, f"images_{level}_trainval.txt", trainval)
    return root


CARS = ["AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012", "smart fortwo Convertible 2012"]


def _annotations(
    names: list[str], field: str, *, labels: bool = True, test: Sequence[int] | None = None
) -> np.ndarray:
    """A struct array as MATLAB saves it."""
    edges = [(f"bbox_{edge}", object) for edge in ("x1", "y1", "x2", "y2")]
    fields = [(field, object), *edges, *([("class", object)] if labels else [])]
    fields += [("test", object)] if test is not None else []
    table = np.zeros(len(names), fields)
    for k, (row, name) in enumerate(zip(table, names, strict=True)):
        row[field] = name
        for edge, value in zip(("x1", "y1", "x2", "y2"), (11, 9, 30, 32), strict=True):
            row[f"bbox_{edge}"] = np.uint16(value)
        if labels:
            row["class"] = np.uint8(k % 3 + 1)
        if test is not None:
            row["test"] = np.uint8(test[k])
    return table


def cars(root: Path, each: int = 4, *, labelled: bool = True) -> Path:
    """The devkit as torchvision wants it, below ``stanford_cars``."""
    base = root / "stanford_cars"
    names = np.array([CARS], dtype=object)
    (base / "devkit").mkdir(parents=True)
    savemat(base / "devkit" / "cars_meta.mat", {"class_names": names})
    for split in ("train", "test"):
        files = [f"{k:05d}.jpg" for k in range(1, 3 * each + 1)]
        for name in files:
            picture(base, f"cars_{split}/{name}")
        place = base / "devkit" / f"cars_{split}_annos.mat"
        savemat(place, {"annotations": _annotations(files, "fname", labels=split == "train")})
        if split == "test" and labelled:
            savemat(base / "cars_test_annos_withlabels.mat", {"annotations": _annotations(files, "fname")})
    return root


def cars_in_one(root: Path, each: int = 4) -> Path:
    names = [f"car_ims/{k:06d}.jpg" for k in range(1, 3 * each + 1)]
    for name in names:
        picture(root, name)
    test = [int(k >= 2 * each) for k in range(len(names))]
    table = _annotations(names, "relative_im_path", test=test)
    savemat(root / "cars_annos.mat", {"annotations": table, "class_names": np.array([CARS], dtype=object)})
    return root


def dogs(root: Path, each: int = 4) -> Path:
    folders = ["n02085620-Chihuahua", "n02085782-Japanese_spaniel", "n02085936-Maltese_dog"]
    lists: dict[str, list[tuple[str, int]]] = {"train": [], "test": []}
    for label, folder in enumerate(folders, 1):
        for k in range(each):
            name = f"{folder}/{folder[:9]}_{k}"
            picture(root, f"Images/{name}.jpg")
            voc(root, f"Annotation/{name}", (11, 9, 30, 32))
            lists["test" if k == each - 1 else "train"].append((f"{name}.jpg", label))
    for split, rows in lists.items():
        files = np.empty((len(rows), 1), dtype=object)
        files[:, 0] = [name for name, _ in rows]
        labels = np.array([[label] for _, label in rows], np.uint8)
        savemat(root / f"{split}_list.mat", {"file_list": files, "labels": labels})
    return root


def pets(root: Path, each: int = 4) -> Path:
    base = root / "oxford-iiit-pet"
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    trimap = np.full((SIDE, SIDE), 2)
    trimap[middle()] = 1
    trimap[9, 10:30] = 3
    for label, (name, species) in enumerate([("Abyssinian", 1), ("american_bulldog", 2), ("Bengal", 1)], 1):
        for k in range(1, each + 1):
            picture(base, f"images/{name}_{k}.jpg")
            grey(base, f"annotations/trimaps/{name}_{k}.png", trimap)
            grey(base, f"annotations/trimaps/._{name}_{k}.png", trimap)  # as the archive holds them
            voc(base, f"annotations/xmls/{name}_{k}.xml", (11, 9, 30, 20))
            lists["test" if k == each else "trainval"].append(f"{name}_{k} {label} {species} {k}")
    for part, lines in lists.items():
        write(base, f"annotations/{part}.txt", lines)
    write(
        base, "annotations/list.txt", ["#Image CLASS-ID SPECIES BREED ID", *lists["trainval"], *lists["test"]]
    )
    return root


BLUE = (0, 0, 254)


def flowers(root: Path, *, masks: bool = True) -> Path:
    """27 pictures of the classes 1, 51 and 102."""
    base = root / "flowers-102"
    labels = np.array([[(1, 51, 102)[k // 9] for k in range(27)]], np.uint8)
    for k in range(1, 28):
        pixels = picture(base, f"jpg/image_{k:05d}.jpg")
        if masks:
            pixels[~middle()] = BLUE
            (base / "segmim").mkdir(exist_ok=True)
            Image.fromarray(pixels).save(base / "segmim" / f"segmim_{k:05d}.jpg", quality=90)
    savemat(base / "imagelabels.mat", {"labels": labels})
    numbers = np.arange(1, 28, dtype=np.uint16)
    parts = {"trnid": numbers[::3], "valid": numbers[1::3], "tstid": numbers[2::3]}
    savemat(base / "setid.mat", {name: values[None] for name, values in parts.items()})
    return root


CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
CIFAR100 = (["apple", "baby", "bear"], ["fruit", "mammals"], [0, 1, 1])
"""Fine names, coarse names, the coarse class of each fine one."""


def _pixels(name: str, count: int) -> np.ndarray:
    return np.random.default_rng([*name.encode()]).integers(0, 256, (count, 3072), dtype=np.uint8)


def cifar10(root: Path, each: int = 10, protocol: int = 2) -> Path:
    """The archive for Python, with names as text as Python 3 writes it."""
    base = root / "cifar-10-batches-py"
    base.mkdir(parents=True)
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        labels = [k % 10 for k in range(each)]
        batch = {
            "batch_label": name,
            "labels": labels,
            "data": _pixels(name, each),
            "filenames": ["x.png"] * each,
        }
        (base / name).write_bytes(pickle.dumps(batch, protocol))
    meta = {"num_cases_per_batch": each, "label_names": CIFAR10, "num_vis": 3072}
    (base / "batches.meta").write_bytes(pickle.dumps(meta, protocol))
    return root


def cifar10_binary(root: Path, each: int = 10) -> Path:
    """The same pictures as ``cifar10``."""
    base = root / "cifar-10-batches-bin"
    base.mkdir(parents=True)
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        labels = np.array([[k % 10] for k in range(each)], np.uint8)
        (base / f"{name}.bin").write_bytes(np.hstack([labels, _pixels(name, each)]).tobytes())
    write(base, "batches.meta.txt", [*CIFAR10, ""])
    return root


def cifar100(root: Path, each: int = 30, protocol: int = 2) -> Path:
    base = root / "cifar-100-python"
    base.mkdir(parents=True)
    fine, coarse, above = CIFAR100
    for name in ("train", "test"):
        labels = [k % 3 for k in range(each)]
        batch = {
            "fine_labels": labels,
            "coarse_labels": [above[k] for k in labels],
            "data": _pixels(name, each),
        }
        (base / name).write_bytes(pickle.dumps(batch, protocol))
    meta = {"fine_label_names": fine, "coarse_label_names": coarse}
    (base / "meta").write_bytes(pickle.dumps(meta, protocol))
    return root


def cifar100_binary(root: Path, each: int = 30) -> Path:
    """The same pictures as ``cifar100``."""
    base = root / "cifar-100-binary"
    base.mkdir(parents=True)
    fine, coarse, above = CIFAR100
    for name in ("train", "test"):
        labels = np.array([[above[k % 3], k % 3] for k in range(each)], np.uint8)
        (base / f"{name}.bin").write_bytes(np.hstack([labels, _pixels(name, each)]).tobytes())
    write(base, "fine_label_names.txt", fine)
    write(base, "coarse_label_names.txt", coarse)
    return root


def imagenette(root: Path, each: int = 4) -> Path:
    base = root / "imagenette2"
    rows = []
    for name in ("n01440764", "n02102040", "n02979186"):
        for split in ("train", "val"):
            for k in range(each):
                path = f"{split}/{name}/{name}_{k}.JPEG"
                picture(base, path)
                rows.append((path, name, name, "n01440764", split == "val"))
    with open(base / "noisy_imagenette.csv", "w", newline="") as stream:
        header = ["path", "noisy_labels_0", "noisy_labels_1", "noisy_labels_50", "is_valid"]
        csv.writer(stream).writerows([header, *rows])
    return root


def asl_alphabet(root: Path, each: int = 4) -> Path:
    for name in ("A", "B", "nothing", "del"):
        for k in range(1, each + 1):
            picture(root, f"asl_alphabet_train/asl_alphabet_train/{name}/{name}{k}.jpg")
    for name in ("A", "B", "nothing"):  # there is none of del
        picture(root, f"asl_alphabet_test/asl_alphabet_test/{name}_test.jpg", seed=1)
    return root


def food101(root: Path, each: int = 4) -> Path:
    base = root / "food-101"
    classes = ["apple_pie", "baby_back_ribs", "baklava"]
    lists: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for name in classes:
        for k in range(each):
            path = f"{name}/{1000 + k}"
            picture(base, f"images/{path}.jpg")
            lists["test" if k == 0 else "train"].setdefault(name, []).append(path)
    for split, listed in lists.items():
        write(base, f"meta/{split}.txt", [path for paths in listed.values() for path in paths])
        write(base, f"meta/{split}.json", [json.dumps(listed)])
    write(base, "meta/classes.txt", classes)
    write(base, "meta/labels.txt", ["Apple pie", "Baby back ribs", "Baklava"])
    return root


def plant_village(root: Path, each: int = 6) -> Path:
    leaves: dict[str, list[str]] = {}
    for name in ("Apple___Apple_scab", "Apple___healthy", "Potato___healthy"):
        for k in range(each):
            stem = f"{name}/0f{k:02d}-a1b2___FREC_{name[-4:]} {k}"
            pixels = picture(root, f"raw/color/{stem}.JPG")
            picture(root, f"raw/grayscale/{stem}.JPG")
            pixels[~middle()] = 0
            (root / "raw" / "segmented" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / "raw" / "segmented" / f"{stem}_final_masked.jpg", quality=95)
            known = leaves.setdefault(f"frec_{name[-4:]} {k}".lower(), ["Other___class:::9.0"])
            known.append(f"{name}:::{k // 2}.0")
    write(root, "leaf-map.json", [json.dumps(leaves)])
    return root
