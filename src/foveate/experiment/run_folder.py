"""RunFolder: the one reader of what training writes. It computes nothing and changes nothing."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from foveate.core import manifest
from foveate.core.config import parse
from foveate.core.errors import RunError
from foveate.core.manifest import WEIGHTS
from foveate.core.reading import parse_yaml, read_csv, read_json, read_text, read_yaml
from foveate.data.catalog import COLUMNS, Catalog
from foveate.evaluation.background_files import SHEET, TABLE, BackgroundSheet, BackgroundTable
from foveate.evaluation.gallery import Maps
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment.records import Environment, Noted, Record, Result, read_history
from foveate.experiment.specification import Experiment
from foveate.models.networks import Network
from foveate.models.store import load_model

T = TypeVar("T")


class RunFolder:
    """One finished or unfinished run.

    Reading a file of a finished run raises RunError where it is not as it was written (``core.manifest``). What is
    typed is whole or refused; ``settings``, ``noted``, ``stated`` and ``listed`` are for reports, which take what there
    is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    @classmethod
    def open(cls, folder: "Self | Path | str") -> Self:
        """Open a run folder; one that is open already is given back.

        Raises:
            RunError: the folder is not a run.
        """
        if isinstance(folder, cls):
            return folder
        opened = cls(Path(str(folder)))
        if not (opened.folder / "experiment.yaml").is_file():
            raise RunError(f"{folder} is not a run folder: it has no experiment.yaml.")
        return opened

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})"

    @property
    def finished(self) -> bool:
        """Whether training and the final evaluation are done."""
        return (self.folder / "result.json").is_file()

    @cached_property
    def experiment(self) -> Experiment:
        """What was run."""
        file = self._file("experiment.yaml")
        return Experiment.from_dict(read_yaml(file, RunError), source=str(file))

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, machine, data root, classes, automatic decisions, quarantined files."""
        return self._json("environment.json", Environment)

    @cached_property
    def result(self) -> dict[str, Any]:
        """Metrics of every split, hashes, seconds."""
        if not self.finished:
            raise RunError(f"{self.folder} is not finished; run the same train command again to go on.")
        return self._json("result.json", Result)

    @cached_property
    def catalog(self) -> Catalog:
        """The pictures of the run, with their splits."""
        e = self.environment
        return Catalog.from_csv(self._file("catalog.csv"), Path(e["data_root"]), e["classes"], e["class_ids"])

    @cached_property
    def predictions(self) -> PredictionTable:
        """One row for every picture that was measured."""
        return PredictionTable.from_csv(self._file("predictions.csv"))

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """Rows of history.csv: epoch and phase_epoch int, phase text, everything else float or None."""
        return read_history(self._file("history.csv"))

    @cached_property
    def model(self) -> Network:
        """The trained network, in eval mode, on the CPU."""
        if not self.finished and not (self.folder / WEIGHTS).exists():
            raise RunError(
                f"The training in {self.folder} is unfinished; run the same train command again to go on."
            )
        return load_model(self.folder).eval()

    @cached_property
    def background_table(self) -> BackgroundTable | None:
        """Every answer of the background tests; None where there were none."""
        return self._read(
            TABLE, lambda file: BackgroundTable.from_csv(file, self.predictions.class_ids), None
        )

    @cached_property
    def background_sheet(self) -> BackgroundSheet | None:
        """A few pictures as the background tests changed them."""
        return self._read(SHEET, BackgroundSheet.load, None)

    @cached_property
    def maps(self) -> Maps | None:
        """A few pictures with their maps."""
        return self._read("maps.npz", Maps.load, None)

    @cached_property
    def settings_text(self) -> str:
        """experiment.yaml as it is written; "" where there is none."""
        return self._read("experiment.yaml", lambda file: read_text(file, RunError), "")

    @cached_property
    def settings(self) -> dict[str, Any]:
        """experiment.yaml as plain values, not validated."""
        values = parse_yaml(self.settings_text, str(self.folder / "experiment.yaml"), RunError)
        return values if isinstance(values, dict) else {}

    @cached_property
    def card(self) -> dict[str, Any]:
        """model.json as plain values."""
        return self._read("model.json", lambda file: read_json(file, dict), {})

    @cached_property
    def noted(self) -> dict[str, Any]:
        """environment.json, of which only what is there is checked."""
        return self._json("environment.json", Noted) if self.has("environment.json") else {}

    @cached_property
    def stated(self) -> dict[str, Any]:
        """result.json as plain values."""
        return self._read("result.json", lambda file: read_json(file, dict), {})

    @cached_property
    def listed(self) -> list[dict[str, str]]:
        """Rows of catalog.csv: path, label (class name), class_id, split, group, mask."""
        return self._read(
            "catalog.csv", lambda file: [row for _, row in read_csv(file, COLUMNS, RunError).records()], []
        )

    @cached_property
    def class_names(self) -> list[str]:
        """Names for people, one for each class id of the predictions; the id itself where no name is known."""
        known = {row["class_id"]: row["label"] for row in self.listed if row["class_id"]}
        ids, names = self.card.get("class_ids"), self.card.get("classes")
        if isinstance(ids, list) and isinstance(names, list) and len(ids) == len(names):
            known = {str(i): str(n) for i, n in zip(ids, names, strict=True)} | known
        return [known.get(class_id, class_id) for class_id in self.predictions.class_ids]

    @property
    def data_root(self) -> Path | None:
        """Where the pictures were, None when not recorded."""
        root = self.noted.get("data_root")
        return Path(root) if isinstance(root, str) and root else None

    @cached_property
    def notes(self) -> list[str]:
        """What to tell before a finished run is used: nothing can be checked, or what changed of its records."""
        old = manifest.unchecked(self.folder)
        changed = manifest.differences(self.folder, manifest.RECORDS)
        return [
            *([old] if old else []),
            *([f"Since the run in {self.folder} finished, {', '.join(changed)}."] if changed else []),
        ]

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return (self.folder / name).is_file()

    def _file(self, name: str) -> Path:
        """A file's path; what it belongs to is as it was written."""
        manifest.check(self.folder, manifest.SPECIFICATION if name in manifest.SPECIFICATION else (name,))
        return self.folder / name

    def _read(self, name: str, read: Callable[[Path], T], absent: T) -> T:
        file = self._file(name)
        return read(file) if file.is_file() else absent

    def _json(self, name: str, shape: type[Record]) -> dict[str, Any]:
        path = self._file(name)
        if not path.is_file():
            raise RunError(f"{self.folder} has no {name}; run the same train command again to go on.")
        content = read_json(path, dict)
        parse(shape, content, source=str(path), error=RunError)
        return content
