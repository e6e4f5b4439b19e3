"""A run folder -> one HTML file that can be mailed, opens without a network, and whose numbers can be
checked.

Every number is computed from ``predictions.csv`` and ``background_tests.csv`` (curves: from ``history.csv``);
``result.json`` is only compared.
"""

import datetime
from pathlib import Path
from typing import Any

from foveate.core import manifest
from foveate.core.errors import RunError
from foveate.core.files import write_text
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.summary import summarise
from foveate.experiment.run_folder import RunFolder
from foveate.reporting import backgrounds, looking, matrix, sections
from foveate.reporting.overlays import colorbar
from foveate.reporting.page import flat, render_page
from foveate.reporting.text import duration, percent, thousands, value_text

PAIRS = 12
QUARANTINED_SHOWN = 200
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}


def build_report(run_folder: Path, out: Path | None = None) -> Path:
    """Write the report of one run and return its path (``report.html`` in the run folder unless ``out`` is
    given).

    Raises:
        RunError: the folder is no run, or a file in it cannot be read or was changed since the run finished.
        DataError: ``predictions.csv`` or ``background_tests.csv`` is damaged or was changed.
    """
    folder = Path(run_folder)
    if not folder.is_dir():
        raise RunError(f"{folder} is not a run folder.")
    manifest.check(folder, [name for name in manifest.PARTS if name != manifest.WEIGHTS])
    run = RunFolder(folder)
    if not run.has("predictions.csv"):
        raise RunError(
            f"{folder} has no predictions.csv: the training is unfinished; run the same command again to go on."
        )
    target = Path(out) if out is not None else folder / "report.html"
    write_text(target, render(run))
    return target


def render(run: RunFolder) -> str:
    """The HTML of ``run``."""
    return render_page("run.html.j2", {"colorbar": colorbar(), **context(run)})


def context(run: RunFolder) -> dict[str, Any]:
    """Everything the template shows."""
    split = next((s for s in ("test", "val", "train") if s in run.predictions.splits), None)
    summary = summarise(run.predictions, split) if split else None
    names = dict(zip(run.predictions.class_ids, run.class_names, strict=True))
    root = run.data_root
    return {
        "title": root.name if root and root.name else run.folder.resolve().name,
        "run_name": run.folder.resolve().name,
        "names": names,
        "split": split,
        "split_name": SPLIT_NAMES.get(split or "", split or ""),
        "summary": summary,
        "learnt": _learnt(run.predictions) if split != "train" else None,
        "facts": _facts(run),
        "notices": _notices(run, summary),
        "decisions": [
            {key: value_text(text) for key, text in d.items()} for d in run.noted.get("decisions") or []
        ],
        "quarantined": run.noted.get("quarantined") or [],
        "quarantined_shown": QUARANTINED_SHOWN,
        "curves": sections.curves(run),
        "matrix": matrix.confusion_svg(summary["confusion"], run.class_names) if summary else None,
        "pairs": summary["confused_pairs"][:PAIRS] if summary else [],
        "n_pairs": len(summary["confused_pairs"]) if summary else 0,
        "calibration": sections.calibration(run.predictions, summary),
        "mistakes": sections.mistakes(run, split),
        "look": looking.look(run.predictions, split),
        "gallery": looking.gallery(run),
        "explained": looking.explained(run),
        "changed": looking.changed(run),
        "gallery_masks": run.maps is not None and bool(run.maps.mask.any()),
        "backgrounds": backgrounds.tests(run),
        "split_names": SPLIT_NAMES,
        "groups": sections.groups(summary),
        "attributes": sections.attributes(summary),
        "experiment_text": run.settings_text,
        "environment": flat(run.noted, skip=("decisions", "quarantined", "network")),
        "network_text": run.noted.get("network"),
        "distribution": sections.distribution(run),
    }


