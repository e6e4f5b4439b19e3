"""The network to use after a study: those of an arm's seeds averaged, or one trained once more on all pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from foveate.core.errors import StudyError
from foveate.core.files import write_json
from foveate.core.intervals import of_answers
from foveate.core.manifest import WEIGHTS
from foveate.evaluation.answer_rule import AnswerRule, false_alarms
from foveate.evaluation.answering import answer_rule
from foveate.evaluation.calibration import log_probabilities
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment import Experiment, Run, run
from foveate.experiment.familiarity import Familiarity
from foveate.experiment.ownership import claim
from foveate.studies.engine import folder_of
from foveate.studies.specification import PLACEBO
from foveate.studies.study_reader import FINAL, open_study
from foveate.training import Observer
from foveate.training.decisions import FILE as DECISIONS
from foveate.training.phases import better

EXPECTED = "expected accuracy"
"""Name of the decision that says how good a network is that was trained on all pictures."""
EXPECTED_INTERVAL = f"{EXPECTED}, 95 % interval"
RULE = "the highest mean accuracy on the validation pictures, of the arms that are no placebo"


@dataclass(frozen=True)
class Gain:
    """What averaging gives on pictures from which several of the networks have not learnt."""

    pictures: int
    split: str
    """val, or test where there are no validation pictures: nothing is chosen by it."""
    one: float
    """Accuracy of one network, the mean over those that have not seen a picture; a share."""
    averaged: float
    """Accuracy of their averaged probabilities."""


def finished_runs(folder: Path, arm: str, block: str = "") -> list[Run]:
    """The finished runs of an arm, a seed or fold each.

    Args:
        block: name of the table, where the study has blocks or sets.

    Raises:
        StudyError: no such arm or block; none is finished.
    """
    study = open_study(folder)
    arms, blocks = list(study.arm_changes()), study.block_names
    if arm not in arms:
        raise StudyError(f"The study {folder} has no arm '{arm}'; choose of {'; '.join(arms)} (--arm).")
    if block not in blocks:
        which = f"several tables; choose of {'; '.join(blocks)}" if any(blocks) else "one table; leave out"
        raise StudyError(f"The study {folder} has {which} (--block).")
    cells = [cell for cell in study.cells() if cell.arm == arm and cell.block == block]
    runs = [run for run in (Run(folder_of(folder, cell)) for cell in cells) if run.finished]
    if not runs:
        raise StudyError(f"No run of '{arm}' in {folder} is finished; run the study first.")
    return runs


def unfinished(folder: Path, arm: str, block: str, runs: Sequence[Run]) -> tuple[int, int]:
    """How many of an arm's planned runs are not among the finished ``runs``, and how many are planned."""
    planned = sum((cell.arm, cell.block) == (arm, block) for cell in open_study(folder).cells())
    return planned - len(runs), planned


def keeping_weights(runs: Sequence[Run], folder: Path) -> list[Run]:
    """``runs``, opened.

    Raises:
        StudyError: their networks were not kept.
    """
    without = [run for run in runs if not (run.folder / WEIGHTS).is_file()]
    if without:
        raise StudyError(
            f"The study {folder} keeps no networks ({without[0].folder} has no {WEIGHTS}); run it again into another "
            "folder with --set keep_weights=true."
        )
    return [Run.open(run.folder) for run in runs]


def averaged(tables: Sequence[PredictionTable]) -> PredictionTable:
    """The same pictures by several networks: the means of their probabilities, and where all say how far a picture is
    the mean of that; far is what more than half of the networks call far.

    Raises:
        StudyError: the networks know other classes.
    """
    if len({table.class_ids for table in tables}) > 1:
        raise StudyError("The networks of this arm know different classes, so their answers have no mean.")
    look, unreadable = {}, {path: why for table in tables for path, why in table.unreadable.items()}
    if unreadable:  # perhaps of some alone, where pictures vanish meanwhile
        tables = [table.subset(~np.isin(table.path, list(unreadable))) for table in tables]
    if all("far" in table.look for table in tables):
        distances, far = (
            np.mean([table.look[name] for table in tables], axis=0) for name in ("distance", "far")
        )
        look = {"distance": distances, "far": far > 0.5}
    probabilities = np.mean([table.probabilities for table in tables], axis=0)
    return replace(tables[0], probabilities=probabilities, look=look, unreadable=unreadable)


