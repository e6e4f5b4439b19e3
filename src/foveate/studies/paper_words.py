"""What a paper says of a study's primary metric: Methods, Results and a caption, from the analysis alone.

No sentence claims more than the verdict that it is made of.
"""

from collections.abc import Sequence

from foveate.studies.analysis import Analysis, to_win_back
from foveate.studies.looks import NAMES, listed
from foveate.studies.results import Metric, StudyResults
from foveate.studies.specification import PLACEBO
from foveate.studies.statistics import FEWEST, Comparison, compare, summarise
from foveate.studies.tables import Measured, primary_arms, primary_blocks, primary_metric, span
from foveate.studies.verdict import (
    SEEN,
    amount_words,
    interval_words,
    number_words,
    p_words,
    signed_words,
)

TOLD = 3
"""More arms than this are told in one sentence, those with a difference first."""


def methods(
    results: StudyResults, analysis: Analysis, metric: Metric, arms: Sequence[str], named: bool
) -> str:
    """How the comparison was made.

    Args:
        arms: those that are compared in the primary metric.
        named: the study's file names the metric.
    """
    known, total = results.values[metric.name], len(results.seeds)
    done = sum(all(seed in known.get(arm, {}) for arm in results.arms) for seed in results.seeds)
    counted = f"{done} of {total} planned" if done < total else str(total)
    repeats = {
        "seed": f"trained with {counted} random seed",
        "fold": f"trained and tested in {counted} fold",
        "set": f"trained on {counted} data set",
    }[results.unit] + "s" * (total != 1)
    repeats += " of cross-validation" * (results.unit == "fold") + " (unfinished)" * (done < total)
    same = {
        "seed": "the same seed means the same split, first weights and order of pictures in every arm",
        "fold": "every arm has the same folds, first weights and order of pictures",
        "set": "a set counts by its mean over the seeds, which are the same in every arm",
    }[results.unit]
    said = [
        f"{_counted(len(results.arms), 'arm').capitalize()} (baseline: {results.baseline}) were {repeats}; {same}, so "
        f"that arms were compared in pairs."
    ]
    sizes = span(len(p.path) for arm in results.pictures.values() for p in arm.values())
    if sizes:
        said.append(f"Each {results.unit} was tested on {sizes} pictures that training had not seen.")
    rule = (
        "named before the work"
        if named
        else "chosen by a rule that does not look at results (swapped backgrounds where an arm trains with masks, else "
        "the test pictures)"
    )
    said.append(f"The primary metric, {rule}, was {noun(metric)}.")
    compared = [analysis.comparisons[metric.name][arm] for arm in arms]
    family = max((c.family for c in compared), default=1)
    test = (
        "the corrected resampled t test, which counts that training sets overlap (Nadeau and Bengio 2003)"
        if any(c.test == "corrected t" for c in compared)
        else "a paired t test"
    )
    correction = f"with Holm's correction over {family} arms" if family > 1 else "without a correction"
    said.append(
        f"In it, {_counted(len(arms), 'comparison')} with {results.baseline} {'was' if len(arms) == 1 else 'were'} "
        f"tested, {correction}."
    )
    if others := len(results.metrics) - 1:
        said.append(
            f"{_counted(others, 'further metric')} {'was' if others == 1 else 'were'} not corrected for."
        )
    said.append(
        f"Differences are means over pairs with the interval of Student's t; p is of {test}, two-sided."
    )
    for name, margin in results.margins.items():
        judged = next(one for one in results.metrics if one.name == name)
        said.append(
            f"A loss of up to {amount_words(margin, judged)} in {noun(judged)} was set to be as good as none "
            "(non-inferiority, one-sided at 2.5 %)."
        )
    stage = results.stage
    if stage and len(stage.looks) > 1:
        said.append(
            f"Results were to be looked at with {listed(stage.looks)} seeds; the looks share the false alarms by the "
            f"{NAMES[stage.spending]} spending function (Lan and DeMets 1983), and p counts all of them."
        )
    return " ".join(said)


def primary_findings(measured: Measured) -> list[tuple[str, str]]:
    """(name of the table, sentences) wherever the primary comparison is made."""
    return [
        (name, findings(results, analysis, metric, primary_arms(results, analysis, metric)))
        for name, results, analysis in primary_blocks(measured)
        if (metric := primary_metric(results, analysis))
    ]


def findings(results: StudyResults, analysis: Analysis, metric: Metric, arms: Sequence[str]) -> str:
    """What was found, in sentences for Results."""
    told = (
        arms if len(arms) <= TOLD else [a for a in arms if analysis.outcomes[metric.name][a] in SEEN][:TOLD]
    )
    said = [_found(results, analysis, metric, arm) for arm in told]
    said += [_placebo(results, metric, arm) for arm in told]
    left = [arm for arm in arms if arm not in told]
    if left:
        seen = sum(analysis.outcomes[metric.name][arm] in SEEN for arm in left)
        none = [arm for arm in left if analysis.outcomes[metric.name][arm] == "none"]
        others = (
            f"{len(none)} of the {len(left)} other arms"
            if len(none) < len(left)
            else f"the {len(left)} other arms"
        )
        more = f"{seen} more arms differ from {results.baseline}. " if seen else ""
        said.append(
            f"{more}For {others} no difference from {results.baseline} was detected{_would(analysis, metric, none)}."
        )
    for arm in told:
        about = f"{arm}, {metric.title}: the gain"
        said += [
            note.replace(about, f"The gain with {arm}") for note in analysis.notes if note.startswith(about)
        ]
    said.append(to_win_back(results))
    for one in results.metrics:
        if one.name in results.margins:
            said += [_margin(results, analysis, one, arm) for arm in told]
    text = " ".join(filter(None, said))
    return f"{results.stage.exploratory} {text}" if results.stage and results.stage.exploratory else text


