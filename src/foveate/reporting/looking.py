"""The section on where the network looks: energies beside their chance levels, the gallery, explained pictures."""

import re
from typing import Any

import numpy as np

from foveate.core.files import sha256_of_file
from foveate.core.manifest import WEIGHTS
from foveate.evaluation.evaluators.look import CENTRE, CHANCE, ENERGY, TAP_ENERGY
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment.run_folder import RunFolder
from foveate.reporting import pictures
from foveate.reporting.explanation_folder import FOLDER, MANIFEST, Explanations
from foveate.training.changed_pictures import FOLDER as CHANGED

EXPLAINED = 12
"""Explained pictures in the report; their own sheet shows all."""

_LOOK_WORDS = {
    ENERGY: ("Class map", "what speaks for the true class (Grad-CAM)"),
    TAP_ENERGY: ("Tap map", "mean activation at the last tap"),
    CENTRE: ("Centred blob", "control: a map that always looks at the middle"),
    CHANCE: ("Uniform map", "chance: the object's share of the picture"),
}


def look(table: PredictionTable, split: str | None) -> dict[str, Any] | None:
    """Means over the pictures on which ALL of the main columns can be measured, so that they compare."""
    present = [name for name in _LOOK_WORDS if name in table.look]
    if split is None or not present:
        return None
    rows = table.of_split(split)
    measurable = np.all([np.isfinite(rows.look[name]) for name in present], axis=0)
    if not measurable.any():
        return None
    means = {name: float(np.mean(rows.look[name][measurable], dtype=np.float64)) for name in present}
    several = measurable.sum() > 1
    entries = [
        {
            "name": _LOOK_WORDS[name][0],
            "what": _LOOK_WORDS[name][1],
            "mean": means[name],
            "std": float(np.std(rows.look[name][measurable], ddof=1, dtype=np.float64)) if several else None,
            "control": name in (CENTRE, CHANCE),
        }
        for name in present
    ]
    taps = [
        {
            "tap": name.removeprefix(TAP_ENERGY + "_"),
            "of_tap": _mean_of(rows, name, measurable),
            "of_class": _mean_of(rows, name.removeprefix("tap_"), measurable),
        }
        for name in rows.look
        if name.startswith(TAP_ENERGY + "_")
    ]
    right, wrong = measurable & rows.correct, measurable & ~rows.correct
    return {
        "entries": entries,
        "taps": taps,
        "means": means,
        "energy": means.get(ENERGY),
        "chance": means.get(CHANCE),
        "centre": means.get(CENTRE),
        "n": int(measurable.sum()),
        "n_split": len(rows),
        "right": _mean_of(rows, ENERGY, right),
        "wrong": _mean_of(rows, ENERGY, wrong),
        "n_right": int(right.sum()),
        "n_wrong": int(wrong.sum()),
    }


def _mean_of(rows: PredictionTable, name: str, where: np.ndarray) -> float | None:
    if name not in rows.look or not where.any():
        return None
    values = rows.look[name][where].astype(np.float64)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None


def gallery(run: RunFolder) -> list[dict[str, Any]]:
    if run.maps is None:
        return []
    row_of = {path: i for i, path in enumerate(run.predictions.path.tolist())}
    result = []
    for k, index in enumerate(run.maps.index.tolist()):
        path = run.listed[index]["path"] if 0 <= index < len(run.listed) else None
        i = row_of.get(path) if path is not None else None
        image, mask = run.maps.image[k], run.maps.mask[k]
        plain = "picture and mask" if mask.any() else "picture"
        views: list[dict[str, Any]] = [
            {"name": plain, "uri": pictures.gallery_picture(image, mask, None), "energy": None}
        ]
        for name, values in run.maps.maps.items():
            energy = _energy_of(run.predictions, i, name) if i is not None else None
            views.append(
                {"name": name, "uri": pictures.gallery_picture(image, mask, values[k]), "energy": energy}
            )
        chance = run.predictions.look.get(CHANCE)
        known = i is not None and run.predictions.label[i] >= 0
        result.append(
            {
                "path": path or f"catalog row {index}",
                "views": views,
                "label": run.class_names[run.predictions.label[i]] if known else None,
                "prediction": run.class_names[run.predictions.prediction[i]] if i is not None else None,
                "confidence": float(run.predictions.confidence[i]) if i is not None else None,
                "correct": bool(run.predictions.correct[i]) if known else None,
                "chance": float(chance[i]) if chance is not None and i is not None else None,
            }
        )
    return sorted(result, key=lambda item: item["correct"] is not False)


def _energy_of(table: PredictionTable, row: int, map_name: str) -> float | None:
    """The look column that belongs to a map of the gallery; None when the table has none."""
    if map_name == "class map":
        column = ENERGY
    elif not map_name.startswith("tap "):
        return None
    else:
        named = f"{TAP_ENERGY}_{map_name.removeprefix('tap ')}"
        column = named if named in table.look else TAP_ENERGY
    values = table.look.get(column)
    return None if values is None else float(values[row])


def changed(run: RunFolder) -> list[dict[str, Any]]:
    """Sheets of pictures that a feedback showed changed, in the order of the epochs."""
    found = []
    for file in sorted((run.folder / CHANGED).glob("*.png")):
        uri, why = pictures.thumbnail(file, side=1400)
        words = re.sub(r"^from epoch 0*(\d+), (feedback \d+)", r"From epoch \1 on, \2:", file.stem)
        found.append({"words": words, "uri": uri, "why": why})
    return found


def explained(run: RunFolder) -> dict[str, Any] | None:
    """What ``foveate explain`` left in the run's folder; None where there is nothing finished."""
    folder = run.folder / FOLDER
    if not (folder / MANIFEST).is_file():
        return None
    manifest = Explanations.open(folder).manifest
    if not manifest["finished"]:
        return None
    weights = run.folder / WEIGHTS
    if not weights.is_file() or manifest["runs"][0]["weights_sha256"] != sha256_of_file(weights):
        return {"stale": True, "n": len(manifest["pictures"]), "items": []}
    items = []
    for picture in manifest["pictures"][:EXPLAINED]:
        views = []
        for column in manifest["columns"]:
            uri, why = pictures.thumbnail(folder / picture["overlays"][column["name"]])
            views.append({"name": column["name"], "uri": uri, "why": why})
        answer, label = picture["answers"][0], picture["label"]
        items.append(
            {
                "path": picture["path"],
                "views": views,
                "label": label,
                "correct": None if label is None else answer["prediction"] == label,
                **answer,
            }
        )
    return {"stale": False, "n": len(manifest["pictures"]), "items": items, "sheet": manifest["sheets"][0]}
