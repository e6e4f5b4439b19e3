"""Every picture of a split with its answers, look scores, thumbnail and stored maps: what the page's script shows.

A page holds as many pictures as a browser opens well, explained and wrong ones first; all of them lie in a folder
beside it where that is asked for.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from foveate.core.files import sha256_of_file, write_bytes
from foveate.core.manifest import WEIGHTS
from foveate.core.rng import numpy_generator
from foveate.evaluation.evaluators.look import CENTRE, CHANCE
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment.run_folder import RunFolder
from foveate.reporting.explanation_folder import FOLDER, MANIFEST, Explanations
from foveate.reporting.pictures import gallery_picture, thumbnail

BUDGET = 9_000_000
"""Characters of pictures in a page."""
SIDES = (240, 160)
"""Longest side of a thumbnail in pixels: of few pictures, of many."""
FEW = 400
FILE_SIDE = 320
"""Of a thumbnail in the folder beside the page."""
FIRST = 5
"""Most probable classes that are listed for a picture."""
WHOLE = 10_000
"""Shares are written as whole numbers of these parts."""
PLAIN = "picture"
"""Among the maps: what those that training kept lie over."""
PART = 64
"""Pictures that are read at a time."""
_HEAD = "data:image/jpeg;base64,"


@dataclass(frozen=True)
class Answers:
    """One run's answers to the pictures; all runs of a page have the same, in one order."""

    name: str
    run: RunFolder
    rows: PredictionTable


class _Pictures:
    """Where thumbnails go: into the page while there is room, or into a folder beside it."""

    def __init__(self, assets: Path | None, count: int) -> None:
        self.assets, self.left = assets, BUDGET
        self.side = FILE_SIDE if assets else SIDES[count > FEW]
        self.written: set[str] = set()

    def put(self, name: str, uri: str) -> str | None:
        """What stands in the page for a picture; None where it is full."""
        if self.assets is None:
            self.left -= len(uri)
            return uri.removeprefix(_HEAD) if self.left > 0 else None
        path = self.assets / name
        write_bytes(path, base64.b64decode(uri.removeprefix(_HEAD)))
        self.written.add(name)
        return name

    def tidy(self) -> None:
        """Remove what an earlier report left in the folder."""
        for old in self.assets.glob("*/*.jpg") if self.assets else ():
            name = old.relative_to(self.assets).as_posix()  # type: ignore[arg-type]
            if name not in self.written and re.fullmatch(r"\d{3}/\d{6}(-\d+)*\.jpg", name):
                old.unlink()


def answers(
    shown: Sequence[Answers], *, assets: Path | None = None, split: str = "", drawn: bool = False
) -> dict[str, Any]:
    """What ``page_json`` writes for the script.

    Args:
        assets: write the pictures into this folder, which lies beside the page.
        split: in words.
        drawn: the maps that training kept stand elsewhere in the page.
    """
    first = shown[0]
    rows, names = first.rows, first.run.class_names
    pictures = _Pictures(assets, len(rows))
    pictures.left //= 2  # the other half is for the pictures themselves
    stored = [_stored(one, pictures, number, drawn) for number, one in enumerate(shown)]
    pictures.left = max(pictures.left, 0) + BUDGET // 2
    thumbs, why = _thumbnails(first, pictures, chain.from_iterable(m.values() for m in stored))
    pictures.tidy()
    known = {"group": rows.group, **rows.attributes}
    return {
        "split": split, "names": names, "whole": WHOLE, "folder": f"{assets.name}/" if assets else "",
        "path": rows.path.tolist(), "label": rows.label.tolist(), "pictures": thumbs, "why": why,
        "known": {name: _indexed(values) for name, values in known.items() if (values != "").any()},
        "runs": [_of_run(one, maps) for one, maps in zip(shown, stored, strict=True)],
    }  # fmt: skip


def first_rows(tables: Sequence[PredictionTable]) -> list[int]:
    """All rows of tables of the same pictures: those that one answers wrongly, the worst first, then any."""
    order: list[int] = []
    for rows in tables:
        worst = np.argsort(-np.nan_to_num(rows.loss), kind="stable")
        order += worst[~rows.correct[worst]].tolist()
    mixed = numpy_generator("gallery", len(tables[0])).permutation(len(tables[0]))
    return list(dict.fromkeys([*order, *mixed.tolist()]))


