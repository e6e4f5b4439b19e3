"""A whole study in words and numbers: ``analyse(results)``."""

from dataclasses import dataclass, field

from foveate.studies.pictures import PictureComparison
from foveate.studies.results import Metric, StudyResults
from foveate.studies.statistics import Comparison, Summary
from foveate.studies.verdict import Outcome


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
    """What a reader must know about the whole: failed cells, shared test pictures, number of tests."""


def analyse(results: StudyResults, alpha: float = 0.05) -> Analysis:
    """Summaries, comparisons with the baseline, and verdicts, for every metric and arm."""
    raise NotImplementedError
