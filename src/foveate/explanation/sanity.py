"""Does a method of explanation depend on the network at all, and only on it: sanity checks.

cascade = randomised_copies(model)                         # weights become random, layer by layer: compare_networks
shift = input_shift(model, images, targets, methods)       # a constant on the input that the network takes back
fragile = fragility(model, images, targets, methods)       # a change of the picture that nobody sees

``compare_networks`` is what they share, and what the test with random labels needs: train the same network on permuted
labels, give both.

Sources: Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018 (random weights and labels); Kindermans et al.,
The (un)reliability of saliency methods, 2017 (input shift); Ghorbani et al., Interpretation of neural networks is
fragile, AAAI 2019 (fragility).
"""

import copy
from collections.abc import Callable, Mapping

import torch
from torch import nn

from foveate.core.rng import key
from foveate.explanation.fragile import attack
from foveate.explanation.maps import MapScore
from foveate.explanation.similarity import Similarity, similarity, top_overlap

SANITY: tuple[MapScore, ...] = (
    MapScore("random_spearman", "random weights, Spearman", "lower", span=(-1.0, 1.0)),
    MapScore("random_absolute", "random weights, |Spearman|", "lower"),
    MapScore("random_ssim", "random weights, SSIM", "lower", span=(-1.0, 1.0)),
    MapScore("cascade_spearman", "cascade mean, Spearman", "lower", span=(-1.0, 1.0)),
    MapScore("shift_spearman", "input shift, Spearman", span=(-1.0, 1.0)),
    MapScore("fragile_top_k", "after attack, top-k"),
    MapScore("fragile_spearman", "after attack, Spearman", span=(-1.0, 1.0)),
    MapScore("noise_spearman", "after noise, Spearman", span=(-1.0, 1.0)),
    MapScore("sensitivity", "sensitivity-max", "lower", span=None),
)
"""The scores of the table, in its order."""

Maps = Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]
"""(network, pictures (B, 3, H, W), classes (B,)) -> raw maps (B, h, w)."""


def compare_networks(
    one: nn.Module,
    other: nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    methods: Mapping[str, Maps],
    *,
    before: Mapping[str, torch.Tensor] | None = None,
    moved: torch.Tensor | None = None,
) -> dict[str, Similarity]:
    """{method: how alike its maps of the two networks are}, the same pictures and classes for both.

    For the test with random labels ``other`` is the same network trained on permuted labels: a method whose maps stay
    alike does not show what was learnt.

    Args:
        before: the maps of ``one``, where they are known already; so everywhere here.
        moved: what ``other`` is shown in place of ``images``.
    """
    before = before or all_maps(one, images, targets, methods)
    after = all_maps(other, images if moved is None else moved, targets, methods)
    return {name: similarity(before[name], after[name]) for name in methods}


def all_maps(
    model: nn.Module, images: torch.Tensor, targets: torch.Tensor, methods: Mapping[str, Maps]
) -> dict[str, torch.Tensor]:
    """{method: its maps}."""
    return {name: maps(model, images, targets) for name, maps in methods.items()}


def layers_from_the_top(model: nn.Module) -> list[str]:
    """Modules that hold weights themselves, the classifier first and the stem last."""
    holders = [name for name, module in model.named_modules() if list(module.parameters(recurse=False))]
    order = getattr(model, "module_order", None)
    if order is not None:  # of the backbone's modules, by when they run; the rest is the head
        holders.sort(key=lambda name: order.get(name.removeprefix("backbone").lstrip("."), len(order)))
    return holders[::-1]


