"""What was seen in pictures, kept between commands: the second look at 100,000 pictures takes seconds."""

import dataclasses
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from foveate.core.memo import read_arrays_memo, write_arrays_memo
from foveate.core.rng import key
from foveate.data import annotations, picture_store
from foveate.data.audit.facts import Facts, MaskFacts
from foveate.data.cache_config import CacheConfig, cache_folder
from foveate.data.catalog import Catalog

VERSION = 1
"""Raise it when the same files would give other facts."""
_PLAIN = [
    field.name for field in dataclasses.fields(Facts) if field.name not in ("grey", "cues", "pixels", "mask")
]
_OF_MASK = [field.name for field in dataclasses.fields(MaskFacts) if field.name != "thumb"]


class RememberedFacts:
    """The facts of a folder's pictures, in one file of the cache.

    They count while size, inode and times of the picture and of its mask's files are what they were, and only where
    these had been left alone for two seconds, as in ``HashMemo``. Failures are looked at again.

    Args:
        mask_edge: as for ``facts.scan``.
    """

    def __init__(self, cache: CacheConfig, catalog: Catalog, mask_edge: int) -> None:
        recipe = f"{VERSION} {PIL.__version__} {mask_edge} {_PLAIN} {_OF_MASK} {Path(catalog.root).resolve()}"
        self.path = cache_folder(cache) / "facts" / f"{key(recipe):016x}.npz"
        self._paths = [sample.path for sample in catalog.samples]
        self._states, self._settled = _states_of(catalog)

    def known(self) -> dict[int, Facts]:
        """By row."""
        arrays = read_arrays_memo(self.path)
        if arrays is None:
            return {}
        rows = {path: row for row, path in enumerate(self._paths)}
        cues: dict[int, dict[str, np.ndarray]] = defaultdict(dict)
        for name in [name for name in arrays if name.startswith("cue ")]:
            for place, vector in zip(arrays[f"of {name}"].tolist(), arrays[name], strict=True):
                cues[place][name.removeprefix("cue ")] = vector
        found = {}
        for place, (path, state, plain, pixels, mask) in enumerate(json.loads(arrays["table"].tobytes())):
            row = rows.get(path)
            if row is not None and state == self._states[row]:
                plain = {name: _fixed(value) for name, value in zip(_PLAIN, plain, strict=True)}
                of_mask = mask and MaskFacts(
                    **{name: _fixed(value) for name, value in zip(_OF_MASK, mask, strict=True)}
                )
                found[row] = Facts(
                    **plain,
                    pixels=bytes.fromhex(pixels),
                    grey=arrays["grey"][place],
                    cues=cues[place],
                    mask=of_mask,
                )
        return found

    def keep(self, facts: Sequence[Facts]) -> None:
        """Of all rows of the catalog, in place of what was kept before."""
        kept = [
            row
            for row, fact in enumerate(facts)
            if self._settled[row]
            and fact.failure is None
            and (fact.mask is None or fact.mask.failure is None)
        ]
        table = [
            [
                self._paths[row],
                self._states[row],
                [getattr(facts[row], name) for name in _PLAIN],
                facts[row].pixels.hex(),
                (mask := facts[row].mask) and [getattr(mask, name) for name in _OF_MASK],
            ]
            for row in kept
        ]
        arrays = {"table": np.frombuffer(json.dumps(table).encode(), dtype=np.uint8)}
        arrays["grey"] = np.array([facts[row].grey for row in kept], dtype=np.uint8)
        for name in sorted({name for row in kept for name in facts[row].cues}):
            places = [place for place, row in enumerate(kept) if name in facts[row].cues]
            arrays[f"cue {name}"] = np.array([facts[kept[place]].cues[name] for place in places])
            arrays[f"of cue {name}"] = np.array(places)
        write_arrays_memo(self.path, arrays)


def _states_of(catalog: Catalog) -> tuple[list[str], list[bool]]:
    """Of each row what its files are like now, and whether they had been left alone before; False where one is gone."""
    now = time.time_ns()
    state_of = cache(picture_store.state_of)
    states, settled = [], []
    for row, sample in enumerate(catalog.samples):
        try:
            files = [catalog.file(row), *annotations.mask_files(catalog.root, sample.mask)]
            found = [state_of(file) for file in files]
        except OSError:
            found = []
        states.append(f"{sample.mask} {found}")
        settled.append(bool(found) and max(max(times[2:]) for times in found) < now - picture_store.RACY)
    return states, settled


def _fixed(value: Any) -> Any:
    """As it was before JSON, which knows no tuples."""
    return tuple(value) if isinstance(value, list) else value
