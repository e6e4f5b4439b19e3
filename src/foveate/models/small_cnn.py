"""Plain networks of our own, small enough to train from nothing on a laptop; timm finds them by name.

``timm.create_model("foveate_small_cnn")`` works once ``foveate.models`` is imported, and so does everything
that works with timm's networks: pooled features, taps, freezing, saved runs.
"""

from typing import Any

import torch
from torch import nn

from foveate.core import torchvision_guard  # noqa: F401  (before timm)

from timm.models import generate_default_cfgs, register_model  # isort: skip
from timm.models import build_model_with_cfg  # isort: skip


def plain_cfg(first_conv: str, **more: Any) -> dict[str, Any]:
    """What timm wants to know of a network for pictures of 96 px whose last layer is ``fc``."""
    return {
        "num_classes": 1000,
        "input_size": (3, 96, 96),
        "pool_size": (12, 12),
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "first_conv": first_conv,
        "classifier": "fc",
    } | more


default_cfgs = generate_default_cfgs({"foveate_small_cnn": plain_cfg("stages.0.0")})


class PooledCnn(nn.Module):
    """Base: ``stages`` to a map, ``pool`` to a vector, dropout, one linear layer; the methods that timm asks for."""

    timm_name: str
    pools_by: str | None = "avg"
    stages: nn.Sequential
    head_hidden_size: int
    drop_rate: float

    def get_classifier(self) -> nn.Module:
        """The last linear layer, or an identity without classes."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A fresh last layer; 0 classes: none. ``global_pool``: there is nothing to choose."""
        if global_pool not in (None, self.pools_by):
            why = "pools by the average only" if self.pools_by else "flattens its last map"
            raise ValueError(f"{self.timm_name} {why}; it cannot pool by {global_pool!r}")
        self.num_classes = num_classes
        self.fc = nn.Linear(self.head_hidden_size, num_classes) if num_classes else nn.Identity()

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        """(B, K, h, w) -> (B, K)."""
        return x.mean((2, 3))

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, K, h, w)."""
        return self.stages(x)

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """(B, K, h, w) -> what ``pool`` makes of it with ``pre_logits``, else (B, C)."""
        x = nn.functional.dropout(self.pool(x), self.drop_rate, self.training)
        return x if pre_logits else self.fc(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, C)."""
        return self.forward_head(self.forward_features(x))


class SmallCnn(PooledCnn):
    """Stages of 3x3 convolution, batch norm, ReLU; global average; one linear layer.

    With the defaults a picture of 96 px ends as a map of 160 x 12 x 12 after about 0.35 million parameters.
    """

    timm_name = "foveate_small_cnn"

    def __init__(
        self,
        num_classes: int = 1000,
        in_chans: int = 3,
        widths: tuple[int, ...] = (24, 48, 96, 128, 160),
        strides: tuple[int, ...] = (2, 2, 2, 1, 1),
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if len(widths) != len(strides):
            raise ValueError(f"widths has {len(widths)} entries and strides {len(strides)}; they must match")
        self.num_features = self.head_hidden_size = widths[-1]
        self.drop_rate = drop_rate
        self.feature_info: list[dict[str, Any]] = []
        stages, reduction, channels = [], 1, in_chans
        for index, (width, stride) in enumerate(zip(widths, strides, strict=True)):
            convolution = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            stages.append(nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)))
            reduction, channels = reduction * stride, width
            self.feature_info.append({"num_chs": width, "reduction": reduction, "module": f"stages.{index}"})
        self.stages = nn.Sequential(*stages)
        self.reset_classifier(num_classes)


@register_model
def foveate_small_cnn(pretrained: bool = False, **kwargs: Any) -> SmallCnn:
    """The network that ``foveate demo`` trains; made for pictures of about 96 px."""
    return build_model_with_cfg(
        SmallCnn, "foveate_small_cnn", pretrained, feature_cfg={"flatten_sequential": True}, **kwargs
    )