def randomised_copies(
    model: nn.Module, *, steps: int = 4, independent: bool = False, seed: int = 0
) -> list[tuple[str, nn.Module]]:
    """Copies of the network with random weights: [("what is random", network)].

    The layers are divided into ``steps`` groups, from the classifier down. Cascading: a group and all above it are
    random, the last copy altogether. Independent: one group alone.

    Random means: the entries of each weight, bias and running statistic in a random order. So every layer keeps the
    scale of its weights and the network neither explodes nor goes silent, which would make any map look "different".
    """
    names = layers_from_the_top(model)
    groups = [names[k * len(names) // steps : (k + 1) * len(names) // steps] for k in range(steps)]
    copies: list[tuple[str, nn.Module]] = []
    network = copy.deepcopy(model)
    for number, group in enumerate((group for group in groups if group), start=1):
        if independent:
            network = copy.deepcopy(model)
        for name in group:
            _shuffle(network.get_submodule(name), seed, name)
        title = f"{group[-1]} and above" if not independent else f"{group[-1]} to {group[0]}"
        copies.append((f"{number}/{steps}: {title}", network if independent else copy.deepcopy(network)))
    return copies


@torch.no_grad()
def _shuffle(module: nn.Module, seed: int, name: str) -> None:
    tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    for part, tensor in tensors:
        if tensor.is_floating_point() and tensor.numel() > 1:
            generator = torch.Generator().manual_seed(key(seed, "random weights", name, part))
            order = torch.randperm(tensor.numel(), generator=generator).to(tensor.device)
            tensor.copy_(tensor.flatten()[order].view_as(tensor))


def shifted_copy(model: nn.Module, shift: torch.Tensor) -> nn.Module:
    """A copy that takes ``shift`` (3,) from its input before anything else: f'(x + shift) = f(x).

    It is the network whose first bias makes up for the shift, also where the first layer pads with zeros.
    """
    network = copy.deepcopy(model)

    def take_back(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (inputs[0] - shift.view(1, 3, 1, 1).to(inputs[0]), *inputs[1:])

    network.register_forward_pre_hook(take_back)
    return network


def input_shift(
    model: nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    methods: Mapping[str, Maps],
    *,
    shift: torch.Tensor | None = None,
    before: Mapping[str, torch.Tensor] | None = None,
) -> dict[str, Similarity]:
    """{method: similarity of its maps of (f, x) and of (f', x + shift)}: 1 for a method that explains the function.

    Methods that multiply by the picture, or compare it with a fixed baseline, fail.

    Args:
        shift: (3,); None: (1, 1, 1), one standard deviation of the normalised picture.
    """
    shift = torch.ones(3) if shift is None else shift
    moved = images + shift.view(1, 3, 1, 1).to(images)
    other = shifted_copy(model, shift)
    return compare_networks(model, other, images, targets, methods, before=before, moved=moved)


def fragility(
    model: nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    methods: Mapping[str, Maps],
    *,
    epsilon: torch.Tensor,
    steps: int = 10,
    layers: Mapping[str, str | None] | None = None,
    seed: int = 0,
    before: Mapping[str, torch.Tensor] | None = None,
) -> dict[str, dict[str, dict[str, torch.Tensor]]]:
    """{"attack" or "noise": {method: {"top_k", "spearman"}: (B,)}}: maps of the changed picture against the picture's.

    "attack" is the picture changed by at most ``epsilon`` so that gradients point elsewhere and the prediction stays
    (see ``fragile.attack``); "noise" moves each value by epsilon in a random direction, the control. One attack serves
    all methods that work at the same layer (or at the pixels), so it is a lower bound of what an attack made for the
    method could do.

    Args:
        epsilon: (3,) bound in units of the normalised picture; 8 / 255 / std is Ghorbani et al.'s largest.
        layers: {method: the layer whose Grad-CAM is attacked, None = the gradient at the pixels}.
    """
    layers = layers or {}
    before = before or all_maps(model, images, targets, methods)
    generator = torch.Generator().manual_seed(key(seed, "noise"))
    signs = torch.randint(0, 2, (1, *images.shape[1:]), generator=generator).to(images) * 2 - 1
    noisy = images + signs * epsilon.view(1, 3, 1, 1).to(images)
    attacked = {
        layer: attack(model, images, targets, epsilon=epsilon, steps=steps, layer=layer)
        for layer in {layers.get(name) for name in methods}
    }
    result: dict[str, dict[str, dict[str, torch.Tensor]]] = {"attack": {}, "noise": {}}
    for name, maps in methods.items():
        for kind, changed in (("attack", attacked[layers.get(name)]), ("noise", noisy)):
            after = maps(model, changed, targets)
            result[kind][name] = {
                "top_k": top_overlap(before[name], after),
                "spearman": similarity(before[name], after).spearman,
            }
    return result
