"""Study: a base experiment, arms, seeds; expanded into cells (one arm, one seed or fold, in one block, on one set)."""

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from foveate.core.config import Config, parse
from foveate.core.errors import ConfigError
from foveate.core.reading import read_yaml
from foveate.experiment.specification import Experiment, merge, put

Changes = dict[str, Any]
"""Fields of an experiment: nested, or with dotted names ("training.phases.1.lr": 0.001)."""
PLACEBO = ", placebo"
"""Behind an arm's name: the same with the masks of other pictures."""
POOLED = "all sets"
"""Name of the table in which sets are the units."""


class Study(Config):
    """Several experiments that differ in what is compared and in nothing else."""

    name: str
    """Shown above tables."""
    base: dict[str, Any] = Field(default={})
    """What all arms share, as fields of an experiment; everything else has the experiment's defaults."""
    arms: dict[str, Changes] = Field(default={})
    """{arm: what it changes in the base}."""
    axes: dict[str, list[Any] | dict[str, Changes]] = Field(default={})
    """Instead of arms, or in addition: {dotted field: [values]} or {name: {label: changes}}. Their product is the
    arms."""
    blocks: dict[str, Changes] = Field(default={})
    """Conditions under which the whole comparison is repeated, for example training sizes: every block has its own
    baseline and its own table."""
    baseline: str = ""
    """The arm that the others are compared with; the first one if not said."""
    seeds: tuple[int, ...] = Field(default=(0, 1, 2, 3, 4), min_length=1, max_length=10_000)
    """Random seeds; the same seed means the same split, head and order of pictures in every arm."""
    split: Literal["per_seed", "shared", "folds"] = "per_seed"
    """per_seed: each seed draws its own split, so that intervals also cover the choice of test pictures; shared: the
    base's split for all; folds: each seed divides the pictures into ``folds``, and each fold is the test once."""
    folds: int = Field(default=5, ge=2, le=1000)
    """With split folds: how many."""
    data: dict[str, Path] = Field(default={})
    """{name of a set: its folder}: the whole study is repeated on each, and pooled with sets as units. Empty: the one
    folder that the command names."""
    metrics: tuple[str, ...] = ()
    """Rows of the table (see foveate.studies.metrics); empty: all that the cells can tell."""
    margin: dict[str, Annotated[float, Field(gt=0, le=1e6)]] = Field(default={})
    """{metric: the largest loss that is as good as none}, in points for shares: the verdict then says whether an arm is
    not worse by more than that. To be set before the study is run."""
    primary: str = ""
    """The metric that the study is about, tested alone. Empty: accuracy on swapped backgrounds where an arm trains with
    masks, else on the test pictures. To be set before the study is run, like ``margin`` and ``looks``."""
    primary_arm: str = ""
    """The arm whose comparison is the figure for a paper. Empty: the only arm that is neither baseline nor placebo;
    of several, all."""
    looks: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = ()
    """Numbers of seeds at which results are looked at, growing, the last being all: [5, 10] runs five more where five
    have not decided. Empty: one look, at ``seeds``."""
    spending: Literal["obrien-fleming", "pocock"] = "obrien-fleming"
    """How the looks share the false alarms: nearly all at the last, or about the same at each."""
    keep_weights: bool = True
    """Keep every cell's model.safetensors. Otherwise those of the first pair stay until the study is complete, when its
    report is to show the same pictures under every arm."""

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise ValueError("seeds are named twice")
        return value

    @field_validator("data")
    @classmethod
    def _names(cls, value: dict[str, Path]) -> dict[str, Path]:
        for name in value:
            if not name.strip() or name.startswith(".") or set(name) & set('/\\:*?"<>|') or name == POOLED:
                raise ValueError(f"a set's name is that of a folder too, so it cannot be '{name}'")
        seen: dict[str, str] = {}
        for name, path in value.items():
            other = seen.setdefault(os.path.realpath(path), name)
            if other != name:
                raise ValueError(f"the sets '{other}' and '{name}' are one folder, which would count twice")
        return value

    @model_validator(mode="after")
    def _check(self) -> "Study":
        names = list(self.arm_changes())
        if self.baseline and self.baseline not in names:
            raise ValueError(f"the baseline '{self.baseline}' is not one of the arms {names}")
        if self.primary_arm and self.primary_arm not in set(names) - {self.baseline_arm}:
            raise ValueError(
                f"primary_arm '{self.primary_arm}' is not one of the arms beside the baseline {names}"
            )
        if self.primary and self.metrics and self.primary not in self.metrics:
            raise ValueError(f"the primary metric '{self.primary}' is not among the study's metrics")
        if list(self.looks) != sorted(set(self.looks)):
            raise ValueError(f"looks are growing numbers of seeds, got {list(self.looks)}")
        if self.split == "folds" and len(self.looks) > 1:
            raise ValueError(
                "looks count seeds that are drawn anew; folds of the same pictures have one look"
            )
        return self

    @property
    def baseline_arm(self) -> str:
        """The arm the others are compared with."""
        return self.baseline or next(iter(self.arm_changes()))

    @property
    def block_names(self) -> tuple[str, ...]:
        """Names of the tables: of each block, on each set; ("",) without blocks and sets."""
        return tuple(_joined(block, place) for block in self.blocks or ("",) for place in self.data or ("",))

    @property
    def sets_of(self) -> dict[str, dict[str, str]]:
        """{name of a pooled table: {set: name of its table}}; empty without sets."""
        return {
            _joined(block, POOLED): {place: _joined(block, place) for place in self.data}
            for block in self.blocks or ("",)
            if self.data
        }

    def on(self, data: Mapping[str, Path | str]) -> "Study":
        """The study on these sets instead."""
        return Study.from_dict({**self.to_dict(), "data": {name: str(path) for name, path in data.items()}})

    @property
    def leading_arm(self) -> str:
        """The arm of the one comparison that the study is about; "" where all are."""
        others = [arm for arm in self.arm_changes() if arm != self.baseline_arm and not arm.endswith(PLACEBO)]
        return self.primary_arm or (others[0] if len(others) == 1 else "")

    def arm_changes(self) -> dict[str, list[Changes]]:
        """{arm: changes, laid over the base in this order}."""
        choices: list[list[tuple[str, Changes]]] = [list(self.arms.items())] if self.arms else []
        for axis, values in self.axes.items():
            name = axis.rpartition(".")[2]
            labelled = (
                values if isinstance(values, dict) else {f"{name} {value}": {axis: value} for value in values}
            )
            choices.append(list(labelled.items()))
        if not choices:
            return {"base": []}
        return {
            ", ".join(label for label, _ in combination): [changes for _, changes in combination]
            for combination in itertools.product(*choices)
        }

    def cells(self) -> list["Cell"]:
        """Every arm with every seed and fold in every block on every set; seeds outermost, so that early results are
        paired.

        Raises:
            ConfigError: a change does not fit the experiment (the arm is named).
        """
        folds = range(self.folds) if self.split == "folds" else (None,)
        return [
            Cell(
                arm, _joined(block, place), seed, self._experiment(arm, block, changes, seed, fold), place,
                fold, seed if fold is None else seed * self.folds + fold,
            )
            for seed, fold, place, block in itertools.product(
                self.seeds, folds, self.data or ("",), self.blocks or ("",)
            )
            for arm, changes in self.arm_changes().items()
        ]  # fmt: skip

    def _experiment(
        self, arm: str, block: str, changes: list[Changes], seed: int, fold: int | None
    ) -> Experiment:
        where = f"study '{self.name}', arm '{arm}'" + (f", block '{block}'" if block else "")
        values = Experiment().to_dict()
        try:
            for layer in [self.base, self.blocks.get(block, {}), *changes]:
                values = lay(values, layer)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
        values["seed"] = seed
        if self.split != "shared":
            values = put(values, "data.split.seed", seed)
        if fold is not None:
            values = put(put(values, "data.split.fold", fold), "data.split.folds", self.folds)
        return Experiment.from_dict(values, source=where)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in YAML and JSON."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Readable text that ``from_yaml`` takes back."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=120)

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: str = "the study") -> "Study":
        """Validated.

        Raises:
            ConfigError: every wrong field with its path.
        """
        return parse(cls, values, source=source)

    @classmethod
    def from_yaml(cls, path: Path) -> "Study":
        """Read a study file."""
        return cls.from_dict(read_yaml(path), source=str(path))


