"""The Clever-Hans probe: how well do trivial cues alone give the class?

Clever Hans was a horse that seemed to calculate and in truth read its owner's face. A network does the same
when the pictures of one class come from one camera, have one size, or lie on one table (Lapuschkin et al.,
Unmasking Clever Hans predictors, Nature Communications 2019). Each cue is a small vector a picture, made
without looking at the object; a random forest learns the class from it and is judged on folds that it has
not seen.

- **Folds** are stratified by class. Pictures of one group, and identical or nearly alike pictures, stay in
  one fold: else the probe would recognise copies and blame the cue.
- **Accuracy** is balanced accuracy, the mean of the classes' recalls. Its chance level is 1 / classes for
  every constant guess, that of the majority class included, so imbalance cannot fake a cue.
- **Interval**: 95 %, of the mean of the recalls (``core.intervals.of_mean_share``). Where pictures come in
  groups, a class counts as many pictures as it has groups.
- **Far above chance**: the lower end of the interval is above ``chance + probe_margin * (1 - chance)``,
  that is, the cue surely covers that share (0.15) of the way from guessing to knowing.
- A cue far above chance is a warning where a network that uses it cheats, and information where it may be a
  true mark of the class (mean colour; size and place of the object).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from foveate.core.intervals import of_mean_share
from foveate.core.rng import key, numpy_generator
from foveate.data.audit.facts import Facts
from foveate.data.audit.report import Cue
from foveate.data.catalog import UNLABELLED, Catalog

_FRAME = 2  # thumbnail pixels: 3 % of the side
_LEAST_BACKGROUND = 0.02  # share of the picture; less is no background to speak of
_FOLDS = 5
_CAMERAS = 20  # the rest are one
_TREES = 100
_MANY = 500


@dataclass(frozen=True)
class _Kind:
    subject: str
    kind: Literal["shortcut", "information"]
    advice: str
    with_masks: str = ""
    """Advice where the set has masks, that is, objects; "" for the same."""


_KINDS = {
    "background": _Kind("the background colour alone", "shortcut", "a network can cheat here"),
    "border": _Kind(
        "the outermost 3% of the picture alone",
        "shortcut",
        "fine for scenes, where the surroundings are the class; for objects a network can cheat here",
        "a network can cheat here",
    ),
    "picture size": _Kind(
        "picture size (width and height) alone",
        "shortcut",
        "after resizing, blur and stretching tell the class: a network can cheat here",
    ),
    "file size": _Kind(
        "the size of the file alone",
        "shortcut",
        "part of it is how busy a picture is, but different cameras or compression let a network cheat here",
    ),
    "camera": _Kind(
        "the EXIF data (camera and time) alone",
        "shortcut",
        "classes differ in camera or day: a network can cheat here; split by session",
    ),
    "object": _Kind(
        "the object's size and place alone", "information", "size may be a true mark, place seldom is"
    ),
    "mean colour": _Kind(
        "the mean colour of the whole picture alone",
        "information",
        "it may be a true mark of the class, or the light",
    ),
}
"""Every cue; the order is the order of the report."""


def describe(thumb: np.ndarray, mask: np.ndarray | None, edge: int) -> dict[str, np.ndarray]:
    """Cues that need pixels, as float32 vectors. thumb: (64, 64, 3) uint8; mask: (64, 64) uint8, 255 =
    object.

    Args:
        thumb: the picture, squashed.
        mask: or None.
        edge: cells around the object that count as object, so that its rim does not pass for background.
    """
    pixels = thumb.astype(np.float32) / 255
    sides = (pixels[:_FRAME], pixels[-_FRAME:], pixels[:, :_FRAME], pixels[:, -_FRAME:])
    frame = np.concatenate([side.reshape(-1, 3) for side in sides])
    found = {
        "mean colour": pixels.mean((0, 1)),
        "border": np.concatenate([frame.mean(0), frame.std(0), *(side.mean((0, 1)) for side in sides)]),
    }
    if mask is not None and mask.any():
        rows, columns = np.nonzero(mask > 127) if (mask > 127).any() else np.nonzero(mask)
        box = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
        found["object"] = np.array([mask.mean() / 255, rows.mean(), columns.mean(), *box], dtype=np.float32)
        outside = ndimage.maximum_filter(mask, 2 * edge + 1) == 0
        if outside.mean() >= _LEAST_BACKGROUND:
            found["background"] = _colours(thumb[outside])
    return found


def _colours(pixels: np.ndarray) -> np.ndarray:
    """Mean, standard deviation and a 4x4x4 histogram of (n, 3) uint8 pixels -> (70,) float32."""
    bins = (pixels >> 6).astype(np.int64) @ np.array([16, 4, 1])
    histogram = np.bincount(bins, minlength=64) / len(pixels)
    scaled = pixels / 255
    return np.concatenate([scaled.mean(0), scaled.std(0), histogram]).astype(np.float32)


def _reader(facts: Sequence[Facts]) -> Callable[[str, Facts], np.ndarray | None]:
    """(cue, picture) -> its vector, None where the cue cannot be had."""
    known = Counter(fact.camera for fact in facts).most_common(_CAMERAS)
    cameras = {name: i for i, (name, _) in enumerate(known)}
    with_exif = any(fact.camera or fact.time for fact in facts)

    def read(name: str, fact: Facts) -> np.ndarray | None:
        if fact.failure is not None:
            return None
        width, height = fact.size
        match name:
            case "picture size":
                return np.array([width, height, width / height, width * height])
            case "file size":
                return np.array([fact.file_bytes, fact.file_bytes / (width * height)])
            case "camera" if with_exif:
                camera = np.eye(_CAMERAS + 1)[cameras.get(fact.camera, _CAMERAS)]
                return np.array([*camera, *_clock(fact.time)])
            case _:
                return fact.cues.get(name)

    return read


def _clock(text: str) -> tuple[float, float]:
    """EXIF time -> (days since 1970, hour of the day); (-1, -1) without a time."""
    try:
        moment = datetime.strptime(text[:19], "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return -1.0, -1.0
    return (moment - datetime(1970, 1, 1)).total_seconds() / 86400, moment.hour + moment.minute / 60


def probe(
    catalog: Catalog,
    facts: Sequence[Facts],
    alike: Sequence[Sequence[int]] = (),
    *,
    margin: float,
    limit: int,
    seed: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Cue]:
    """Probe every cue that the pictures have; classes with fewer than 5 pictures (or groups) are left out.

    Args:
        catalog: the pictures.
        facts: one a row.
        alike: sets of rows that must stay in one fold.
        margin: see the rule above, 0 to 1.
        limit: at most so many pictures, drawn evenly over the classes in proportion.
        seed: of the draw, the folds and the forest.
        progress: called with ("cues", done, total).
    """
    blocks = _blocks(catalog, alike)
    cues = []
    read = _reader(facts)
    for done, name in enumerate(_KINDS, start=1):
        rows = np.array(
            [
                row
                for row, fact in enumerate(facts)
                if catalog.labels[row] != UNLABELLED and read(name, fact) is not None
            ],
            dtype=np.int64,
        )
        rows = _enough(rows, catalog.labels, blocks)
        rows = _sample(rows, catalog.labels, limit, seed)
        if len(rows):
            features = np.stack([np.asarray(read(name, facts[row]), dtype=np.float32) for row in rows])
            cues.append(
                _judge(name, features, catalog.labels[rows], blocks[rows], margin, seed, catalog.has_masks)
            )
        if progress is not None:
            progress("cues", done, len(_KINDS))
    return cues


def _blocks(catalog: Catalog, alike: Sequence[Sequence[int]]) -> np.ndarray:
    """(N,) int64: pictures with one number stay in one fold (one group, or nearly alike, or a chain of
    both)."""
    n = len(catalog)
    first: dict[str, int] = {}
    links = [(rows[0], row) for rows in alike for row in rows[1:]]
    for row, sample in enumerate(catalog.samples):
        if sample.group:
            links.append((first.setdefault(sample.group, row), row))
    pairs = np.array(links, dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _enough(rows: np.ndarray, labels: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Rows of the classes that have a block for every fold; none unless two classes have."""
    rich = [c for c in np.unique(labels[rows]) if len(np.unique(blocks[rows][labels[rows] == c])) >= _FOLDS]
    return rows[np.isin(labels[rows], rich)] if len(rich) > 1 else rows[:0]


