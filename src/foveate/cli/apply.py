"""foveate evaluate, predict, report"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from foveate.cli.command import command
from foveate.cli.flags import LAYOUT, Typed, layout_of, words
from foveate.cli.result_lines import result_lines
from foveate.cli.screen import fail, open_run, say, show, table, tell, watched
from foveate.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from foveate.data.cache import Progress
    from foveate.evaluation.answer_rule import AnswerRule
    from foveate.evaluation.predictions import PredictionTable
    from foveate.experiment import Run
    from foveate.experiment.familiarity import Familiarity

    Told = tuple[AnswerRule | None, str]
    """What says when an answer is not sure, and how often a picture is called far for nothing."""

T = TypeVar("T")
SHOWN = 10
"""Pictures named on the screen; a file lists all."""


@command(*LAYOUT)
def evaluate(
    run: Path, *, typed: Typed, data: Path | None = None, backgrounds: Path | None = None, measures: str = "",
    tta: str | None = None, out: Path | None = None, device: str = "auto",
) -> None:  # fmt: skip
    """Measure a finished run: accuracy with interval, per class, calibration, where it looks.

    Args:
        data: Another labelled data set, read as the run's own was; default: that one.
        backgrounds: Folder of your own pictures, which are put behind the objects; needs masks.
        measures: What else to measure (foveate list evaluators), separated by commas, as textures,moved_object.
        out: Also write the prediction table here (CSV).
    """
    from foveate.evaluation.answering import answering, in_words

    opened = open_run(run)
    layout = layout_of(typed, opened.experiment.data.layout)
    further: list[str | dict[str, Any]] = [*words(measures)]
    if backgrounds is not None:
        further.append({"kind": "folder_backgrounds", "folder": str(backgrounds.absolute())})
    predictions, found = opened.measure(
        data, tta=tta, device=device, layout=layout, measures=further, told=tell
    )
    if out:
        predictions.to_csv(out)
    rule = if_known(lambda: opened.answer_rule(tta=tta))
    for split, metrics in found.items():
        for line in result_lines(split, metrics, calibration=True):
            say(line)
        if rule is not None and split == "test" and metrics["accuracy"] is not None:
            for line in in_words(answering(predictions.of_split(split), rule)):
                say(line)
        if metrics["accuracy"] is not None:
            show(table(("*class", "n", "precision", "recall", "F1"), map(_class_row, metrics["per_class"])))


def if_known(find: Callable[[], T]) -> T | None:
    """What the run's own pictures tell; what keeps them from telling is said."""
    try:
        return find()
    except DataError as error:
        tell(str(error))
        return None


def _class_row(row: dict[str, object]) -> list[str]:
    figures = [row[name] for name in ("precision", "recall", "f1")]
    return [str(row["class_id"]), str(row["support"]), *("-" if f is None else f"{f:.3f}" for f in figures)]


@command()
def predict(
    run: Path,
    paths: list[Path],
    *,
    out: Path,
    layout: str = "table",
    arm: str = "",
    block: str = "",
    level: float = 0.95,
    quick: bool = False,
    tta: str | None = None,
    device: str = "auto",
    ray: str | None = None,
    gpus: Annotated[float, typer.Option(min=0)] = 0,
) -> None:
    """Predict new pictures with a finished run, and say where it is not sure and what is unlike its training pictures.

    Args:
        run: A run folder, a study's folder with --arm (the networks of all seeds are averaged), or an ONNX file that
            foveate export wrote.
        out: The file to write, .csv or .json.
        layout: table (probabilities and all), competition (file, class id), or JSON for fiftyone, labelstudio, coco.
        arm: Of a study: the arm whose networks predict.
        block: Of a study with blocks or sets: which table's.
        level: Share of its sure answers that should be right.
        quick: Leave out how far pictures are from the training pictures, which are read once for that.
        gpus: With --ray: accelerators of each task; 0.5 lets two share one.
    """
    from foveate.core.files import write_csv
    from foveate.data.listing import shared_folder
    from foveate.evaluation.prediction_files import LAYOUTS

    if layout not in LAYOUTS:
        raise ConfigError(f"There is no layout '{layout}'; choose one of {', '.join(LAYOUTS)}.")
    form = LAYOUTS[layout]
    if out.suffix not in form.suffixes:
        raise ConfigError(f"--out takes a {' or '.join(form.suffixes)} file for '{layout}', got '{out}'.")
    asked, distance = level if form.judged else None, form.judged and not quick
    onnx, study = run.suffix.lower() == ".onnx" and not run.is_dir(), (run / "study.yaml").is_file()
    if (arm or block) and not study:
        raise ConfigError(f"--arm and --block name networks of a study, and {run} is no study's folder.")
    if gpus and ray is None:
        raise ConfigError("--gpus is for the tasks of a Ray cluster (--ray); without one say --device.")
    if ray is not None:
        if onnx or study or (layout, out.suffix) != ("table", ".csv"):
            raise ConfigError(
                "--ray takes a run folder and writes a table as .csv; leave it out for anything else."
            )
        counts, unreadable, (rule, far) = _predict_in_cluster(
            open_run(run), paths, out, asked, distance, tta, device, ray, gpus
        )
    else:
        if onnx:
            predictions, (rule, far) = _predict_onnx(run, paths, asked, distance, tta, device)
        elif study:
            predictions, (rule, far) = _predict_study(run, paths, arm, block, asked, distance, tta, device)
        else:
            predictions, (rule, far) = _predict_run(open_run(run), paths, asked, distance, tta, device)
        form.write(predictions, out, shared_folder(paths))
        counts, unreadable = _counted([predictions])
    say(f"{counts['pictures']} predictions in ", out)
    if rule is not None and "not_sure" in counts:
        say(rule.in_words(counts["not_sure"], counts["pictures"]))
    if "far" in counts:
        say(f"{counts['far']} of them far from the training pictures. {far}")
    left_out = out.with_name(f"{out.stem}.unreadable.csv")
    if not unreadable:
        left_out.unlink(missing_ok=True)  # of an earlier call
        return
    write_csv(left_out, ("path", "reason"), list(unreadable.items()))
    for path, why in list(unreadable.items())[:SHOWN]:
        say(("not read:", "yellow"), f" {path}: {why}")
    total = counts["pictures"] + len(unreadable)
    fail(f"{len(unreadable)} of {total} pictures could not be read and have no prediction; see {left_out}.")


