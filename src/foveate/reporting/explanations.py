"""Pictures explained by one run or several, as a folder: overlays, raw maps, contact sheets, a manifest.

DIR/manifest.json                          what was explained and how; the list of everything else
DIR/overlays/[RUN/]METHOD-LAYER/PICTURE.png  at the picture's own resolution
DIR/maps/PICTURE.npz                       raw maps and the record of one picture
DIR/sheet.html, sheet.png                  (sheet-2 ... where there are many pictures)

A picture's ``.npz`` is written last and marks it as done, so a killed command goes on with what is missing.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from foveate.core.config import parse
from foveate.core.errors import ConfigError, DataError, RunError
from foveate.core.files import sha256_of_file, write_bytes, write_json
from foveate.core.lock import alone, entries
from foveate.data.catalog import Catalog
from foveate.data.decode import DecodeError, read_image
from foveate.evaluation.gallery import read_arrays, write_arrays
from foveate.experiment.records import versions_of
from foveate.experiment.run_explainer import (
    Column,
    ExplainConfig,
    Explained,
    Frame,
    RunExplainer,
    in_chunks,
    lay_over,
)
from foveate.reporting.explanation_folder import (
    MANIFEST,
    RECORD,
    SCHEMA,
    Explanations,
    maps_name,
    named,
    read_manifest,
    record_of,
)
from foveate.reporting.overlays import overlay
from foveate.reporting.pictures import scaled
from foveate.reporting.raster import png
from foveate.reporting.sheet import SIDE, Row, Sheet, View, write_sheets
from foveate.training import Observer
from foveate.training.time_needed import FirstPictures

PACKAGES = ("foveate", "torch", "timm", "numpy", "pillow")


@dataclass(frozen=True)
class _View:
    """One column: a run's maps by one method at one layer."""

    run: int
    """Its place among the runs."""
    column: Column
    name: str
    """[run/]method[@layer], as in the manifest."""
    folder: str
    """Of its overlays."""


