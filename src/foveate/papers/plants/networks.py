"""The plant-species report's own networks: three convolutions, and two modules of parallel convolutions.

Source: Breda, Giaccaglia, La Conca, ANN2DL Homework 1, 2022, section 2. The report gives no widths.
"""

from typing import Any

import torch
from torch import nn

from foveate.core import torchvision_guard  # noqa: F401  (before timm)
from foveate.models.small_cnn import PooledCnn, plain_cfg

from timm.models import generate_default_cfgs, register_model  # isort: skip
from timm.models import build_model_with_cfg  # isort: skip

default_cfgs = generate_default_cfgs(
    {
        "foveate_three_conv": plain_cfg("stages.0.0", fixed_input_size=True, pool_size=None),
        "foveate_inception_like": plain_cfg("stages.0.0.0"),
    }
)


class ThreeConvCnn(PooledCnn):
    """Stages of 3x3 convolution, ReLU, 2x2 max pooling; flatten; a hidden layer with ReLU; one linear layer.

    The hidden layer sees every place of the last map, so the number of its weights follows from ``img_size``. Weights
    start Glorot-uniform and biases at zero, as in Keras. The report has "almost 2.5 million parameters" at 96 px; with
    these widths there are 2,453,704 with eight classes.
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


Widths = tuple[int, tuple[int, int], tuple[int, int], int]
"""Channels of a module's branches: 1x1; 1x1 then 3x3; 1x1 then 5x5; pooling then 1x1."""


def _convolution(channels: int, width: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_in", nonlinearity="relu")
    nn.init.constant_(convolution.bias, 0.0)  # type: ignore[arg-type]
    return nn.Sequential(convolution, nn.ReLU(inplace=True))


class InceptionModule(nn.Module):
    """Kernels of several sizes side by side on (B, K, h, w); 1x1 convolutions make the large ones cheap."""

    def __init__(self, channels: int, widths: Widths) -> None:
        super().__init__()
        one, (reduce3, three), (reduce5, five), pooled = widths
        self.one = _convolution(channels, one, 1)
        self.three = nn.Sequential(_convolution(channels, reduce3, 1), _convolution(reduce3, three, 3))
        self.five = nn.Sequential(_convolution(channels, reduce5, 1), _convolution(reduce5, five, 5))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), _convolution(channels, pooled, 1))
        self.width = one + three + five + pooled

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, K, h, w) -> (B, width, h, w)."""
        return torch.cat((self.one(x), self.three(x), self.five(x), self.pool(x)), dim=1)


class InceptionLike(PooledCnn):
    """A strided 5x5 convolution and pooling, then modules with a pooling between them; average; one linear layer.

    With the defaults a picture of 96 px ends as a map of 480 x 12 x 12 after about 0.52 million parameters. The widths
    are those of GoogLeNet's modules 3a and 3b (Szegedy et al., Going deeper with convolutions, CVPR 2015), behind one
    strided convolution (figure 3 of the report). There is no batch norm, as in the first GoogLeNet. Trap: with it this
    network had learnt the statistics of pictures that augmentation had blurred by resampling, and on sharp pictures of
    plants8 it was right for 38 % instead of 60 % (with the statistics of the sharp batch itself).
    """

    timm_name = "foveate_inception_like"

    def __init__(
        self,
        num_classes: int = 1000,
        in_chans: int = 3,
        stem: int = 32,
        modules: tuple[Widths, ...] = ((64, (96, 128), (16, 32), 32), (128, (128, 192), (32, 96), 64)),
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.drop_rate = drop_rate
        stages: list[nn.Sequential] = [nn.Sequential(_convolution(in_chans, stem, 5, 2))]
        self.feature_info: list[dict[str, Any]] = [{"num_chs": stem, "reduction": 2, "module": "stages.0"}]
        channels = stem
        for index, widths in enumerate(modules, start=1):
            module = InceptionModule(channels, widths)
            stages.append(nn.Sequential(nn.MaxPool2d(2), module))
            channels = module.width
            self.feature_info.append(
                {"num_chs": channels, "reduction": 2 << index, "module": f"stages.{index}"}
            )
        self.stages = nn.Sequential(*stages)
        self.num_features = self.head_hidden_size = channels
        self.reset_classifier(num_classes)


@register_model
def foveate_inception_like(pretrained: bool = False, **kwargs: Any) -> InceptionLike:
    """Two Inception modules, made for pictures of about 96 px (the report's second attempt)."""
    return build_model_with_cfg(
        InceptionLike,
        "foveate_inception_like",
        pretrained,
        feature_cfg={"flatten_sequential": True},
        **kwargs,
    )
