"""The JSON card beside a weights file: which network the tensors belong to and how pictures must be prepared.

``NAME.json`` lies beside ``NAME.safetensors``. Cards come with converted weights and from our own runs; both
have one format, so that one run's ``model.safetensors`` can be the next run's ``--weights``.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from foveate.core.config import Config, parse
from foveate.core.errors import ConfigError, WeightsError
from foveate.core.files import SCHEMA_VERSION
from foveate.core.reading import read_json
from foveate.models.heads import AnyHeadConfig

_Mean = Annotated[float, Field(ge=0, le=1)]
_Std = Annotated[float, Field(gt=0, le=1)]
Means = tuple[_Mean, _Mean, _Mean]
Stds = tuple[_Std, _Std, _Std]
Side = Annotated[int, Field(ge=1, le=4096)]
"""Of a picture, in px."""


class Card(Config):
    """What a weights file is. Only ``architecture`` is required."""

    architecture: str
    """timm's name of the backbone, with or without a tag."""
    architecture_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments that the network must be created with."""
    pretrained_on: str | None = None
    """What the weights were trained on, in words."""
    classes: int | None = Field(default=None, ge=1, le=1_000_000)
    """Number of classes of the classifier in the file; None: there is none."""
    features: int | None = Field(default=None, ge=1)
    """Number of values the head receives for a picture."""
    input_size: tuple[Literal[3], Side, Side] | None = None
    """(3, H, W) in px that the weights were trained with."""
    mean: Means | None = None
    """Mean of each channel that pictures are normalised with, in [0, 1] units."""
    std: Stds | None = None
    """Standard deviation of each channel, in [0, 1] units, more than 0."""
    absent: tuple[str, ...] = ()
    """Modules of the architecture whose weights the file lacks; "classifier" means timm's own last layer."""

    # From here on: only in cards of our own runs.
    schema_version: int | None = Field(default=None, le=SCHEMA_VERSION)
    """Version of this format; a higher one than ours is refused."""
    network: dict[str, Any] = Field(default_factory=lambda: {"kind": "classifier"})
    """The network that was built on the backbone: settings with a ``kind`` from ``models.networks``."""
    head: AnyHeadConfig | None = None
    """A classifier's head, whose tensors stand in the file under ``head.``."""
    feature_mode: Literal["pre_logits", "pooled"] | None = None
    """Which features the head receives: "pre_logits" or "pooled"."""
    class_names: tuple[str, ...] | None = None
    """Names in the order of the logits."""
    class_ids: tuple[str, ...] | None = None
    """The data set's own ids, in the order of the logits."""
    preprocessing: dict[str, Any] = Field(default_factory=dict)
    """How pictures are prepared before normalisation: "size" in px, "fit", and what else the run used."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of the libraries that wrote the file."""

    @model_validator(mode="after")
    def _one_name_for_each_class(self) -> Self:
        for field in ("class_names", "class_ids"):
            names = getattr(self, field)
            if names is not None and self.classes is not None and len(names) != self.classes:
                raise ValueError(f"{field} holds {len(names)} names for {self.classes} classes")
        return self


def card_path(weights_file: Path) -> Path:
    """Where the card of a weights file is looked for."""
    return weights_file.with_suffix(".json")


def read_card(weights_file: Path) -> Card | None:
    """The card beside ``weights_file``, or None if there is none.

    Raises:
        WeightsError: the card is not JSON, or has wrong or unknown entries.
    """
    path = card_path(weights_file)
    if not path.is_file():
        return None
    try:
        return parse(Card, read_json(path, dict, ConfigError), source=str(path))
    except ConfigError as error:
        raise WeightsError(f"{error} Mend the card, or move it away to do without one.") from None
