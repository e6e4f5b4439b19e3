"""Food-101 (Bossard et al., 2014)."""

from foveate.data.layouts.layout import Folder, Layout, Published, Row, label_of


class Food101(Layout):
    """Lists of ``class/number``. Training pictures hold some wrong labels, as their authors say; those of the test were
    looked through."""

    name = "Food-101"
    marks = (("meta/classes.txt", "meta/train.txt", "meta/test.txt"),)
    torchvision = "Food101"
    page = "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101"
    licence = "the pictures belong to foodspotting.com: scientific fair use only"

    def read(self, folder: Folder, label: str) -> Published:
        classes = [name for _, [name] in folder.lines("meta/classes.txt")]
        index = {name: k for k, name in enumerate(classes)}
        rows = []
        for split in ("train", "test"):
            for where, [path] in folder.lines(f"meta/{split}.txt"):
                label_index = label_of(where, path.partition("/")[0], index, "classes.txt")
                rows.append(Row(where, f"images/{path}.jpg", label_index, split))
        return Published(classes, rows)
