"""What terms remember is of all pictures of a step: two processes with parts of a batch are one with the whole."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from foveate.data.batch import Batch
from foveate.data.catalog import Catalog, Sample
from foveate.models.output import Output
from foveate.objectives import Context, Objective, Progress
from foveate.objectives.classification import Centre
from foveate.objectives.group_dro import GroupDRO
from foveate.objectives.views import SelfDistillation

LABELS = [0, 1, 2, 0, 1, 1, 2, 0]
PARTS = (slice(0, 6), slice(6, 8))


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.vectors = {"": 3}
        self.last = nn.Linear(12, 3, bias=False)
        with torch.no_grad():
            self.last.weight.copy_(torch.randn(3, 12, generator=torch.Generator().manual_seed(1)))

    def forward(self, images: torch.Tensor) -> Output:
        return Output(self.last(images.flatten(1)))


def centre() -> Objective:
    context = Context(("a", "b", "c"), (3, 3, 2), network=Tiny())
    return Objective({"term": Centre.Config(rate=0.4)}, context)


def group_dro() -> Objective:
    samples = tuple(
        Sample(f"{n}.png", label, "train", attributes=("sea" if n % 3 else "land",))
        for n, label in enumerate(LABELS)
    )
    catalog = Catalog(Path("x"), ("a", "b", "c"), samples, attributes=("place",))
    context = replace(Context(("a", "b", "c"), (3, 3, 2)), catalog=catalog)
    return Objective({"term": GroupDRO.Config(attribute="place", step=0.5, adjustment=0.3)}, context)


def distillation() -> Objective:
    torch.manual_seed(0)
    return Objective({"term": SelfDistillation.Config()}, Context(("a", "b", "c"), (3, 3, 2), network=Tiny()))


def batch(pairs: bool) -> Batch:
    images = torch.randn(8, 3, 2, 2, generator=torch.Generator().manual_seed(2))
    index = torch.arange(4).repeat_interleave(2) if pairs else torch.arange(8)
    return Batch(images, torch.tensor(LABELS), torch.zeros(8, 1, 2, 2), torch.zeros(8).bool(), index)


def step(whole: Objective, seen: Batch) -> tuple[float, torch.Tensor, dict[str, torch.Tensor]]:
    """The loss, its gradient by the network's weights, and what is remembered afterwards."""
    network = Tiny()
    output = network(seen.images)
    total = whole.train().weigh(whole(output, seen, Progress()), output, Progress()).total
    (gradient,) = torch.autograd.grad(total, [network.last.weight])
    return float(total.detach()), gradient, whole.state_dict()


@pytest.mark.parametrize("build", [centre, group_dro, distillation])
def test_two_parts_are_the_whole(build: Callable[[], Objective]) -> None:
    seen = batch(pairs=build is distillation)
    names = ("images", "targets", "masks", "has_mask", "index")
    parts = [seen.replace(**{name: getattr(seen, name)[part] for name in names}) for part in PARTS]
    asked: list[torch.Tensor] = []

    def listen(values: torch.Tensor) -> torch.Tensor:
        asked.append(values)
        return values

    for part in parts:  # what each process puts in
        alone = build()
        alone.add_by(listen)
        step(alone, part)
    assert len(asked) == 2
    answers = []
    for part in parts:
        shared = build()
        shared.add_by(lambda values: torch.stack(asked).sum(dim=0))
        answers.append(step(shared, part))
    loss, gradient, state = step(build(), seen)
    assert 0.75 * answers[0][0] + 0.25 * answers[1][0] == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(0.75 * answers[0][1] + 0.25 * answers[1][1], gradient)
    for _, _, remembered in answers:
        for name, value in state.items():
            torch.testing.assert_close(remembered[name], value, msg=name)
