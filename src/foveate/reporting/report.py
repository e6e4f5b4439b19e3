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
from foveate.reporting import looking, sections, unlike
from foveate.reporting.answers import Answers, answers, page_json
from foveate.reporting.dots import dots_svg
from foveate.reporting.feature_maps import feature_maps
from foveate.reporting.fit import fit
from foveate.reporting.matrix import confusion_svg
from foveate.reporting.overlays import colorbar
from foveate.reporting.page import render_page
from foveate.reporting.text import value_text
from foveate.studies.metrics import value_at
from foveate.studies.network_to_use import EXPECTED, EXPECTED_INTERVAL

SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}


def build_report(run_folder: Path, out: Path | None = None, *, assets: bool = False) -> Path:
    """Write the report of one run and return its path (``report.html`` in the run folder unless ``out`` is
    given).

    Args:
        assets: every picture lies in a folder beside the page; otherwise the page holds as many as open well.

    Raises:
        RunError: the folder is no run, or a file in it cannot be read or was changed since the run finished.
        DataError: ``predictions.csv`` or ``background_tests.csv`` is damaged or was changed.
    """
    run = readable_run(Path(run_folder))
    target = Path(out) if out is not None else run.folder / "report.html"
    beside = target.with_name(f"{target.stem}_pictures") if assets else None
    write_text(target, render_page("run.html.j2", context(run, beside)))
    return target


def readable_run(folder: Path) -> RunFolder:
    """The run in ``folder``, whose files are as they were written and which has been measured.

    Raises:
        RunError: as ``build_report``.
    """
    if not folder.is_dir():
        raise RunError(f"{folder} is not a run folder.")
    manifest.check(folder, [name for name in manifest.PARTS if name != manifest.WEIGHTS])
    run = RunFolder(folder)
    if not run.has("predictions.csv"):
        raise RunError(
            f"{folder} has no predictions.csv: the training is unfinished; run the same command again to go on."
        )
    return run


def judged(table: PredictionTable) -> str | None:
    """The split whose figures count; None without any label."""
    return next((s for s in ("test", "val", "train") if s in table.splits), None)


def _expected(decisions: list[dict[str, Any]]) -> dict[str, Any] | None:
    """What a study foretells of a network that was trained on all pictures: ``accuracy``, ``reason``, and where they
    are known ``interval``, ``by``."""
    decided = {d.get("name"): d for d in decisions}
    found, interval = decided.get(EXPECTED) or {}, decided.get(EXPECTED_INTERVAL) or {}
    if not isinstance(found.get("value"), float):
        return None
    return {
        "accuracy": found["value"], "reason": found["reason"],
        "interval": interval.get("value"), "by": interval.get("reason"),
    }  # fmt: skip


def context(run: RunFolder, beside: Path | None) -> dict[str, Any]:
    """Everything the template shows; pictures are written into the folder ``beside`` the page where there is one."""
    table = run.predictions
    split = judged(table)
    summary = summarise(table, split) if split else None
    root, name, noted = run.data_root, run.folder.resolve().name, run.noted
    decisions = noted.get("decisions") or []
    weights = value_at(run.card, "pretrained_on")
    if not run.settings.get("start"):
        # else the settings name what the pretext run began with, the card all of it
        weights = value_at(run.settings, "model", "weights") or weights
    backbone = value_at(run.settings, "model", "backbone") or value_at(run.card, "architecture")
    rows = table.of_split(split) if split else table
    backgrounds = unlike.backgrounds(run)
    shown = answers(
        [Answers(name, run, rows)], assets=beside, split=SPLIT_NAMES.get(split or "", split or ""), drawn=True
    )
    finished = datetime.datetime.fromtimestamp(
        (run.folder / "predictions.csv").stat().st_mtime, tz=datetime.UTC
    )
    return {
        "title": f"{root.name}, {name}" if root and root.name else name,
        "run": run,
        "run_name": name,
        "names": dict(zip(table.class_ids, run.class_names, strict=True)),
        "split_name": SPLIT_NAMES.get(split or "", split or ""),
        "split_names": SPLIT_NAMES,
        "summary": summary,
        "rows": run.listed or [{"split": split} for split in table.split.tolist()],
        "weights": None if weights is None else Path(str(weights)).name,
        "backbone": backbone,
        "date": finished.strftime("%Y-%m-%d"),
        "history": run.history if run.has("history.csv") else [],
        "unchecked": manifest.unchecked(run.folder),
        "leaks": [d["value"] for d in decisions if "LEAK" in str(d.get("value"))],
        "expected": _expected(decisions) if split == "train" else None,
        "stated": value_at(run.stated, "metrics", split or "", "accuracy"),
        "decisions": [{key: value_text(text) for key, text in d.items()} for d in decisions],
        "quarantined": noted.get("quarantined") or [],
        "curves": sections.curves(run),
        "matrix": confusion_svg(summary["confusion"], run.class_names) if summary else None,
        "calibration": sections.calibration(table, summary) if summary else None,
        "fit": fit(run, split) if split else None,
        "dots": dots_svg(rows, run.class_names) if split else None,
        "field": unlike.field(run, backgrounds),
        "answers": page_json(shown),
        "beside": beside is not None,
        "look": looking.look(table, split),
        "extent": looking.extent(rows),
        "gallery": looking.gallery(run),
        "explained": looking.explained(run, rows.path.tolist()),
        "changed": looking.changed(run),
        "feature_maps": feature_maps(run),
        "backgrounds": backgrounds,
        "unlike": unlike.unlike(run, summary) if summary else None,
        "environment": {k: v for k, v in noted.items() if k not in ("decisions", "quarantined", "network")},
        "distribution": sections.distribution(run),
        "colorbar": colorbar(),
    }
