"""Settings of the network: which one, from which weights."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from foveate.core.config import Config, Mark
from foveate.models.card import Means, Stds
from foveate.models.heads import AnyHeadConfig, LinearHead
from foveate.models.networks import AnyNetworkConfig, Classifier


class ModelConfig(Config):
    """Which network, from which weights."""

    backbone: str | None = None
    """timm's name, with a tag if wanted ("resnet18.a1_in1k"); None: the one that the weights' card names."""
    weights: str = "pretrained"
    """"pretrained" (timm's download), "none" (random), or a file or run folder."""
    backbone_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further keyword arguments of the backbone, for example drop_path_rate; they win over the card's."""
    network: Annotated[AnyNetworkConfig, Mark.LATER] = Classifier.Config()
    """What is built on the backbone, by ``kind``."""
    head: AnyHeadConfig = LinearHead.Config()
    """The head of the classifier; other networks have heads of their own."""
    keep_head: Annotated[bool | Literal["fitting"], Mark.LATER] = False
    """Take over the head of the weights, too, where it was trained for the very same classes and is built alike.
    "fitting": of other classes, and of a network of the same kind, all but what has a row for each class."""
    features: Literal["auto", "pre_logits", "pooled"] = "auto"
    """What the head receives: what timm's own classifier would ("pre_logits"), or the mean of the last
    feature map ("pooled"). "auto": pre_logits, but pooled where the weights lack a part between the two."""
    mean: Means | None = None
    """Mean of each channel that pictures are normalised with, in [0, 1]; None: the card's, else timm's."""
    std: Stds | None = None
    """Standard deviation of each channel, in [0, 1]; None: the card's, else timm's."""

    @model_validator(mode="after")
    def _own_heads(self) -> Self:
        if self.network.kind != "classifier" and self.head != LinearHead.Config():
            raise ValueError(f"the network '{self.network.kind}' has heads of its own; leave model.head out")
        return self
