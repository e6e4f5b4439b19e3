"""Experiment: one specification of a run, composed of each part's own configuration."""

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field, model_validator

from foveate.augmentation import BatchTransformConfig
from foveate.augmentation.combine import Combine
from foveate.core.config import Config, HashedAs, Mark, deciding, parse
from foveate.core.errors import ConfigError, shown
from foveate.core.reading import parse_yaml, read_yaml
from foveate.core.registry import shared_settings
from foveate.data.cache_config import CacheConfig
from foveate.data.layout_settings import LayoutConfig
from foveate.data.split import SplitConfig
from foveate.data.square import Fit, whole
from foveate.data.training_masks import MasksConfig
from foveate.data.transforms import AugmentationConfig
from foveate.evaluation.settings import EvaluationConfig, by_short_names
from foveate.feedback import FeedbackConfig
from foveate.last_layer import AnyLastLayerConfig
from foveate.models.heads import AnyHeadConfig, LinearHead
from foveate.models.settings import ModelConfig
from foveate.objectives import ObjectiveConfig, default_objective
from foveate.pretext import TASKS, AnyTaskConfig
from foveate.training import TrainingConfig


def _by_name(value: Any) -> Any:
    return {"preset": value} if isinstance(value, str) else value


Augmentation = Annotated[AugmentationConfig, BeforeValidator(_by_name)]
"""Settings, or the name of a preset."""


class DataConfig(Config):
    """Which pictures, and how they come to the network."""

    layout: LayoutConfig = LayoutConfig()
    split: SplitConfig = SplitConfig()
    size: int | None = Field(default=None, ge=16, le=4096)
    """Side of the square picture the network sees, in pixels; None asks the weights' card or timm."""
    fit: Fit = "squash"
    """How a picture becomes square: squeezed (nothing is lost), centre-cropped, or padded; bilinearly, or with
    "_bicubic" behind it bicubically, which keeps small pictures sharper that are enlarged for the network. With a side
    behind it ("squash@550") the square has so many px, and the network sees a part of ``size`` px: in training one at
    random, before augmentation, else the middle."""
    augment: Augmentation = AugmentationConfig()
    masks: Annotated[MasksConfig, Mark.LATER] = MasksConfig()
    """Which masks training sees; measuring takes the true ones."""
    cache: Annotated[CacheConfig, Mark.LATER] = CacheConfig()

    @model_validator(mode="after")
    def _square(self) -> "DataConfig":
        if self.size:
            whole(self.fit, self.size)
        if "@" in self.fit and self.cache.size:
            raise ConfigError(
                f"data.fit is '{self.fit}' and data.cache.size {self.cache.size}: both say how large pictures are "
                "kept; leave one out."
            )
        return self


class StartConfig(Config):
    """A pretext run from which another run starts: same pictures, same network, same seed."""

    task: AnyTaskConfig
    """What it learns."""
    training: TrainingConfig = TrainingConfig()
    augment: Augmentation = AugmentationConfig()
    head: AnyHeadConfig = LinearHead.Config()


class Experiment(Config):
    """Everything that decides the result of a run, except the pictures themselves."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    objective: ObjectiveConfig = Field(default_factory=default_objective)
    transforms: tuple[BatchTransformConfig, ...] = ()
    """Batch transforms, in order."""
    feedback: Annotated[tuple[FeedbackConfig, ...], Mark.LATER] = ()
    """What training has seen decides what it shows next."""
    training: TrainingConfig = TrainingConfig()
    evaluation: Annotated[EvaluationConfig, HashedAs(by_short_names)] = EvaluationConfig()
    task: Annotated[AnyTaskConfig | None, Mark.LATER] = None
    """A pretext task: the run learns its questions instead of the pictures' own classes."""
    start: Annotated[StartConfig | None, Mark.LATER] = None
    """A pretext run that is trained first (or found, where another run of a study has trained it); this run then starts
    from its network. ``model.weights`` are what the pretext run starts from."""
    last_layer: Annotated[AnyLastLayerConfig | None, Mark.LATER] = None
    """The linear head is fitted again when training is over, on stored features (``foveate list last-layers``)."""
    seed: int = 0

    @model_validator(mode="after")
    def _one_of_both(self) -> "Experiment":
        if self.task is not None and self.start is not None:
            raise ValueError(
                "a run has a task, or it starts from a pretext run; to chain them train them one by one"
            )
        if self.task is not None and self.last_layer is not None:
            raise ValueError("a pretext run keeps the head that answers its questions; leave last_layer out")
        return self

    @model_validator(mode="after")
    def _something_acts(self) -> "Experiment":
        epochs = sum(phase.epochs for phase in self.training.phases)
        for transform in self.transforms:
            if isinstance(transform, Combine.Config):
                transform.check(epochs)
        heads = all(phase.trainable == "head" and phase.freeze_bn for phase in self.training.phases)
        if self.last_layer is not None and heads and (self.transforms or self.feedback):
            raise ConfigError(
                "Only the head is trained, and last_layer fits it again on the pictures as they are: leave transforms "
                "and feedback out (with --freeze probe they would change nothing), or train more than the head."
            )
        return self

    @property
    def task_name(self) -> str:
        """The kind of the pretext task; "" in an ordinary run."""
        return "" if self.task is None else str(self.task.kind)

    def first(self) -> "Experiment | None":
        """The pretext run that ``start`` describes; None without one."""
        if self.start is None:
            return None
        own = getattr(TASKS[self.start.task.kind], "objective", None)
        return Experiment(
            data=self.data.model_copy(update={"augment": self.start.augment}),
            **({"objective": own} if own else {}),
            model=self.model.model_copy(update={"head": self.start.head}),
            training=self.start.training.model_copy(update={"device": self.training.device}),
            evaluation=EvaluationConfig.model_validate({"neighbours": self.evaluation.neighbours}),
            task=self.start.task,
            seed=self.seed,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in YAML and JSON."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Readable text that ``from_yaml`` takes back."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: str = "the experiment") -> "Experiment":
        """Validated.

        Raises:
            ConfigError: every wrong field with its path.
        """
        return parse(cls, current(values), source=source)

    @classmethod
    def from_yaml(cls, path: Path) -> "Experiment":
        """Read a whole experiment or the part of one that differs from the defaults."""
        return cls.from_dict(read_yaml(path), source=str(path))

    def hash(self) -> str:
        """12 hex digits over every field that is not marked as deciding nothing (``foveate.core.config.Mark``)."""
        return _hash(deciding(self))

    def training_hash(self) -> str:
        """As ``hash``, without what comes afterwards: equal for two runs that train the same network."""
        values = deciding(self)
        del values["evaluation"]
        values.pop("last_layer", None)
        return _hash(values)


