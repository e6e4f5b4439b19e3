"""Predictions in the forms that others read: the full table, a competition's two columns, other programs' JSON.

What other programs read, and where that is said: docs/train.md.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from foveate.core.files import write_csv, write_json, write_text
from foveate.data.decode import open_image, upright_size
from foveate.evaluation.predictions import PredictionTable

FIELD = "prediction"
"""FiftyOne's name of what the network says."""
CHOICES = "label"
"""Label Studio's name of the control in which a class is chosen."""


def write_table(table: PredictionTable, path: Path, root: Path) -> None:
    """Every column: path, prediction, confidence, probabilities ..."""
    if path.suffix == ".csv":
        table.to_csv(path)
        return
    rows: list[dict[str, Any]] = [
        {
            "path": name,
            "prediction": said,
            "confidence": confidence,
            "probabilities": dict(zip(table.class_ids, table.probabilities[i].tolist(), strict=True)),
            **further,
        }
        for i, (name, said, confidence, further) in enumerate(_rows(table))
    ]
    write_json(path, rows)


def _rows(table: PredictionTable) -> Iterator[tuple[str, str, float, dict[str, Any]]]:
    """(path, class id, confidence, look columns and possible classes) of each picture."""
    ids = np.array(table.class_ids)
    for i, name in enumerate(table.path.tolist()):
        further: dict[str, Any] = {column: float(values[i]) for column, values in table.look.items()}
        if table.possible is not None:
            further["possible"] = ids[table.possible[i]].tolist()
        yield name, table.class_ids[table.prediction[i]], float(table.confidence[i]), further


def write_competition(table: PredictionTable, path: Path, root: Path) -> None:
    """Two columns: the file's name, and the predicted class's own id (4780, not 17).

    Where two files have one name, all are told by their paths.
    """
    paths = [Path(str(path)) for path in table.path]
    unique = len({path.name for path in paths}) == len(set(paths))
    names = [path.name if unique else path.as_posix() for path in paths]
    rows = [(name, table.class_ids[c]) for name, c in zip(names, table.prediction, strict=True)]
    if path.suffix == ".csv":
        write_csv(path, ("file", "class_id"), rows)
    else:
        write_json(path, [{"file": name, "class_id": class_id} for name, class_id in rows])


def write_fiftyone(table: PredictionTable, path: Path, root: Path) -> None:
    """``samples.json`` of a FiftyOne data set: a Classification a picture, the further columns as fields."""
    samples = [
        {
            "filepath": str(root / name),
            "tags": [],
            FIELD: {"_cls": "Classification", "tags": [], "label": said, "confidence": confidence},
            **further,
        }
        for name, said, confidence, further in _rows(table)
    ]
    write_json(path, {"samples": samples})


def write_label_studio(table: PredictionTable, path: Path, root: Path) -> None:
    """Tasks of Label Studio with predictions of a single choice, and the labelling interface that fits, as ``.xml``.

    Pictures are local files below the folder in which ``root`` lies.
    """
    tasks = []
    for name, said, confidence, further in _rows(table):
        choice = {"from_name": CHOICES, "to_name": "image", "type": "choices", "value": {"choices": [said]}}
        data: dict[str, Any] = {
            "image": f"/data/local-files/?d={quote((root / name).relative_to(root.parent).as_posix())}"
        }
        tasks.append(
            {
                "data": data | further,
                "predictions": [{"model_version": "foveate", "score": confidence, "result": [choice]}],
            }
        )
    choices = "".join(f"    <Choice value={quoteattr(name)}/>\n" for name in table.class_ids)
    write_text(
        path.with_suffix(".xml"),
        f'<View>\n  <Image name="image" value="$image"/>\n  <Choices name="{CHOICES}" toName="image" '
        f'choice="single">\n{choices}  </Choices>\n</View>\n',
    )
    write_json(path, tasks)


def write_coco(table: PredictionTable, path: Path, root: Path) -> None:
    """COCO with one annotation a picture that has a category and a score, and no place in the picture."""
    number = {name: place for place, name in enumerate(table.class_ids, start=1)}
    images, annotations = [], []
    for place, (name, said, confidence, further) in enumerate(_rows(table), start=1):
        with open_image(root / name) as picture:
            width, height = upright_size(picture)
        images.append({"id": place, "file_name": name, "width": width, "height": height})
        about = {"image_id": place, "category_id": number[said], "score": confidence}
        annotations.append({"id": place, **about, "attributes": further})
    categories = [{"id": place, "name": name} for name, place in number.items()]
    write_json(path, {"images": images, "categories": categories, "annotations": annotations})


@dataclass(frozen=True)
class Layout:
    """One form."""

    write: Callable[[PredictionTable, Path, Path], None]
    """(table, file, the folder below which its pictures lie)"""
    suffixes: tuple[str, ...] = (".json",)
    judged: bool = True
    """Whether it says where the network is not sure."""


LAYOUTS = {
    "table": Layout(write_table, (".csv", ".json")),
    "competition": Layout(write_competition, (".csv", ".json"), judged=False),
    "fiftyone": Layout(write_fiftyone),
    "labelstudio": Layout(write_label_studio),
    "coco": Layout(write_coco),
}
