"""How far a picture is from those that a run was trained on, and how often that warns for nothing."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from foveate.core.errors import DataError
from foveate.core.intervals import Interval, of_answers
from foveate.core.nearest import distance_to_nth, unit
from foveate.core.rng import numpy_generator
from foveate.data.batch import Batch
from foveate.data.cache import Progress
from foveate.evaluation.answer_rule import false_alarms
from foveate.evaluation.evaluators import Evaluator
from foveate.evaluation.features import features_of
from foveate.evaluation.subject import Subject
from foveate.experiment.run_folder import RunFolder
from foveate.experiment.subjects import subject_of_run

MOST = 2_000
"""Pictures of a split that are looked at, drawn at random where there are more."""
NEIGHBOURS = 5
FALSE_ALARMS = 0.02
"""Share of pictures like the run's own that may be called far; more where there are few validation pictures."""


@dataclass(frozen=True)
class Familiarity:
    """Distance to the 5th nearest training picture, between features of length 1 of the trained network.

    Far is what lies beyond the validation pictures: above the ceil((n + 1) 0.98)-th smallest of their n distances, so
    that a new picture of the same kind is called far with a probability of at most 2 % (conformal). Source of the
    distance: Sun et al., Out-of-distribution detection with deep nearest neighbors, ICML 2022.
    """

    known: np.ndarray
    """(m, F) float64, of length 1: features of training pictures."""
    limit: float
    """The distance above which a picture is far."""
    rate: float
    """The probability with which a picture like the validation pictures is called far, at most."""
    n: int
    """Validation pictures that say so."""
    measured: tuple[float, Interval, int] | None
    """Of the run's test pictures: the share that is called far, its 95 % interval, their number; None: no test."""

    @classmethod
    def of_run(cls, run: RunFolder, device: str, progress: Progress) -> Self:
        """Raises DataError: pictures of the run are gone, or it has too few."""
        catalog = run.catalog
        parts = {
            name: some(catalog.indices(name, labelled=False), MOST, "familiarity", name)
            for name in ("train", "val", "test")
        }
        missing = [row for rows in parts.values() for row in rows.tolist() if not catalog.file(row).is_file()]
        if missing:
            raise DataError(
                f"{len(missing)} pictures of the run in {run.folder} are gone ({catalog.file(missing[0])}), so how far "
                "others are from them is not known."
            )
        if not len(parts["val"]):
            raise DataError(
                f"{run.folder} kept no validation pictures, so it cannot say which pictures are far."
            )
        if len(parts["train"]) < NEIGHBOURS:
            raise DataError(
                f"{run.folder} has {len(parts['train'])} training pictures; to say which pictures are far from "
                f"them takes {NEIGHBOURS} or more."
            )
        subject = subject_of_run(run, catalog, device, asker=None, progress=progress)
        found, _ = features_of(
            subject,
            np.concatenate(list(parts.values())),
            "features of the run's pictures",
            run.experiment.data.cache,
        )
        ends = np.cumsum([len(rows) for rows in parts.values()])
        train, val, test = np.split(unit(found), ends[:-1])
        limit, rate = limit_of(distance_to_nth(train, val, NEIGHBOURS))
        measured = None
        if len(test):
            far = distance_to_nth(train, test, NEIGHBOURS) > limit
            interval = of_answers(far, [catalog.samples[row].group for row in parts["test"].tolist()])
            measured = float(far.mean()), interval or (0.0, 1.0), len(far)
        return cls(train, limit, rate, len(val), measured)

    def of(self, subject: Subject) -> Evaluator:
        """Adds the columns ``distance`` and ``far`` (0 or 1) to predictions."""
        return _Distance(self, subject)

    @property
    def words(self) -> str:
        """How often it warns for nothing."""
        said = false_alarms(self.rate, self.n)
        if self.measured is None:
            return f"{said}."
        share, (low, high), n = self.measured
        return f"{said}; {100 * share:.1f} % ({100 * low:.1f} to {100 * high:.1f}) of its {n} test pictures."


class _Distance(Evaluator):
    def wants(self, rows: np.ndarray) -> bool:
        return True

    def values(self, batch: Batch) -> dict[str, np.ndarray]:
        features = unit(self.subject.features(batch).numpy())
        distance = distance_to_nth(self.config.known, features, NEIGHBOURS)
        return {"distance": distance, "far": distance > self.config.limit}


def limit_of(distances: np.ndarray) -> tuple[float, float]:
    """The limit by n distances of validation pictures, and the rate of false alarms that it keeps."""
    n = len(distances)
    rank = min(int(np.ceil((n + 1) * (1 - FALSE_ALARMS))), n)
    return float(np.sort(distances)[rank - 1]), 1 - rank / (n + 1)


def some(rows: np.ndarray, most: int, *seed: str) -> np.ndarray:
    """``most`` of the rows, drawn at random and in order; all where there are no more."""
    return rows if len(rows) <= most else np.sort(numpy_generator(*seed).permutation(rows)[:most])
