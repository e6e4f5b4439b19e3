"""A copy of a network for many forward passes: batch norms folded into the convolutions before them."""

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


class _Rest(nn.Module):
    """What timm's batch norm does besides normalising: drop and activate."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.drop = getattr(norm, "drop", nn.Identity())
        self.act = getattr(norm, "act", nn.Identity())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.drop(x))


def fused_copy(model: nn.Module, image: torch.Tensor) -> nn.Module | None:
    """An equal network in eval mode with fewer steps, or None where no batch norm follows a convolution directly.

    Which norm follows which convolution is seen in one pass over ``image`` (1, 3, H, W). That nothing else reads the
    convolution cannot be seen: compare the copy's logits with the network's before you use it. The network itself is
    not touched.
    """
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    outputs: dict[int, tuple[str, torch.Tensor]] = {}
    pairs: list[tuple[str, str]] = []

    def seen(path: str) -> Any:
        return lambda module, inputs, output: outputs.__setitem__(id(output), (path, output))

    def follows(path: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            if id(inputs[0]) in outputs:
                pairs.append((outputs[id(inputs[0])][0], path))

        return hook

    hooks = []
    for path, module in twin.named_modules():
        if type(module) is nn.Conv2d or (isinstance(module, nn.Conv2d) and module.padding_mode == "zeros"):
            hooks.append(module.register_forward_hook(seen(path)))
        elif isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            hooks.append(module.register_forward_pre_hook(follows(path)))
    with torch.no_grad():
        twin(image)
    for hook in hooks:
        hook.remove()
    once = [pair for pair in pairs if sum(pair[0] == other[0] or pair[1] == other[1] for other in pairs) == 1]
    for convolution, norm in once:
        _fold(twin, convolution, norm)
    return twin if once else None


def _fold(network: nn.Module, convolution: str, norm: str) -> None:
    conv: Any = network.get_submodule(convolution)
    bn: Any = network.get_submodule(norm)
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    parent, _, name = norm.rpartition(".")
    setattr(network.get_submodule(parent), name, _Rest(bn))
