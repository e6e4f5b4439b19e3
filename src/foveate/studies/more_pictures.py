"""How many more pictures would help: probes on frozen features at growing sizes, a power law, what it foretells.

Source of the law: Hestness et al., Deep learning scaling is predictable, empirically, 2017; of its use for pictures not
yet taken: Figueroa et al., Predicting sample size required for classification performance, BMC Medical Informatics and
Decision Making 2012. How well it foretells: results/learning_curve.md.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t as student_t
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from foveate.core.errors import DataError
from foveate.core.files import SCHEMA_VERSION, write_json
from foveate.core.intervals import LEVEL
from foveate.core.rng import key, numpy_generator
from foveate.data.cache import Progress
from foveate.evaluation.features import features_of
from foveate.evaluation.subject import pick_device, quiet
from foveate.experiment.prepare import prepare
from foveate.experiment.specification import DataConfig
from foveate.studies.feature_probes import ITERATIONS, STRENGTHS
from foveate.studies.frozen_network import frozen, pool_of
from foveate.training import Observer

FOLDS, REPEATS = 5, 2
SHARES = (0.0625, 0.125, 0.25, 0.5, 1.0)
"""Of the pictures that train in a fold."""
LEAST = 20
"""Pictures that train, at the smallest size."""
RESAMPLES = 200
TIMES = (2, 4)
DOUBT = 0.12
"""Standard deviation of the logarithm of the error, a doubling: how far the law itself misses. Chosen on four sets and
tested on others, see results/learning_curve.md."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Accuracy with so many pictures, measured or foretold; the band has 95 %."""

    pictures: int
    """Of the whole set; four fifths of them train, the rest is asked."""
    accuracy: float
    low: float
    high: float
    measured: float | None
    """None where it is foretold."""


@dataclass(frozen=True)
class LearningCurve:
    """A curve of accuracies and what it foretells."""

    points: tuple[Forecast, ...]
    """By size: the sizes that were measured, then 2 and 4 times as many pictures as there are."""
    scale: float
    rate: float
    """By the fitted law error = scale n^-rate, n pictures that train."""

    def save_json(self, path: Path) -> None:
        """Everything."""
        write_json(path, {"schema_version": SCHEMA_VERSION, **asdict(self)})