def _learnt(table: PredictionTable) -> dict[str, int] | None:
    """How many training pictures are named correctly, where they were measured."""
    if "train" not in table.splits:
        return None
    rows = table.of_split("train")
    return {"n": len(rows), "correct": int(rows.correct.sum())}


def _facts(run: RunFolder) -> list[tuple[str, str]]:
    rows = run.listed or [{"split": s} for s in run.predictions.split.tolist()]
    counts = {name: sum(row["split"] == key for row in rows) for key, name in SPLIT_NAMES.items()}
    shown = [f"{thousands(n)} {name}" for name, n in counts.items() if n]
    masks = sum(bool(row.get("mask")) for row in rows)
    weights = _at(run.card, "pretrained_on")
    if not run.settings.get(
        "start"
    ):  # else the settings name what the pretext run began with, the card all of it
        weights = _at(run.settings, "model", "weights") or weights
    seed, backbone = _at(run.settings, "seed"), _at(run.settings, "model", "backbone")
    finished = datetime.datetime.fromtimestamp(
        (run.folder / "predictions.csv").stat().st_mtime, tz=datetime.UTC
    )
    epochs = run.history if run.has("history.csv") else []
    seconds = sum(row["seconds"] for row in epochs if row.get("seconds") is not None)
    facts = [
        ("Pictures", " · ".join(shown) or thousands(len(rows))),
        ("Classes", str(len(run.predictions.class_ids))),
        ("Masks", f"{thousands(masks)} of {thousands(len(rows))} pictures" if masks else ""),
        ("Network", str(backbone or _at(run.card, "architecture") or "not recorded")),
        ("Started from", Path(str(weights)).name if weights is not None else ""),
        ("Random seed", "not recorded" if seed is None else str(seed)),
        ("Epochs", str(len(epochs) or "") + (f" in {duration(seconds)}" if seconds else "")),
        ("Run", run.folder.resolve().name),
        ("Date", finished.strftime("%Y-%m-%d")),
    ]
    return [(name, value) for name, value in facts if value]


def _at(tree: Any, *steps: str) -> Any:
    """What stands at a place in nested settings that nobody has checked; None where nothing does."""
    for step in steps:
        tree = tree.get(step) if isinstance(tree, dict) else None
    return tree


def _notices(run: RunFolder, summary: dict[str, Any] | None) -> list[str]:
    """What a reader must know before believing the headline."""
    old = manifest.unchecked(run.folder)
    notices = [old] if old else []
    if summary is None:
        return [
            *notices,
            "No picture here has a label, so nothing can be measured; the answers are in predictions.csv.",
        ]
    if summary["split"] != "test":
        notices.append(
            "This run has no labelled test pictures. All figures are those of the "
            f"{SPLIT_NAMES[summary['split']]} pictures, on which choices were made; expect less on new ones."
        )
    notices += [str(d["value"]) for d in run.noted.get("decisions") or [] if "LEAK" in str(d.get("value"))]
    task = run.settings.get("task")
    if isinstance(task, dict):
        notices.append(
            f"This is a pretext run: its classes are the answers to the task '{task.get('kind')}', not those of the "
            "data set. Mistakes are shown as the pictures are, before the question was made of them."
        )
    width = summary["accuracy_high"] - summary["accuracy_low"]
    if width > 0.1:
        notices.append(
            f"{summary['n']} pictures are few: the interval is {100 * width:.0f} points wide, and smaller "
            "differences between two runs on this set can be chance."
        )
    if summary["accuracy_low"] <= summary["chance_majority"]:
        notices.append("The accuracy is not clearly above that of always answering the most frequent class.")
    stated = _at(run.stated, "metrics", summary["split"], "accuracy")
    if isinstance(stated, int | float) and abs(stated - summary["accuracy"]) > 1e-6:
        notices.append(
            f"result.json states an accuracy of {percent(stated, 2)}, predictions.csv gives "
            f"{percent(summary['accuracy'], 2)}. One of them was changed or belongs to another evaluation; "
            "this report uses predictions.csv."
        )
    return notices