def page_json(value: Any) -> Markup:
    """JSON that stands in a script element; no text in it can end that."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _of_run(one: Answers, maps: Mapping[str, Any]) -> dict[str, Any]:
    rows = one.rows
    order = np.argsort(-rows.probabilities, axis=1, kind="stable")[:, :FIRST]
    shares = np.take_along_axis(rows.probabilities, order, axis=1)
    of_label = rows.probabilities[np.arange(len(rows)), rows.label]
    look = {n: v for n, v in rows.look.items() if n not in (CENTRE, CHANCE) and np.isfinite(v).any()}
    return {
        "name": one.name, "prediction": rows.prediction.tolist(), "k": order.shape[1],
        "classes": order.ravel().tolist(), "shares": _parts(shares.ravel()), "of_label": _parts(of_label),
        "loss": [None if v != v else round(v, 3) for v in rows.loss.tolist()],
        "look": {name: _parts(values) for name, values in look.items()}, "maps": maps,
        "kept": list(one.run.maps.maps) if one.run.maps else [],
    }  # fmt: skip


def _parts(values: np.ndarray) -> list[int | None]:
    return [None if v != v else round(v * WHOLE) for v in values.tolist()]


def _indexed(values: np.ndarray) -> dict[str, Any]:
    names, of = np.unique(values, return_inverse=True)
    return {"names": names.tolist(), "of": of.tolist()}


def _place(row: int, more: str = "") -> str:
    return f"{row // 1000:03d}/{row:06d}{more}.jpg"


def _stored(one: Answers, pictures: _Pictures, number: int, drawn: bool) -> dict[str, dict[int, Any]]:
    """{name of the map: {row: picture}}, under ``PLAIN`` the picture that a kept map lies over."""
    row_of = {path: k for k, path in enumerate(one.rows.path.tolist())}
    found: dict[str, dict[int, Any]] = {}
    views = chain(() if drawn else _kept(one.run, row_of), _explained(one.run, row_of, pictures.side))
    for name, row, uri in views:
        view = found.setdefault(name, {})
        place = pictures.put(_place(row, f"-{number}-{list(found).index(name)}"), uri)
        if place is not None:
            view[row] = place
    return found


def _kept(run: RunFolder, row_of: Mapping[str, int]) -> Iterator[tuple[str, int, str]]:
    """Those that training kept."""
    for k, index in enumerate(run.maps.index.tolist() if run.maps else ()):
        row = row_of.get(run.listed[index]["path"]) if 0 <= index < len(run.listed) else None
        if run.maps is not None and row is not None:
            image, mask = run.maps.image[k], run.maps.mask[k]
            yield PLAIN, row, gallery_picture(image, mask, None)
            for name, values in run.maps.maps.items():
                yield name, row, gallery_picture(image, mask, values[k])


def _explained(run: RunFolder, row_of: Mapping[str, int], side: int) -> Iterator[tuple[str, int, str]]:
    """Those of the folder of explanations, where it is of these weights."""
    made = explained_manifest(run)
    if made is None or run.data_root is None:
        return
    folder, root = run.folder / FOLDER, run.data_root.absolute()
    side = side if len(made["pictures"]) * len(made["columns"]) <= FEW else min(side, SIDES[1])
    for picture in made["pictures"]:
        file = Path(made["root"]) / picture["path"]
        row = row_of.get(file.relative_to(root).as_posix()) if file.is_relative_to(root) else None
        for column in made["columns"] if row is not None else ():
            uri, _ = thumbnail(folder / picture["overlays"][column["name"]], side)
            if uri is not None and row is not None:
                yield column["name"], row, uri


def explained_manifest(run: RunFolder) -> dict[str, Any] | None:
    """Of the run's folder of explanations; None where there is none, or of other weights."""
    folder, weights = run.folder / FOLDER, run.folder / WEIGHTS
    made = Explanations.open(folder).manifest if (folder / MANIFEST).is_file() else None
    if made is None or not made["finished"] or not weights.is_file():
        return None
    return made if made["runs"][0]["weights_sha256"] == sha256_of_file(weights) else None


def _thumbnails(
    one: Answers, pictures: _Pictures, mapped: Iterable[Iterable[int]]
) -> tuple[list[str | None], dict[int, str]]:
    """(what stands for each picture or None, {row: why there is none}); those with maps first, then the worst, then
    any."""
    rows, root = one.rows, one.run.data_root
    found: list[str | None] = [None] * len(rows)
    if root is None:
        return found, dict.fromkeys(range(len(rows)), "place of the pictures not recorded")
    order = list(dict.fromkeys([*chain.from_iterable(mapped), *first_rows([rows])]))
    why: dict[int, str] = {}
    with ThreadPoolExecutor(max_workers=4) as pool:
        for start in range(0, len(order) if pictures.left > 0 else 0, PART):
            part = order[start : start + PART]
            made = pool.map(lambda row: thumbnail(root / str(rows.path[row]), pictures.side), part)
            for row, (uri, reason) in zip(part, made, strict=True):
                if uri is None:
                    why[row] = reason
                else:
                    found[row] = pictures.put(_place(row), uri)
            if pictures.left <= 0:
                break
    return found, why
