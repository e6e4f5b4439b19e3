"""Right for the right reasons against input gradients by finite differences, and its own gradient too."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives import Context, Progress
from foveate.objectives.right_reasons import RightReasons

CONTEXT = Context(("a", "b", "c"), (1, 1, 1))
PROGRESS = Progress()
SIDE = 4
CHOICES = list(itertools.product(("log_probabilities", "true_class"), ("squared", "share"), (True, False)))


def network() -> nn.Module:
    g = torch.Generator().manual_seed(2)
    made = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    )
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.7, generator=g)
    return made.double()


def batch_of(seed: int = 0) -> Batch:
    g = torch.Generator().manual_seed(seed)
    images = torch.randn(3, 3, SIDE, SIDE, generator=g, dtype=torch.float64).requires_grad_()
    masks = torch.rand(3, 1, SIDE, SIDE, generator=g, dtype=torch.float64).round(decimals=1)
    return Batch(images, torch.tensor([2, 0, 1]), masks, torch.tensor([True, False, True]), torch.arange(3))


def term(**values: object) -> RightReasons:
    return RightReasons(RightReasons.Config(**values), CONTEXT)


def plain(model: nn.Module, batch: Batch, score: str, norm: str, per_value: bool) -> float:
    def score_of(image: np.ndarray, target: int) -> float:
        with torch.no_grad():
            logits = model(torch.from_numpy(image)[None])[0].tolist()
        if score == "true_class":
            return logits[target]
        total = math.log(sum(math.exp(v) for v in logits))
        return sum(v - total for v in logits)

    results = []
    for i in range(len(batch)):
        if not batch.has_mask[i]:
            continue
        image = batch.images[i].detach().numpy().copy()
        squares = areas = inside = whole = 0.0
        for c, y, x in np.ndindex(*image.shape):
            value = image[c, y, x]
            image[c, y, x] = value + 1e-5
            above = score_of(image, int(batch.targets[i]))
            image[c, y, x] = value - 1e-5
            slope = (above - score_of(image, int(batch.targets[i]))) / 2e-5
            image[c, y, x] = value
            object_here = batch.masks[i, 0, y, x].item()
            squares += ((1 - object_here) * slope) ** 2
            areas += 1 - object_here
            inside += object_here * abs(slope)
            whole += abs(slope)
        results.append(1 - inside / whole if norm == "share" else squares / (areas if per_value else 1))
    return float(np.mean(results))


@pytest.mark.parametrize(("score", "norm", "per_value"), CHOICES)
def test_value_against_the_plain_version(score: str, norm: str, per_value: bool) -> None:
    model, batch = network(), batch_of()
    ours = term(score=score, norm=norm, per_value=per_value)(Output(model(batch.images)), batch, PROGRESS)
    assert ours.item() == pytest.approx(plain(model, batch, score, norm, per_value), rel=1e-5)


@pytest.mark.parametrize(("score", "norm", "per_value"), CHOICES)
def test_its_gradient_against_finite_differences(score: str, norm: str, per_value: bool) -> None:
    model, batch = network(), batch_of()
    reasons = term(score=score, norm=norm, per_value=per_value)

    def loss(*parameters: torch.Tensor) -> torch.Tensor:
        names = [name for name, _ in model.named_parameters()]
        logits = torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), batch.images)
        return reasons(Output(logits), batch, PROGRESS) + 0 * logits.sum()

    assert torch.autograd.gradcheck(loss, tuple(model.parameters()), atol=1e-6)


def test_what_the_mask_covers_is_free_and_the_rest_falls_when_trained() -> None:
    model, batch = network(), batch_of()
    whole = batch.replace(masks=torch.ones_like(batch.masks))
    for norm in ("squared", "share"):
        assert term(norm=norm)(Output(model(batch.images)), whole, PROGRESS).item() == pytest.approx(
            0, abs=1e-12
        )
    half = torch.zeros_like(batch.masks)
    half[..., :2] = 1
    batch = batch.replace(masks=half)
    for norm in ("squared", "share"):
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        values = []
        for _ in range(30):
            optimizer.zero_grad()
            value = term(norm=norm)(Output(model(batch.images)), batch, PROGRESS)
            value.backward()
            optimizer.step()
            values.append(value.item())
        assert values[-1] < 0.5 * values[0]


def test_pictures_without_a_mask_take_no_part() -> None:
    model, batch = network(), batch_of()
    output = Output(model(batch.images))
    changed = batch.masks.clone()
    changed[1] = 0.5
    value = term()(output, batch, PROGRESS)
    assert value.item() == term()(output, batch.replace(masks=changed), PROGRESS).item()
    for nothing in (
        batch.replace(has_mask=torch.zeros(3, dtype=torch.bool)),
        batch.replace(masks=torch.zeros_like(batch.masks)),
    ):
        zero = term()(output, nothing, PROGRESS)
        assert zero.item() == 0
        zero.backward(retain_graph=True)


def test_masks_are_prepared_and_mixed_targets_mix_the_logits() -> None:
    model, batch = network(), batch_of()
    small = torch.zeros_like(batch.masks)
    small[..., 1, 1] = 1
    wide = torch.zeros_like(batch.masks)
    wide[..., :3, :3] = 1
    output = Output(model(batch.images))
    grown = term(dilate=1)(output, batch.replace(masks=small), PROGRESS)
    assert grown.item() == term()(output, batch.replace(masks=wide), PROGRESS).item()
    soft = batch.replace(targets=nn.functional.one_hot(batch.targets, 3).double())
    true_class = term(score="true_class")
    assert true_class(output, soft, PROGRESS).item() == true_class(output, batch, PROGRESS).item()


def test_flat_predictions_have_no_gradient_and_stay_finite() -> None:
    model, batch = network(), batch_of()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    for norm in ("squared", "share"):
        value = term(norm=norm)(Output(model(batch.images)), batch, PROGRESS)
        assert value.item() == 0
        assert all(
            g is None or bool(g.isfinite().all())
            for g in torch.autograd.grad(value, list(model.parameters()), allow_unused=True)
        )


def test_pictures_without_a_graph_are_an_error_that_says_so() -> None:
    model, batch = network(), batch_of()
    plain_images = batch.replace(images=batch.images.detach())
    beside = Output(torch.zeros(3, 3, dtype=torch.float64, requires_grad=True))
    for output, given in ((Output(model(plain_images.images)), plain_images), (beside, batch)):
        with pytest.raises(ConfigError, match="require a gradient"):
            term()(output, given, PROGRESS)
    assert RightReasons.needs_input_gradient
