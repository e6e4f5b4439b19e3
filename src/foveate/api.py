"""The Python API: the same shape as the command line. What draws and what tests hypotheses is imported by the
functions that need it, so that a prediction begins at once."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from foveate.core.config import parse
from foveate.core.errors import ConfigError, refusals_in_words
from foveate.core.lock import alone
from foveate.data.audit import Audit, audit
from foveate.data.cache_config import CacheConfig
from foveate.data.catalog import composed
from foveate.data.discover import discover
from foveate.data.grabcut import ProposeConfig
from foveate.data.layout_settings import LayoutConfig
from foveate.data.split import SplitConfig
from foveate.evaluation.look_table import LookTable
from foveate.evaluation.mask_agreement import Comparison
from foveate.evaluation.mask_agreement import compare_masks as compare_catalogs
from foveate.evaluation.subject import pick_device
from foveate.experiment import Experiment, Run, run
from foveate.experiment.class_channels import LAYERS, channels_of_run
from foveate.experiment.mask_proposals import Proposal, check_place, listed_in
from foveate.experiment.mask_proposals import propose_masks as propose_for
from foveate.experiment.run_explainer import RunExplainer, explain_config, pictures_of
from foveate.experiment.specification import DataConfig
from foveate.experiment.subjects import agreeing_pictures
from foveate.explanation.inversion import Inversion
from foveate.explanation.inversion import invert as invert_network
from foveate.explanation.probe import Progress
from foveate.explanation.summit import Summit, SummitConfig
from foveate.models.build import build_network
from foveate.recipes import STUDIES, finetune
from foveate.reporting.card import Answers, write_card
from foveate.reporting.channels import write_channels
from foveate.reporting.contact import build_contact_sheets
from foveate.reporting.explanation_folder import FOLDER, Explanations
from foveate.reporting.explanations import write_explanations
from foveate.reporting.inversions import check_new, write_inversion
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
def report(
    run: Run | Path | str, out: Path | str | None = None, *, compare: Run | Path | str | None = None,
    explain: Sequence[str] = (), layers: Sequence[str] = (), feature_maps: bool = False, assets: bool = False,
    device: str = "auto", observer: Observer | None = None,
) -> Path:  # fmt: skip
    """Write the report of a run or of a study: one HTML file, into its folder unless ``out`` says where.

    A study's tables and figures are written as well.

    Args:
        compare: another run on the same test pictures: then the page says who is right where the other is wrong.
        explain: methods by which up to 200 pictures of the page are explained first, wrong answers before others.
        layers: of these methods.
        feature_maps: draw what the network's feature maps were before training, at kept epochs and after it.
        assets: of a run: every picture lies in a folder beside the file; without it the file holds as many as open
            well.

    Raises:
        ConfigError: a study is asked for what only runs have.
    """
    from foveate.experiment.feature_stages import FILE, feature_stages
    from foveate.reporting.comparison import build_comparison, shown_first
    from foveate.reporting.report import build_report, readable_run
    from foveate.reporting.study_folder import is_study, publish_study

    folder = run.folder if isinstance(run, Run) else Path(run)
    file = Path(out) if out else None
    if is_study(folder):
        if compare is not None or explain or feature_maps or assets:
            raise ConfigError(
                f"{folder} is a study; compare, explain, feature maps and assets are for the report of a run."
            )
        return publish_study(folder, file)
    runs = [Run.open(folder)]
    if compare is not None:
        runs.append(compare if isinstance(compare, Run) else Run.open(compare))
    if explain:
        paths = shown_first([readable_run(one.folder) for one in runs])
        for one in runs:
            explain_pictures(one, paths, method=explain, layers=layers, device=device, observer=observer)
    if feature_maps:
        feature_stages(runs[0], device).save(runs[0].folder / FILE)
    if len(runs) > 1:
        return build_comparison(runs[0].folder, runs[1].folder, file, assets=assets)
    return build_report(runs[0].folder, file, assets=assets)


@refusals_in_words()
def card(
    run: Run | Path | str, out: Path | str | None = None, *, study: Path | str | None = None
) -> tuple[Path, dict[str, Answers]]:
    """Write model_card.md and answers to DOME, REFORMS, TRIPOD+AI and CLAIM, as far as the files of a run say them.

    Args:
        out: a folder; None: ``card`` in the run's.
        study: a study folder, whose comparisons answer what is asked about tests against baselines.
    """
    folder = run.folder if isinstance(run, Run) else Path(run)
    return write_card(folder, Path(out) if out else None, Path(study) if study else None)


@refusals_in_words()
def study(
    design: Study | str,
    data: Path | str | Mapping[str, Path | str] | None,
    out: Path | str,
    *,
    jobs: int = 1,
    quarantine: bool = False,
    observer: StudyObserver | None = None,
) -> "Measured":
    """Compare arms over several random seeds; the folder ``out`` holds cells, tables and report afterwards.

    Args:
        design: a Study, or the name of a study recipe (``foveate list studies``).
        data: the pictures, the same for every cell; or {name: folder} of several sets, on each of which the study is
            repeated and which are then pooled; None: the sets that ``design.data`` names.
        out: a new folder, or one whose study was stopped: then it goes on.
        jobs: cells trained at the same time; 0 trains in this process.
        quarantine: leave out pictures in which the check found errors, instead of refusing.

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
    folder = run_study(design, data, out, jobs=jobs, quarantine=quarantine, observer=observer)
    measured = measure_study(folder)
    publish_study(folder, measured=measured)
    return measured


