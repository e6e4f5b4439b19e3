"""A whole study in numbers and words: ``analyse(results)``."""

from dataclasses import dataclass, field, replace

from foveate.studies.picture_comparison import PictureComparison, compare_pictures, same_pictures
from foveate.studies.relation import relate
from foveate.studies.relation import words as relation_words
from foveate.studies.results import SWAPPED, Metric, StudyResults
from foveate.studies.set_model import FEW_SETS, set_model
from foveate.studies.specification import PLACEBO
from foveate.studies.statistics import (
    ALPHA,
    FEWEST,
    Comparison,
    Regions,
    Summary,
    compare,
    holm,
    regions,
    summarise,
)
from foveate.studies.verdict import (
    SEEN,
    Outcome,
    amount_words,
    interval_words,
    margin_words,
    outcome,
    picture_verdict,
    signed_words,
    verdict,
)

PICTURE_METRIC = "test.accuracy"
"""The metric that the answers to the test pictures belong to."""


@dataclass(frozen=True)
class Analysis:
    """What tables and reports print. Same results, same analysis, to the last digit."""

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
    regions: dict[str, dict[str, Regions]] = field(default_factory=dict)
    """{metric with a margin: {arm: chances of a loss, of none, of a gain}}."""


def analyse(results: StudyResults) -> Analysis:
    """Summaries, comparisons with the baseline, and verdicts, for every metric and arm.

    Holm's correction counts the arms of one metric that have a p-value; metrics are not corrected for each other.
    """
    others = tuple(arm for arm in results.arms if arm != results.baseline)
    pictures, notes = _pictures(results, others)
    summaries: dict[str, dict[str, Summary]] = {}
    comparisons: dict[str, dict[str, Comparison]] = {}
    chances: dict[str, dict[str, Regions]] = {}
    for metric in results.metrics:
        by_arm = results.values.get(metric.name, {})
        values = {
            arm: [by_arm[arm][seed] for seed in results.seeds if seed in by_arm.get(arm, {})]
            for arm in results.arms
        }
        summaries[metric.name] = {
            arm: summarise(x, overlap=results.overlap) for arm, x in values.items() if x
        }
        comparisons[metric.name] = _comparisons(results, metric, others)
        if metric.name in results.margins and metric.better != "neither":
            margin, lower = results.margins[metric.name], metric.better == "lower"
            for arm, known in comparisons[metric.name].items():
                region = regions(known, margin, lower_is_better=lower) if known.n >= FEWEST else None
                if region:
                    chances.setdefault(metric.name, {})[arm] = region
    for arm, known in comparisons.get(PICTURE_METRIC, {}).items():
        if arm in pictures:
            seen = replace(pictures[arm].detectable, seeds=known.detectable.seeds, note=known.detectable.note)
            pictures[arm] = replace(pictures[arm], detectable=seen)
            comparisons[PICTURE_METRIC][arm] = replace(known, detectable=seen)
    outcomes: dict[str, dict[str, Outcome]] = {}
    verdicts: dict[str, dict[str, str]] = {}
    for metric in results.metrics:
        if metric.percent or metric.share:
            _keep_to_what_is_possible(metric, summaries, comparisons, pictures)
        found = comparisons[metric.name]
        outcomes[metric.name] = {arm: outcome(one, metric) for arm, one in found.items()}
        verdicts[metric.name] = {arm: verdict(one, metric) for arm, one in found.items()}
        for arm, region in chances.get(metric.name, {}).items():
            verdicts[metric.name][arm] += f"; {margin_words(region, metric)}"
        for arm, one in pictures.items() if metric.name == PICTURE_METRIC else ():
            # The seeds agree on a difference that other pictures need not show.
            if (
                outcomes[metric.name][arm] in SEEN
                and one.low is not None
                and one.high is not None
                and (one.p_holm or 0) > ALPHA
            ):
                interval = interval_words(one.low, one.high, metric)
                verdicts[metric.name][arm] += f"; other pictures may not show it (interval {interval})"
        if results.stage and results.stage.exploratory:
            for arm, said_of in verdicts[metric.name].items():
                if outcomes[metric.name][arm] in SEEN:
                    verdicts[metric.name][arm] = f"exploratory: {said_of}"
    known_accuracy = (metric for metric in results.metrics if metric.name == PICTURE_METRIC)
    accuracy = next(known_accuracy, Metric(PICTURE_METRIC, "Test accuracy", percent=True))
    said = {arm: picture_verdict(one, accuracy, results.unit) for arm, one in pictures.items()}
    notes += [*_placebos(results, outcomes), *filter(None, [to_win_back(results)])]
    subject = next((m for m in results.metrics if m.name == results.primary and m.percent), accuracy)
    if (related := relate(results, subject)) is not None:
        notes.append(relation_words(related, subject))
    notes += _set_models(results, others)
    notes += _notes(results, others, comparisons)
    return Analysis(summaries, comparisons, outcomes, verdicts, pictures, said, tuple(notes), chances)