def far_in_words(known: Sequence[Familiarity]) -> str:
    """How often ``averaged`` calls a picture far for nothing: by Markov's inequality, no more than the networks' rates
    together, divided by the number of networks that must say so."""
    rate = sum(one.rate for one in known) / (len(known) // 2 + 1)
    if len(known) == 1:
        return known[0].words
    return f"{false_alarms(rate, min(one.n for one in known), f' of each of the {len(known)} networks')}."


def answer_rule_of(runs: Sequence[Run], level: float, tta: str | None = None) -> AnswerRule:
    """Where the averaged networks are sure: as ``Run.answer_rule``, from validation pictures that are answered by those
    networks alone that have not learnt from them (as in Kim, Xu and Barber, Predictive inference is free with the
    jackknife+-after-bootstrap, NeurIPS 2020). These are all networks where the seeds share one split, else fewer, so
    that the thresholds are of somewhat worse answers than those that they judge.

    Raises:
        DataError: the validation pictures of one cannot tell.
    """
    for one in runs:
        one.judging(tta)
    seen = _not_learnt(runs, "val")
    means = np.stack([np.mean(rows, axis=0) for _, rows in seen.values()])
    labels = np.array([label for label, _ in seen.values()])
    splits = ["val"] * len(seen)
    table = PredictionTable.from_logits(
        log_probabilities(means), labels, list(seen), runs[0].predictions.class_ids, splits=splits
    )
    return answer_rule(table, level)


def gain(runs: Sequence[Run]) -> Gain | None:
    """On pictures that two networks or more have not learnt from; None where there are none."""
    for split in ("val", "test"):
        several = [(label, rows) for label, rows in _not_learnt(runs, split).values() if len(rows) > 1]
        if several:
            single = [fmean(row.argmax() == label for row in rows) for label, rows in several]
            joined = [np.mean(rows, axis=0).argmax() == label for label, rows in several]
            return Gain(len(several), split, fmean(single), fmean(map(float, joined)))
    return None


def _not_learnt(runs: Sequence[Run], split: str) -> dict[str, tuple[int, list[np.ndarray]]]:
    """{labelled picture: (its label, the probabilities (C,) of each network that has it in ``split``)}."""
    seen: dict[str, tuple[int, list[np.ndarray]]] = {}
    for one in runs:
        if split in one.predictions.splits:
            table = one.predictions.of_split(split)
            for path, label, row in zip(
                table.path.tolist(), table.label.tolist(), table.probabilities, strict=True
            ):
                seen.setdefault(path, (label, []))[1].append(row)
    return seen


def winner(folder: Path, block: str = "") -> str:
    """The arm that wins by ``RULE``; the earlier one of equals.

    Raises:
        StudyError: there are no validation pictures.
    """
    found: dict[str, float] = {}
    for arm in open_study(folder).arm_changes():
        if not arm.endswith(PLACEBO):
            accuracies = (_accuracy(one, "val") for one in finished_runs(folder, arm, block))
            known = [accuracy for accuracy in accuracies if accuracy is not None]
            if known:
                found[arm] = fmean(known)
    if not found:
        raise StudyError(
            f"The study {folder} has no validation pictures, by which an arm could be chosen; name one (--arm)."
        )
    return max(found, key=lambda arm: found[arm])


def train_final(
    folder: Path, out: Path, arm: str = "", block: str = "", *, quarantine: bool = False,
    observer: Observer | None = None,
) -> Run:  # fmt: skip
    """Train an arm's settings once more on all labelled pictures, with nothing held back.

    Phases have the lengths that they had in the study: where the best epoch was kept, the median of these. Nothing is
    watched, since no picture is left for that.

    Args:
        arm: "" = the one that wins by ``RULE``.

    Raises:
        StudyError: see ``finished_runs`` and ``winner``; the settings need validation pictures.
    """
    chosen = arm or winner(folder, block)
    runs = finished_runs(folder, chosen, block)
    experiment = on_all_pictures(runs)
    why = "arm chosen with --arm" if arm else f"chosen by {RULE}"
    promised = _expected(folder, chosen, block, runs, why)
    expected = promised[0]["value"]
    claim(experiment, out)
    if not (out / DECISIONS).is_file():
        write_json(out / DECISIONS, promised)
    finished = run(experiment, runs[0].environment["data"], out, quarantine=quarantine, observer=observer)
    write_json(
        folder / FINAL,
        {"run": str(out), "arm": chosen, "block": block, "expected_accuracy": expected, "why": why},
    )
    return finished


def _expected(folder: Path, arm: str, block: str, runs: Sequence[Run], why: str) -> list[dict[str, Any]]:
    """The decisions that say how good the network should be; the interval is of pictures that were not trained on, the
    answers to one picture, or to those of one group, taken together."""
    tested = [value for one in runs if (value := _accuracy(one, "test")) is not None]
    tables = [one.predictions.of_split("test") for one in runs if "test" in one.predictions.splits]
    missing, planned = unfinished(folder, arm, block, runs)
    listed = f", {' and '.join(f'{100 * value:.1f} %' for value in tested)}," if len(tested) == 2 else ""
    waiting = f" ({missing} of its {planned} runs are not finished)" if missing else ""
    number = f"{len(tested)} networks" if len(tested) > 1 else "one network"
    reason = (
        f"mean test accuracy of {number}{listed} of '{arm}' ({why}) in the study {folder}{waiting}, trained on fewer "
        "pictures; nothing is left to measure this one on"
    )
    promised: list[dict[str, Any]] = [
        {"name": EXPECTED, "value": round(fmean(tested), 4) if tested else None, "reason": reason}
    ]
    if tested and tables:
        names = [
            group or f"/{path}" for one in tables for path, group in zip(one.path, one.group, strict=True)
        ]
        found = of_answers(np.concatenate([one.correct for one in tables]), names)
        pictures = len({path for one in tables for path in one.path.tolist()})
        ends = [round(end, 4) for end in found or (0.0, 1.0)]
        promised.append({"name": EXPECTED_INTERVAL, "value": ends, "reason": f"by {pictures} test pictures"})
    return promised


def on_all_pictures(runs: Sequence[Run]) -> Experiment:
    """The experiment that trains on all labelled pictures as ``runs``, which are of one arm, trained on their parts."""
    values: dict[str, Any] = runs[0].experiment.to_dict()
    values["data"]["split"] = {"val": 0, "test": 0, "keep_given": False}
    values["evaluation"] |= {"splits": ["train"], "measures": []}
    for number, phase in enumerate(runs[0].experiment.training.phases):
        if phase.schedule.watched or phase.until:
            raise StudyError(
                f"The phase '{phase.name}' ends, or slows down, by what is measured on validation pictures, and a "
                "network that is trained on all has none; use the networks of the seeds (foveate predict STUDY)."
            )
        lengths = [_length(one, phase.name, phase.restore_best, phase.epochs) for one in runs]
        own = values["training"]["phases"][number]
        own |= {"epochs": max(1, round(median(lengths))), "restore_best": None, "early_stopping": None}
    return Experiment.from_dict(values, source="the final network")


def _length(one: Run, phase: str, metric: str | None, epochs: int) -> int:
    """Epochs of the phase up to the one whose weights were kept."""
    rows = [row for row in one.history if row["phase"] == phase]
    best: dict[str, Any] | None = None
    for row in rows:
        if metric and (best is None or better(metric, row[metric], best[metric])):
            best = row
    return int((best or rows[-1])["phase_epoch"]) if rows else epochs


def _accuracy(one: Run, split: str) -> float | None:
    found = (one.result["metrics"].get(split) or {}).get("accuracy")
    return None if found is None else float(found)
