"""What a finished run consists of: ``manifest.json``, hashes of its files, written with the result.

Whoever reads a file of a run looks here first, so nothing is predicted or reported with what was damaged or edited
afterwards. ``report.html``, explanations and a tracker's files are no part of it. Runs finished before there were
manifests are read unchecked, and that is said (``unchecked``).
"""

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from foveate.core.errors import RunError
from foveate.core.files import SCHEMA_VERSION, json_text, sha256_of_file, write_json, write_text
from foveate.core.reading import read_json

MANIFEST = "manifest.json"
RESULT = "result.json"
WEIGHTS, CARD = "model.safetensors", "model.json"
SPECIFICATION = ("experiment.yaml", "environment.json", "catalog.csv")
"""What was asked for, of which pictures and classes."""
RECORDS = (
    "decisions.json", "history.csv", "predictions.csv", "maps.npz", "background_tests.csv", "background_tests.npz",
    RESULT,
)  # fmt: skip
"""What happened and was measured; prediction does without."""
PARTS = (*SPECIFICATION, WEIGHTS, CARD, *RECORDS)


def finish(folder: Path, result: dict[str, Any]) -> None:
    """Write ``manifest.json``, then ``result.json``, which says that the run is finished."""
    text = json_text(result)
    hashes = {name: sha256_of_file(folder / name) for name in PARTS[:-1] if (folder / name).is_file()}
    hashes[RESULT] = hashlib.sha256(text.encode()).hexdigest()
    write_json(folder / MANIFEST, {"schema_version": SCHEMA_VERSION, "sha256": hashes})
    write_text(folder / RESULT, text)


def check(folder: Path, names: Collection[str] = PARTS) -> None:
    """Refuse a finished run of which one of these files is not as it was written.

    Raises:
        RunError: a file was changed, added or removed; all that differ are named.
    """
    wrong = differences(folder, names)
    if wrong:
        raise RunError(
            f"The finished run in {folder} is not as it was written: {', '.join(wrong)}. Restore that from a copy, or "
            f"remove the folder and train again. Only if the change is yours and right: remove {MANIFEST}, and the run "
            "is read unchecked."
        )


def check_weights(file: Path, names: Collection[str] = (WEIGHTS, CARD)) -> None:
    """``check`` where a weights file is that of a run folder.

    Raises:
        RunError: as ``check``.
    """
    if file.name == WEIGHTS:
        check(file.parent, names)


def unchecked(folder: Path) -> str | None:
    """A sentence where nothing says whether the files of a finished run are as they were written; else None."""
    if not (folder / RESULT).is_file() or (folder / MANIFEST).is_file():
        return None
    return f"The run in {folder} has no {MANIFEST}, so changes of its files since it finished cannot be seen."


def differences(folder: Path, names: Collection[str] = PARTS) -> list[str]:
    """What became of these files of a finished run since it was written, a few words each.

    Weights may be gone: a study can leave them out; whoever needs them says so.

    Raises:
        RunError: the manifest is damaged.
    """
    known = _read(folder)
    if known is None:
        return []
    found = []
    for name in names:
        file, before = folder / name, known.get(name)
        if not file.is_file():
            if before is not None and name != WEIGHTS:
                found.append(f"{name} is gone")
        elif before is None:
            found.append(f"{name} was added")
        elif sha256_of_file(file) != before:
            found.append(f"{name} was changed")
    return found


def _read(folder: Path) -> dict[str, str] | None:
    """{file: SHA-256}; None for a run without a manifest, or one that is not finished."""
    file = folder / MANIFEST
    if not (folder / RESULT).is_file() or not file.is_file():
        return None
    hashes = read_json(file, dict).get("sha256")
    if not isinstance(hashes, dict):
        raise RunError(
            f"{file} is damaged: it holds no hashes under 'sha256'. Restore it from a copy, or remove it, and the run "
            "is read unchecked."
        )
    return hashes
