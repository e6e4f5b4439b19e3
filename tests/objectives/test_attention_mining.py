"""Attention mining (GAIN) against a slow version in numpy; its gradient by finite differences."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives import Context, Objective, Progress
from foveate.objectives.attention_mining import AttentionMining

CONTEXT = Context(("a", "b"), (1, 1))
PROGRESS = Progress()
SIDE, SMALL, CHANNELS = 8, 4, 3


class Network(nn.Module):
    """tap = tanh(1x1 convolution of the picture averaged over 2 x 2); logits = linear(mean of the tap)."""

    def __init__(self) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(6)
        self.colours = nn.Parameter(torch.randn(CHANNELS, 3, generator=g, dtype=torch.float64))
        self.weight = nn.Parameter(3 * torch.randn(2, CHANNELS, generator=g, dtype=torch.float64))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tap = F.conv2d(F.avg_pool2d(images, 2), self.colours[:, :, None, None]).tanh()
        return tap.mean((2, 3)) @ self.weight.T, tap

    def output(self, images: torch.Tensor) -> Output:
        logits, tap = self(images)
        return Output(logits, taps={"late": tap}, again=lambda changed: self(changed)[0])


def batch_of(seed: int = 0, size: int = 3) -> Batch:
    images = torch.randn(
        size, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return Batch(
        images, torch.arange(size) % 2, torch.zeros(size, 1, SIDE, SIDE), torch.zeros(size, dtype=torch.bool),
        torch.arange(size),
    )  # fmt: skip


def term(**values: object) -> AttentionMining:
    return AttentionMining(AttentionMining.Config(**values), CONTEXT)


def plain_logits(network: Network, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    colours, weight = network.colours.detach().numpy(), network.weight.detach().numpy()
    tap = np.zeros((CHANNELS, SMALL, SMALL))
    for k, y, x in np.ndindex(*tap.shape):
        mean = image[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean((1, 2))
        tap[k, y, x] = math.tanh(float(colours[k] @ mean))
    return weight @ tap.mean((1, 2)), tap


def plain(network: Network, batch: Batch, sigma: float, omega: float, score: str) -> float:
    scores = []
    for i in range(len(batch)):
        target, image = int(batch.targets[i]), batch.images[i].numpy()
        _, tap = plain_logits(network, image)
        weight = network.weight[target].tolist()
        small = np.zeros((SMALL, SMALL))
        for y, x in np.ndindex(SMALL, SMALL):
            small[y, x] = max(sum(w / SMALL**2 * tap[k, y, x] for k, w in enumerate(weight)), 0.0)
        large = np.zeros((SIDE, SIDE))
        for y, x in np.ndindex(SIDE, SIDE):
            at = [min(max((c + 0.5) * SMALL / SIDE - 0.5, 0), SMALL - 1) for c in (y, x)]
            for v, u in np.ndindex(SMALL, SMALL):
                large[y, x] += max(1 - abs(at[0] - v), 0) * max(1 - abs(at[1] - u), 0) * small[v, u]
        if large.max() == large.min():
            continue
        large = (large - large.min()) / (large.max() - large.min())
        left = image * (1 - 1 / (1 + np.exp(-omega * (large - sigma))))
        logits, _ = plain_logits(network, left)
        scores.append(
            logits[target] if score == "logit" else float(np.exp(logits[target]) / np.exp(logits).sum())
        )
    return float(np.mean(scores)) if scores else 0.0


@pytest.mark.parametrize("score", ["probability", "logit"])
@pytest.mark.parametrize(("sigma", "omega"), [(0.5, 10.0), (0.2, 30.0)])
def test_value_against_the_plain_version(sigma: float, omega: float, score: str) -> None:
    network = Network()
    for seed in range(4):
        batch = batch_of(seed)
        ours = term(sigma=sigma, omega=omega, score=score)(network.output(batch.images), batch, PROGRESS)
        assert ours.item() == pytest.approx(plain(network, batch, sigma, omega, score), rel=1e-6)


@pytest.mark.parametrize("score", ["probability", "logit"])
def test_its_gradient_against_finite_differences(score: str) -> None:
    network, batch = Network(), batch_of(1)
    mining = term(score=score)

    def loss(colours: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        given = {"colours": colours, "weight": weight}

        def ask(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            answer: tuple[torch.Tensor, torch.Tensor] = torch.func.functional_call(network, given, images)
            return answer

        logits, tap = ask(batch.images)
        output = Output(logits, taps={"late": tap}, again=lambda images: ask(images)[0])
        value: torch.Tensor = mining(output, batch, PROGRESS)
        return value

    assert torch.autograd.gradcheck(loss, (network.colours, network.weight), atol=1e-6)


def test_what_is_seen_decides_what_is_erased() -> None:
    """The class shows at two places, the map finds one of them: what is left still shows the class."""
    network = Network()
    with torch.no_grad():
        network.colours.copy_(torch.eye(3))
        network.weight.copy_(torch.tensor([[0.0, 0, 0], [120.0, 0, 0]]))
    batch = batch_of(0, 1).replace(targets=torch.tensor([1]))
    images = torch.zeros_like(batch.images)
    images[:, 0, :2, :2] = 3
    mining = term(sigma=0.2, omega=30)
    alone = mining(network.output(images), batch.replace(images=images), PROGRESS)
    images[:, 0, 6:, 6:] = 0.15  # a second, weaker place, below sigma
    both = mining(network.output(images), batch.replace(images=images), PROGRESS)
    assert alone.item() < 0.6
    assert both.item() > alone.item() + 0.05


def test_no_masks_are_needed_and_a_picture_without_a_map_takes_no_part() -> None:
    network, batch = Network(), batch_of(2)
    images = batch.images.clone()
    images[1] = 0  # a blank picture has a blank map
    batch = batch.replace(images=images)
    value = term()(network.output(images), batch, PROGRESS)
    assert value.item() == pytest.approx(plain(network, batch, 0.5, 10.0, "probability"))
    assert value.item() > 0
    blank = torch.zeros_like(images)
    nothing = term()(network.output(blank), batch.replace(images=blank), PROGRESS)
    assert nothing.item() == 0
    nothing.backward()


def test_mixed_targets_equal_hard_ones() -> None:
    network, batch = Network(), batch_of(3)
    output = network.output(batch.images)
    soft = batch.replace(targets=F.one_hot(batch.targets, 2).double())
    assert term()(output, soft, PROGRESS).item() == pytest.approx(term()(output, batch, PROGRESS).item())


def test_it_says_what_it_needs() -> None:
    batch = batch_of()
    with pytest.raises(ConfigError, match="ask again"):
        term()(Output(torch.zeros(3, 2, requires_grad=True)), batch, PROGRESS)
    objective = Objective({"mining": AttentionMining.Config(tap="early")}, CONTEXT)
    assert objective.asks_again
    assert objective.differentiates
    assert objective.taps == ("early",)
