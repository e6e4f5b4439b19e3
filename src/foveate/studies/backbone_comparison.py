"""Which backbone suits these pictures: frozen features, cross-validated probes, cost, a ranking with intervals.

Minutes instead of a training run for each. The pictures that would test a trained network are left alone.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from foveate.core.errors import ConfigError, FoveateError
from foveate.core.files import SCHEMA_VERSION, write_csv, write_json
from foveate.core.intervals import LEVEL, of_mean
from foveate.core.rng import numpy_generator
from foveate.data.cache import open_pictures
from foveate.data.catalog import Catalog
from foveate.data.loader import in_order
from foveate.data.split import SplitConfig, split
from foveate.evaluation.features import features_of
from foveate.evaluation.subject import BATCH, pick_device
from foveate.experiment.prepare import prepare
from foveate.experiment.specification import DataConfig
from foveate.models.cost import training_cost
from foveate.studies.feature_probes import linear_probe, nearest_neighbours
from foveate.studies.frozen_network import frozen, pool_of
from foveate.training import Observer

USUAL = (
    "mobilenetv3_small_100",
    "vit_small_patch14_dinov2.lvd142m",
    "vit_small_patch16_dinov3.lvd1689m",
    "vit_base_patch16_siglip_224.v2_webli",
)
"""Compared where none is named, as far as their weights can be had: an ordinary one, and small foundation models."""
CONTROL = "8 x 8 pixels"
"""Features of the control: the picture shrunk to 8 x 8 colours. A backbone must know more than that."""
RESAMPLES = 2_000
ALL = (0.0, 1.0)
"""Interval of a share when all pictures are of one group."""


@dataclass(frozen=True, kw_only=True)
class BackboneRow:
    """One backbone. Shares in [0, 1]; intervals have 95 %, over the pictures."""

    rank: int | None
    """By the linear probe, from 1; None for the control."""
    rank_low: int | None
    rank_high: int | None
    """The ranks that it has on other pictures of the same kind."""
    backbone: str
    probe: float
    """Accuracy of the linear probe."""
    probe_low: float
    probe_high: float
    behind: float
    """Accuracy of the first in rank minus this one's, on the same pictures. The interval is widened for the number of
    backbones (Bonferroni): with 95 % the best of all pictures of this kind is in ``as_good``."""
    behind_low: float
    behind_high: float
    neighbours: float
    """Accuracy of the nearest neighbours."""
    neighbours_low: float
    neighbours_high: float
    features: int
    parameters: int | None
    memory: int | None
    """Bytes that training all layers takes with a batch of 32 (``models.cost``)."""
    epoch_seconds: float | None
    """Of training all layers, once over these pictures, on this machine: forward and backward."""
    feature_seconds: float | None
    """All pictures through the frozen network once; None: kept from an earlier comparison, whose time is not known."""
    probe_seconds: float
    size: int
    """Side of the pictures in px."""
    pictures: int


@dataclass(frozen=True)
class BackboneComparison:
    """Backbones, best first, then the control."""

    rows: tuple[BackboneRow, ...]
    chance: float
    """Accuracy of always answering the most frequent class."""
    notes: tuple[str, ...]
    failures: dict[str, str]
    """{backbone: why it could not be compared}."""
    folds: int
    classes: tuple[str, ...]

    @property
    def ranked(self) -> tuple[BackboneRow, ...]:
        """Without the control."""
        return tuple(row for row in self.rows if row.rank is not None)

    @property
    def best(self) -> str:
        """The first in rank; what is no worse on these pictures may be cheaper, see ``as_good``."""
        return self.ranked[0].backbone

    @property
    def as_good(self) -> tuple[str, ...]:
        """Backbones that are not clearly behind the best, it included."""
        return tuple(row.backbone for row in self.ranked if row.behind_low <= 0)

    def save_json(self, path: Path) -> None:
        """Everything."""
        write_json(path, {"schema_version": SCHEMA_VERSION, **asdict(self)})

    def save_csv(self, path: Path) -> None:
        """One row a backbone."""
        write_csv(path, list(BackboneRow.__dataclass_fields__), [asdict(row) for row in self.rows])


def compare_backbones(
    data: Path, backbones: Sequence[str] | None, config: DataConfig | None = None, *, folds: int = 5, seed: int = 0,
    quarantine: bool = False, device: str = "auto", observer: Observer | None = None,
) -> BackboneComparison:  # fmt: skip
    """Features once for each backbone, then the same folds for all.

    Groups and near copies stay in one fold. The test pictures of the split (the data set's own, that of a file, or
    the one that training with the same settings draws) are not looked at.

    Args:
        backbones: names of timm ("resnet18", with pretrained weights), weights files or run folders, or "NAME:none"
            for random weights; None: those of ``USUAL`` whose weights are here or can be downloaded.
        config: layout, split, size and fit of the pictures; size None: each backbone's own.
        folds: 3 or more.
        seed: of the folds.

    Raises:
        ConfigError: no backbone, one named twice, too few folds, or none of them can be used (says why).
        DataError: as in training.
    """
    config, observer = config or DataConfig(), observer or Observer()
    usual, backbones = backbones is None, USUAL if backbones is None else backbones
    if not backbones or len(set(backbones)) != len(backbones):
        raise ConfigError(f"Name one or more backbones, each once; got {', '.join(backbones) or 'none'}.")
    if folds < 3:
        raise ConfigError(
            f"folds is {folds}; 3 or more are needed, one of which chooses the probe's penalty."
        )
    prepared = prepare(data, config, quarantine=quarantine, observer=observer)
    catalog, notes = pool_of(prepared)
    drawn = split(catalog, SplitConfig(folds=folds, seed=seed))
    assert drawn.folds is not None
    fold = np.array(drawn.folds)
    bench = _Bench(catalog, fold, config, pick_device(device), observer)
    answers: dict[str, _Answers] = {}
    failures: dict[str, str] = {}
    for number, name in enumerate(backbones):
        observer.message(f"{name} ({number + 1} of {len(backbones)})")
        try:
            answers[name] = bench.measure(name)
        except FoveateError as error:
            failures[name] = str(error)
    missing = [name for name in failures if usual]
    if missing and answers:
        failures = {}
        notes.append(
            f"Not compared, for their weights are not here and cannot be downloaded: {', '.join(missing)}. A file of "
            "weights can be named instead."
        )
    if not answers:
        raise ConfigError("No backbone could be used. " + " ".join(f"{n}: {e}" for n, e in failures.items()))
    answers[CONTROL] = bench.control()
    judged = np.flatnonzero(fold >= 0)
    counts = np.bincount(catalog.labels[judged])
    return BackboneComparison(
        rows=_rank(answers, catalog, judged),
        chance=float(counts.max() / counts.sum()),
        notes=(*prepared.notes, *notes, *(n for n in drawn.notes if "folds were drawn" not in n)),
        failures=failures,
        folds=folds,
        classes=catalog.classes,
    )


@dataclass(frozen=True)
class _Answers:
    probe: np.ndarray
    """(N,) bool, whether the linear probe is right."""
    neighbours: np.ndarray
    """(N,) bool."""
    facts: dict[str, Any]
    """The columns that are no accuracy."""


@dataclass(frozen=True)
class _Bench:
    """The same pictures and folds for every backbone."""

    catalog: Catalog
    folds: np.ndarray
    config: DataConfig
    device: torch.device
    observer: Observer

    def measure(self, name: str) -> _Answers:
        """Features, probes and cost of one backbone.

        Raises:
            ConfigError, WeightsError: it cannot be built.
        """
        subject = frozen(name, self.catalog, self.config, self.device, self.observer.progress)
        features, seconds = features_of(subject, np.arange(len(self.catalog)), name, self.config.cache)
        model = subject.model
        cost = training_cost(model)
        epoch = cost.seconds_per_picture * len(self.catalog)
        facts = {"parameters": cost.parameters, "memory": cost.memory, "epoch_seconds": epoch}
        return self._probe(features, **facts, feature_seconds=seconds, size=model.input_size)

    def control(self) -> _Answers:
        """The picture shrunk to 8 x 8."""
        side = self.config.size or 32
        started = time.perf_counter()
        pixels = [
            F.interpolate(batch.float(), (8, 8), mode="bilinear", antialias=True).flatten(1)
            for batch in self._batches(side)
        ]
        features = torch.cat(pixels).numpy()
        facts = dict.fromkeys(("parameters", "memory", "epoch_seconds"))
        return self._probe(features, **facts, feature_seconds=time.perf_counter() - started, size=side)

    def _probe(self, features: np.ndarray, **facts: Any) -> _Answers:
        started = time.perf_counter()
        labels = self.catalog.labels
        linear = linear_probe(features, labels, self.folds) == labels
        near = nearest_neighbours(features, labels, self.folds) == labels
        facts |= {"features": features.shape[1], "probe_seconds": time.perf_counter() - started}
        return _Answers(linear, near, facts)

    def _batches(self, size: int) -> Any:
        """(B, 3, size, size) uint8, in the order of the catalog."""
        config, report = self.config, self.observer.progress
        pictures = open_pictures(self.catalog, size, config.fit, config.cache, progress=report)
        rows = np.arange(len(self.catalog))
        loader = in_order(pictures, self.catalog.labels, rows, size, BATCH)
        return (batch.images for batch in loader.epoch(0))


def _rank(answers: dict[str, _Answers], catalog: Catalog, judged: np.ndarray) -> tuple[BackboneRow, ...]:
    """Rows in order of the probe's accuracy; ranks' intervals from drawing groups of pictures again."""
    names = sorted(
        (name for name in answers if name != CONTROL), key=lambda name: -answers[name].probe[judged].mean()
    )
    groups = [s.group or f"path:{s.path}" for s in (catalog.samples[i] for i in judged)]
    drawn = _draws(groups)  # (R, n)
    table = np.stack([drawn @ answers[name].probe[judged] / drawn.sum(axis=1) for name in names])  # (M, R)
    ranks = 1 + (table[None] > table[:, None]).sum(axis=1)  # how many are better, for each draw
    best = answers[names[0]].probe[judged].astype(np.float64)
    # The first was chosen for its luck too: the more others there are, the less a lead over one of them says.
    level = 1 - (1 - LEVEL) / len(names)

    rows = []
    for place, name in enumerate([*names, CONTROL]):
        one = answers[name]
        hits, near = one.probe[judged], one.neighbours[judged]
        behind = of_mean(best - hits, span=(-1, 1), groups=groups, level=level) or (-1.0, 1.0)
        found: dict[str, Any] = {
            "rank": None, "rank_low": None, "rank_high": None, "probe": float(hits.mean()),
            "behind": float((best - hits).mean()), "neighbours": float(near.mean()),
        }  # fmt: skip
        if name != CONTROL:
            low, high = np.percentile(ranks[place], (2.5, 97.5))
            found |= {"rank": place + 1, "rank_low": int(np.floor(low)), "rank_high": int(np.ceil(high))}
        for column, (low, high) in (
            ("probe", of_mean(hits, groups=groups) or ALL),
            ("behind", behind if place else (0.0, 0.0)),
            ("neighbours", of_mean(near, groups=groups) or ALL),
        ):
            found |= {f"{column}_low": low, f"{column}_high": high}
        rows.append(BackboneRow(backbone=name, pictures=len(judged), **found, **one.facts))
    return tuple(rows)


def _draws(groups: Sequence[str]) -> np.ndarray:
    """(RESAMPLES, n): how often each picture is in a bootstrap sample of the groups."""
    _, member = np.unique(np.array(groups), return_inverse=True)
    count = int(member.max()) + 1
    rng = numpy_generator("compare backbones", count)
    return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)[:, member].astype(np.float64)