def caption(results: StudyResults, analysis: Analysis, metric: Metric, arms: Sequence[str]) -> str:
    """What the figure shows."""
    level = next((100 * (1 - analysis.comparisons[metric.name][arm].alpha) for arm in arms), 95)
    known = [analysis.comparisons[metric.name][arm].detectable.smallest for arm in arms]
    pairs = span(analysis.comparisons[metric.name][arm].n for arm in arms)
    sizes = span(len(p.path) for arm in results.pictures.values() for p in arm.values())
    tested = f"; {sizes} test pictures in each" if sizes else ""
    band = " Differences within the grey stretch cannot be seen reliably with this design (power 0.8)."
    return (
        f"{metric.title}{' (%)' if metric.percent else ''}. Left: each line is one {results.unit}, from "
        f"{results.baseline} (open) to the arm (filled). Right: paired differences (a dot is one {results.unit}) and "
        f"their mean with its {level:.4g} % interval (diamond), filled where the difference counts. "
        f"n = {pairs} {results.unit}s{tested}."
        + " Below an arm: its placebo, the same with the masks of other pictures."
        * any(f"{arm}{PLACEBO}" in results.arms for arm in arms)
        + band * any(value is not None for value in known)
    )


def noun(metric: Metric) -> str:
    """ "accuracy (swapped backgrounds)"."""
    first, _, rest = metric.title.partition(", ")
    return f"{first[:1].lower()}{first[1:]}{f' ({rest})' if rest else ''}"


def _found(results: StudyResults, analysis: Analysis, metric: Metric, arm: str) -> str:
    c, outcome = analysis.comparisons[metric.name][arm], analysis.outcomes[metric.name][arm]
    base = results.baseline
    if c.difference is None or c.p_holm is None or outcome == "unknown":
        return f"{arm} and {base} were compared in {_counted(c.n, 'pair')} only, too few for a verdict."
    evidence = "; ".join(filter(None, (_means(results, metric, base, arm), _evidence(c, metric))))
    if outcome in SEEN:
        word = "higher" if c.difference > 0 else "lower"
        amount = amount_words(c.difference, metric)
        return f"With {arm}, {noun(metric)} was {word} by {amount} than with {base} ({evidence})."
    smallest = c.detectable.smallest
    spread = f"these {c.n} {results.unit}s{' and over pictures' * (c.detectable.both is not None)}"
    would = (
        " With this design not even the largest gain possible would be found reliably."
        if c.detectable.room is not None
        else ""
        if smallest is None
        else f" By the spread over {spread}, a difference of {amount_words(smallest, metric)} would have been found "
        "with a power of 0.8; smaller ones are not ruled out."
    )
    return (
        f"No difference in {noun(metric)} between {arm} and {base} was detected (difference "
        f"{signed_words(c.difference, metric)}; {evidence}).{would}"
    )


def _would(analysis: Analysis, metric: Metric, arms: Sequence[str]) -> str:
    known = [analysis.comparisons[metric.name][arm].detectable.smallest for arm in arms]
    seen = sorted(value for value in known if value is not None)
    if not seen:
        return ""
    return f" (the design would see {number_words(seen[0], metric)} to {amount_words(seen[-1], metric)})"


def _placebo(results: StudyResults, metric: Metric, arm: str) -> str:
    """The arm beside its placebo; "" where it has none that was measured."""
    placebo = f"{arm}{PLACEBO}"
    theirs, ours, seeds = results.paired(metric.name, arm, placebo)
    if not seeds:
        return ""
    c = compare(theirs, ours, overlap=results.overlap, unit=results.unit)
    if c.difference is None or c.n < FEWEST:
        return f"{arm} and its placebo were compared in {_counted(c.n, 'pair')} only, too few for a verdict."
    evidence = "; ".join(filter(None, (_means(results, metric, placebo, arm), _evidence(c, metric))))
    return (
        f"Beside its placebo, the same with the masks of other pictures, the difference of {arm} was "
        f"{signed_words(c.difference, metric)} ({evidence}; not corrected)."
    )


def _means(results: StudyResults, metric: Metric, base: str, arm: str) -> str:
    """Of the pairs that both have."""
    theirs, ours, _ = results.paired(metric.name, arm, base)
    known = [summarise(ours), summarise(theirs)]
    unit = " %" if metric.percent else ""
    words = [
        f"{number_words(one.mean, metric)}"
        + (f" ± {number_words(one.std, metric)}" if one.std is not None else "")
        + unit
        for one in known
    ]
    return f"{words[0]} against {words[1]}"


def _evidence(c: Comparison, metric: Metric) -> str:
    said = []
    if c.low is not None and c.high is not None:
        said.append(f"{100 * (1 - c.alpha):.4g} % interval {interval_words(c.low, c.high, metric)}")
    said += [p_words(c.p_holm) + (" after Holm" if c.family > 1 else "")] if c.p_holm is not None else []
    return ", ".join([*said, f"{c.n} {c.unit}s"])


def _margin(results: StudyResults, analysis: Analysis, metric: Metric, arm: str) -> str:
    found = analysis.regions.get(metric.name, {}).get(arm)
    if found is None:
        return ""
    loss = amount_words(found.margin, metric)
    if found.not_worse:
        return f"In {noun(metric)}, {arm} was not worse than {results.baseline} by more than the margin of {loss}."
    return f"In {noun(metric)}, a loss of more than the margin of {loss} with {arm} is not ruled out."


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
