"""The Python API: the same shape as the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foveate.core.errors import ConfigError
from foveate.data.audit import Audit, audit
from foveate.data.discover import LayoutConfig, discover
from foveate.data.propose import ProposeConfig
from foveate.evaluation.look_table import LookTable
from foveate.evaluation.masks import Comparison
from foveate.evaluation.masks import compare_masks as compare_catalogs
from foveate.experiment import Experiment, Run, run
from foveate.experiment.explaining import RunExplainer, agreeing_pictures, explain_config, pictures_of
from foveate.experiment.propose import Proposal, check_place, listed_in
from foveate.experiment.propose import propose_masks as propose_for
from foveate.recipes import STUDIES, finetune
from foveate.reporting import build_report
from foveate.reporting.contact import build_contact_sheets
from foveate.reporting.explanations import FOLDER, Explanations, write_explanations
from foveate.reporting.study_folder import is_study, measure_study, publish_study
from foveate.studies.engine import StudyObserver, run_study
from foveate.studies.specification import Study
from foveate.studies.tables import Measured
from foveate.training import Observer

REPORT = "report.html"


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
        data: class folders, a train/val/test tree, a CSV manifest ... (see docs/data.md).
        out: a new folder, or one whose run was stopped: then training goes on.
        experiment: a full specification; without it ``settings`` go to the recipe ``finetune`` (backbone, weights,
            guide, augment, seed, size, ...).
        quarantine: leave out pictures in which the check found errors, instead of refusing to train.

    Raises:
        FoveateError: whatever a user can mend, in one sentence.
    """
    finished = run(experiment or finetune(**settings), data, out, quarantine=quarantine, observer=observer)
    if finished.finished and not (finished.folder / REPORT).is_file():
        build_report(finished.folder)
    return finished


def report(run: Run | Path | str, out: Path | str | None = None) -> Path:
    """Write the report of a run or of a study: one HTML file, into its folder unless ``out`` says where.

    A study's tables and figures are written as well.
    """
    folder = run.folder if isinstance(run, Run) else Path(run)
    file = Path(out) if out else None
    if is_study(folder):
        return publish_study(folder, file)
    return build_report(Run.open(folder).folder, file)


def study(
    design: Study | str,
    data: Path | str,
    out: Path | str,
    *,
    jobs: int = 1,
    quarantine: bool = False,
    observer: StudyObserver | None = None,
) -> Measured:
    """Compare arms over several random seeds; the folder ``out`` holds cells, tables and report afterwards.

    Args:
        design: a Study, or the name of a study recipe (``foveate list studies``).
        data: the pictures, the same for every cell.
        out: a new folder, or one whose study was stopped: then it goes on.
        jobs: cells trained at the same time; 0 trains in this process.
        quarantine: leave out pictures in which the check found errors, instead of refusing.

    Returns:
        {block: (results, analysis)}; the key is "" in a study without blocks.

    Raises:
        ConfigError: no such recipe, or an arm that does not fit.
        StudyError: ``out`` holds another study.
    """
    if isinstance(design, str):
        if design not in STUDIES:
            raise ConfigError(f"There is no study recipe '{design}'; choose one of {', '.join(STUDIES)}.")
        design = STUDIES[design]()
    folder = run_study(design, data, out, jobs=jobs, quarantine=quarantine, observer=observer)
    publish_study(folder)
    return measure_study(folder)


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
    runs = [item if isinstance(item, Run) else Run.open(item) for item in (run, *compare)]
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


def check(data: Path | str, layout: LayoutConfig | None = None) -> Audit:
    """What is wrong with a folder of pictures, and which trivial cues give the class away."""
    found = discover(Path(data), layout or LayoutConfig())
    return audit(found.catalog, empty_classes=found.empty_classes)


def propose_masks(
    data: Path | str,
    out: Path | str,
    config: ProposeConfig | None = None,
    *,
    run: Run | Path | str | None = None,
    layout: LayoutConfig | None = None,
    everything: bool = False,
    limit: int | None = None,
    overwrite: bool = False,
    device: str = "auto",
    observer: Observer | None = None,
) -> list[Proposal]:
    """Propose masks by GrabCut for pictures that have none: PNG files, proposals.csv and review.html in ``out``.

    Args:
        data: the pictures; boxes among them are used as a prior.
        out: folder of the masks, later given as ``--masks``; killed, the same call goes on with what is missing.
        config: prior and settings of GrabCut.
        run: a finished run whose class maps are the prior.
        layout: how to read the data folder, where its names do not say it.
        everything: also pictures that have a mask, to compare with.
        limit: only so many pictures, spread evenly.
        overwrite: replace masks that were proposed with other settings; what was edited by hand is always kept.

    Raises:
        FoveateError: whatever a user can mend, in one sentence.
    """
    catalog = discover(Path(data), layout or LayoutConfig()).catalog
    check_place(catalog.root, Path(out), Path(data) if Path(data).is_dir() else None)
    opened = Run.open(run) if isinstance(run, Path | str) else run
    proposals = propose_for(
        catalog, Path(out), config, run=opened, everything=everything, limit=limit, overwrite=overwrite,
        device=device, observer=observer,
    )  # fmt: skip
    build_contact_sheets(catalog, proposals, Path(out))
    return proposals


def look(run: Run | Path | str, data: Path | str | None = None, **settings: Any) -> LookTable:
    """Are the maps right: explanation methods x scores on a run's test pictures, or on ``data``; see ``Run.look``."""
    opened = run if isinstance(run, Run) else Run.open(run)
    return opened.look(data, **settings)


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
