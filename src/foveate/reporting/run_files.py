"""Reading a run folder, which is all that a report may know."""

from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from foveate.core import manifest
from foveate.core.config import parse
from foveate.core.errors import RunError
from foveate.core.reading import parse_yaml, read_csv, read_json, read_text
from foveate.data.catalog import COLUMNS as CATALOG_COLUMNS
from foveate.evaluation.background_files import SHEET, TABLE, BackgroundSheet, BackgroundTable
from foveate.evaluation.gallery import Maps
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment.records import Noted, read_history


@dataclass(frozen=True)
class RunFiles:
    """The files of one run. Only ``predictions.csv`` is required; what is absent is empty."""

    folder: Path
    table: PredictionTable
    experiment: dict[str, Any] = field(default_factory=dict)
    experiment_text: str = ""
    environment: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    catalog: list[dict[str, str]] = field(default_factory=list)
    """Rows of ``catalog.csv``: path, label (class name), class_id, split, group, mask."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Rows of ``history.csv``: epoch int, phase str, everything else float or None."""
    maps: Maps | None = None
    background_table: BackgroundTable | None = None
    background_sheet: BackgroundSheet | None = None

    @classmethod
    def open(cls, folder: Path) -> "RunFiles":
        """Read the folder.

        Raises:
            RunError: the folder or a file in it is missing or unreadable, or was changed since the run finished.
            DataError: ``predictions.csv`` or ``background_tests.csv`` is damaged.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise RunError(f"{folder} is not a run folder.")
        manifest.check(folder, [name for name in manifest.PARTS if name != manifest.WEIGHTS])
        if not (folder / "predictions.csv").is_file():
            raise RunError(
                f"{folder} has no predictions.csv: the training is unfinished; run the same command again to go on."
            )
        settings = folder / "experiment.yaml"
        text = read_text(settings, RunError) if settings.is_file() else ""
        experiment = parse_yaml(text, str(settings), RunError)
        table = PredictionTable.from_csv(folder / "predictions.csv")
        tests, sheet = folder / TABLE, folder / SHEET
        return cls(
            folder=folder,
            table=table,
            experiment=experiment if isinstance(experiment, dict) else {},
            experiment_text=text,
            environment=_noted(folder / "environment.json"),
            model=_json(folder / "model.json"),
            result=_json(folder / "result.json"),
            catalog=_catalog(folder / "catalog.csv"),
            history=read_history(folder / "history.csv") if (folder / "history.csv").is_file() else [],
            maps=Maps.load(folder / "maps.npz") if (folder / "maps.npz").is_file() else None,
            background_table=BackgroundTable.from_csv(tests, table.class_ids) if tests.is_file() else None,
            background_sheet=BackgroundSheet.load(sheet) if sheet.is_file() else None,
        )

    @cached_property
    def class_names(self) -> list[str]:
        """Names for people, one for each class id of the table; the id itself where no name is known."""
        known = {row["class_id"]: row["label"] for row in self.catalog if row["class_id"]}
        ids, names = self.model.get("class_ids"), self.model.get("classes")
        if isinstance(ids, list) and isinstance(names, list) and len(ids) == len(names):
            known = {str(i): str(n) for i, n in zip(ids, names, strict=True)} | known
        return [known.get(class_id, class_id) for class_id in self.table.class_ids]

    @cached_property
    def data_root(self) -> Path | None:
        """Where the pictures were, None when not recorded."""
        root = self.environment.get("data_root")
        return Path(root) if isinstance(root, str) and root else None

    def fact(self, *names: str) -> Any:
        """The first scalar under one of these keys, in the experiment, then in model.json, environment,
        result.

        Outer keys win over nested ones, so that ``seed`` means the run's and not some part's.
        """
        for name in names:
            for source in (self.experiment, self.model, self.environment, self.result):
                found = _find(source, name)
                if found is not None:
                    return found
        return None


def _find(tree: dict[str, Any], name: str) -> Any:
    queue: deque[dict[str, Any]] = deque([tree])
    while queue:
        node = queue.popleft()
        value = node.get(name)
        if isinstance(value, str | int | float):
            return value
        queue.extend(child for child in node.values() if isinstance(child, dict))
    return None


def _json(path: Path) -> dict[str, Any]:
    return read_json(path, dict) if path.is_file() else {}


def _noted(path: Path) -> dict[str, Any]:
    values = _json(path)
    parse(Noted, values, source=str(path), error=RunError)
    return values


def _catalog(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    return [row for _, row in read_csv(path, CATALOG_COLUMNS, RunError).records()]
