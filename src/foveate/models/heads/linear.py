"""Linear layers: one, or several."""

from typing import Literal

from foveate.models.heads.head import Head, HeadConfig, Widths


class LinearHead(Head):
    """Dropout 0.2, then one linear layer (the "shallow" head of the 15-Scene report)."""

    class Config(HeadConfig):
        kind: Literal["linear"] = "linear"
        widths: None = None
        """It has no hidden layers."""


class DeepHead(Head):
    """Dropout 0.2 before each of three linear layers (640, 320, C), ReLU (15-Scene report's "deep" head)."""

    class Config(HeadConfig):
        kind: Literal["deep"] = "deep"
        widths: Widths | None = None
        """Units of the hidden layers, in order; None: 640, 320."""

    default_widths = (640, 320)
