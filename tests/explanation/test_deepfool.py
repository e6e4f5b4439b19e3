"""DeepFool against the closed form of a linear classifier and the authors' loop for one picture, written out."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from explanation_helpers import Tiny, assert_close, network, pictures
from foveate.explanation import explain
from foveate.explanation.gradients import DeepFool
from foveate.explanation.probe import PREDICTED, Probe


class Linear(nn.Module):
    def __init__(self, classes: int = 5, side: int = 8) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(classes, 3 * side * side, generator=generator))
        self.bias = nn.Parameter(torch.randn(classes, generator=generator))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) @ self.weight.T + self.bias


def change_of(
    model: nn.Module, images: torch.Tensor, target: int = PREDICTED, **settings: float
) -> torch.Tensor:
    targets = torch.full((len(images),), target)
    return DeepFool(**settings).attribute(Probe(copy.deepcopy(model).requires_grad_(False)), images, targets)


def test_of_a_linear_classifier_it_is_the_way_to_the_nearest_border() -> None:
    model, images = Linear(), pictures(4, 8)
    ours = change_of(model, images, overshoot=0.0).numpy()
    weight, bias = (p.detach().double().numpy() for p in (model.weight, model.bias))
    for i, x in enumerate(images.flatten(1).double().numpy()):
        scores = weight @ x + bias
        first = scores.argmax()
        ways = [
            (scores[first] - scores[k])
            / np.sum((weight[k] - weight[first]) ** 2)
            * (weight[k] - weight[first])
            for k in range(5)
            if k != first
        ]
        nearest = min(ways, key=np.linalg.norm)
        # The authors go 1e-4 further than the border.
        length = np.linalg.norm(nearest)
        np.testing.assert_allclose(ours[i].ravel(), nearest * (1 + 1e-4 / length), rtol=1e-3, atol=1e-6)


def one_by_one(
    model: nn.Module, image: torch.Tensor, classes: int, steps: int, overshoot: float
) -> torch.Tensor:
    """The authors' deepfool.py for one picture (1, 3, H, W)."""
    order = model(image)[0].argsort(descending=True)[:classes]
    label, total, moved, step = order[0], torch.zeros_like(image), image, 0
    while model(moved)[0].argmax() == label and step < steps:
        x = moved.detach().requires_grad_()
        scores = model(x)[0]
        (first,) = torch.autograd.grad(scores[label], x, retain_graph=True)
        smallest = torch.inf
        for k in order[1:]:
            (other,) = torch.autograd.grad(scores[k], x, retain_graph=True)
            w, f = other - first, (scores[k] - scores[label]).detach()
            if abs(f) / w.norm() < smallest:
                smallest, direction = float(abs(f) / w.norm()), w
        total = total + (smallest + 1e-4) * direction / direction.norm()
        moved, step = image + (1 + overshoot) * total, step + 1
    return (1 + overshoot) * total


@pytest.mark.parametrize(("name", "kwargs"), [("resnet10t", {}), ("vit_tiny_patch16_224", {"img_size": 64})])
def test_a_batch_is_the_authors_loop_for_each_picture(name: str, kwargs: dict[str, int]) -> None:
    model, images = network(name, **kwargs), pictures(3, 64)
    found = change_of(model, images, classes=4, steps=6)
    for i in range(len(images)):
        assert_close(found[i : i + 1], one_by_one(model, images[i : i + 1], 4, 6, 0.02), 1e-3)
    maps = explain(model, images, None, "deepfool", raw=True, classes=4, steps=6)
    assert torch.allclose(maps, found.abs().amax(dim=1), atol=1e-5 * float(found.abs().max()))


def test_the_changed_picture_has_another_class_and_the_class_that_is_asked_for() -> None:
    model, images = Tiny(), pictures(4, 32)
    named = model(images).argmax(dim=1)
    free = change_of(model, images)
    assert (model(images + free).argmax(dim=1) != named).all()
    target = (int(named[0]) + 1) % 4
    led = change_of(model, images, target)
    others = named != target
    assert (model(images + led).argmax(dim=1)[others] == target).all()
    # No shorter way leads to a certain class than to any.
    assert (led.flatten(1).norm(dim=1) >= 0.99 * free.flatten(1).norm(dim=1))[others].all()
    # The class that is named already: as when none is asked for.
    assert torch.equal(change_of(model, images, target)[~others], free[~others])