@refusals_in_words()
def explain_pictures(
    run: Run | Path | str,
    paths: Path | str | Sequence[Path | str] = (),
    out: Path | str | None = None,
    method: str | Sequence[str] = "gradcam",
    layers: str | Sequence[str] = (),
    *,
    compare: Sequence[Run | Path | str] = (),
    agreeing: int | None = None,
    device: str = "auto",
    observer: Observer | None = None,
    **settings: Any,
) -> Explanations:
    """Write where one run or several look: overlays, raw maps, contact sheets and a manifest in ``out``.

    Killed and started again, the same call goes on with the pictures that are missing.

    Args:
        run: a finished run.
        paths: pictures and folders of pictures.
        out: a new folder, or one that was begun by the same call; None: ``explanations`` in the run's folder.
        method: one or several names in ``EXPLAINERS``.
        layers: of methods that work at a feature map: first, second, last, ...; none means last.
        compare: more runs that explain the same pictures, side by side.
        agreeing: instead of ``paths`` so many of the run's test pictures, the first of each class that all runs name
            correctly.
        settings: fields of ``ExplainConfig``: target, evidence, precision, chunk, seed, settings.

    Raises:
        FoveateError: whatever a user can mend, in one sentence.
    """
    runs = [_opened(item) for item in (run, *compare)]
    config = explain_config(method, layers, settings)
    explainers = [RunExplainer(item, config, device) for item in runs]
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    if bool(given) == (agreeing is not None):
        raise ConfigError(
            "Name pictures or folders to explain, or a number of agreeing test pictures; not both."
        )
    chosen = given if agreeing is None else agreeing_pictures(runs, agreeing, device)
    folder = runs[0].folder / FOLDER if out is None else Path(out)
    return write_explanations(explainers, pictures_of(chosen), folder, observer)


@refusals_in_words()
def invert(
    run: Run | nn.Module | Path | str,
    classes: Sequence[str | int] | str | int | None = None,
    out: Path | str | None = None,
    *,
    layer: str | None = None,
    channels: Sequence[int] | int | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    **settings: Any,
) -> Inversion:
    """What a class, or a channel of a layer, looks like to a network: pictures that it answers strongly.

    Args:
        run: a finished run, or any network.
        classes: names or numbers; None: all, unless ``layer`` is given.
        out: a new folder for the pictures, a contact sheet and a manifest; None: nothing is written.
        layer: with ``channels``: units inside the network instead of classes.
        settings: further arguments of ``foveate.explanation.invert``: size, recipe, seed, steps, blur ...

    Raises:
        FoveateError: whatever a user can mend, in one sentence.
    """
    opened = Run.open(run) if isinstance(run, Path | str) else run
    names: Sequence[str] = opened.catalog.classes if isinstance(opened, Run) else ()
    model = opened.model if isinstance(opened, Run) else opened
    if out is not None:
        check_new(Path(out))
    with alone(Path(out)) if out is not None else nullcontext():
        found = invert_network(
            model.to(pick_device(device)), _class_numbers(classes, names), layer=layer, channels=channels,
            progress=progress, **settings,
        )  # fmt: skip
        if out is not None:
            known = names or [f"class {number}" for number in range(max(found.numbers) + 1)]
            write_inversion(found, Path(out), opened if isinstance(opened, Run) else None, known)
    return found


@refusals_in_words()
def summit(
    run: Run | Path | str,
    out: Path | str,
    layers: Sequence[str] = LAYERS,
    *,
    split: str = "train",
    limit: int | None = None,
    inversions: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
    **settings: Any,
) -> Summit:
    """Which channels matter for each class, what feeds them, and the pictures they answer most: a folder ``out``.

    Args:
        run: a finished run.
        out: a new folder.
        layers: from the input to the output: early, middle, late, stage:K, or modules.
        split: train, val or test; by true classes.
        limit: at most so many pictures of each class.
        inversions: also a picture made for each listed channel (minutes).
        settings: fields of ``foveate.explanation.summit.SummitConfig``: top, share, channels, examples.

    Raises:
        FoveateError: whatever a user can mend, in one sentence.
    """
    opened = _opened(run)
    config = parse(SummitConfig, settings, source="summit")
    check_new(Path(out))
    with alone(Path(out)):
        found = channels_of_run(
            opened, layers, config, split=split, limit=limit, device=device, progress=progress
        )
        made = []
        if inversions:
            for layer in found.layers:
                numbers = sorted({c.channel for c in found.channels if c.layer == layer})
                made.append(invert(opened, layer=layer, channels=numbers, device=device, progress=progress))
        write_channels(found, opened, Path(out), config, split=split, inversions=made)
    return found


def _opened(run: Run | Path | str) -> Run:
    return run if isinstance(run, Run) else Run.open(run)


def _class_numbers(classes: Sequence[str | int] | str | int | None, names: Sequence[str]) -> list[int] | None:
    if classes is None:
        return None
    names = [composed(name) for name in names]
    wanted = [classes] if isinstance(classes, str | int) else list(classes)
    wanted = [composed(value) if isinstance(value, str) else value for value in wanted]
    for value in wanted:
        if isinstance(value, str) and value not in names:
            raise ConfigError(f"There is no class '{value}'; choose among {', '.join(names) or 'numbers'}.")
    return [names.index(value) if isinstance(value, str) else value for value in wanted]


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
    opened = None if run is None else _opened(run)
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
def look(run: Run | Path | str, data: Path | str | None = None, **settings: Any) -> LookTable:
    """Are the maps right: explanation methods x scores on a run's test pictures, or on ``data``; see ``Run.look``."""
    return _opened(run).look(data, **settings)


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
