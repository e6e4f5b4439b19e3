"""The plant-species report's first network: three convolutions, three poolings, one hidden layer.

Source: Breda, Giaccaglia, La Conca, ANN2DL Homework 1, 2022, section 2 ("almost 2.5 million parameters", 96 px). The
report gives no widths. With 32, 64, 128 channels and 128 hidden units it has 2,453,704 with eight classes.
"""

from typing import Any

import torch
from torch import nn

from foveate.core import torchvision_guard  # noqa: F401  (before timm)
from foveate.models.small_cnn import PooledCnn, plain_cfg

from timm.models import generate_default_cfgs, register_model  # isort: skip
from timm.models import build_model_with_cfg  # isort: skip

default_cfgs = generate_default_cfgs(
    {"foveate_three_conv": plain_cfg("stages.0.0", fixed_input_size=True, pool_size=None)}
)


class ThreeConvCnn(PooledCnn):
    """Stages of 3x3 convolution, ReLU, 2x2 max pooling; flatten; a hidden layer with ReLU; one linear layer.

    The hidden layer sees every place of the last map, so the number of its weights follows from ``img_size``. Weights
    start Glorot-uniform and biases at zero, as in Keras.
    """

    timm_name = "foveate_three_conv"
    pools_by = None

    def __init__(
        self,
        num_classes: int = 1000,
        in_chans: int = 3,
        img_size: int | tuple[int, int] = 96,
        widths: tuple[int, ...] = (32, 64, 128),
        hidden: int = 128,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        side = (img_size if isinstance(img_size, int) else img_size[0]) >> len(widths)
        if side < 1:
            raise ValueError(f"{len(widths)} poolings leave nothing of a picture of {img_size} px")
        self.num_features, self.head_hidden_size = widths[-1], hidden
        self.drop_rate = drop_rate
        self.feature_info: list[dict[str, Any]] = []
        stages, channels = [], in_chans
        for index, width in enumerate(widths):
            stages.append(nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)))
            channels = width
            self.feature_info.append({"num_chs": width, "reduction": 2 << index, "module": f"stages.{index}"})
        self.stages = nn.Sequential(*stages)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(channels * side * side, hidden), nn.ReLU())
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.constant_(module.bias, 0.0)  # type: ignore[arg-type]
        self.reset_classifier(num_classes)

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        """(B, K, H / 8, W / 8) -> (B, hidden)."""
        return self.hidden(x)


@register_model
def foveate_three_conv(pretrained: bool = False, **kwargs: Any) -> ThreeConvCnn:
    """Three convolutions and a wide hidden layer: it learns a small set by heart (the report's first attempt)."""
    return build_model_with_cfg(
        ThreeConvCnn, "foveate_three_conv", pretrained, feature_cfg={"flatten_sequential": True}, **kwargs
    )
