"""Verbs that take a folder of pictures: train, compare, check, propose masks. Slow imports stand where they are needed,
so that a prediction begins at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.core.errors import ConfigError, refusals_in_words
from foveate.core.lock import alone
from foveate.data.audit import Audit, audit
from foveate.data.cache_config import CacheConfig
from foveate.data.discover import discover
from foveate.data.grabcut import ProposeConfig
from foveate.data.layout_settings import LayoutConfig
from foveate.data.split import SplitConfig
from foveate.evaluation.mask_agreement import Comparison
from foveate.evaluation.mask_agreement import compare_masks as compare_catalogs
from foveate.experiment import Experiment, Run, run
from foveate.experiment.mask_proposals import Proposal, check_place, listed_in
from foveate.experiment.mask_proposals import propose_masks as propose_for
from foveate.experiment.specification import DataConfig
from foveate.models.build import build_network
from foveate.recipes import STUDIES, finetune
from foveate.reporting.contact import build_contact_sheets
from foveate.studies.engine import StudyObserver, run_study
from foveate.studies.specification import Study
from foveate.training import Observer

if TYPE_CHECKING:
    from foveate.studies.backbone_comparison import BackboneComparison
    from foveate.studies.more_pictures import LearningCurve
    from foveate.studies.tables import Measured

REPORT = "report.html"


@refusals_in_words()
def train(
    data: Path | str,
    out: Path | str,
    experiment: Experiment | None = None,
    *,
    quarantine: bool = False,
    observer: Observer | None = None,
    **settings: Any,
) -> Run:
    """Train a classifier from a folder of pictures; the run folder ``out`` holds everything afterwards.

    Args:
        data: class folders, a train/val/test tree, a CSV manifest ... (see docs/pictures.md).
        out: a new folder, or one whose run was stopped: then training goes on.
        experiment: a full specification; without it ``settings`` go to the recipe ``finetune`` (backbone, weights,
            guide, augment, seed, size, ...).
        quarantine: leave out pictures in which the check found errors, instead of refusing to train.

    Raises:
        FoveateError: whatever a user can mend, in one sentence.
    """
    from foveate.reporting.report import build_report

    made = experiment or finetune(**settings)
    finished = run(made, data, out, quarantine=quarantine, observer=observer, timed=observer is not None)
    if finished.finished and not (finished.folder / REPORT).is_file():
        if observer:
            observer.message("Writing the report.")
        build_report(finished.folder)
    return finished


@refusals_in_words()
def study(
    design: Study | str,
    data: Path | str | Mapping[str, Path | str] | None,
    out: Path | str,
    *,
    jobs: int | None = None,
    quarantine: bool = False,
    observer: StudyObserver | None = None,
    **cluster: Any,
) -> "Measured":
    """Compare arms over several random seeds; the folder ``out`` holds cells, tables and report afterwards.

    Args:
        design: a Study, or the name of a study recipe (``foveate list studies``).
        data: the pictures, the same for every cell; or {name: folder} of several sets, on each of which the study is
            repeated and which are then pooled; None: the sets that ``design.data`` names.
        out: a new folder, or one whose study was stopped: then it goes on.
        jobs: cells trained at the same time (1, in a cluster as many as fit); 0 trains in this process.
        quarantine: leave out pictures in which the check found errors, instead of refusing.
        cluster: ``ray``, ``gpus`` and ``threads``, see ``run_study``.

    Returns:
        {block: (results, analysis)}; the key is "" in a study without blocks and sets.

    Raises:
        ConfigError: no such recipe, or an arm that does not fit.
        StudyError: ``out`` holds another study.
    """
    from foveate.reporting.study_folder import measure_study, publish_study

    if isinstance(design, str):
        if design not in STUDIES:
            raise ConfigError(f"There is no study recipe '{design}'; choose one of {', '.join(STUDIES)}.")
        design = STUDIES[design]()
    if isinstance(data, Mapping):
        design, data = design.on(data), None
    folder = run_study(design, data, out, jobs=jobs, quarantine=quarantine, observer=observer, **cluster)
    measured = measure_study(folder)
    publish_study(folder, measured=measured)
    return measured


@refusals_in_words()
def check(data: Path | str, layout: LayoutConfig | None = None) -> Audit:
    """What is wrong with a folder of pictures, and which trivial cues give the class away."""
    found = discover(Path(data), layout or LayoutConfig())
    return audit(found.catalog, empty_classes=found.empty_classes, cache=CacheConfig())


@refusals_in_words()
def propose_masks(
    data: Path | str,
    out: Path | str,
    config: ProposeConfig | None = None,
    *,
    run: Run | Path | str | None = None,
    weights: str | None = None,
    backbone: str | None = None,
    layout: LayoutConfig | None = None,
    everything: bool = False,
    limit: int | None = None,
    overwrite: bool = False,
    device: str = "auto",
    observer: Observer | None = None,
) -> list[Proposal]:
    """Propose masks for pictures that have none: PNG files, proposals.csv and review.html in ``out``.

    Args:
        data: the pictures; boxes among them are used as a prior.
        out: folder of the masks, later given as ``--masks``; killed, the same call goes on with what is missing.
        config: prior and settings of GrabCut.
        run: a finished run whose class maps are the prior, or whose network learns from the masks that are drawn.
        weights, backbone: the network that learns from drawn masks, where there is no run (as in ``train``).
        layout: how to read the data folder, where its names do not say it.
        everything: also pictures that have a mask, to compare with.
        limit: only so many pictures, spread evenly.
        overwrite: replace masks that were proposed with other settings; what was edited by hand is always kept.

    Raises:
        FoveateError: whatever a user can mend, in one sentence.
    """
    catalog = discover(Path(data), layout or LayoutConfig()).catalog
    check_place(catalog.root, Path(out), Path(data) if Path(data).is_dir() else None)
    opened = None if run is None else Run.open(run)
    network = None
    if config is not None and config.prior == "masks" and opened is None:
        model = finetune(weights=weights or "pretrained", backbone=backbone).model
        network = build_network(model, classes=2, size=None, seed=0)
    with alone(Path(out)):
        proposals = propose_for(
            catalog, Path(out), config, run=opened, network=network, everything=everything, limit=limit,
            overwrite=overwrite, device=device, observer=observer,
        )  # fmt: skip
        build_contact_sheets(catalog, proposals, Path(out))
    return proposals


@refusals_in_words()
def compare_masks(data: Path | str, proposed: Path | str, layout: LayoutConfig | None = None) -> Comparison:
    """Compare the masks in ``proposed`` with the known ones of ``data``, beside controls that need no method.

    Args:
        data: pictures with masks.
        proposed: a folder of masks. With the table of ``propose_masks`` in it only the pictures listed there count.
        layout: where the known masks are and which of their values count, where it is not found by itself.
    """
    known = discover(Path(data), layout or LayoutConfig()).catalog
    other = discover(Path(data), LayoutConfig(masks=Path(proposed).absolute())).catalog
    return compare_catalogs(known, other, tried=listed_in(Path(proposed)))


@refusals_in_words()
def compare_backbones(
    data: Path | str,
    backbones: Sequence[str] | None = None,
    *,
    size: int | None = None,
    folds: int = 5,
    seed: int = 0,
    layout: LayoutConfig | None = None,
    split: Path | str | None = None,
    quarantine: bool = False,
    device: str = "auto",
    observer: Observer | None = None,
) -> "BackboneComparison":
    """Rank backbones for these pictures by what a linear probe makes of their frozen features; minutes, not days.

    Args:
        data: as for ``train``; its test pictures are left alone.
        backbones: timm's names (pretrained weights are downloaded), weights files, run folders, or "NAME:none"; None:
            an ordinary one and small foundation models, as far as their weights can be had.
        size: side of the square picture in px; None: each backbone's own.
        folds: of the cross-validation.
        seed: of the folds, and of the split where one is drawn: the same as that of the training to come.
        split: a split file to follow.
    """
    from foveate.studies.backbone_comparison import compare_backbones as compare_for

    config = _pictures_of(layout, split, seed, size)
    return compare_for(
        Path(data), backbones, config, folds=folds, seed=seed, quarantine=quarantine, device=device, observer=observer
    )  # fmt: skip


@refusals_in_words()
def learning_curve(
    data: Path | str,
    backbone: str,
    *,
    size: int | None = None,
    seed: int = 0,
    layout: LayoutConfig | None = None,
    split: Path | str | None = None,
    quarantine: bool = False,
    device: str = "auto",
    observer: Observer | None = None,
) -> "LearningCurve":
    """How many more pictures would help: probes on frozen features at growing sizes, and a forecast for 2 and 4 times.

    Args: as ``compare_backbones``, of one backbone.
    """
    from foveate.studies.more_pictures import learning_curve_of

    config = _pictures_of(layout, split, seed, size)
    return learning_curve_of(
        Path(data), backbone, config, seed=seed, quarantine=quarantine, device=device, observer=observer
    )  # fmt: skip


def _pictures_of(
    layout: LayoutConfig | None, split: Path | str | None, seed: int, size: int | None
) -> DataConfig:
    divided = SplitConfig(seed=seed, file=Path(split) if split is not None else None)
    return DataConfig(layout=layout or LayoutConfig(), split=divided, size=size)
