"""FGVC-Aircraft (Maji et al., 2013)."""

from foveate.data.layouts.layout import Folder, Layout, Published, Row, box_of, label_of


class Aircraft(Layout):
    """Classes are the variants; ``--label column:family`` or ``manufacturer`` takes a coarser level."""

    name = "FGVC-Aircraft"
    marks = (("variants.txt", "images_variant_test.txt"),)
    labels = ("variant", "family", "manufacturer")
    torchvision = "FGVCAircraft"
    page = "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft"
    licence = "non-commercial research"

    def read(self, folder: Folder, label: str) -> Published:
        level = label or "variant"
        names = "families.txt" if level == "family" else f"{level}s.txt"
        classes = [name for _, [name] in folder.lines(names)]
        index = {name: k for k, name in enumerate(classes)}
        boxes = folder.table("images_box.txt", 5) if "images_box.txt" in folder.others else {}
        rows = []
        for split in ("train", "val", "test"):
            for where, [picture, name] in folder.lines(f"images_{level}_{split}.txt", 2):
                number = label_of(where, name, index, names)
                box = box_of(*boxes[picture], first=1) if picture in boxes else ""
                rows.append(Row(where, f"images/{picture}.jpg", number, split, box))
        return Published(classes, rows)
