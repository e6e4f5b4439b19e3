"""Search: which settings of an experiment ``foveate tune`` varies, and between what."""

import json
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from foveate.core.config import Config
from foveate.core.errors import ConfigError
from foveate.core.rng import key, numpy_generator
from foveate.experiment.specification import Experiment, put

TRIALS = 20
GRID_LIMIT = 10_000
FIXED = {
    "data.split": "all trials share one split",
    "data.layout": "all trials share the same pictures",
    "evaluation.splits": "test pictures are not touched while tuning",
    "seed": "a random seed is no setting; 'seeds: per_trial' gives every trial its own",
}
"""What a search may not vary, and why."""


class Domain(Config):
    """The values that one setting may take: ``choices``, or a range from ``low`` to ``high``."""

    choices: tuple[Any, ...] | None = None
    """Any values, also lists and mappings."""
    low: int | float | None = None
    """Smallest value."""
    high: int | float | None = None
    """Largest value, included."""
    log: bool = False
    """Draw evenly over the logarithm (learning rates, weights)."""
    step: int | float | None = Field(default=None, gt=0)
    """Only low, low + step, low + 2 step ...; whole numbers have step 1."""

    @model_validator(mode="after")
    def _check(self) -> "Domain":
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log or self.step is not None:
                raise ValueError("give either choices, or low and high")
            if len({label(value) for value in self.choices}) < max(1, len(self.choices)):
                raise ValueError(f"choices must be different values, at least one; got {list(self.choices)}")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give choices: [...], or low and high")
        if not self.low < self.high or not math.isfinite(self.high - self.low):
            raise ValueError(f"low {self.low} must be below high {self.high}, and both finite")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs a low above 0, and no step")
        if self.step is not None:
            steps = (self.high - self.low) / self.step
            if abs(steps - round(steps)) > 1e-6 or round(steps) < 1:
                reached = self.low + math.floor(steps + 1e-9) * self.step
                raise ValueError(
                    f"high {self.high} is not reached from {self.low} in steps of {self.step} ({reached} is)"
                )
        return self

    def whole(self, current: Any) -> bool:
        """Whether this is a range of whole numbers; ``current`` is the base experiment's value, whose type decides."""
        numbers = (self.low, self.high, self.step or 0)
        return (
            self.choices is None
            and not isinstance(current, float)
            and all(isinstance(n, int) for n in numbers)
        )

    @property
    def span(self) -> tuple[int | float, int | float]:
        """Smallest and largest value of a range."""
        assert self.low is not None
        assert self.high is not None
        return self.low, self.high

    def points(self, current: Any) -> list[Any] | None:
        """Every value in order; None for a continuous range."""
        if self.choices is not None:
            return list(self.choices)
        step = self.step or (1 if self.whole(current) else None)
        if step is None:
            return None
        low, high = self.span
        points = [low + k * step for k in range(round((high - low) / step) + 1)]
        return points if self.whole(current) else [float(np.round(point, 12)) for point in points]

    def stored(self, value: Any) -> Any:
        """A value as the database keeps it: a choice as text."""
        return value if self.choices is None else label(value)

    def value(self, stored: Any) -> Any:
        """The value that ``stored`` stands for."""
        return stored if self.choices is None else {label(choice): choice for choice in self.choices}[stored]


def label(value: Any) -> str:
    """A choice as text: what the database keeps."""
    return value if isinstance(value, str) else json.dumps(value)


