"""Stanford Dogs (Khosla et al., 2011)."""

from foveate.core.errors import DataError
from foveate.data.layouts.layout import Folder, Layout, Published, Row, names_by_id


class StanfordDogs(Layout):
    """Folders ``n02085620-Chihuahua``: predictions carry the WordNet id. Masks are the boxes (PASCAL VOC)."""

    name = "Stanford Dogs"
    marks = (("train_list.mat", "test_list.mat", "Images/"),)

    def read(self, folder: Folder, label: str) -> Published:
        listed = []
        for split in ("train", "test"):
            name = f"{split}_list.mat"
            files, ids = folder.mat(name, "file_list", "labels")
            if len(files) != len(ids):
                raise DataError(
                    f"{folder.root / name} has {len(files)} pictures but {len(ids)} labels; fetch it again."
                )
            for number, (file, key) in enumerate(zip(files, ids, strict=True), start=1):
                listed.append((f"{folder.root / name}, entry {number}", str(file), key, split))
        folders, labels = names_by_id((where, key, file.split("/")[0]) for where, file, key, _ in listed)
        rows = []
        for (where, file, _, split), label_index in zip(listed, labels, strict=True):
            box = f"Annotation/{file.removesuffix('.jpg')}"
            mask = f"voc:{box}" if box in folder.others else ""
            rows.append(Row(where, f"Images/{file}", label_index, split, mask))
        names = [name.partition("-")[2] or name for name in folders]
        return Published(names, rows, [name.partition("-")[0] for name in folders])
