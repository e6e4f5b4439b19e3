"""The counterfactual term against its formula, picture by picture."""

import math

import pytest
import torch
from torch import nn

from foveate.augmentation.background_swap import without_object
from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives import Context, Progress
from foveate.objectives.counterfactual import Counterfactual

SIDE, CLASSES, N = 12, 3, 5
CONTEXT = Context(("a", "b", "c"), (1, 1, 1))


def network(scale: float = 1.0) -> nn.Module:
    torch.manual_seed(0)
    linear = nn.Linear(3 * SIDE * SIDE, CLASSES).double()
    with torch.no_grad():
        linear.weight *= scale
    return nn.Sequential(nn.Flatten(), linear)


def scene(model: nn.Module) -> tuple[Output, Batch]:
    """Pictures with a mask, without one, with an empty one, and one that is all object."""
    g = torch.Generator().manual_seed(1)
    images = torch.randn(N, 3, SIDE, SIDE, generator=g, dtype=torch.float64)
    masks = torch.zeros(N, 1, SIDE, SIDE, dtype=torch.float64)
    masks[:3, :, 4:7, 5:9] = 1
    masks[4] = 1
    has_mask = torch.tensor([True, True, False, True, True])
    batch = Batch(images, torch.arange(N) % CLASSES, masks, has_mask, torch.arange(N))
    return Output(model(images), again=model), batch


def term() -> Counterfactual:
    return Counterfactual(Counterfactual.Config(), CONTEXT)


def plain(model: nn.Module, batch: Batch, shares: torch.Tensor) -> float:
    losses = []
    for i in (0, 1):
        erased = without_object(batch.images[i : i + 1], batch.masks[i : i + 1])
        p = model(erased).softmax(dim=1)[0].tolist()
        losses.append(sum(-float(shares[i, c]) * math.log(1 - p[c]) for c in range(CLASSES)))
    return sum(losses) / len(losses)


def test_it_is_the_formula_of_the_pictures_with_a_mask() -> None:
    model = network()
    output, batch = scene(model)
    found = term()(output, batch, Progress())
    assert found.item() == pytest.approx(plain(model, batch, torch.eye(CLASSES)[batch.targets]))


def test_mixed_labels_weigh_the_classes() -> None:
    model = network()
    output, batch = scene(model)
    shares = torch.rand(N, CLASSES, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    shares[0, 1] = 0
    found = term()(output, batch.replace(targets=shares), Progress())
    assert found.item() == pytest.approx(plain(model, batch, shares))


def test_a_network_that_is_certain_still_has_a_gradient() -> None:
    model = network(scale=1e4)
    output, batch = scene(model)
    labels = batch.targets.clone()
    labels[:2] = model(without_object(batch.images[:2], batch.masks[:2])).argmax(dim=1)
    term()(output, batch.replace(targets=labels), Progress()).backward()
    gradient = model[1].weight.grad
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0


def test_nothing_to_paint_out_is_zero_with_a_graph() -> None:
    model = network()
    output, batch = scene(model)
    found = term()(output, batch.replace(has_mask=torch.zeros(N, dtype=torch.bool)), Progress())
    assert found.item() == 0
    assert found.requires_grad


def test_stored_features_are_refused() -> None:
    output, batch = scene(network())
    with pytest.raises(ConfigError, match="stored features have none"):
        term()(Output(output.logits), batch, Progress())
