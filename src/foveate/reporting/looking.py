"""Where the network looks, in the report of a run: energies and their chance levels, pictures with maps over them."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from foveate.core.intervals import of_mean
from foveate.evaluation.evaluators.look import CENTRE, CHANCE, ENERGY, TAP_ENERGY
from foveate.evaluation.evaluators.map_extent import COLUMN
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment.run_folder import RunFolder
from foveate.reporting.answers import explained_manifest
from foveate.reporting.explanation_folder import FOLDER, MANIFEST, Explanations
from foveate.reporting.pictures import gallery_picture, thumbnail
from foveate.reporting.text import percent
from foveate.training.changed_pictures import FOLDER as CHANGED

EXPLAINED = 12
"""Explained pictures in the report; their own sheet shows all."""
_MAPS = {
    ENERGY: ("Class map", "what speaks for the true class (Grad-CAM)"),
    TAP_ENERGY: ("Tap map", "mean activation at the last tap"),
    CENTRE: ("Centred blob", "control: a map that always looks at the middle"),
    CHANCE: ("Uniform map", "chance: the object's share of the picture"),
}


def look(table: PredictionTable, split: str | None) -> dict[str, Any] | None:
    """Means over the pictures on which ALL of the main columns can be measured, so that they compare."""
    present = [name for name in _MAPS if name in table.look]
    if split is None or not present:
        return None
    rows = table.of_split(split)
    measurable = np.all([np.isfinite(rows.look[name]) for name in present], axis=0)
    if not measurable.any():
        return None

    def of(name: str, where: np.ndarray = measurable, spread: bool = False) -> float | None:
        values = rows.look[name][where].astype(np.float64) if name in rows.look else np.empty(0)
        values = values[np.isfinite(values)]
        if len(values) <= spread:
            return None
        return float(values.std(ddof=1) if spread else values.mean())

    right = measurable & rows.correct
    taps = [name for name in rows.look if name.startswith(f"{TAP_ENERGY}_")]
    return {
        "entries": [
            (*_MAPS[name], of(name), of(name, spread=True), name in (CENTRE, CHANCE)) for name in present
        ],
        "taps": [(t.removeprefix(f"{TAP_ENERGY}_"), of(t.removeprefix("tap_")), of(t)) for t in taps],
        "energy": of(ENERGY),
        "chance": of(CHANCE),
        "centre": of(CENTRE),
        "n": int(measurable.sum()),
        "n_split": len(rows),
        "right": of(ENERGY, right),
        "wrong": of(ENERGY, measurable & ~right),
        "n_right": int(right.sum()),
        "n_wrong": int((measurable & ~right).sum()),
    }


def extent(rows: PredictionTable) -> str:
    """How wide class maps are, in words; "" where it was not measured."""
    values = rows.look.get(COLUMN, np.empty(0)).astype(np.float64)
    values = values[np.isfinite(values)]
    interval = of_mean(values)
    if interval is None:
        return ""
    return (
        f"Half of the class map's energy lies in {percent(float(values.mean()))} of the picture, mean over "
        f"{len(values)} pictures (95 % interval {percent(interval[0])} to {percent(interval[1])}); of an even map, in "
        "half of it. Wide is neither right nor wrong."
    )


def gallery(run: RunFolder) -> list[dict[str, Any]]:
    """The pictures that training kept with their maps, wrong answers first."""
    if run.maps is None:
        return []
    table, chance = run.predictions, run.predictions.look.get(CHANCE)
    row_of = {path: i for i, path in enumerate(table.path.tolist())}
    found = []
    for k, index in enumerate(run.maps.index.tolist()):
        path = run.listed[index]["path"] if 0 <= index < len(run.listed) else None
        i = row_of.get(path) if path is not None else None
        image, mask = run.maps.image[k], run.maps.mask[k]
        plain = "picture and mask" if mask.any() else "picture"
        views: list[tuple[str, str, float | None]] = [(plain, gallery_picture(image, mask, None), None)]
        for name, values in run.maps.maps.items():
            energy = None if i is None else _energy(table, i, name)
            views.append((name, gallery_picture(image, mask, values[k]), energy))
        item: dict[str, Any] = dict.fromkeys(("label", "prediction", "confidence", "correct", "chance"))
        if i is not None:
            item["prediction"] = run.class_names[table.prediction[i]]
            item["confidence"] = float(table.confidence[i])
            item["chance"] = None if chance is None else float(chance[i])
            if table.label[i] >= 0:
                item |= {"label": run.class_names[table.label[i]], "correct": bool(table.correct[i])}
        found.append({"path": path or f"catalog row {index}", "views": views, **item})
    return sorted(found, key=lambda item: item["correct"] is not False)


def _energy(table: PredictionTable, row: int, map_name: str) -> float | None:
    """The look column that belongs to a map of the gallery; None when the table has none."""
    columns = [ENERGY]
    if map_name != "class map":
        columns = [f"{TAP_ENERGY}_{map_name.removeprefix('tap ')}", TAP_ENERGY]
        columns *= map_name.startswith("tap ")
    return next((float(table.look[column][row]) for column in columns if column in table.look), None)


def changed(run: RunFolder) -> list[dict[str, Any]]:
    """Sheets of pictures that a feedback showed changed, in the order of the epochs."""
    found = []
    for file in sorted((run.folder / CHANGED).glob("*.png")):
        uri, why = thumbnail(file, side=1400)
        words = re.sub(r"^from epoch 0*(\d+), (feedback \d+)", r"From epoch \1 on, \2:", file.stem)
        found.append({"words": words, "uri": uri, "why": why})
    return found


def explained(run: RunFolder, shown: Collection[str]) -> dict[str, Any] | None:
    """What ``foveate explain`` left in the run's folder of pictures that the gallery does not show; None where there is
    nothing finished.

    Args:
        shown: paths of those that it shows, with their maps.
    """
    folder = run.folder / FOLDER
    if not (folder / MANIFEST).is_file() or not Explanations.open(folder).manifest["finished"]:
        return None
    manifest = explained_manifest(run)
    if manifest is None:
        return {"stale": True}
    own = run.data_root.absolute() if run.data_root else None
    others = [
        picture for picture in manifest["pictures"]
        if own is None or str(Path(manifest["root"], picture["path"])) not in {str(own / path) for path in shown}
    ]  # fmt: skip
    if not others:
        return None
    items = []
    for picture in others[:EXPLAINED]:
        names = [column["name"] for column in manifest["columns"]]
        views = [(name, *thumbnail(folder / picture["overlays"][name])) for name in names]
        answer, label = picture["answers"][0], picture["label"]
        correct = None if label is None else answer["prediction"] == label
        items.append({"path": picture["path"], "views": views, "label": label, "correct": correct, **answer})
    return {
        "stale": False, "n": len(others), "items": items, "sheet": manifest["sheets"][0]
    }  # fmt: skip