def _counted(tables: Iterable["PredictionTable"]) -> tuple[Counter[str], dict[str, str]]:
    """{"pictures", "not_sure", "far": how many}, the last two where it is known; {picture that was not read: why}."""
    counts, unreadable = Counter[str](), dict[str, str]()
    for given in tables:
        counts["pictures"] += len(given)
        for column in ("not_sure", "far"):
            if column in given.look:
                counts[column] += int(given.look[column].sum())
        unreadable |= given.unreadable
    return counts, unreadable


def _judging(
    run: "Run", level: float | None, distance: bool, tta: str | None, device: str, progress: "Progress"
) -> tuple[dict[str, Any], "Told"]:
    """How a run predicts, and what its columns mean."""
    if _without_validation([run], run.folder, level, distance):
        level, distance = None, False
    rule = None if level is None else if_known(lambda: run.answer_rule(level, tta))
    known = if_known(lambda: run.familiarity(device, progress)) if distance else None
    settings = {"tta": tta, "device": device, "level": rule and level, "familiarity": known}
    return settings, (rule, known.words if known else "")


def _without_validation(runs: Iterable["Run"], folder: Path, level: float | None, distance: bool) -> bool:
    """Is said, once, where one kept no validation pictures and something is asked of them."""
    splits = [{row["split"] for row in run.listed} for run in runs]
    missing = any(known and "val" not in known for known in splits)
    if missing and level is not None:
        unsure, columns = "which answers are unsure", "calibrated, not_sure and possible"
        if distance:
            unsure = f"{unsure} or which pictures are far"
            columns = "calibrated, not_sure, possible, distance and far"
        tell(
            f"{folder} kept no validation pictures, so it cannot say {unsure}; the columns {columns} are missing, and "
            "confidences are likely too high."
        )
    return missing


def _predict_run(
    run: "Run", paths: list[Path], level: float | None, distance: bool, tta: str | None, device: str
) -> tuple["PredictionTable", "Told"]:
    with watched() as screen:
        settings, told = _judging(run, level, distance, tta, device, screen.progress)
        return run.predict(paths, quarantine=True, **settings), told


def _predict_in_cluster(
    run: "Run", paths: list[Path], out: Path, level: float | None, distance: bool, tta: str | None, device: str,
    ray: str, gpus: float,
) -> tuple[Counter[str], dict[str, str], "Told"]:  # fmt: skip
    """What is told of the answers, which are written piece by piece."""
    from foveate.core.cluster import Cluster
    from foveate.experiment.cluster_predictions import predict_in_cluster

    with watched() as screen, Cluster(ray, gpus=gpus) as cluster:
        settings, told = _judging(run, level, distance, tta, device, screen.progress)
        tables = predict_in_cluster(run, paths, out, cluster, progress=screen.progress, **settings)
        return *_counted(tables), told


