"""The Clever-Hans probe: how well do trivial cues alone give the class?

Clever Hans was a horse that seemed to calculate and in truth read its owner's face. A network does the same when the
pictures of one class come from one camera, have one size, or lie on one table (Lapuschkin et al., Unmasking Clever Hans
predictors, Nature Communications 2019). A forest learns the class from each cue, a small vector a picture made without
looking at the object, and is judged on folds that it has not seen. Pictures of one group, and nearly alike ones, stay
in one fold: else it would recognise copies and blame the cue.

Accuracy is the mean of the classes' recalls, so every constant guess has 1 / classes; its interval is 95 %
(``core.intervals.of_mean_share``), where a class counts as many pictures as it has groups. A cue is far above chance
when the lower end is above ``chance + probe_margin * (1 - chance)``: it surely covers that share of the way from
guessing to knowing. That is a warning where a network that uses the cue cheats, and information where it may be a true
mark of the class.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal

import numpy as np

from foveate.core.intervals import of_mean_share
from foveate.core.rng import key, numpy_generator
from foveate.data.audit.duplicates import joined
from foveate.data.audit.facts import Facts
from foveate.data.audit.report import Cue
from foveate.data.catalog import UNLABELLED, Catalog

_FOLDS = 5
_CAMERAS = 20  # the rest are one
_TREES = 100
_CHEAT = "a network can cheat here"
_KINDS: dict[str, tuple[str, Literal["shortcut", "information"], str]] = {
    "background": ("the background colour alone", "shortcut", _CHEAT),
    "border": (
        "the outermost 3% of the picture alone",
        "shortcut",
        f"fine for scenes, where the surroundings are the class; for objects {_CHEAT}",
    ),
    "picture size": (
        "picture size (width and height) alone",
        "shortcut",
        f"after resizing, blur and stretching tell the class: {_CHEAT}",
    ),
    "file size": (
        "the size of the file alone",
        "shortcut",
        "part of it is how busy a picture is, but different cameras or compression let a network cheat here",
    ),
    "camera": (
        "the EXIF data (camera and time) alone",
        "shortcut",
        f"classes differ in camera or day: {_CHEAT}; split by session",
    ),
    "masks": (
        "which pictures have a mask, drawn or proposed, alone",
        "shortcut",
        "what a guide does to pictures with masks tells the class; draw or propose masks alike in all classes",
    ),
    "object": (
        "the object's size and place alone",
        "information",
        "size may be a true mark, place seldom is",
    ),
    "mean colour": (
        "the mean colour of the whole picture alone",
        "information",
        "it may be a true mark of the class, or the light",
    ),
}
"""{cue: (its name in a sentence, what it is, advice where it is far above chance)}, in the order of the report."""


def _vectors(facts: Sequence[Facts]) -> dict[str, dict[int, Any]]:
    """{cue: {row: its vector}} of the pictures that have it."""
    known = Counter(fact.camera for fact in facts).most_common(_CAMERAS)
    cameras = {name: i for i, (name, _) in enumerate(known)}
    with_exif = any(fact.camera or fact.time for fact in facts)
    found: dict[str, dict[int, Any]] = {name: {} for name in _KINDS}
    for row, fact in enumerate(facts):
        if fact.failure is not None:
            continue
        width, height = fact.size
        found["picture size"][row] = (width, height, width / height, width * height)
        found["file size"][row] = (fact.file_bytes, fact.file_bytes / (width * height))
        if with_exif:
            camera = np.eye(_CAMERAS + 1)[cameras.get(fact.camera, _CAMERAS)]
            found["camera"][row] = (*camera, *_clock(fact.time))
        found["masks"][row] = [
            (fact.mask.source if fact.mask else "") == source for source in ("drawn", "proposed")
        ]
        for name, vector in fact.cues.items():
            found[name][row] = vector
    if len(set(map(tuple, found["masks"].values()))) < 2:
        del found["masks"]  # all alike
    return found


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
    members: dict[str, list[int]] = defaultdict(list)
    for row, sample in enumerate(catalog.samples):
        members[f"group {sample.group}" if sample.group else f"row {row}"].append(row)
    together = [*alike, *members.values()]  # one group, or nearly alike, or a chain of both
    blocks = joined(np.arange(len(catalog)), ((rows[0], row) for rows in together for row in rows[1:]))
    cues = []
    of_cues = _vectors(facts)
    for done, (name, vectors) in enumerate(of_cues.items(), start=1):
        rows = np.array([row for row in vectors if catalog.labels[row] != UNLABELLED], dtype=np.int64)
        known, of_class = np.unique(catalog.labels[rows]), catalog.labels[rows]
        rich = [
            c for c in known if len(np.unique(blocks[rows[of_class == c]])) >= _FOLDS
        ]  # a block for every fold
        if len(rich) > 1:
            rows = _sample(rows[np.isin(of_class, rich)], catalog.labels, limit, seed)
            features = np.array([vectors[row] for row in rows], dtype=np.float32)
            labels = catalog.labels[rows]
            cues.append(_judge(name, features, labels, blocks[rows], margin, seed, catalog.has_masks))
        if progress is not None:
            progress("cues", done, len(of_cues))
    return cues


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
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict

    classes, targets = np.unique(labels, return_inverse=True)
    chance = 1 / len(classes)
    subject, kind, advice = _KINDS[name]
    if np.ptp(features, axis=0).max() == 0:
        verdict = f"All pictures are the same in this ({name}): nothing to learn from it."
        return Cue(name, chance, chance, (chance, chance), verdict, len(labels), kind)
    grouped = len(np.unique(blocks)) < len(blocks)
    splitter = (StratifiedGroupKFold if grouped else StratifiedKFold)(
        _FOLDS, shuffle=True, random_state=key(seed) % 2**32
    )
    # One thread: a forest of small vectors takes longer with several.
    forest = ExtraTreesClassifier(
        _TREES,
        min_samples_leaf=2,
        class_weight="balanced",
        random_state=key(seed, name) % 2**32,
    )
    guess = cross_val_predict(forest, features, targets, groups=blocks if grouped else None, cv=splitter)
    total = np.bincount(targets)
    hits = np.bincount(targets[guess == targets], minlength=len(classes))
    independent = np.array([len(np.unique(blocks[targets == c])) for c in range(len(classes))])
    accuracy = float((hits / total).mean())
    interval = of_mean_share(hits * independent / total, independent)
    far = interval[0] > chance + margin * (1 - chance)
    weak = "a little above guessing" if interval[0] > chance else "no better than guessing"
    gives = "give" if name == "object" else "gives"
    said = f"{subject[0].upper()}{subject[1:]} {gives} the class at {accuracy:.0%}, chance {chance:.0%}"
    advice = _CHEAT if masks and name == "border" else advice  # masks say that there are objects
    return Cue(
        name, accuracy, chance, interval, f"{said}: {advice if far else weak}.", len(labels), kind, far
    )
