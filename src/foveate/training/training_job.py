"""A training job: what ``fit`` needs, in one place."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from accelerate import Accelerator
from pydantic import Field, field_validator, model_validator

from foveate.augmentation import BatchTransform
from foveate.core.config import Config, Mark
from foveate.data.batch import Batch
from foveate.data.loader import LoaderConfig
from foveate.feedback import Feedback
from foveate.models.networks import Network
from foveate.objectives import Objective
from foveate.training.decisions import Decisions
from foveate.training.loaders import Feeds
from foveate.training.observers import Observer
from foveate.training.phases import PhaseConfig
from foveate.training.precision import Precision
from foveate.training.shared_features import SharedFeatures

EPOCHS = "epochs"
"""In the run folder: networks of single epochs."""


class BatchSearch(Config):
    """What the batch-size finder tries."""

    start: int = Field(default=8, ge=1, le=65_536)
    """The first and smallest size; it is doubled from there."""
    largest: int = Field(default=1024, ge=1, le=65_536)
    """No size beyond it."""

    @model_validator(mode="after")
    def _ordered(self) -> "BatchSearch":
        if self.start > self.largest:
            raise ValueError(f"start {self.start} is beyond largest {self.largest}")
        return self


class TrainingConfig(Config):
    """How the network is trained."""

    phases: tuple[PhaseConfig, ...] = (PhaseConfig(),)
    batch_size: Annotated[int, Field(ge=1, le=65_536)] | Literal["auto"] = 32
    """Pictures a step; "auto" asks the batch-size finder."""
    batch_search: Annotated[BatchSearch, Mark.LATER] = BatchSearch()
    """Where "auto" begins and ends."""
    precision: Literal[
        "auto", "fp32", "fp32_channels_last", "bf16", "bf16_channels_last", "fp16", "fp16_channels_last"
    ] = "auto"
    """auto: measured on this machine for every kind of pass, remembered in the run. fp16 scales gradients, on an
    accelerator only."""
    compile: bool = False
    """torch.compile the network (training steps only)."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights, with warm-up; it is what is validated and kept."""
    clip: float | None = Field(default=None, gt=0)
    """Largest gradient norm of the network; what the objective learns is not clipped and does not count."""
    accumulate: int = Field(default=1, ge=1, le=10_000)
    """Batches whose gradients make one optimizer step."""
    time_budget: float | None = Field(default=None, gt=0)
    """Minutes of training, over all restarts; what was best by then is kept."""
    loader: LoaderConfig = LoaderConfig()
    draw: Annotated[int, Mark.DECIDES_NOTHING] = Field(default=0, ge=0, le=256)
    """Pictures that trackers get of what the network draws on them (boxes, windows, attention; others the class map):
    of the validation, or of the training where there is none. Not in pretext runs."""
    draw_every: Annotated[int, Mark.DECIDES_NOTHING] = Field(default=1, ge=1, le=100_000)
    """Epochs between two such drawings."""
    keep_every: Annotated[int | None, Mark.DECIDES_NOTHING] = Field(default=None, ge=1, le=100_000)
    """Every so many epochs the network as it is then is kept in ``epochs/0010``, which ``model.weights`` takes; None:
    only what the last phase ends with (its best epoch where it has ``restore_best``)."""
    device: Annotated[str, Mark.DECIDES_NOTHING] = "auto"
    """"auto" (an accelerator if there is one), "cpu", "cuda"."""
    checkpoint_seconds: Annotated[float, Mark.DECIDES_NOTHING] = Field(default=30.0, ge=0)
    """Least time between two checkpoints inside a phase; a resumed run repeats what came after the last one."""

    @field_validator("phases")
    @classmethod
    def _some(cls, phases: tuple[PhaseConfig, ...]) -> tuple[PhaseConfig, ...]:
        if not phases:
            raise ValueError("training needs at least one phase")
        return phases


@dataclass(frozen=True)
class Job:
    """One network to be trained on one set of pictures."""

    model: Network
    """Trained in place; on the accelerator's device."""
    feeds: Feeds
    objective: Objective
    config: TrainingConfig
    accelerator: Accelerator
    seed: int
    batch_size: int
    folder: Path | None = None
    """The run folder: history.csv and checkpoint/ are kept there, and training goes on from what is there."""
    transforms: tuple[BatchTransform, ...] = ()
    feedbacks: tuple[Feedback, ...] = ()
    observer: Observer = field(default_factory=Observer)
    decisions: Decisions = field(default_factory=Decisions)
    memory: Path | None = None
    """File in which measured choices of this machine are remembered."""
    keep: Callable[[Network, Path], object] = lambda network, folder: None
    """Writes a network with its card, for ``training.keep_every``."""
    timed: bool = False
    """Whether to say first how long training takes."""
    shared: SharedFeatures | None = None
    """Where runs of one study leave features for each other."""

    def __post_init__(self) -> None:
        Precision(self.config.precision).check(self.accelerator.device)
        self.objective.to(self.accelerator.device)

    def prepare(self, raw: Batch, precision: Precision) -> Batch:
        """Pictures to the device, normalised, in the precision's memory layout."""
        return raw.prepare(self.accelerator.device, self.model.mean, self.model.std, precision.memory_format)