def _predict_study(
    folder: Path, paths: list[Path], arm: str, block: str, level: float | None, distance: bool, tta: str | None,
    device: str,
) -> tuple["PredictionTable", "Told"]:  # fmt: skip
    """The averaged answers of an arm's networks; what averaging gains is said."""
    from foveate.studies.network_to_use import (
        answer_rule_of,
        averaged,
        far_in_words,
        finished_runs,
        gain,
        keeping_weights,
        unfinished,
    )

    runs = keeping_weights(finished_runs(folder, arm, block), folder)
    missing, planned = unfinished(folder, arm, block, runs)
    if missing:
        tell(f"{missing} of the {planned} runs of '{arm}' are not finished; the others answer alone.")
    found = gain(runs)
    if found is not None:
        name = {"val": "validation", "test": "test"}[found.split]
        say(
            f"On {found.pictures} {name} pictures that two or more of the {len(runs)} networks have not learnt from: "
            f"one network {100 * found.one:.1f} % right, averaged {100 * found.averaged:.1f} %."
        )
    if _without_validation(runs, folder, level, distance):
        level, distance = None, False
    rule = None if level is None else if_known(lambda: answer_rule_of(runs, level, tta))
    tables: list[PredictionTable] = []
    known: list[Familiarity] = []
    with watched() as screen:
        for number, opened in enumerate(runs):
            find = partial(opened.familiarity, device, screen.progress)
            familiar = if_known(find) if distance and len(known) == number else None
            known += [familiar] if familiar else []
            tables.append(
                opened.predict(paths, tta=tta, device=device, quarantine=True, familiarity=familiar)
            )
            screen.progress("Networks", number + 1, len(runs))
    joined = averaged(tables)
    told = rule, far_in_words(known) if "far" in joined.look else ""
    return joined if rule is None else rule.on(joined), told


def _predict_onnx(
    file: Path, paths: list[Path], level: float | None, distance: bool, tta: str | None, device: str
) -> tuple["PredictionTable", "Told"]:
    """With an exported network, whose thresholds and views are inside."""
    from foveate.evaluation.answer_rule import false_alarms
    from foveate.export.onnx_classifier import OnnxClassifier

    if tta is not None or device not in ("auto", "cpu"):
        raise ConfigError(
            "An ONNX file has its test-time views inside and runs on the CPU: leave --tta, --device."
        )
    classifier = OnnxClassifier(file)
    rule, far = classifier.card.rule, classifier.card.far
    if level is not None and rule is not None and rule.level != level:
        raise ConfigError(
            f"{file} knows when it is sure at --level {rule.level:g} alone, at which it was exported."
        )
    for wanted, known, what in (
        (level is not None, rule, "when it is sure"),
        (distance, far, "what is far from its training pictures"),
    ):
        if wanted and known is None:
            tell(f"{file} does not know {what}: that was not known when it was exported.")
    predictions = classifier.predict(paths, judged=level is not None, distance=distance)
    return predictions, (rule, f"{false_alarms(far.rate, far.n)}." if far else "")


@command()
def report(
    run: Path, *, out: Path | None = None, compare: Path | None = None, explain: str = "", layers: str = "",
    feature_maps: bool = False, assets: bool = False, device: str = "auto",
) -> None:  # fmt: skip
    """Write the run's report, or compare it with another run: one HTML file that needs nothing else.

    Args:
        out: Where to write it; default: RUN/report.html, or RUN/comparison.html.
        compare: Another run on the same test pictures: who is right where the other is wrong.
        explain: First explain pictures of the page, by methods joined by commas (foveate list explainers).
        layers: Where in the network: first, second, last, stage:K or a module, joined by commas.
        feature_maps: First compute feature maps before training, at epochs that were kept, and after it.
        assets: Put every picture into a folder beside the file; without it the file holds as many as open well.
    """
    from foveate import api
    from foveate.core import manifest

    note = manifest.unchecked(run)
    if note:
        tell(note)
    with watched(kept="the pictures explained so far") as screen:
        written = api.report(
            run, out, compare=compare, explain=words(explain), layers=words(layers),
            feature_maps=feature_maps, assets=assets, device=device, observer=screen,
        )  # fmt: skip
    say("Report: ", written)


@command()
def card(run: Path, *, out: Path | None = None, study: Path | None = None) -> None:
    """Write a model card and answers to DOME, REFORMS, TRIPOD+AI and CLAIM, as far as the run's files say them.

    Args:
        out: The folder to write; default: RUN/card.
        study: A study folder, for what is asked about comparisons.
    """
    from foveate import api

    folder, found = api.card(run, out, study=study)
    say("Model card: ", folder / "model_card.md")
    for name, answers in found.items():
        say(
            f"{answers.title}: {answers.answered} of {len(answers.items)} items answered, in ",
            folder / f"{name}.md",
        )