def _keep_to_what_is_possible(
    metric: Metric,
    summaries: dict[str, dict[str, Summary]],
    comparisons: dict[str, dict[str, Comparison]],
    pictures: dict[str, PictureComparison],
) -> None:
    """Cut intervals where a share leaves 0 to 1, and a difference -1 to 1; few pairs reach beyond.

    Not where the difference would lift the arm above 1 from the baseline that was seen: another draw's is another one.
    """
    for arm, one in summaries[metric.name].items():
        if one.low is not None and one.high is not None:
            summaries[metric.name][arm] = replace(one, low=max(one.low, 0.0), high=min(one.high, 1.0))
    for arm, known in comparisons[metric.name].items():
        if known.baseline is None:
            continue
        lowest, highest = -known.baseline, 1 - known.baseline
        room = {"higher": highest, "lower": -lowest, "neither": max(highest, -lowest)}[metric.better]
        seen = known.detectable
        if seen.smallest is not None and seen.smallest > room:
            seen = replace(seen, room=room)
        low, high = _cut(known)
        comparisons[metric.name][arm] = replace(known, low=low, high=high, detectable=seen)
        if metric.name == PICTURE_METRIC and arm in pictures:
            low, high = _cut(pictures[arm])
            pictures[arm] = replace(pictures[arm], low=low, high=high, detectable=seen)


def _cut(one: Comparison | PictureComparison) -> tuple[float | None, float | None]:
    return (None if one.low is None else max(one.low, -1.0)), (
        None if one.high is None else min(one.high, 1.0)
    )


def _comparisons(results: StudyResults, metric: Metric, others: tuple[str, ...]) -> dict[str, Comparison]:
    pairs = {arm: results.paired(metric.name, arm) for arm in others}
    alone = {results.primary_arm} if metric.name == results.primary else set()
    family = max(1, sum(len(seeds) > 1 for arm, (*_, seeds) in pairs.items() if arm not in alone))
    level = results.stage.level(ALPHA) if results.stage else ALPHA
    found = {
        arm: compare(
            a,
            b,
            alpha=level,
            family=1 if arm in alone else family,
            overlap=results.overlap,
            unit=results.unit,
        )
        for arm, (a, b, _) in pairs.items()
    }
    worth = {
        arm: results.stage.p(one.p) if results.stage and one.p is not None else one.p
        for arm, one in found.items()
    }
    adjusted, total = (
        {**worth, **holm({a: p for a, p in worth.items() if a not in alone})},
        len(results.seeds),
    )
    for arm, one in found.items():
        part = f"{one.n} of {total} {results.unit}s" if 0 < one.n < total else ""
        found[arm] = replace(one, p_holm=adjusted[arm], note="; ".join(filter(None, [one.note, part])))
    return found


def _pictures(
    results: StudyResults, others: tuple[str, ...]
) -> tuple[dict[str, PictureComparison], list[str]]:
    """Comparisons on test pictures with Holm over the arms, and what to know about these pictures."""
    known = results.pictures.get(results.baseline, {})
    base = {seed: known[seed] for seed in results.seeds if seed in known}
    answers = {arm: results.pictures.get(arm, {}) for arm in others}
    answers = {arm: one for arm, one in answers.items() if base.keys() & one.keys()}
    usable = [arm for arm, one in answers.items() if same_pictures(base, one)]
    notes = [
        f"{arm} was tested on other pictures than {results.baseline}: no comparison by picture."
        for arm in answers
        if arm not in usable
    ]
    compared = {arm: compare_pictures(base, answers[arm], family=len(usable)) for arm in usable}
    adjusted = holm({arm: one.p for arm, one in compared.items() if one})
    found = {arm: replace(one, p_holm=adjusted[arm]) for arm, one in compared.items() if one}
    most = max(found.values(), key=lambda one: one.seeds, default=None)
    if most and most.seeds > 1:
        tested = {p.path for answers in (base, *(answers[arm] for arm in usable)) for p in answers.values()}
        notes.append(_about_pictures(most, tested, results.unit))
    return found, notes


def _placebos(results: StudyResults, outcomes: dict[str, dict[str, Outcome]]) -> list[str]:
    """For every arm that gains something and has a placebo: whether the gain is that of looking at the object."""
    said = []
    metrics = [metric for metric in results.metrics if metric.better != "neither"]
    for arm in [arm for arm in results.arms if f"{arm}{PLACEBO}" in results.arms]:
        for metric in metrics:
            found = outcomes.get(metric.name, {})
            if found.get(arm) != "better":
                continue
            theirs, ours, _ = results.paired(metric.name, arm, f"{arm}{PLACEBO}")
            one = compare(theirs, ours, overlap=results.overlap, unit=results.unit)
            if one.difference is None or one.low is None or one.high is None or one.p is None:
                continue
            higher = "higher" if one.difference > 0 else "lower"
            interval = interval_words(one.low, one.high, metric)
            against = f"{higher} by {amount_words(one.difference, metric)} than with it, interval {interval}"
            if one.p <= ALPHA and (one.difference > 0) == (metric.better == "higher"):
                words = "goes beyond that of its placebo: where the masks lie is what helps"
            elif found.get(f"{arm}{PLACEBO}") == "better":
                words = (
                    "stays with the masks of other pictures, the placebo: it is regularisation, not guidance"
                )
            else:
                words = "cannot be told from that of its placebo, the masks of other pictures"
            said.append(f"{arm}, {metric.title}: the gain {words} ({against}).")
    return said