class Search(Config):
    """A search over settings of an experiment; the file that ``foveate tune --config`` takes."""

    experiment: dict[str, Any] = Field(default={})
    """What all trials share, as in the file of ``foveate train --config``."""
    space: dict[str, Domain] = Field(min_length=1)
    """{place of a setting, for example training.phases.1.lr: its values}."""
    metric: str = "val_accuracy"
    """What decides: a ``val_`` column of history.csv in the epoch that is kept, or ``val.NAME`` of result.json."""
    direction: Literal["maximize", "minimize"] | None = None
    """None: losses and calibration errors are minimised, everything else is maximised."""
    trials: int | None = Field(default=None, ge=1, le=1_000_000)
    """How many; None: 20, or with the sampler grid all its points. May be raised later."""
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    """tpe learns from earlier trials (after ten random ones)."""
    pruner: Literal["median", "none"] = "median"
    """median: a trial whose best value so far is worse than the median of the complete trials' at
    the same epoch is ended."""
    warmup_epochs: int = Field(default=5, ge=0, le=100_000)
    """Epochs before a trial may be ended by the pruner."""
    seeds: Literal["fixed", "per_trial"] = "fixed"
    """fixed: all trials have the experiment's seed, so that they differ in their settings alone."""
    name: str | None = None
    """Name in a database that several searches share; None: the name of the folder."""

    def count(self, base: Experiment) -> int:
        """How many trials there are to be."""
        if self.sampler != "grid":
            return self.trials or TRIALS
        size = math.prod(self.grid_shape(base))
        return min(self.trials or size, size)

    def grid_shape(self, base: Experiment) -> tuple[int, ...]:
        """How many values each setting has.

        Raises:
            ConfigError: a range is continuous, or the grid is too large.
        """
        values, shape = base.to_dict(), []
        for path, domain in self.space.items():
            points = domain.points(at(values, path))
            if points is None:
                raise ConfigError(
                    f"space.{path} has no step, so there is no grid; give step or choices, or use sampler: tpe."
                )
            shape.append(len(points))
        if math.prod(shape) > GRID_LIMIT:
            raise ConfigError(
                f"The grid has {math.prod(shape)} points; give fewer values, or use sampler: random."
            )
        return tuple(shape)

    def grid_point(self, base: Experiment, number: int) -> dict[str, Any]:
        """Settings of the trial ``number``; the points come in an order drawn once from the experiment's seed."""
        shape, values = self.grid_shape(base), base.to_dict()
        order = numpy_generator(base.seed, "grid").permutation(math.prod(shape))
        places = np.unravel_index(order[number], shape)
        return {
            path: (domain.points(at(values, path)) or [])[int(place)]
            for (path, domain), place in zip(self.space.items(), places, strict=True)
        }

    def experiment_of(self, base: Experiment, settings: Mapping[str, Any], number: int) -> Experiment:
        """The whole experiment of a trial.

        Raises:
            ConfigError: the settings do not fit together.
        """
        values = base.to_dict()
        # What chooses a kind comes first: it takes the old kind's settings away.
        for path in sorted(settings, key=lambda path: path.rsplit(".", 1)[-1] != "kind"):
            values = put(values, path, settings[path])
        if self.seeds == "per_trial":
            values["seed"] = key(base.seed, "trial", number) % 2**31
        return Experiment.from_dict(values, source=f"Trial {number}")

    def check(self, base: Experiment) -> None:
        """Everything that can be known before the first trial.

        Raises:
            ConfigError: a place does not exist in the experiment, a value does not fit it, or nothing would change.
        """
        values = base.to_dict()
        for path, domain in self.space.items():
            for fixed, reason in FIXED.items():
                if path == fixed or path.startswith(f"{fixed}."):
                    raise ConfigError(f"space.{path} cannot be searched: {reason}.")
            current = at(values, path)
            number = isinstance(current, int) and not isinstance(current, bool)
            if number and domain.choices is None and not domain.whole(current):
                raise ConfigError(
                    f"space.{path} is a whole number (now {current}); low {domain.low}, high {domain.high} and "
                    "step must be whole numbers, too."
                )
            found, ends = set(), domain.choices or domain.span
            for value in ends:
                try:
                    found.add(self.experiment_of(base, {path: value}, 0).hash())
                except ConfigError as error:
                    raise ConfigError(f"space.{path} cannot be {value!r}: {error}") from None
            if len(found) < len(ends):
                raise ConfigError(
                    f"space.{path} does not change the result of a run, so there is nothing to search."
                )
        self.count(base)


def at(values: Any, path: str) -> Any:
    """What stands at ``path`` in an experiment as plain values.

    Raises:
        ConfigError: there is no such place; says what there is.
    """
    place, seen = values, ""
    for step in path.split("."):
        inside = (
            enumerate(place) if isinstance(place, list) else place.items() if isinstance(place, dict) else ()
        )
        known = {str(name): value for name, value in inside}
        if step not in known:
            where = f"'{seen}' of the experiment" if seen else "the experiment"
            empty = f"is {place!r}, with nothing inside; set it under 'experiment' first"
            holds = f"holds {', '.join(known)}" if known else empty
            raise ConfigError(f"space.{path} does not exist: {where} {holds}.")
        place = known[step]
        seen = f"{seen}.{step}".lstrip(".")
    return place