def _sample(rows: np.ndarray, labels: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """At most ``limit`` rows, in proportion to the classes but at least 2 folds' worth of each."""
    if len(rows) <= limit:
        return rows
    rng = numpy_generator(seed, "probe sample")
    kept = []
    for c in np.unique(labels[rows]):
        own = rows[labels[rows] == c]
        share = max(2 * _FOLDS, round(limit * len(own) / len(rows)))
        kept.append(rng.permutation(own)[:share])
    return np.sort(np.concatenate(kept))


def _judge(
    name: str,
    features: np.ndarray,
    labels: np.ndarray,
    blocks: np.ndarray,
    margin: float,
    seed: int,
    masks: bool = False,
) -> Cue:
    classes, targets = np.unique(labels, return_inverse=True)
    chance = 1 / len(classes)
    kind = _KINDS[name]
    if np.ptp(features, axis=0).max() == 0:
        verdict = f"All pictures are the same in this ({name}): nothing to learn from it."
        return Cue(name, chance, chance, (chance, chance), verdict, len(labels), kind.kind)
    grouped = len(np.unique(blocks)) < len(blocks)
    splitter = (StratifiedGroupKFold if grouped else StratifiedKFold)(
        _FOLDS, shuffle=True, random_state=key(seed) % 2**32
    )
    guess = np.empty_like(targets)
    threads = -1 if len(labels) >= _MANY else 1  # starting threads takes longer than small forests do
    for train, test in splitter.split(features, targets, blocks if grouped else None):
        forest = ExtraTreesClassifier(
            _TREES,
            min_samples_leaf=2,
            class_weight="balanced",
            random_state=key(seed, name) % 2**32,
            n_jobs=threads,
        )
        guess[test] = forest.fit(features[train], targets[train]).predict(features[test])
    total = np.bincount(targets)
    hits = np.bincount(targets[guess == targets], minlength=len(classes))
    independent = np.array([len(np.unique(blocks[targets == c])) for c in range(len(classes))])
    accuracy = float((hits / total).mean())
    interval = of_mean_share(hits * independent / total, independent)
    far = interval[0] > chance + margin * (1 - chance)
    said = f"{kind.subject} gives the class at {accuracy:.0%}, chance {chance:.0%}"
    advice = kind.with_masks if masks and kind.with_masks else kind.advice
    weak = "a little above guessing" if interval[0] > chance else "no better than guessing"
    verdict = f"{said[0].upper()}{said[1:]}: {advice if far else weak}."
    return Cue(name, accuracy, chance, interval, verdict, len(labels), kind.kind, far)
