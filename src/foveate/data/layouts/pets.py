"""Oxford-IIIT Pet (Parkhi et al., 2012)."""

from foveate.data.layouts.layout import Folder, Layout, Published, Row, names_by_id


class Pets(Layout):
    """Masks are the trimaps (object and border, not background); a picture without one has the box of its head."""

    name = "Oxford-IIIT Pet"
    marks = (("annotations/trainval.txt", "annotations/test.txt"),)
    torchvision = "OxfordIIITPet"
    page = "https://www.robots.ox.ac.uk/~vgg/data/pets"
    licence = "CC BY-SA 4.0"

    def read(self, folder: Folder, label: str) -> Published:
        listed = [
            (where, picture, number, split)
            for split, name in (("train", "trainval"), ("test", "test"))
            for where, [picture, number, *_] in folder.lines(f"annotations/{name}.txt", 4)
        ]
        classes, labels = names_by_id(
            (where, number, name.rpartition("_")[0]) for where, name, number, _ in listed
        )
        trimaps = folder.by_stem("annotations/trimaps/")
        rows, notes = [], []
        for (where, picture, _, split), number in zip(listed, labels, strict=True):
            box = f"annotations/xmls/{picture}.xml"
            mask = (
                f"trimap:{trimaps[picture]}"
                if picture in trimaps
                else f"voc:{box}"
                if box in folder.others
                else ""
            )
            rows.append(Row(where, f"images/{picture}.jpg", number, split, mask))
        if trimaps:
            notes.append("Trimaps: 1 (animal) and 3 (border) are object, 2 is background.")
        return Published(classes, rows, notes=notes)
