"""Which pictures may have the wrong label: those whose label a probe that never saw them doubts most."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from foveate.core.errors import ConfigError, DataError
from foveate.data.audit import Audit, Problem
from foveate.data.audit.report import in_order
from foveate.data.cache import Progress
from foveate.data.catalog import UNLABELLED, Catalog
from foveate.data.split import SplitConfig, split
from foveate.evaluation.features import features_of
from foveate.evaluation.subject import pick_device, quiet
from foveate.experiment.run_folder import RunFolder
from foveate.experiment.specification import DataConfig
from foveate.studies.feature_probes import out_of_fold
from foveate.studies.frozen_network import frozen, undivided

FOLDS = 5


@dataclass(frozen=True)
class Doubt:
    """A label that may be wrong."""

    row: int
    label: int
    likely: int
    """The class that the picture seems to have."""
    of_label: float
    """Probability of the label."""
    of_likely: float


def doubts(probabilities: np.ndarray, labels: np.ndarray) -> list[Doubt]:
    """Doubted labels, the most doubted first, by confident learning (Northcutt et al., JAIR 2021; cleanlab computes).

    Args:
        probabilities: (N, C), out of fold.
        labels: (N,), each class at least once.
    """
    from cleanlab.filter import find_label_issues  # seconds to import

    rows = find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    likely = probabilities.argmax(axis=1)
    return [
        Doubt(
            row, int(labels[row]), int(likely[row]), *probabilities[row, [labels[row], likely[row]]].tolist()
        )
        for row in rows.tolist()
        if likely[row] != labels[row]
    ]


def with_doubted_labels(
    audit: Audit, network: str, config: DataConfig | None = None, *, seed: int = 0, device: str = "auto",
    progress: Progress = quiet,
) -> Audit:  # fmt: skip
    """The audit with a problem ``label-doubtful`` for each doubted label, the most doubted first.

    Probes on features of a frozen network answer each picture out of fold; groups and near copies stay in one fold.
    Pictures that have errors, and classes too small for a fold, are left alone.

    Args:
        network: as ``studies.frozen_network.frozen`` takes it; of a run folder the weights that it started from, since
            the trained ones have learnt the labels, the wrong ones too.
        config: size and fit of the pictures.

    Raises:
        ConfigError, WeightsError: the network cannot be built, or the run started from random weights.
        DataError: fewer than two classes have enough pictures.
    """
    config = config or DataConfig()
    out = audit.quarantine()
    rows = [i for i, s in enumerate(audit.catalog.samples) if s.label != UNLABELLED and s.path not in out]
    pool = undivided(audit.catalog, rows, audit.alike)
    drawn = split(pool, SplitConfig(folds=FOLDS, seed=seed)).folds if len(pool) else ()
    folds = np.array(drawn, dtype=np.int64)
    judged = np.flatnonzero(folds >= 0)
    known, labels = np.unique(pool.labels[judged], return_inverse=True)
    if len(known) < 2:
        raise DataError(
            f"{pool.root}: labels are doubted where two classes or more can be divided into folds."
        )
    name, size = _untrained(network)
    config = config.model_copy(update={"size": config.size or size})
    subject = frozen(name, pool, config, pick_device(device), progress)
    features, _ = features_of(subject, judged, "features of pictures", config.cache)
    probabilities = out_of_fold(features, labels, folds[judged])
    right = float((probabilities.argmax(axis=1) == labels).mean())
    told = Problem.of(
        "label-doubtful", "", f"A probe names {right:.0%} of {len(judged)} pictures as their labels do; the fewer, the "
        "more of these doubts are its own mistakes."
    )  # fmt: skip
    found = doubts(probabilities, labels)
    problems = [told, *(_problem(doubt, pool, judged, known) for doubt in found)] if found else []
    return replace(audit, problems=in_order([*audit.problems, *problems]))


def _problem(doubt: Doubt, pool: Catalog, judged: np.ndarray, known: np.ndarray) -> Problem:
    label, likely = (pool.classes[known[c]] for c in (doubt.label, doubt.likely))
    said = f"looks like {likely} ({doubt.of_likely:.0%}), labelled {label} ({doubt.of_label:.1%})"
    return Problem.of("label-doubtful", pool.samples[judged[doubt.row]].path, said)


def _untrained(network: str) -> tuple[str, int | None]:
    """The network; of a run folder the weights that it started from, and the side of its pictures."""
    folder = Path(network).expanduser()
    if not (folder / "experiment.yaml").is_file():
        return network, None
    experiment = RunFolder.open(folder).experiment
    model = experiment.model
    if model.weights == "none" or experiment.start is not None:
        raise ConfigError(
            f"The run in {folder} did not start from weights that know pictures; name a network or a weights file to "
            "doubt labels with."
        )
    return str(model.backbone) if model.weights == "pretrained" else model.weights, experiment.data.size