class _Writer:
    def __init__(
        self, explainers: Sequence[RunExplainer], catalog: Catalog, out: Path, observer: Observer
    ) -> None:
        self.explainers, self.config = explainers, explainers[0].config
        self.names = run_names([e.run.folder for e in explainers]) if len(explainers) > 1 else [""]
        """Of the runs in this folder; "" where there is one."""
        self.catalog, self.out, self.observer = catalog, Path(out), observer
        self.views = []
        for number, (name, explainer) in enumerate(zip(self.names, explainers, strict=True)):
            for column in explainer.columns:
                parts = [name, column.key] if name else [column.key]
                folders = [*parts[:-1], column.key.replace("@", "-")]
                folder = "/".join(["overlays", *(re.sub(r"[^\w.+-]", "_", part) for part in folders)])
                self.views.append(_View(number, column, "/".join(parts), folder))

    def write(self) -> Explanations:
        self.refuse_other()
        for explainer in self.explainers:
            explainer.check(self.catalog)
        before = read_manifest(self.out) or {}
        write_json(self.out / MANIFEST, self._manifest(finished=False))
        for left in self.out.rglob(".*.tmp"):
            left.unlink(missing_ok=True)  # of a killed process
        todo = [row for row in range(len(self.catalog)) if not self._done(row)]
        kept, total = len(self.catalog) - len(todo), len(self.catalog)
        if kept:
            self.observer.message(f"{kept} of {total} pictures are explained already and stay as they are.")
        self.observer.progress("explaining pictures", kept, total)
        broken: dict[int, str] = {}
        first = FirstPictures(len(todo), self.observer)
        for rows in in_chunks(todo, min(explainer.at_once for explainer in self.explainers)):
            for row, found in self._explained(rows, broken):
                self._write_picture(row, found)
                kept += 1
                self.observer.progress("explaining pictures", kept, total)
            first.done(len(rows))
        if len(broken) == total:
            raise DataError(next(iter(broken.values())))
        rest = [row for row in range(total) if row not in broken]
        pictures = [self._record(row) for row in rest]
        sheets = write_sheets(
            self.out, self._sheet(pictures), self._rows(rest, pictures), len(rest), self.observer
        )
        unreadable = [{"path": self.catalog.samples[row].path, "reason": why} for row, why in broken.items()]
        manifest = self._manifest(finished=True)
        manifest |= {"pictures": pictures, "unreadable": unreadable, "sheets": sheets}
        manifest["time_needed"] = first.said or before.get("time_needed")
        write_json(self.out / MANIFEST, manifest)
        return Explanations(self.out, manifest)

    def _explained(
        self, rows: Sequence[int], broken: dict[int, str]
    ) -> Iterator[tuple[int, list[Explained]]]:
        """(row, as each run sees it); a picture that cannot be read goes into ``broken``, {row: why}."""
        try:
            found = [one.explain(self.catalog, rows, self.observer.progress) for one in self.explainers]
        except DecodeError as error:
            if len(rows) == 1:
                broken[rows[0]] = str(error)
                return
            for row in rows:
                yield from self._explained([row], broken)
        else:
            for i, row in enumerate(rows):
                yield row, [of_run[i] for of_run in found]

    def refuse_other(self) -> None:
        """Refuse a folder that holds anything else."""
        if self.out.is_file():
            raise DataError(f"{self.out} is a file; name a folder for the explanations.")
        before = read_manifest(self.out)
        if before is None:
            others = [p for p in entries(self.out) if not re.fullmatch(r"\..*\.tmp", p.name)]
            if others:
                raise DataError(
                    f"{self.out} holds other files ({others[0].name}) and no explanations; name a new folder."
                )
            return
        was = _in_todays_words(before["identity"], self.out)
        for key, value in self._identity.items():
            known = was.get(key)
            if known != value:
                raise DataError(
                    f"{self.out} holds other explanations: {_difference(key, known, value)}; name another folder, or "
                    "repeat the old settings to go on."
                )
        for explainer, known in zip(self.explainers, before["runs"], strict=True):
            now = explainer.paths  # an earlier version may have meant other modules by the same names
            if known["layers"] != now:
                raise DataError(
                    f"{self.out} holds maps of other modules: {known['layers']} there and {now} now; name another "
                    "folder."
                )
        listed = {sample.path for sample in self.catalog.samples}
        for path in (picture["path"] for picture in before["pictures"]):
            if path not in listed and (self.out / maps_name(path)).is_file():
                raise DataError(
                    f"{self.out} holds the explanation of {path}, which is not among the pictures now; name another "
                    "folder, or name that picture too."
                )

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """What all explanations of one folder share."""
        return {
            "runs": [
                {"name": name, "weights_sha256": explainer.weights_hash}
                for name, explainer in zip(self.names, self.explainers, strict=True)
            ],
            "root": str(self.catalog.root),
            **self.config.model_dump(mode="json"),
        }

    def _manifest(self, *, finished: bool) -> dict[str, Any]:
        shown = [
            name or e.run.folder.resolve().name for name, e in zip(self.names, self.explainers, strict=True)
        ]
        runs = [
            {
                "name": name, "folder": str(explainer.run.folder.resolve()), "weights_sha256": explainer.weights_hash,
                "experiment_hash": explainer.run.experiment.hash(), "backbone": explainer.model.card.architecture,
                "size": explainer.size, "fit": explainer.fit, "classes": list(explainer.classes),
                "layers": explainer.paths,
            }
            for name, explainer in zip(shown, self.explainers, strict=True)
        ]  # fmt: skip
        columns = [
            {
                "name": view.name, "run": shown[view.run], "method": view.column.method.kind,
                "layer": view.column.layer or None, "module": self._module(view) or None,
                "signed": view.column.method.signed, "overlays": view.folder,
            }
            for view in self.views
        ]  # fmt: skip
        methods = {
            method.kind: {
                "settings": method.model_dump(mode="json", exclude={"kind"}), "layered": method.layered,
                "chunk": self.config.chunk or method.chunk,
            }
            for method in self.config.methods
        }  # fmt: skip
        return {
            "schema_version": SCHEMA,
            "finished": finished,
            "root": str(self.catalog.root),
            "runs": runs,
            "methods": methods,
            "columns": columns,
            "target": self.config.target,
            "evidence": self.config.evidence,
            "precision": self.config.precision,
            "seed": self.config.seed,
            "device": str(self.explainers[0].device),
            "versions": versions_of(*PACKAGES),
            "identity": self._identity,
            "pictures": [{"path": sample.path} for sample in self.catalog.samples],
            "unreadable": [],
            "sheets": [],
        }

    def _module(self, view: _View) -> str:
        """What the layer of a column means in its network; "" where it has none."""
        return self.explainers[view.run].paths.get(view.column.layer, "")

    def _overlays(self, path: str) -> dict[str, str]:
        """{column: file below the folder}."""
        return {view.name: f"{view.folder}/{named(path, '.png')}" for view in self.views}

    def _done(self, row: int) -> bool:
        """Whether a picture's files are there and belong to the picture as it is now."""
        path = self.catalog.samples[row].path
        file = self.out / maps_name(path)
        if not file.is_file():
            return False
        try:
            record = record_of(read_arrays(file))
        except RunError:
            return False  # damaged: made again
        whole = all((self.out / name).is_file() for name in self._overlays(path).values())
        return whole and record["sha256"] == sha256_of_file(self.catalog.file(row))

    def _write_picture(self, row: int, found: Sequence[Explained]) -> None:
        file, path = self.catalog.file(row), self.catalog.samples[row].path
        picture = read_image(file)
        overlays = self._overlays(path)
        arrays: dict[str, np.ndarray] = {}
        for view in self.views:
            item = found[view.run]
            arrays[view.name] = item.maps[view.column.key]
            values = lay_over(arrays[view.name], view.column, item.frame, self.config.evidence)
            drawn = overlay(picture, values, specks=not view.column.layer)
            write_bytes(self.out / overlays[view.name], png(drawn))
        frame = found[0].frame
        record = {
            "path": path,
            "sha256": sha256_of_file(file),
            "width": frame.width,
            "height": frame.height,
            "label": next((item.label for item in found if item.label is not None), None),
            "answers": [
                {
                    name: getattr(item, name)
                    for name in ("prediction", "probability", "target", "target_probability")
                }
                for item in found
            ],
        }
        arrays[RECORD] = np.array(json.dumps(record, ensure_ascii=False))
        write_arrays(self.out / maps_name(path), arrays)

    def _record(self, row: int) -> dict[str, Any]:
        path = self.catalog.samples[row].path
        record = record_of(read_arrays(self.out / maps_name(path)))
        return record | {"maps": maps_name(path), "overlays": self._overlays(path)}

    def _sheet(self, pictures: Sequence[Mapping[str, Any]]) -> Sheet:
        names = self.names if self.names[0] else [self.explainers[0].run.folder.resolve().name]
        return Sheet(
            title=self.catalog.root.name or str(self.catalog.root),
            runs=tuple(names),
            network=", ".join(dict.fromkeys(one.model.card.architecture for one in self.explainers)),
            views=tuple(
                View(self.names[v.run], v.column.method.kind, v.column.layer, self._module(v))
                for v in self.views
            ),
            target=self.config.target,
            size=len(pictures),
            cropped=any(explainer.fit.startswith("crop") for explainer in self.explainers),
        )

    def _rows(self, rows: Sequence[int], pictures: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
        """One at a time: thumbnails are made when their page is written."""
        for row, record in zip(rows, pictures, strict=True):
            arrays = read_arrays(self.out / record["maps"])
            picture = scaled(read_image(self.catalog.file(row), at_least=2 * SIDE), SIDE)
            cells = []
            for view in self.views:
                explainer = self.explainers[view.run]
                frame = Frame(record["width"], record["height"], explainer.fit, explainer.size)
                raw = arrays[view.name]
                values = lay_over(raw, view.column, frame, self.config.evidence, picture.size)
                cells.append(overlay(picture, values, specks=not view.column.layer))
            yield Row(record["path"], record["label"], picture, tuple(cells), record["answers"])


def write_explanations(
    explainers: Sequence[RunExplainer], catalog: Catalog, out: Path, observer: Observer | None = None
) -> Explanations:
    """Explain every picture of ``catalog`` by every run, into the folder ``out``.

    Killed and started again with the same settings it goes on with the pictures that are missing; pictures may be
    added. Those that cannot be read are left out and listed in the manifest under ``unreadable``.

    Raises:
        DataError: ``out`` holds something else, no picture can be read, the true class of one is not known.
        BusyError: another process is at work in ``out``.
    """
    writer = _Writer(explainers, catalog, out, observer or Observer())
    writer.refuse_other()  # before a lock is left there
    with alone(out):
        return writer.write()


def run_names(folders: Sequence[Path]) -> list[str]:
    """Short names that differ: the folder's, with folders above it where needed.

    Raises:
        ConfigError: the same run twice.
    """
    places = [Path(os.path.abspath(folder)) for folder in folders]
    twice = next((place for i, place in enumerate(places) if place in places[:i]), None)
    if twice is not None:
        raise ConfigError(f"{twice} is named twice; compare it with another run.")
    depth = 1
    while len({place.parts[-depth:] for place in places}) < len(places):
        depth += 1
    return ["_".join(place.parts[-depth:]) for place in places]


def _in_todays_words(identity: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A folder's identity; in those of earlier versions the methods stand apart from their settings."""
    words = {key: identity[key] for key in (*ExplainConfig.model_fields, "settings") if key in identity}
    try:
        return {**identity, **parse(ExplainConfig, words, source=MANIFEST).model_dump(mode="json")}
    except ConfigError as error:
        raise DataError(f"{folder} holds explanations that this Foveate cannot go on with: {error}") from None


def _difference(key: str, before: Any, now: Any) -> str:
    if key == "runs":
        return "they are of other runs, or the runs were trained further"
    if key == "methods" and [m["kind"] for m in before] != [m["kind"] for m in now]:
        before, now = ([method["kind"] for method in methods] for methods in (before, now))
    return f"{key} is {before!r} there and {now!r} now"
