"""What a search maximises or minimises: a figure of the validation pictures, and never one of the test pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from foveate.core.errors import ConfigError, RunError
from foveate.experiment import Experiment
from foveate.experiment.run_folder import RunFolder
from foveate.studies.search import Search
from foveate.training.phases import PhaseConfig, better

COLUMNS = ("loss", "accuracy", "balanced_accuracy", "macro_f1")
"""Columns of history.csv beside the terms of the objective, without ``val_``."""
RESULTS = (*COLUMNS[1:], "top", "nll", "brier", "ece", "groups", "look", "backgrounds")
"""First names of the figures in result.json."""
SMALLER_IS_BETTER = ("loss", "nll", "brier", "ece")


@dataclass(frozen=True)
class Target:
    """A validation figure."""

    name: str
    """As in the search's file."""
    direction: Literal["maximize", "minimize"]
    column: str | None
    """The column of history.csv that tells how a trial goes on, epoch by epoch; None: there is none."""

    def read(self, run: RunFolder) -> float:
        """The figure of a finished run: of the weights that were kept.

        Raises:
            ConfigError: the run has no such figure.
            RunError: its history is not that of its experiment.
        """
        if self.name.startswith("val."):
            place: Any = run.result["metrics"]["val"]
            for step in self.name.split(".")[1:]:
                inside = place.items() if isinstance(place, Mapping) else ()
                known = {name: value for name, value in inside if value is not None}
                if step not in known:
                    raise ConfigError(
                        f"The run has no '{self.name}': '{step}' was not measured on the validation pictures; there is "
                        f"{', '.join(known) or 'nothing inside'}."
                    )
                place = known[step]
            if isinstance(place, bool) or not isinstance(place, int | float):
                raise ConfigError(f"'{self.name}' is no number but {type(place).__name__}; name one figure.")
            return float(place)
        try:
            return float(kept_epoch(run.history, run.experiment.training.phases)[self.name])
        except (LookupError, TypeError):
            raise RunError(f"The history.csv of {run} does not fit its experiment; it was changed.") from None


def target_of(search: Search, base: Experiment) -> Target:
    """The target of a search.

    Raises:
        ConfigError: it is a figure of test or training pictures, there is none of this name, the settings that are
            searched change its meaning, or the pruner cannot follow it.
    """
    name = search.metric
    first = name.replace("_", ".").split(".")[0]
    if first == "test":
        raise ConfigError(
            f"The metric '{name}' belongs to the test pictures, and tuning on the test split is not possible; "
            "choose one of the validation pictures, for example val_accuracy."
        )
    columns = [f"val_{column}" for column in (*COLUMNS, *base.objective)]
    results = [f"val.{result}" for result in RESULTS]
    if name not in columns and not any(name == known or name.startswith(f"{known}.") for known in results):
        raise ConfigError(f"There is no metric '{name}'; choose one of {', '.join((*columns, *results))}.")
    for path in search.space:
        if _changes_meaning(name, path):
            raise ConfigError(
                f"The metric '{name}' cannot be compared between trials, since space.{path} changes what it measures; "
                "choose val_accuracy, or val.nll (the log loss of the labels alone)."
            )
    last = name.removeprefix("val_").rsplit(".", 1)[-1]
    smaller = last in SMALLER_IS_BETTER or last in base.objective
    direction = search.direction or ("minimize" if smaller else "maximize")
    column = name.replace("val.", "val_", 1)
    if column not in columns and search.pruner != "none":
        raise ConfigError(
            f"'{name}' is known only at the end of a run, so that no trial can be ended early by it; "
            "set pruner: none, or choose a val_ column."
        )
    return Target(name, direction, column if column in columns else None)


def _changes_meaning(metric: str, path: str) -> bool:
    """Whether a loss has another scale or form after a change of ``path``."""
    if metric == "val_loss":
        return path.startswith(("objective.", "model.head.kind", "model.network"))
    term = f"objective.{metric.removeprefix('val_')}."
    return metric.startswith("val_") and path.startswith(term) and path != f"{term}weight"


def kept_epoch(history: Sequence[Mapping[str, Any]], phases: Sequence[PhaseConfig]) -> Mapping[str, Any]:
    """The row of history.csv whose weights a finished run kept.

    The best epoch by the last phase's ``restore_best``, over all phases in a row that watch the same column, as
    training does; the last epoch where nothing is restored.
    """
    number, watched, best = -1, "", None
    for row in history:
        number += int(row["phase_epoch"]) == 1
        column = phases[number].restore_best
        if not column:
            continue
        if column != watched:
            watched, best = column, None
        if better(column, float(row[column]), float(best[column]) if best else None):
            best = row
    return best if best is not None and phases[number].restore_best else history[-1]