def _hash(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


_FORMER = re.compile(
    r"((?:^|\.)(?:objective\.[^.]+(?=\.loss$)|transforms\.[^.]+(?=\.transform$)"
    r"|phases\.[^.]+\.schedule(?=\.schedule$)|(?:head|optimizer)(?=\.name$)))\.\w+$"
)
"""Places of what is called ``kind`` now, in settings that earlier versions wrote."""


def _current_path(path: str) -> str:
    return _FORMER.sub(r"\1.kind", path)


def current(value: Any, path: str = "") -> Any:
    """Nested settings with today's names, where earlier versions had others."""
    if isinstance(value, list | tuple):
        return [current(item, f"{path}.{place}") for place, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    renamed: dict[Any, Any] = {}
    for name, item in value.items():
        now = _current_path(f"{path}.{name}").rsplit(".", 1)[-1] if isinstance(name, str) else name
        if now in renamed or (now != name and now in value):
            raise ConfigError(
                f"{path.lstrip('.')}: '{name}' is called '{now}' now and both are given; leave one out."
            )
        renamed[now] = current(item, f"{path}.{name}")
    return renamed


def merge(base: dict[str, Any], changes: dict[str, Any], *, renamed: bool = False) -> dict[str, Any]:
    """``base`` with ``changes`` laid over it: mappings are merged, everything else is replaced.

    A mapping that chooses another kind replaces the old one, whose settings it does not have. ``renamed``: the changes
    have today's names already.
    """
    changes = changes if renamed else current(changes)
    if "kind" in changes and changes["kind"] != base.get("kind"):
        return dict(changes)
    merged = dict(base)
    if "preset" in changes and base.get("steps"):
        merged["steps"] = None  # steps of one's own would win over it
    for name, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = merge(merged[name], value, renamed=True) if both else value
    return merged


def assign(values: dict[str, Any], assignment: str) -> dict[str, Any]:
    """``values`` with ``a.b.0.c=value`` (value in YAML).

    Raises:
        ConfigError: no ``=``, a value that is not YAML, or a step that does not exist.
    """
    path, separator, text = assignment.partition("=")
    path = path.strip()
    if not separator or not path:
        raise ConfigError(f"--set takes name.of.setting=value, got {shown(assignment)}.")
    try:
        return put(values, path, parse_yaml(text, path))
    except ConfigError as error:
        raise ConfigError(f"--set {error}") from None


def put(values: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """``values`` with ``value`` at the place ``a.b.0.c`` of nested mappings and lists.

    The number after the last of a list adds an entry.

    Raises:
        ConfigError: a step does not exist.
    """
    result: dict[str, Any] = json.loads(json.dumps(values))
    place: Any = result
    *steps, last = _current_path(path).split(".")
    for step in steps:
        place = _child(place, step, path)
    if isinstance(place, list):
        _child(place, last, path)  # it is there, or is added
        place[int(last)] = value
    elif isinstance(place, dict):
        if last == "kind" and place.get(last) != value:  # the settings of another kind do not fit this one
            for other in place.keys() - shared_settings(value):
                del place[other]
        if last == "preset" and place.get("steps"):
            place["steps"] = None  # steps of one's own would win over it
        place[last] = value
    else:
        raise ConfigError(f"{path}: '{last}' cannot be set inside {shown(place)}.")
    return result


def _child(place: Any, step: str, path: str) -> Any:
    if isinstance(place, list) and step == str(len(place)):
        place.append({})
    if isinstance(place, list) and step in map(str, range(-len(place), len(place))):
        return place[int(step)]
    if isinstance(place, dict) and isinstance(place.get(step), dict | list):
        return place[step]
    if isinstance(place, dict) and place.get(step) is None:
        place[step] = {}
        return place[step]
    raise ConfigError(f"{path}: there is no '{step}' to go into.")
