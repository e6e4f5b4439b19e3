"""A whole study in numbers and words: ``analyse(results)``."""

from dataclasses import dataclass, field, replace

from foveate.studies.picture_comparison import PictureComparison, compare_pictures, same_pictures
from foveate.studies.results import Metric, StudyResults
from foveate.studies.statistics import Comparison, Summary, compare, holm, summarise
from foveate.studies.verdict import Outcome, interval_words, outcome, picture_verdict, verdict

PICTURE_METRIC = "test.accuracy"
"""The metric that the answers to the test pictures belong to."""


@dataclass(frozen=True)
class Analysis:
    """What tables and reports print. Same results, same analysis, to the last digit."""

    name: str
    arms: tuple[str, ...]
    baseline: str
    metrics: tuple[Metric, ...]
    alpha: float
    summaries: dict[str, dict[str, Summary]]
    """{metric: {arm: summary}}; an arm without any value is absent."""
    comparisons: dict[str, dict[str, Comparison]]
    """{metric: {arm: comparison}}, for every arm but the baseline."""
    outcomes: dict[str, dict[str, Outcome]]
    """{metric: {arm: better, worse, different, none or unknown}}."""
    verdicts: dict[str, dict[str, str]]
    """{metric: {arm: one sentence}}."""
    pictures: dict[str, PictureComparison] = field(default_factory=dict)
    """{arm: comparison on test pictures}; an arm without predictions is absent."""
    picture_verdicts: dict[str, str] = field(default_factory=dict)
    """{arm: one sentence}."""
    notes: tuple[str, ...] = ()
    """What a reader must know about the whole: missing cells, shared test pictures, number of tests."""


def analyse(results: StudyResults, alpha: float = 0.05) -> Analysis:
    """Summaries, comparisons with the baseline, and verdicts, for every metric and arm.

    Holm's correction counts the arms of one metric that have a p-value; metrics are not corrected for each other.
    """
    others = tuple(arm for arm in results.arms if arm != results.baseline)
    pictures, notes = _pictures(results, others, alpha)
    summaries: dict[str, dict[str, Summary]] = {}
    comparisons: dict[str, dict[str, Comparison]] = {}
    for metric in results.metrics:
        values = results.values.get(metric.name, {})
        summaries[metric.name] = {
            arm: summarise(
                [values[arm][seed] for seed in results.seeds if seed in values[arm]],
                level=1 - alpha,
                overlap=results.overlap,
            )
            for arm in results.arms
            if any(seed in values.get(arm, {}) for seed in results.seeds)
        }
        comparisons[metric.name] = _comparisons(results, metric, others, alpha)
    if PICTURE_METRIC in comparisons:
        for arm, seen in pictures.items():
            known = comparisons[PICTURE_METRIC][arm]
            both = replace(seen.detectable, seeds=known.detectable.seeds, note=known.detectable.note)
            pictures[arm] = replace(seen, detectable=both)
            comparisons[PICTURE_METRIC][arm] = replace(known, detectable=both)
    outcomes = {
        metric.name: {arm: outcome(one, metric, alpha) for arm, one in comparisons[metric.name].items()}
        for metric in results.metrics
    }
    verdicts = {
        metric.name: {
            arm: verdict(one, metric, alpha) + _only_these(metric, one, pictures.get(arm), alpha)
            for arm, one in comparisons[metric.name].items()
        }
        for metric in results.metrics
    }
    accuracy = next(
        (metric for metric in results.metrics if metric.name == PICTURE_METRIC),
        Metric(PICTURE_METRIC, "Test accuracy", percent=True),
    )
    return Analysis(
        results.name, results.arms, results.baseline, results.metrics, alpha, summaries, comparisons, outcomes,
        verdicts, pictures, {arm: picture_verdict(one, accuracy, alpha) for arm, one in pictures.items()},
        notes=(*notes, *_notes(results, others, comparisons, alpha)),
    )  # fmt: skip