def to_win_back(results: StudyResults) -> str:
    """What the baseline loses to other backgrounds, where the study is about them: no guide can win back more."""
    whole, swapped = (
        results.values.get(name, {}).get(results.baseline, {}) for name in (PICTURE_METRIC, SWAPPED)
    )
    seeds = [seed for seed in whole if seed in swapped]
    if results.primary != SWAPPED or not seeds:
        return ""
    before, after = (100 * sum(one[seed] for seed in seeds) / len(seeds) for one in (whole, swapped))
    who = "Without a guide" if results.baseline == "none" else f"With {results.baseline}"
    said = f"{who} {before:.1f} % are right on the test pictures and {after:.1f} % on swapped backgrounds"
    if before <= after:
        return f"{said}: other backgrounds cost it nothing that a guide could win back."
    return (
        f"{said}, {before - after:.1f} points less: what other backgrounds cost it, for a guide to win back."
    )


def _set_models(results: StudyResults, others: tuple[str, ...]) -> list[str]:
    """The primary metric's differences in one model of sets and seeds, beside the interval over the sets' means."""
    metric = next((m for m in results.metrics if m.name == results.primary), None)
    said = []
    for arm in others if metric and results.sets else ():
        pairs = [
            one.paired(results.primary, arm) for one in results.sets.values() if results.primary in one.values
        ]
        found = set_model([b - a for a, b, _ in pairs])
        if found and metric:
            spread = f"{amount_words(found.between, metric)} between sets, {amount_words(found.within, metric)} within"
            said.append(
                f"{arm}, {metric.title}: a mixed model of {found.sets} sets and {found.pairs} pairs says "
                f"{signed_words(found.difference, metric)} (interval {interval_words(found.low, found.high, metric)}; "
                f"standard deviation {spread}). "
                + (
                    f"With fewer than {FEW_SETS} sets"
                    if found.sets < FEW_SETS
                    else "With so many sets both hold; with fewer"
                )
                + " believe the t interval over the sets' means: the model's is too narrow."
            )
    return said


def _about_pictures(one: PictureComparison, tested: set[tuple[str, ...]], unit: str) -> str:
    """``tested``: the test pictures of every finished cell, also of those that have no partner yet."""
    pictures = len(set().union(*tested))
    worth = (
        f"one picture is {one.resolution * 100:.1f} points and the binomial standard error of one accuracy"
    )
    worth += f" {one.standard_error * 100:.1f} points"
    if len(tested) == 1:
        return (
            f"All seeds were tested on the same {pictures} pictures: {worth}. Intervals over seeds say how "
            "training again would vary, nothing about other pictures; the comparison by picture does."
        )
    if unit == "fold":
        return (
            f"{pictures} pictures were tested, each in one fold of a seed: in one fold, {worth}. Intervals over "
            "folds count that training sets overlap (Nadeau and Bengio 2003); the comparison by picture does not."
        )
    return (
        f"Seeds were tested on different pictures, {pictures} in all: in one seed, {worth}. The training sets of "
        "such splits overlap, so intervals over seeds are somewhat too narrow (Nadeau and Bengio 2003)."
    )


def _notes(
    results: StudyResults, others: tuple[str, ...], comparisons: dict[str, dict[str, Comparison]]
) -> list[str]:
    notes = list(results.notes)
    if results.stage:
        notes = [said for said in (results.stage.exploratory, results.stage.plan) if said] + notes
    if results.failures:
        cells = ", ".join(f"{arm} {results.name_of(seed)}" for arm, seed in sorted(results.failures))
        count = "1 cell is" if len(results.failures) == 1 else f"{len(results.failures)} cells are"
        notes.append(f"{count} missing, failed: {cells}.")
    known = [name for name, arms in comparisons.items() if any(one.p is not None for one in arms.values())]
    title = next((metric.title for metric in results.metrics if metric.name == results.primary), "")
    tested = len(known) - (results.primary in known)
    if title and tested:
        arm = f", for {results.primary_arm} alone" if results.primary_arm and len(others) > 1 else ""
        notes.append(
            f"The study is about: {title}{arm}. With no difference anywhere, about {ALPHA * 100:g} % of the other "
            f"metrics ({tested}) would still show one: Holm corrects for the arms within a metric, not for the metrics."
        )
    elif tested > 1:
        notes.append(
            f"Holm corrects for the {len(others)} arms within each metric, not for the {tested} metrics: with no "
            f"difference anywhere, about {ALPHA * 100:g} % of the metrics would still show one."
            if len(others) > 1
            else f"{tested} metrics were tested without a correction between them: with no difference anywhere, about "
            f"{ALPHA * 100:g} % of them would still show one."
        )
    return notes
