"""DINO's loss beside a plain reading of the paper: targets, centre and teacher."""

import pytest
import torch
from torch import nn

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.models.output import Output
from foveate.objectives import Context, Progress
from foveate.objectives.views import SelfDistillation


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.last = nn.Linear(3 * 4 * 4, 5)

    def forward(self, images: torch.Tensor) -> Output:
        return Output(self.last(self.norm(images).flatten(1)))


def batch() -> Batch:
    images = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    index = torch.arange(3).repeat_interleave(2)
    return Batch(images, torch.full((6,), -1), torch.zeros(6, 1, 4, 4), torch.zeros(6).bool(), index)


def term(network: nn.Module, **settings: float) -> SelfDistillation:
    return SelfDistillation(
        SelfDistillation.Config(**settings), Context(tuple("abcde"), (1,) * 5, network=network)
    )


def test_three_steps_are_the_papers() -> None:
    torch.manual_seed(0)
    network = Tiny()
    loss = term(network, momentum=0.9, centre_momentum=0.8)
    optimizer = torch.optim.SGD(network.parameters(), 0.5)
    teacher = {name: value.detach().clone() for name, value in network.named_parameters()}
    centre = torch.zeros(5)
    loss.train()
    for _ in range(3):
        views = batch()
        network.train()
        output = network(views.images)
        value = loss(output, views, Progress())
        # By hand: the teacher first follows, then speaks in training mode as the network does.
        for name, parameter in network.named_parameters():
            teacher[name] = 0.9 * teacher[name] + 0.1 * parameter.detach()
        x = views.images
        normal = (x - x.mean((0, 2, 3), keepdim=True)) / (
            x.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5
        ).sqrt()
        normal = normal * teacher["norm.weight"].view(1, 3, 1, 1) + teacher["norm.bias"].view(1, 3, 1, 1)
        says = normal.flatten(1) @ teacher["last.weight"].T + teacher["last.bias"]
        total = 0.0
        for i in range(6):
            target = ((says[i] - centre) / 0.04).softmax(0)
            answer = (output.logits.detach()[i + 1 if i % 2 == 0 else i - 1] / 0.1).log_softmax(0)
            total -= float((target * answer).sum())
        assert float(value.detach()) == pytest.approx(total / 6, rel=1e-4)
        centre = 0.8 * centre + 0.2 * says.mean(0)
        assert torch.allclose(loss.centre[0], centre, atol=1e-5)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()


def test_in_eval_mode_nothing_moves_and_the_teacher_is_never_trained() -> None:
    torch.manual_seed(1)
    network = Tiny()
    loss = term(network)
    loss.eval()
    network.eval()
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    with torch.no_grad():
        network.last.weight.add_(1)
    loss(network(batch().images), batch(), Progress())
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    assert not any(name.startswith("_network") for name in loss.state_dict())


def test_without_a_network_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs the network itself"):
        SelfDistillation(SelfDistillation.Config(), Context(("a",), (1,)))
