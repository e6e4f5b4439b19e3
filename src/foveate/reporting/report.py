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
from foveate.evaluation.summary import summarise
from foveate.experiment.run_folder import RunFolder
from foveate.reporting import looking, sections
from foveate.reporting.matrix import confusion_svg
from foveate.reporting.overlays import colorbar
from foveate.reporting.page import render_page
from foveate.reporting.text import duration, thousands, value_text

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
    write_text(target, render_page("run.html.j2", context(run)))
    return target


def context(run: RunFolder) -> dict[str, Any]:
    """Everything the template shows."""
    table = run.predictions
    split = next((s for s in ("test", "val", "train") if s in table.splits), None)
    summary = summarise(table, split) if split else None
    root, name, noted = run.data_root, run.folder.resolve().name, run.noted
    decisions = noted.get("decisions") or []
    return {
        "title": root.name if root and root.name else name,
        "run": run,
        "run_name": name,
        "names": dict(zip(table.class_ids, run.class_names, strict=True)),
        "split_name": SPLIT_NAMES.get(split or "", split or ""),
        "split_names": SPLIT_NAMES,
        "summary": summary,
        "learnt": table.of_split("train") if "train" in table.splits and split != "train" else None,
        "facts": _facts(run),
        "unchecked": manifest.unchecked(run.folder),
        "leaks": [d["value"] for d in decisions if "LEAK" in str(d.get("value"))],
        "stated": _at(run.stated, "metrics", split or "", "accuracy"),
        "decisions": [{key: value_text(text) for key, text in d.items()} for d in decisions],
        "quarantined": noted.get("quarantined") or [],
        "curves": sections.curves(run),
        "matrix": confusion_svg(summary["confusion"], run.class_names) if summary else None,
        "calibration": sections.calibration(table, summary) if summary else None,
        "mistakes": sections.mistakes(run, split) if split else None,
        "look": looking.look(table, split),
        "gallery": looking.gallery(run),
        "explained": looking.explained(run),
        "changed": looking.changed(run),
        "backgrounds": looking.backgrounds(run),
        "environment": {k: v for k, v in noted.items() if k not in ("decisions", "quarantined", "network")},
        "distribution": sections.distribution(run),
        "colorbar": colorbar(),
    }


def _facts(run: RunFolder) -> list[tuple[str, str]]:
    rows = run.listed or [{"split": s} for s in run.predictions.split.tolist()]
    counts = {name: sum(row["split"] == key for row in rows) for key, name in SPLIT_NAMES.items()}
    shown = [f"{thousands(n)} {name}" for name, n in counts.items() if n]
    masks = sum(bool(row.get("mask")) for row in rows)
    weights = _at(run.card, "pretrained_on")
    if not run.settings.get("start"):
        # else the settings name what the pretext run began with, the card all of it
        weights = _at(run.settings, "model", "weights") or weights
    seed, backbone = _at(run.settings, "seed"), _at(run.settings, "model", "backbone")
    finished = (run.folder / "predictions.csv").stat().st_mtime
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
        ("Date", datetime.datetime.fromtimestamp(finished, tz=datetime.UTC).strftime("%Y-%m-%d")),
    ]
    return [(name, value) for name, value in facts if value]


def _at(tree: Any, *steps: str) -> Any:
    """What stands at a place in nested settings that nobody has checked; None where nothing does."""
    for step in steps:
        tree = tree.get(step) if isinstance(tree, dict) else None
    return tree
