"""Freezing: which part of a network learns, and which part stays as it is.

A *layer* here is a module that owns parameters itself (a convolution, a norm, a linear layer, a block's own
scale). Layers are counted in forward order, as the network runs them (``record_order``). A setting is one of

    "head"           the head only
    "all"            everything
    "from:MODULE"    this module of the backbone, all that runs after it, and the head
    "until:MODULE"   the reverse reading: everything up to and including this module stays frozen
    "after:N"        all but the first N layers of the backbone
    "after:P%"       all but the first P per cent of its layers, rounded down

MODULE is a path in the backbone ("stages.2", "blocks.4.1"), "stage:K" or a tap preset (see ``layer_names``).
"""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from foveate.core.errors import ConfigError
from foveate.models.layer_names import resolve_tap
from foveate.models.networks import Network

FreezeBn = bool | Literal["all"]
_BATCH_NORMS = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class FreezeSummary:
    """What ``apply_trainable`` did, in numbers of parameters (scalars)."""

    trainable: int
    frozen: int
    first_trainable: str
    """The first trainable parameter in forward order, with its path from the model; empty: none learns."""

    def words(self, setting: str) -> tuple[str, str]:
        """(how many parameters learn, why), for people."""
        of = f"{self.trainable:,} of {self.trainable + self.frozen:,} learn"
        first = f"from {self.first_trainable} on" if self.frozen and self.first_trainable else ""
        return of, ", ".join(filter(None, (f"trainable is {setting!r}", first)))


def backbone_layers(model: Network) -> list[str]:
    """Paths in the backbone ("" is itself) of the modules that own parameters, in forward order."""
    owners = [
        name for name, module in model.backbone.named_modules() if any(True for _ in module.parameters(False))
    ]
    # The sort is stable: ties keep the order of definition.
    return sorted(owners, key=lambda name: model.module_order[name])


def apply_trainable(model: Network, setting: str) -> FreezeSummary:
    """Set ``requires_grad`` of every parameter from scratch, whatever an earlier phase had set.

    Raises:
        ConfigError: an unknown setting, module or number of layers.
    """
    layers, boundary = backbone_layers(model), _frozen_layers(model, setting)
    model.requires_grad_(True)
    for name in layers[:boundary]:
        for parameter in model.backbone.get_submodule(name).parameters(recurse=False):
            parameter.requires_grad_(False)
    parts = [f"backbone.{name}".rstrip(".") for name in layers[boundary:]]
    learning = [
        f"{part}.{name}"
        for part in parts
        for name, _ in model.get_submodule(part).named_parameters(recurse=False)
    ]
    learning += [name for name, _ in model.named_parameters() if not name.startswith("backbone.")]
    return FreezeSummary(
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        frozen=sum(p.numel() for p in model.parameters() if not p.requires_grad),
        first_trainable=learning[0] if learning else "",
    )


def set_modes(model: Network, setting: str, freeze_bn: FreezeBn = True) -> None:
    """Training mode for what learns; for the rest as ``freeze_bn`` says. Call it at the start of each epoch.

    Args:
        freeze_bn: True: what runs up to the boundary is in eval mode, so that batch statistics, dropout and
            stochastic depth of frozen layers stay fixed. "all": besides, every BatchNorm of the backbone is
            in eval mode. False: everything is in training mode, hence frozen batch norms keep updating their
            statistics (as in the 15-Scene report, whose "frozen" features drift).

    Raises:
        ConfigError: an unknown setting, module or number of layers.
    """
    layers = backbone_layers(model)
    frozen = _frozen_layers(model, setting)
    model.train()
    if freeze_bn is False:
        return
    if frozen == len(layers):
        model.backbone.eval()
    elif frozen:
        boundary = model.module_order[layers[frozen]]  # the first layer that learns
        for name, module in model.backbone.named_modules():
            if name and model.module_order[name] < boundary:
                module.training = False
    if freeze_bn == "all":
        for module in model.backbone.modules():
            if isinstance(module, _BATCH_NORMS):
                module.training = False


def is_backbone_frozen(model: Network) -> bool:
    """Whether the features of a given picture cannot change: no gradient and no module in training mode.

    True after ``apply_trainable(model, "head")`` and ``set_modes(model, "head")``; then features can be
    computed once.
    """
    return not any(p.requires_grad for p in model.backbone.parameters()) and not any(
        module.training for module in model.backbone.modules()
    )


def _frozen_layers(model: Network, setting: str) -> int:
    """How many of ``backbone_layers``, from the first, the setting freezes."""
    layers = backbone_layers(model)
    kind, _, value = setting.partition(":")
    if setting in ("head", "all"):
        return len(layers) if setting == "head" else 0
    if kind in ("from", "until") and value:
        path = resolve_tap(model.backbone, value)
        inside = [i for i, name in enumerate(layers) if name == path or name.startswith(f"{path}.")]
        if not inside:
            raise ConfigError(f"trainable {setting!r}: module {path!r} has no parameters; name one that has.")
        return inside[-1] + 1 if kind == "until" else inside[0]
    if kind == "after" and value.isdecimal():
        if int(value) > len(layers):
            raise ConfigError(f"trainable {setting!r}: the backbone has {len(layers)} layers only.")
        return int(value)
    if kind == "after" and value.endswith("%") and value[:-1].isdecimal():
        if int(value[:-1]) > 100:
            raise ConfigError(f"trainable {setting!r}: there is no more than 100% of the layers.")
        return len(layers) * int(value[:-1]) // 100
    raise ConfigError(
        f"trainable {setting!r} is no setting; use 'head', 'all', 'from:MODULE', 'until:MODULE', 'after:N' or "
        "'after:P%'."
    )
