"""A run folder -> one HTML file that can be mailed, opens without a network, and whose numbers can be
checked.

Every number is computed from ``predictions.csv`` and ``background_tests.csv`` (curves: from ``history.csv``);
``result.json`` is only compared.
"""

import datetime
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from foveate.core import manifest
from foveate.core.errors import RunError
from foveate.core.files import write_text
from foveate.evaluation.metrics import summarise
from foveate.experiment.run_folder import RunFolder
from foveate.reporting import backgrounds, looking, matrix, pictures, sections
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
    return render_page("run.html.j2", {"colorbar": Markup(pictures.colorbar()), **context(run)})


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
        "headline": _headline(summary),
        "facts": _facts(run),
        "notices": _notices(run, summary),
        "decisions": _decisions(run),
        "quarantined": _quarantined(run),
        "quarantined_shown": QUARANTINED_SHOWN,
        "curves": sections.curves(run),
        "matrix": matrix.confusion_svg(summary["confusion"], run.class_names) if summary else None,
        "pairs": summary["confused_pairs"][:PAIRS] if summary else [],
        "n_pairs": len(summary["confused_pairs"]) if summary else 0,
        "classes": sections.classes(summary),
        "calibration": sections.calibration(run.predictions, summary),
        "mistakes": sections.mistakes(run, split),
        "look": looking.look(run.predictions, split),
        "gallery": looking.gallery(run),
        "explained": looking.explained(run),
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


def _headline(summary: dict[str, Any] | None) -> Markup | None:
    if summary is None:
        return None
    marks = [
        ("uniform guess", summary["chance_uniform"]),
        ("most frequent class", summary["chance_majority"]),
    ]
    if abs(marks[0][1] - marks[1][1]) < 0.005:
        marks = [("chance", summary["chance_majority"])]
    label = (
        f"Accuracy {percent(summary['accuracy'])}, interval {percent(summary['accuracy_low'])} to "
        f"{percent(summary['accuracy_high'])}, chance levels "
        + ", ".join(f"{name} {percent(share)}" for name, share in marks)
    )
    return matrix.scale_svg(
        summary["accuracy"], summary["accuracy_low"], summary["accuracy_high"], marks, label=label
    )


def _facts(run: RunFolder) -> list[tuple[str, str]]:
    rows = run.listed or [{"split": s} for s in run.predictions.split.tolist()]
    counts = {name: sum(row["split"] == key for row in rows) for key, name in SPLIT_NAMES.items()}
    shown = [f"{thousands(n)} {name}" for name, n in counts.items() if n]
    masks = sum(bool(row.get("mask")) for row in rows)
    weights = _fact(run, "weights", "pretrained_on")
    if run.settings.get("start"):  # the settings name what the pretext run began with, the card all of it
        weights = _fact(run, "pretrained_on")
    epochs = run.history if run.has("history.csv") else []
    seconds = sum(row["seconds"] for row in epochs if row.get("seconds") is not None)
    facts = [
        ("Pictures", " · ".join(shown) or thousands(len(rows))),
        ("Classes", str(len(run.predictions.class_ids))),
        ("Masks", f"{thousands(masks)} of {thousands(len(rows))} pictures" if masks else ""),
        ("Network", str(_fact(run, "backbone", "architecture", "network") or "not recorded")),
        ("Started from", Path(str(weights)).name if weights is not None else ""),
        ("Random seed", str(_fact(run, "seed")) if _fact(run, "seed") is not None else "not recorded"),
        ("Epochs", str(len(epochs) or "") + (f" in {duration(seconds)}" if seconds else "")),
        ("Run", run.folder.resolve().name),
        ("Date", str(_fact(run, "finished", "date", "started") or _date(run.folder))),
    ]
    return [(name, value) for name, value in facts if value]


def _fact(run: RunFolder, *names: str) -> Any:
    """The first scalar under one of these keys, in the settings, then in model.json, environment, result.

    Outer keys win over nested ones, so that ``seed`` means the run's and not some part's.
    """
    for name in names:
        for tree in (run.settings, run.card, run.noted, run.stated):
            queue = deque([tree])
            while queue:
                node = queue.popleft()
                if isinstance(node.get(name), str | int | float):
                    return node[name]
                queue.extend(child for child in node.values() if isinstance(child, dict))
    return None


def _date(folder: Path) -> str:
    stamp = (folder / "predictions.csv").stat().st_mtime
    return datetime.datetime.fromtimestamp(stamp, tz=datetime.UTC).strftime("%Y-%m-%d")


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
    stated = _stated_accuracy(run.stated, summary["split"])
    if stated is not None and abs(stated - summary["accuracy"]) > 1e-6:
        notices.append(
            f"result.json states an accuracy of {percent(stated, 2)}, predictions.csv gives "
            f"{percent(summary['accuracy'], 2)}. One of them was changed or belongs to another evaluation; "
            "this report uses predictions.csv."
        )
    return notices


def _stated_accuracy(result: Mapping[str, Any], split: str) -> float | None:
    for tree in (result, result.get("metrics")):
        part = tree.get(split) if isinstance(tree, Mapping) else None
        if isinstance(part, Mapping) and isinstance(part.get("accuracy"), int | float):
            return float(part["accuracy"])
    return None


def _decisions(run: RunFolder) -> list[dict[str, str]]:
    entries = run.noted.get("decisions") or []
    return [{key: value_text(entry.get(key)) for key in ("name", "value", "reason")} for entry in entries]


def _quarantined(run: RunFolder) -> list[dict[str, str]]:
    """Entries are file names, or mappings with a path and a reason (or problem, or message)."""
    result = []
    for entry in run.noted.get("quarantined") or []:
        if isinstance(entry, Mapping):
            reason = next((entry[k] for k in ("reason", "problem", "message") if entry.get(k)), "")
            result.append({"path": str(entry.get("path", "")), "reason": str(reason)})
        else:
            result.append({"path": str(entry), "reason": ""})
    return result
