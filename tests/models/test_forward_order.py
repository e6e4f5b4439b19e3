"""The order in which modules run, against networks whose order of definition is another one."""

import torch
from torch import nn

from foveate.models.backbone import record_order


class Inner(nn.Module):
    """Runs its layers in the reverse order of definition; ``read`` is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))
        self.second = nn.Linear(2, 2)
        self.first = nn.Linear(2, 2)
        self.read = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(self.first(x))
        return nn.functional.linear(x, self.read.weight) * self.scale


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.late = nn.Linear(2, 2)
        self.parts = nn.ModuleList([Inner()])
        self.never = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.late(self.parts[0](x))


def test_order_of_running_not_of_definition() -> None:
    network = Outer()
    order = record_order(network, lambda: network(torch.ones(1, 2)))
    assert set(order) == {name for name, _ in network.named_modules()}
    assert (
        order["parts.0.first"] < order["parts.0.second"] < order["parts.0"] < order["late"] < order["never"]
    )
    assert order["parts.0.read"] == order["parts.0"]  # its parent does its work
    assert order[""] == -1
    assert not any(module._forward_hooks for module in network.modules())


def test_a_shared_module_counts_where_it_is_used_last() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared, self.between = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.shared(self.between(self.shared(x)))

    network = Twice()
    order = record_order(network, lambda: network(torch.ones(1, 2)))
    assert order["between"] < order["shared"]