def errors_at_sizes(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, seed: int = 0,
    progress: Progress = quiet,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Sizes (S,), pictures that train, and errors (D, S) of D draws.

    Each draw holds a fifth of the pictures out, groups whole, and draws the rest into a row, so that a smaller size is
    a part of a larger one; each class has its share at every size.

    Args:
        features: (N, F). labels: (N,) from 0. groups: (N,).

    Raises:
        DataError: too few pictures for a curve.
    """
    whole = len(labels) * (FOLDS - 1) / FOLDS
    shares = [share for share in SHARES if share * whole >= LEAST]
    if len(shares) < 3 or len(np.unique(labels)) < 2 or np.bincount(labels).min() < FOLDS:
        raise DataError(
            f"A learning curve needs {5 * LEAST} pictures of two classes or more, {FOLDS} of each; there are "
            f"{len(labels)}."
        )
    found, sizes, number = [], [], 0
    for repeat in range(REPEATS):
        cut = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=key(seed, "curve", repeat) % 2**32)
        for train, test in cut.split(features, labels, groups):
            rng = numpy_generator(seed, "curve", number)
            place = _places(labels[train], groups[train], rng)
            row = []
            sizes.append([int((place < share).sum()) for share in shares])
            for share in shares:
                part = train[place < share]
                row.append(
                    float((_probe(features[part], labels[part], rng)(features[test]) != labels[test]).mean())
                )
            found.append(row)
            number += 1
            progress("learning curve", number, FOLDS * REPEATS)
    return np.mean(sizes, axis=0), np.array(found)


def foretell(
    sizes: np.ndarray, errors: np.ndarray, wanted: np.ndarray, pictures: int, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[float, float]]:
    """Errors at the sizes ``wanted`` (W,) by a power law fitted to ``errors`` (D, S) at ``sizes`` (S,): middle, low and
    high (W,), and the law's scale and rate.

    The law is a line through the logarithms, in which larger sizes weigh more. The band, too, is of the logarithm:
    Student's t times what the draws differ by (drawn again) and ``DOUBT`` for each doubling beyond the last size.

    Args:
        pictures: of the whole set; no mistake among them counts as half a mistake.
    """

    def line(means: np.ndarray) -> np.ndarray:
        return np.polyfit(np.log(sizes), np.log(np.maximum(means, 0.5 / pictures)), 1, w=sizes**0.25)

    rng = numpy_generator(seed, "curve", "again")
    again = (errors[rng.integers(0, len(errors), len(errors))].mean(axis=0) for _ in range(RESAMPLES))
    spread = np.std([np.polyval(line(means), np.log(wanted)) for means in again], axis=0)
    rate, scale = line(errors.mean(axis=0))
    middle = np.polyval((rate, scale), np.log(wanted))
    beyond = np.maximum(np.log2(wanted / sizes[-1]), 0)
    half = student_t.isf((1 - LEVEL) / 2, len(errors) - 1) * np.hypot(spread, DOUBT * beyond)
    low, high = np.exp(middle - half), np.minimum(np.exp(middle + half), 1.0)
    return np.minimum(np.exp(middle), 1.0), low, high, (float(np.exp(scale)), float(-rate))


def learning_curve(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, seed: int = 0, progress: Progress = quiet
) -> LearningCurve:
    """Accuracy by number of pictures, measured, and foretold for 2 and 4 times as many; as ``errors_at_sizes``."""
    sizes, errors = errors_at_sizes(features, labels, groups, seed=seed, progress=progress)
    count = len(labels)
    wanted = np.append(sizes, sizes[-1] * np.array(TIMES))
    middle, low, high, law = foretell(sizes, errors, wanted, count, seed=seed)
    measured = [*(1 - errors.mean(axis=0)), *(None for _ in TIMES)]
    points = tuple(
        Forecast(
            pictures=round(size * FOLDS / (FOLDS - 1)), accuracy=1 - middle[k], low=1 - high[k], high=1 - low[k],
            measured=None if measured[k] is None else float(measured[k]),
        )
        for k, size in enumerate(wanted)
    )  # fmt: skip
    return LearningCurve(points, *law)


def learning_curve_of(
    data: Path, network: str, config: DataConfig | None = None, *, seed: int = 0, quarantine: bool = False,
    device: str = "auto", observer: Observer | None = None,
) -> LearningCurve:  # fmt: skip
    """The learning curve of a set by features of a frozen network; its test pictures are left alone.

    Args:
        network: as ``studies.frozen_network.frozen`` takes it.
        config: layout, split, size and fit of the pictures; size None: the network's own.

    Raises:
        ConfigError, WeightsError: the network cannot be built.
        DataError: as in training, or too few pictures.
    """
    config, observer = config or DataConfig(), observer or Observer()
    prepared = prepare(data, config, quarantine=quarantine, observer=observer)
    pool, notes = pool_of(prepared)
    rich = np.flatnonzero(pool.counts()[pool.labels] >= FOLDS)
    if len(rich) < len(pool):
        notes.append(f"{len(pool) - len(rich)} pictures of classes with fewer than {FOLDS} are left out.")
    subject = frozen(network, pool, config, pick_device(device), observer.progress)
    features, _ = features_of(subject, rich, "features of pictures", config.cache)
    labels = np.unique(pool.labels[rich], return_inverse=True)[1]
    groups = np.array([pool.samples[row].group or f"path:{pool.samples[row].path}" for row in rich])
    for note in (*prepared.notes, *notes):
        observer.message(note)
    return learning_curve(features, labels, groups, seed=seed, progress=observer.progress)


def _places(labels: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) in [0, 1): where a picture stands in the random row of its class; those of one group stand together."""
    _, member = np.unique(groups, return_inverse=True)
    order = rng.permutation(int(member.max()) + 1)[member]
    place = np.zeros(len(labels))
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        place[own[np.argsort(order[own], kind="stable")]] = np.arange(len(own)) / len(own)
    return place


def _probe(
    features: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> Callable[[np.ndarray], np.ndarray]:
    """A linear probe whose penalty is chosen on a fifth of its pictures."""

    def fit(strength: float, rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        known = np.unique(labels[rows])
        if len(known) == 1:
            return lambda asked: np.repeat(known, len(asked))
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=ITERATIONS))
        answer: Callable[[np.ndarray], np.ndarray] = model.fit(features[rows], labels[rows]).predict
        return answer

    order = rng.permutation(len(labels))
    held, rest = order[: len(labels) // 5], order[len(labels) // 5 :]
    right = [(fit(strength, rest)(features[held]) == labels[held]).mean() for strength in STRENGTHS]
    return fit(STRENGTHS[int(np.argmax(right))], order)
