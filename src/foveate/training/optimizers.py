"""Optimizers and parameter groups: weight decay, factors by module, layer decay."""

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import BeforeValidator, Field
from torch import nn

from foveate.core import torchvision_guard  # noqa: F401  (before timm)
from foveate.core.config import Config
from foveate.core.errors import ConfigError
from foveate.core.registry import Registry, by_kind

from timm.optim import param_groups_layer_decay  # isort: skip


class Optimizer(Config):
    """Settings that every optimizer has; each adds its own, its ``kind`` and the ``algorithm``."""

    algorithm: ClassVar[type[torch.optim.Optimizer]]
    fused: ClassVar[bool] = False
    """Whether torch has a fused kernel for it."""
    takes: ClassVar[str] = "betas"
    """What the algorithm takes besides the learning rate."""
    weight_decay: float = Field(default=0.0, ge=0, le=1000)
    """Of weight matrices and kernels only, not of biases and norms. All but adamw add it to the gradient, as an L2
    penalty, where far smaller values are strong."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """sgd and rmsprop."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """adam family."""


class AdamW(Optimizer):
    """Adam with weight decay apart from the gradient. Source: Loshchilov & Hutter, ICLR 2019."""

    kind: Literal["adamw"] = "adamw"
    weight_decay: float = Field(default=0.05, ge=0, le=1000)
    """Of weight matrices and kernels only, not of biases and norms: they shrink by this share of the learning rate."""
    algorithm = torch.optim.AdamW
    fused = True


class Adam(Optimizer):
    """Steps scaled by means of the gradient and its square. Source: Kingma & Ba, ICLR 2015."""

    kind: Literal["adam"] = "adam"
    algorithm = torch.optim.Adam
    fused = True


class NAdam(Optimizer):
    """Adam with Nesterov's momentum. Source: Dozat, ICLR workshop 2016."""

    kind: Literal["nadam"] = "nadam"
    algorithm = torch.optim.NAdam


class SGD(Optimizer):
    """Gradient descent with momentum."""

    kind: Literal["sgd"] = "sgd"
    algorithm = torch.optim.SGD
    fused = True
    takes = "momentum"


class RMSprop(Optimizer):
    """Steps scaled by a mean of the squared gradient. Source: Tieleman & Hinton, 2012."""

    kind: Literal["rmsprop"] = "rmsprop"
    algorithm = torch.optim.RMSprop
    takes = "momentum"


# A new optimizer: one class, one line here.
OPTIMIZERS = Registry("optimizer", AdamW, Adam, NAdam, SGD, RMSprop, formerly="name")

if TYPE_CHECKING:
    AnyOptimizer = Any
else:
    AnyOptimizer = Annotated[OPTIMIZERS.settings, BeforeValidator(partial(by_kind, otherwise="adamw"))]


def layer_scales(backbone: nn.Module, layer_decay: float) -> dict[int, float]:
    """{id(parameter): learning-rate scale} by timm's layer groups; the layer nearest to the head has scale 1."""
    groups = param_groups_layer_decay(backbone, weight_decay=0.0, layer_decay=layer_decay)
    scales = {id(parameter): float(group["lr_scale"]) for group in groups for parameter in group["params"]}
    # timm's last group is the classifier, which our backbones do not have.
    top = max(scales.values(), default=1.0)
    return {parameter: scale / top for parameter, scale in scales.items()}


def parameter_groups(
    model: nn.Module,
    weight_decay: float,
    factors: dict[str, float],
    layer_decay: float | None,
    objective: nn.Module | None = None,
) -> list[dict[str, Any]]:
    """Groups of the trainable parameters of equal weight decay and learning-rate factor.

    Args:
        factors: {prefix: learning-rate factor}; parameters of the objective begin with "objective.", and "head" stands
            for all that the network has beside its backbone.
        objective: its parameters come last, without weight decay; those of the model among them are not repeated.

    Returns:
        Dictionaries with ``params``, ``weight_decay``, ``lr_factor`` and ``part`` ("head", "backbone" or
        "objective"), in a fixed order.

    Raises:
        ConfigError: a prefix in ``factors`` matches no parameter.
    """
    named = list(model.named_parameters())
    known = {id(parameter) for _, parameter in named}
    if objective is not None:
        named += [(f"objective.{n}", p) for n, p in objective.named_parameters() if id(p) not in known]
    matching = {name: [p for p in factors if _begins(name, p)] for name, _ in named}
    for prefix in factors:
        if not any(prefix in found for found in matching.values()):
            raise ConfigError(
                f"lr_factors names '{prefix}', but no parameter of the network (or the objective) starts with it."
            )
    scales = layer_scales(model.backbone, layer_decay) if layer_decay else {}  # type: ignore[arg-type]
    groups: dict[tuple[str, float, float], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in named:
        if not parameter.requires_grad:
            continue
        factor = factors[max(matching[name], key=len)] if matching[name] else 1.0
        factor *= scales.get(id(parameter), 1.0)
        part = _part(name)
        decay = weight_decay if parameter.ndim > 1 and part != "objective" else 0.0
        groups[part, factor, decay].append(parameter)
    return [
        {"params": parameters, "part": part, "lr_factor": factor, "weight_decay": decay}
        for (part, factor, decay), parameters in groups.items()
    ]


def _part(name: str) -> str:
    first = name.split(".", 1)[0]
    return first if first in ("backbone", "objective") else "head"


def _begins(name: str, prefix: str) -> bool:
    return prefix in (name, _part(name)) or name.startswith(f"{prefix}.")


def build_optimizer(config: Optimizer, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    """The optimizer, fused where torch has a fused kernel for the device."""
    options: dict[str, Any] = {"lr": lr, config.takes: getattr(config, config.takes)}
    devices = {parameter.device.type for group in groups for parameter in group["params"]}
    if config.fused and devices <= {"cpu", "cuda"}:
        options["fused"] = True
    return config.algorithm(groups, **options)


def set_learning_rates(optimizer: torch.optim.Optimizer, lr: float, factor: float) -> None:
    """Every group's rate = lr * schedule factor * the group's own factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * factor * group["lr_factor"]
