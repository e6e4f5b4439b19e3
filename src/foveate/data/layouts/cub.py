"""CUB-200-2011 (Wah et al., 2011)."""

from collections.abc import Sequence
from typing import ClassVar

from foveate.core.errors import DataError, shown
from foveate.data.class_folders import ClassTable, class_table
from foveate.data.layouts.layout import Folder, Layout, Published, Row, box_of, label_of
from foveate.data.mask_matching import stem

PARTS = {"0": "test", "1": "train"}

Images = dict[str, tuple[str, str]]
"""{picture id: (list and line, path)}"""


class Cub(Layout):
    """Lists by picture id. Masks are the segmentations (their upper half: what most annotators marked), else boxes."""

    name = "CUB-200-2011"
    marks: ClassVar[Sequence[Sequence[str]]] = (("images.txt", "classes.txt", "image_class_labels.txt"),)

    def read(self, folder: Folder, label: str) -> Published:
        top = "images/" if any(path.startswith("images/") for path in folder.pictures) else ""
        images = {key: (where, top + path) for key, (where, [path]) in folder.table("images.txt", 2).items()}
        table, labels = self.classes(folder, label, images)
        splits = {}
        if "train_test_split.txt" in folder.others:
            for key, (where, [part]) in folder.table("train_test_split.txt", 2, images).items():
                if part not in PARTS:
                    raise DataError(
                        f"{where}: {shown(part)} is neither 1 (train) nor 0 (test); fetch the list again."
                    )
                splits[key] = PARTS[part]
        masks = self.masks(folder, images)
        rows = [
            Row(where, path, labels[key], splits.get(key, ""), masks.get(key, ""), self.group(path))
            for key, (where, path) in images.items()
        ]
        return Published(table.classes, rows, table.class_ids)

    def classes(self, folder: Folder, label: str, images: Images) -> tuple[ClassTable, dict[str, int]]:
        """The classes, and {picture id: label}, of the lists in the folder ``label`` ("" or ending with a slash)."""
        names = {key: name for key, (_, [name]) in folder.table(f"{label}classes.txt", 2).items()}
        if len(set(names.values())) < len(names):
            raise DataError(f"{folder.root / label / 'classes.txt'} gives two classes one name; rename one.")
        table = class_table(list(names.values()))
        index = {key: table.index[name] for key, name in names.items()}
        given = folder.table(f"{label}image_class_labels.txt", 2, images)
        return table, {
            k: label_of(where, number, index, "classes.txt") for k, (where, [number]) in given.items()
        }

    def masks(self, folder: Folder, images: Images) -> dict[str, str]:
        """{picture id: mask reference}"""
        masks = {}
        if "bounding_boxes.txt" in folder.others:
            boxes = folder.table("bounding_boxes.txt", 5, images)
            masks = {key: box_of(where, edges, sized=True) for key, (where, edges) in boxes.items()}
        drawn = folder.by_stem("segmentations/", "../segmentations/")
        found = {key: drawn.get(stem(path).removeprefix("images/")) for key, (_, path) in images.items()}
        return masks | {key: f"soft:{path}" for key, path in found.items() if path}

    def group(self, path: str) -> str:
        """What must stay together with the picture; "" = nothing."""
        return ""