@dataclass(frozen=True)
class Cell:
    """One training run of a study."""

    arm: str
    block: str
    """Name of the table that it belongs to: block and set."""
    seed: int
    experiment: Experiment
    place: str = ""
    """The set; "" in a study of one folder."""
    fold: int | None = None
    pair: int = 0
    """Number that all arms of a pair share: the seed, or seed x folds + fold."""

    @property
    def key(self) -> str:
        """Its folder's name: the set and the experiment's hash. Two cells with one key are one run."""
        return "/".join(filter(None, (self.place, self.experiment.hash())))

    @property
    def start(self) -> "Cell | None":
        """The pretext run that this cell starts from, which cells share: an ordinary run folder beside theirs."""
        first = self.experiment.first()
        if first is None:
            return None
        kind = "faithful " if getattr(first.task, "faithful", False) else ""
        return replace(self, arm=f"pretext {kind}{first.task_name}", experiment=first)

    def __str__(self) -> str:
        fold = "" if self.fold is None else f"fold {self.fold}"
        return _joined(self.block, self.arm, f"seed {self.seed}", fold)


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def lay(values: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """``values`` with ``changes`` over them; a dotted name goes to its place, also inside lists."""
    nested = {name: value for name, value in changes.items() if "." not in name}
    values = merge(values, nested)
    for name, value in changes.items():
        if "." in name:
            values = put(values, name, value)
    return values


def common_settings(study: Study) -> dict[str, Any]:
    """What may not change while a study grows, as plain values: its base, name, split rule and what it is about.

    Seeds, metrics, sets and further arms may be added later; cells that are there stay valid.
    """
    values = study.to_dict()
    for name in ("seeds", "metrics", "arms", "axes", "blocks", "baseline", "keep_weights", "data"):
        del values[name]
    if study.split != "folds":
        del values["folds"]
    return values
