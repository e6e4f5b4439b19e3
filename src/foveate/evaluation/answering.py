"""Which pictures a network should answer: thresholds from validation pictures alone, and what they give on others.

``tests/evaluation/test_answering.py`` simulates both promises.
"""

from typing import Any

import numpy as np

from foveate.core.errors import ConfigError
from foveate.core.intervals import of_answers
from foveate.evaluation.answer_rule import AnswerRule
from foveate.evaluation.calibration import (
    expected_calibration_error,
    log_probabilities,
    negative_log_likelihood,
    scale,
    temperature_of,
)
from foveate.evaluation.predictions import PredictionTable

LEVEL = 0.95
NEVER = 2.0
"""A threshold that no confidence reaches."""


def answer_rule(table: PredictionTable, level: float = LEVEL) -> AnswerRule:
    """Temperature and thresholds from the validation split of ``table``, and from nothing else.

    Sets of possible classes are split conformal: the score is 1 - p of the true class, and the threshold its
    ceil((n + 1) level)-th smallest value, so that a new picture of the same kind is in its set with probability
    ``level`` or more (Sadinle, Lei and Wasserman, Least ambiguous set-valued classifiers, JASA 2019). The network
    answers the most confident pictures, as many as keep (wrong + 1) / (answered + 1) within 1 - level, the rule of
    Barber and Candes, Annals of Statistics 2015, for the share of false ones among what is selected.

    Raises:
        ConfigError: ``level`` is not between 0 and 1.
        DataError: no labelled validation picture.
    """
    if not 0 < level < 1:
        raise ConfigError(f"level is {level}; it is a share of right answers, between 0 and 1, such as 0.95.")
    temperature = temperature_of(table)
    validation = table.of_split("val")
    n = len(validation)
    scaled = scale(validation.probabilities, temperature)
    of_truth = np.sort(scaled[np.arange(n), validation.label])[::-1]
    rank = int(np.ceil((n + 1) * level - 1e-9))  # of the score, from 1; rounding must not add a picture
    confidence = scaled.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    answered, wrong = np.arange(1, n + 1), np.cumsum(~validation.correct[order])
    # Equal confidences are answered together.
    whole = np.append(np.diff(confidence[order]) != 0, True)
    kept = np.flatnonzero(whole & ((wrong + 1) <= (1 - level) * (answered + 1) + 1e-9))
    least = NEVER if not len(kept) else 0.0 if kept[-1] == n - 1 else float(confidence[order[kept[-1]]])
    return AnswerRule(level, n, temperature, least, float(of_truth[rank - 1]) if rank <= n else 0.0)


def answering(rows: PredictionTable, rule: AnswerRule) -> dict[str, Any]:
    """What the rule gives on labelled pictures, with 95 % intervals (None without an answer)."""
    judged = rule.judge(rows.probabilities)
    right, groups = rows.correct[judged.answered], rows.group[judged.answered]
    covered = judged.possible[np.arange(len(rows)), rows.label]
    low, high = of_answers(right, groups) or (None, None)
    covered_low, covered_high = of_answers(covered, rows.group) or (None, None)
    return {
        "level": rule.level, "n_validation": rule.n, "promises_nothing": rule.promises_nothing,
        "n": len(rows), "temperature": rule.temperature,
        "ece": expected_calibration_error(judged.confidence, rows.correct),
        "nll": negative_log_likelihood(log_probabilities(rows.probabilities), rows.label, rule.temperature),
        "answered": int(judged.answered.sum()), "share": float(judged.answered.mean()),
        "accuracy": float(right.mean()) if len(right) else None, "accuracy_low": low, "accuracy_high": high,
        "covered": float(covered.mean()), "covered_low": covered_low, "covered_high": covered_high,
        "possible": float(judged.possible.sum(axis=1).mean()), "sets_say_nothing": bool(judged.possible.all()),
    }  # fmt: skip


def in_words(found: dict[str, Any]) -> list[str]:
    """``answering`` in sentences: calibration, answers, sets of possible classes."""
    n, level = found["n_validation"], f"{100 * found['level']:g} %"
    said = [
        f"With a temperature of {found['temperature']:.2f}, from {n} validation pictures: calibration error "
        f"{found['ece']:.3f}, mean log loss {found['nll']:z.3f}."
    ]
    if found["answered"]:
        said.append(
            f"It answers {100 * found['share']:.0f} % of the pictures, right in {100 * found['accuracy']:.1f} % "
            f"({100 * found['accuracy_low']:.1f} to {100 * found['accuracy_high']:.1f}; aimed at {level}), and is not "
            "sure of the others."
        )
    else:
        why = found["promises_nothing"] or "none is confident enough"
        said.append(f"It is sure of no picture: {why}.")
    if found["sets_say_nothing"]:
        return [*said, "Every set of possible classes holds all classes, so the sets say nothing."]
    low, high = 100 * found["covered_low"], 100 * found["covered_high"]
    said.append(
        f"Sets of possible classes hold the true one in {100 * found['covered']:.1f} % ({low:.1f} to {high:.1f}; aimed "
        f"at {level}), {found['possible']:.1f} classes a picture."
    )
    return said