def _comparisons(
    results: StudyResults, metric: Metric, others: tuple[str, ...], alpha: float
) -> dict[str, Comparison]:
    pairs = {arm: results.paired(metric.name, arm) for arm in others}
    family = max(1, sum(len(seeds) > 1 for *_, seeds in pairs.values()))
    found = {
        arm: compare(a, b, alpha=alpha, family=family, overlap=results.overlap, unit=results.unit)
        for arm, (a, b, _) in pairs.items()
    }
    adjusted = holm({arm: one.p for arm, one in found.items()})
    total = len(results.seeds)
    return {
        arm: replace(
            one,
            p_holm=adjusted[arm],
            note="; ".join(
                filter(None, [one.note, f"{one.n} of {total} {results.unit}s" if 0 < one.n < total else ""])
            ),
        )
        for arm, one in found.items()
    }


def _pictures(
    results: StudyResults, others: tuple[str, ...], alpha: float
) -> tuple[dict[str, PictureComparison], list[str]]:
    """Comparisons on test pictures with Holm over the arms, and what to know about these pictures."""
    base = results.pictures.get(results.baseline, {})
    notes: list[str] = []
    usable = []
    for arm in others:
        answers = results.pictures.get(arm, {})
        if not any(seed in answers for seed in base):
            continue
        if same_pictures(base, answers):
            usable.append(arm)
        else:
            notes.append(
                f"{arm} was tested on other pictures than {results.baseline}: no comparison by picture."
            )
    found = {}
    for arm in usable:
        one = compare_pictures(
            {seed: base[seed] for seed in results.seeds if seed in base},
            results.pictures[arm],
            alpha=alpha,
            family=len(usable),
        )
        if one is not None:
            found[arm] = one
    adjusted = holm({arm: one.p for arm, one in found.items()})
    found = {arm: replace(one, p_holm=adjusted[arm]) for arm, one in found.items()}
    if found:
        notes.append(_about_pictures(max(found.values(), key=lambda one: one.seeds), results.unit))
    return found, notes


def _about_pictures(one: PictureComparison, unit: str) -> str:
    worth = (
        f"one picture is {one.resolution * 100:.1f} points and the binomial standard error of one accuracy"
    )
    worth += f" {one.standard_error * 100:.1f} points"
    if one.shared:
        return (
            f"All seeds were tested on the same {one.pictures} pictures: {worth}. Intervals over seeds say how "
            "training again would vary, nothing about other pictures; the comparison by picture does."
        )
    if unit == "fold":
        return (
            f"{one.pictures} pictures were tested, each in one fold of a seed: in one fold, {worth}. Intervals over "
            "folds count that training sets overlap (Nadeau and Bengio 2003); the comparison by picture does not."
        )
    return (
        f"Seeds were tested on different pictures, {one.pictures} in all: in one seed, {worth}. The training sets of "
        "such splits overlap, so intervals over seeds are somewhat too narrow (Nadeau and Bengio 2003)."
    )


def _only_these(metric: Metric, one: Comparison, seen: PictureComparison | None, alpha: float) -> str:
    """A warning when the seeds agree on a difference that other pictures need not show."""
    if metric.name != PICTURE_METRIC or seen is None or seen.low is None or seen.high is None:
        return ""
    if outcome(one, metric, alpha) in ("none", "unknown") or seen.p_holm is None or seen.p_holm <= alpha:
        return ""
    return f"; other pictures may not show it (interval {interval_words(seen.low, seen.high, metric)})"


def _notes(
    results: StudyResults,
    others: tuple[str, ...],
    comparisons: dict[str, dict[str, Comparison]],
    alpha: float,
) -> list[str]:
    notes = list(results.notes)
    if results.failures:
        cells = ", ".join(f"{arm} {results.name_of(seed)}" for arm, seed in sorted(results.failures))
        count = "1 cell is" if len(results.failures) == 1 else f"{len(results.failures)} cells are"
        notes.append(f"{count} missing, failed: {cells}.")
    tested = sum(any(one.p is not None for one in arms.values()) for arms in comparisons.values())
    if tested > 1:
        notes.append(
            f"Holm corrects for the {len(others)} arms within each metric, not for the {tested} metrics: with no "
            f"difference anywhere, about {alpha * 100:g} % of the metrics would still show one."
            if len(others) > 1
            else f"{tested} metrics were tested without a correction between them: with no difference anywhere, about "
            f"{alpha * 100:g} % of them would still show one."
        )
    return notes
