"""Where the network looks, in the report of a run: energies and their chance levels, pictures with maps over them."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from foveate.core.intervals import of_mean
from foveate.evaluation.evaluators.look import CENTRE, CHANCE, ENERGY, TAP_ENERGY
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment.mask_proposals import made_by
from foveate.experiment.run_folder import RunFolder
from foveate.reporting.answers import explained_manifest
from foveate.reporting.explanation_folder import FOLDER, MANIFEST, Explanations
from foveate.reporting.pictures import data_uri, gallery_picture, thumbnail
from foveate.reporting.text import percent
from foveate.training.changed_pictures import FOLDER as CHANGED

PROPOSED = 100
"""Masks of which it is read who made them, at most."""
EXPLAINED = 12
"""Explained pictures in the report; their own sheet shows all."""
_MAPS = {
    ENERGY: ("Class map", "what speaks for the true class (Grad-CAM)"),
    TAP_ENERGY: ("Tap map", "mean activation at the last tap"),
    CENTRE: ("Centred blob", "control: a map that always looks at the middle"),
    CHANCE: ("Uniform map", "chance: the object's share of the picture"),
}
_BACKGROUNDS = {
    "original": ("Unchanged", "these pictures as they are"),
    "swapped": ("Swapped", "the background of a picture of another class, its object painted out"),
    "blurred": ("Blurred", "the own background, object painted out, as 4\u00a0×\u00a04 blended colours"),
    "grey": ("Grey", "one grey everywhere"),
    "noise": ("Noise", "a random colour in every pixel"),
    "removed": ("Object removed", "the object painted out from its surroundings"),
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


def backgrounds(run: RunFolder) -> dict[str, Any] | None:
    """Answers with other backgrounds, from ``background_tests.csv``, and some of these pictures; None without tests."""
    table = run.background_table
    if table is None:
        return None
    summary = table.summary()
    original = table.prediction["original"] == table.label
    entries = {}
    for test, predicted in table.prediction.items():
        now = predicted == table.label
        counts = {"lost": int((original & ~now).sum()), "won": int((~original & now).sum())}
        entries[test] = {
            "name": _BACKGROUNDS[test][0],
            "what": _BACKGROUNDS[test][1],
            **summary[test],
            **counts,
        }
    row_of = {path: i for i, path in enumerate(table.path.tolist())}
    sheet, items = run.background_sheet, []
    for k, path in enumerate(sheet.path.tolist() if sheet else ()):
        i = row_of.get(path)
        if sheet is None or i is None:
            continue
        views = []
        for test in (name for name in sheet.pictures if name in table.prediction):
            image, answer = sheet.pictures[test][k], int(table.prediction[test][i])
            outlined = gallery_picture(image, sheet.mask[k], None) if test == "original" else ""
            uri = outlined or data_uri(Image.fromarray(image), quality=85)
            correct = answer == table.label[i]
            views.append(
                (
                    _BACKGROUNDS[test][0],
                    uri,
                    correct,
                    run.class_names[answer],
                    float(table.probability[test][i]),
                )
            )
        lent = int(table.background_label[i])
        label, other = run.class_names[int(table.label[i])], run.class_names[lent] if lent >= 0 else None
        items.append({"path": path, "label": label, "background_label": other, "views": views})
    return {
        "n": len(table), "split": table.split, "chance": summary["chance_majority"], "tests": entries,
        "as_background": summary.get("swapped", {}).get("as_background"), "sheet": items,
    }  # fmt: skip


def field(run: RunFolder, found: dict[str, Any] | None) -> str:
    """What to expect where pictures are taken elsewhere, in words, from what ``backgrounds`` found; "" without it."""
    table = run.background_table
    if not found or table is None or "swapped" not in found["tests"]:
        return ""
    tests, chance = found["tests"], found["chance"]
    original, swapped = tests["original"]["accuracy"], tests["swapped"]["accuracy"]
    right = {test: (table.prediction[test] == table.label).astype(np.float64) for test in tests}
    change = of_mean(right["swapped"] - right["original"], span=(-1.0, 1.0))
    words = (
        f"As photographed {percent(original)} are named correctly, with the background of another class "
        f"{percent(swapped)}"
    )
    if "removed" in tests:
        words += (
            f", with the object removed {percent(tests['removed']['accuracy'])} (chance {percent(chance)})"
        )
    kinds = [
        term.get("kind") for term in (run.settings.get("objective") or {}).values() if isinstance(term, dict)
    ]
    lost = change is not None and change[1] < 0
    if "removed" in tests and tests["removed"]["accuracy_low"] > chance and "counterfactual" not in kinds:
        words += ". Surroundings give the class away: expect less where they differ from these pictures'."
    elif lost:
        words += ". It leans on the background: expect less where that differs from these pictures'."
    else:
        words += ". No clear sign that it leans on the background."
    proposed = proposed_masks(run, table.path.tolist())
    return words + (f" {proposed}" if proposed else "")


def proposed_masks(run: RunFolder, paths: Sequence[str]) -> str:
    """A sentence where masks of these pictures were proposed by a program and not drawn; else ""."""
    wanted = set(paths)
    masks = [row["mask"] for row in run.listed if row["path"] in wanted and row["mask"].startswith("png")]
    files = [run.data_root / mask.partition(":")[2] for mask in masks] if run.data_root else []
    looked = [file for file in files[:PROPOSED] if file.is_file()]
    count = sum(made_by(file) is not None for file in looked)
    if not count:
        return ""
    return (
        f"{'All' if count == len(looked) else f'{count} of {len(looked)}'} of the masks looked at were proposed by a "
        "program, not drawn: where they miss the object, these figures mean less."
    )
