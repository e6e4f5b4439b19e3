"""Cells that other studies on this machine have computed already: found by what decides their result."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from foveate.core.manifest import WEIGHTS, differences
from foveate.core.memo import read_memo, write_memo
from foveate.data.audit.auditor import state_of_files
from foveate.data.cache_config import CacheConfig, cache_folder
from foveate.data.discover import discover
from foveate.data.layout_settings import LayoutConfig
from foveate.data.training_masks import ProposedMasks
from foveate.experiment.records import version_of
from foveate.studies.specification import Cell


class CellStore:
    """An index in the cache folder: {what decides a cell's bits: its folder}. A cell that is found is copied.

    What decides: the experiment, the picture, weights and split files and proposed masks (paths, sizes, times), the
    versions of foveate and torch, the number of threads, and the shared automatic choices.
    """

    def __init__(self, data: Path, threads: int) -> None:
        import torch

        self.data, self._folder = data, cache_folder(CacheConfig()) / "cells"
        self._machine = f"{version_of('foveate')} {torch.__version__} {threads}"
        self._states: dict[LayoutConfig, str] = {}

    def _entry(self, cell: Cell, decisions: list[dict[str, Any]]) -> Path:
        layout = cell.experiment.data.layout
        if layout not in self._states:
            self._states[layout] = state_of_files(discover(self.data, layout))
        choices = json.dumps([(d["name"], d["value"]) for d in decisions], sort_keys=True)
        text = (
            f"{cell.experiment.hash()} {self._states[layout]} {self._machine} {choices} {self._named(cell)}"
        )
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.json"

    def _named(self, cell: Cell) -> str:
        """The files that the experiment names, which lie elsewhere than the pictures."""
        data, use = cell.experiment.data, cell.experiment.data.masks.use
        named = [Path(cell.experiment.model.weights), *([data.split.file] if data.split.file else [])]
        if isinstance(use, ProposedMasks):
            root = self.data if self.data.is_dir() else self.data.parent
            folder = root / use.proposed if (root / use.proposed).exists() else use.proposed
            named += sorted(folder.rglob("*"))
        states = [(file.resolve(), file.stat()) for file in named if file.is_file()]
        return " ".join(f"{file} {status.st_size} {status.st_mtime_ns}" for file, status in states)

    def fetch(self, cell: Cell, folder: Path, decisions: list[dict[str, Any]], keep_weights: bool) -> bool:
        """Copy the cell into ``folder`` if another study has it; whether it did."""
        entry = self._entry(cell, decisions)
        known = None if (folder / "result.json").is_file() else read_memo(entry)
        if known is None:
            return False
        source = Path(known["folder"])
        usable = source != folder.resolve() and (source / "result.json").is_file()
        # Where its files changed it is computed again; reading that other study says what changed.
        if not usable or differences(source) or (keep_weights and not (source / WEIGHTS).is_file()):
            return False
        temporary = folder.with_name(f".{folder.name}.copy")
        shutil.rmtree(temporary, ignore_errors=True)
        skip = shutil.ignore_patterns("checkpoint", *([] if keep_weights else [WEIGHTS]))
        shutil.copytree(source, temporary, ignore=skip)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
        return True

    def remember(self, cell: Cell, folder: Path, decisions: list[dict[str, Any]]) -> None:
        """Say that the cell is here."""
        write_memo(self._entry(cell, decisions), {"folder": str(folder.resolve()), "cell": str(cell)})
