"""NT-Xent beside its formula, written out with loops."""

import math

import pytest
import torch

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives import Context, Progress
from foveate.objectives.views import NTXent

CONTEXT = Context(("a", "b"), (1, 1))


def pairs(count: int) -> Batch:
    index = torch.arange(count).repeat_interleave(2)
    empty = torch.zeros(2 * count, 1, 1, 1)
    return Batch(empty, torch.full((2 * count,), -1), empty, torch.zeros(2 * count).bool(), index)


def plain(logits: torch.Tensor, temperature: float) -> float:
    rows = logits.double().tolist()

    def similarity(a: list[float], b: list[float]) -> float:
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b)) / temperature

    total = 0.0
    for i, row in enumerate(rows):
        partner = i + 1 if i % 2 == 0 else i - 1
        others = [math.exp(similarity(row, rows[j])) for j in range(len(rows)) if j != i]
        total -= math.log(math.exp(similarity(row, rows[partner])) / sum(others))
    return total / len(rows)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_it_is_the_formula(temperature: float) -> None:
    logits = torch.randn(10, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = NTXent(NTXent.Config(temperature=temperature), CONTEXT)(Output(logits), pairs(5), Progress())
    assert float(loss.detach()) == pytest.approx(plain(logits.detach(), temperature), rel=1e-5)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_views_that_agree_cost_less_and_length_does_not_matter() -> None:
    term = NTXent(NTXent.Config(), CONTEXT)
    one_hot = torch.eye(4).repeat_interleave(2, 0)
    agreeing = term(Output(one_hot), pairs(4), Progress())
    assert agreeing < term(Output(one_hot.roll(1, 0)), pairs(4), Progress())
    assert torch.allclose(agreeing, term(Output(7 * one_hot), pairs(4), Progress()))


def test_pictures_without_partner_are_refused() -> None:
    batch = pairs(2)
    alone = batch.replace(index=torch.arange(4))
    with pytest.raises(ConfigError, match="two views of each picture"):
        NTXent(NTXent.Config(), CONTEXT)(Output(torch.randn(4, 3)), alone, Progress())
