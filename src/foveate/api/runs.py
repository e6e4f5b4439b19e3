"""Verbs that take a finished run: report, explain, invert. What draws and what tests hypotheses is imported by the
functions that need it, so that a prediction begins at once."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from torch import nn

from foveate.core.config import parse
from foveate.core.errors import ConfigError, refusals_in_words
from foveate.core.lock import alone, check_new
from foveate.data.catalog import composed
from foveate.evaluation.look_table import LookTable
from foveate.evaluation.subject import pick_device
from foveate.experiment import Run
from foveate.experiment.class_channels import LAYERS, channels_of_run
from foveate.experiment.run_explainer import RunExplainer, explain_config, pictures_of
from foveate.experiment.subjects import agreeing_pictures
from foveate.explanation.inversion import Inversion
from foveate.explanation.inversion import invert as invert_network
from foveate.explanation.probe import Progress
from foveate.explanation.summit import Summit, SummitConfig
from foveate.reporting.card import Answers, write_card
from foveate.reporting.channels import write_channels
from foveate.reporting.explanation_folder import FOLDER, Explanations
from foveate.reporting.explanations import write_explanations
from foveate.reporting.inversions import write_inversion
from foveate.training import Observer


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
        runs.append(Run.open(compare))
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
    return write_card(
        run.folder if isinstance(run, Run) else Path(run),
        Path(out) if out else None,
        Path(study) if study else None,
    )


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
    runs = [Run.open(item) for item in (run, *compare)]
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
    opened = Run.open(run)
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


@refusals_in_words()
def look(run: Run | Path | str, data: Path | str | None = None, **settings: Any) -> LookTable:
    """Are the maps right: explanation methods x scores on a run's test pictures, or on ``data``; see ``Run.look``."""
    return Run.open(run).look(data, **settings)


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
