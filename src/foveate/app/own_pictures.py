"""The labelled pictures of a run in the order in which they are worth a look; splits that it did not measure are
measured when they are asked for."""

from dataclasses import dataclass, field, replace
from threading import Lock, Thread
from typing import Any

import numpy as np

from foveate.app.drawn_masks import DrawnMasks
from foveate.core.errors import DataError, FoveateError
from foveate.evaluation.evaluators.look import CHANCE, ENERGY, Look
from foveate.evaluation.measure import predict
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment.run import Run
from foveate.experiment.subjects import subject_of_run

CHUNK = 32
"""Pictures that are measured before somebody else has a turn."""


@dataclass
class _Measured:
    tables: list[PredictionTable] = field(default_factory=list)
    done: int = 0
    fault: str = ""


class OwnPictures:
    """Of a run whose masks are drawn.

    Args:
        lock: of the network.
    """

    def __init__(self, run: Run, device: str, lock: Lock, drawn: DrawnMasks) -> None:
        self.run, self.device, self.lock, self.drawn = run, device, lock, drawn
        self.measured: dict[str, _Measured] = {}
        self.ended = False

    def listed(self, split: str) -> dict[str, Any]:
        """Wrong answers first, then those in which it looks least at the object; while they are measured, how many are.

        Raises:
            DataError: they cannot be measured.
        """
        catalog, stored = self.run.catalog, self.run.predictions
        rows = catalog.indices(split)
        mine = _Measured()
        found = self.measured.setdefault(split, mine)
        if found is mine and split in stored.splits:
            mine.tables, mine.done = [stored.of_split(split)], len(rows)
        elif found is mine and len(rows):
            Thread(target=self._measure, args=(rows, mine), daemon=True).start()
        if found.fault:
            raise DataError(found.fault)
        if found.done < len(rows):
            return {"done": found.done, "of": len(rows)}
        row_of = {sample.path: row for row, sample in enumerate(catalog.samples)}
        return {"pictures": self._told(joined(found.tables), row_of) if found.tables else []}

    def _measure(self, rows: np.ndarray, found: _Measured) -> None:
        subject = subject_of_run(self.run, self.run.catalog, self.device, asker=None)
        for start in range(0, len(rows), CHUNK):
            if self.ended:
                return
            part, faults = rows[start : start + CHUNK], dict[int, str]()
            try:
                with self.lock:
                    table = predict(subject, part, [Look(Look.Config(), subject)], faults)
            except FoveateError as error:
                found.fault = str(error)
                return
            unknown = np.full(len(part), np.nan)  # where none of these has a mask
            look = {name: table.look.get(name, unknown) for name in (ENERGY, CHANCE)}
            readable = np.array([row not in faults for row in part.tolist()])
            found.tables.append(replace(table, look=look).subset(readable))
            found.done += len(part)

    def _told(self, table: PredictionTable, row_of: dict[str, int]) -> list[dict[str, Any]]:
        energy = table.look.get(ENERGY, np.full(len(table), np.nan))
        lift = energy / table.look.get(CHANCE, np.ones(len(table)))
        order = np.lexsort((table.confidence, lift, np.where(table.correct, 0, -table.loss), table.correct))
        names = self.run.catalog.classes
        return [
            {
                "key": f"r{row}", "path": str(table.path[k]), "label": names[table.label[k]],
                "prediction": names[table.prediction[k]], "share": float(table.confidence[k]),
                "right": bool(table.correct[k]), "energy": None if np.isnan(energy[k]) else float(energy[k]),
                "mask": bool(self.run.catalog.samples[row].mask), "drawn": self.drawn.drawn(row),
            }
            for k in order.tolist()
            if (row := row_of.get(str(table.path[k]))) is not None
        ]  # fmt: skip


def joined(tables: list[PredictionTable]) -> PredictionTable:
    """Tables with the same columns, below each other."""
    first = tables[0]
    rows: dict[str, Any] = {
        name: np.concatenate([getattr(table, name) for table in tables])
        for name in ("path", "split", "group", "label", "probabilities", "loss")
    }
    look = {name: np.concatenate([table.look[name] for table in tables]) for name in first.look}
    known = {name: np.concatenate([table.attributes[name] for table in tables]) for name in first.attributes}
    possible = None if first.possible is None else np.concatenate([table.possible for table in tables])
    return replace(first, look=look, attributes=known, possible=possible, **rows)
