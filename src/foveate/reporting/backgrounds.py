"""The section on other backgrounds: accuracies with intervals, what changed, and a sheet of the changed pictures."""

from typing import Any

import numpy as np
from PIL import Image

from foveate.evaluation.background_files import BackgroundTable
from foveate.experiment.run_folder import RunFolder
from foveate.reporting import pictures

_WORDS = {
    "original": ("Unchanged", "these pictures as they are"),
    "swapped": ("Swapped", "the background of a picture of another class, its object painted out"),
    "blurred": ("Blurred", "the own background, object painted out, as 4\u00a0×\u00a04 blended colours"),
    "grey": ("Grey", "one grey everywhere"),
    "noise": ("Noise", "a random colour in every pixel"),
    "removed": ("Object removed", "the object painted out from its surroundings"),
}


def tests(run: RunFolder) -> dict[str, Any] | None:
    """Everything the section shows, computed from ``background_tests.csv``; None where there were no tests."""
    table = run.background_table
    if table is None:
        return None
    summary = table.summary()
    original = table.prediction["original"] == table.label
    entries = []
    for test, predicted in table.prediction.items():
        name, what = _WORDS[test]
        now, found = predicted == table.label, summary[test]
        entries.append(
            {
                "test": test,
                "name": name,
                "what": what,
                "accuracy": found["accuracy"],
                "low": found["accuracy_low"],
                "high": found["accuracy_high"],
                "lost": int((original & ~now).sum()),
                "won": int((~original & now).sum()),
            }
        )
    return {
        "n": len(table),
        "split": table.split,
        "chance": summary["chance_majority"],
        "taught": any(
            term.get("kind") == "counterfactual" for term in run.settings.get("objective", {}).values()
        ),
        "entries": entries,
        "by_test": {entry["test"]: entry for entry in entries},
        "as_background": summary.get("swapped", {}).get("as_background"),
        "sheet": _sheet(run, table),
    }


def _sheet(run: RunFolder, table: BackgroundTable) -> list[dict[str, Any]]:
    sheet = run.background_sheet
    if sheet is None:
        return []
    row_of = {path: i for i, path in enumerate(table.path.tolist())}
    names = run.class_names
    result = []
    for k, path in enumerate(sheet.path.tolist()):
        i = row_of.get(path)
        if i is None:
            continue
        views = []
        for test, images in sheet.pictures.items():
            if test not in table.prediction:
                continue
            predicted = int(table.prediction[test][i])
            views.append(
                {
                    "name": _WORDS[test][0],
                    "uri": _picture(images[k], sheet.mask[k] if test == "original" else None),
                    "correct": predicted == table.label[i],
                    "prediction": names[predicted],
                    "probability": float(table.probability[test][i]),
                }
            )
        lent = int(table.background_label[i])
        result.append(
            {
                "path": path,
                "label": names[int(table.label[i])],
                "background": str(table.background[i]),
                "background_label": names[lent] if lent >= 0 else None,
                "views": views,
            }
        )
    return result


def _picture(image: np.ndarray, mask: np.ndarray | None) -> str:
    """As it is, or with the outline of its mask."""
    if mask is None:
        return pictures.data_uri(Image.fromarray(image), quality=85)
    return pictures.gallery_picture(image, mask, None)
