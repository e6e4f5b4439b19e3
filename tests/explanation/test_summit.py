"""Summit's aggregations against loops over pictures, channels and places."""

from collections.abc import Iterator
from typing import Any

import networkx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from foveate.core.errors import ConfigError, DataError
from foveate.explanation.summit import Summit, SummitConfig, chosen, summit


class Chain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lower = nn.Conv2d(3, 6, 3, padding=1)
        self.upper = nn.Conv2d(6, 5, 3, padding=1)
        self.head = nn.Linear(5, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.upper(self.lower(images)).mean((2, 3)))


IMAGES = torch.randn(11, 3, 6, 6, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 1, 0, 2, 1, 0, 0, 2, 1, 0])


def batches(size: int = 4) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    for start in range(0, len(IMAGES), size):
        part = slice(start, start + size)
        yield IMAGES[part], LABELS[part], torch.arange(len(IMAGES))[part] + 100


def slow_set(values: list[float], config: SummitConfig) -> set[int]:
    order = sorted(range(len(values)), key=lambda k: -max(values[k], 0.0))
    total, held, kept = sum(max(v, 0.0) for v in values), 0.0, set()
    for k in order:
        enough = len(kept) >= config.top if config.share is None else held >= config.share * total
        if enough or values[k] <= 0:
            break
        kept.add(k)
        held += values[k]
    return kept


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(-8, 64).map(lambda n: n / 8), min_size=1, max_size=9),
    top=st.integers(1, 5), share=st.none() | st.sampled_from([0.03, 0.25, 0.5, 1.0]),
)  # fmt: skip
def test_chosen_channels_equal_a_loop(values: list[float], top: int, share: float | None) -> None:
    config = SummitConfig(top=top, share=share)
    found = chosen(torch.tensor([values]), config)[0]
    assert set(found.nonzero().flatten().tolist()) == slow_set(values, config)


@pytest.mark.parametrize(
    "config", [SummitConfig(top=2, channels=3, examples=4), SummitConfig(share=0.5, channels=6)]
)
def test_aggregation_equals_loops(config: SummitConfig) -> None:
    model = Chain().eval()
    found = summit(model, batches, 3, ["lower", "upper"], config)
    with torch.no_grad():
        below = model.lower(IMAGES)
        maps = {"lower": below, "upper": model.upper(below)}
    assert found.layers == ("lower", "upper")
    assert found.pictures.tolist() == [5, 4, 2]
    for layer, values in maps.items():
        expected = torch.zeros_like(found.counts[layer])
        for i, label in enumerate(LABELS.tolist()):
            for k in slow_set(values[i].amax((1, 2)).tolist(), config):
                expected[label, k] += 1
        assert torch.equal(found.counts[layer], expected)
        for label in range(3):
            listed = found.channels_of(label, layer)
            numbers = [c.pictures for c in listed]
            assert numbers == sorted(numbers, reverse=True)
            assert (
                numbers == sorted((n for n in expected[label].tolist() if n), reverse=True)[: config.channels]
            )
            for c in listed:
                of_class = label == LABELS
                assert c.pictures == expected[label, c.channel]
                assert c.mean == pytest.approx(
                    values[of_class, c.channel].amax((1, 2)).mean().item(), abs=1e-5
                )
                others = (expected[:, c.channel].sum() - c.pictures) / (11 - int(of_class.sum()))
                assert c.elsewhere == pytest.approx(others.item())
                best = values[:, c.channel].amax((1, 2)).argsort(descending=True)[: config.examples] + 100
                assert list(found.examples[layer, c.channel]) == best.tolist()
    check_influences(model, found, config, maps)


def check_influences(model: Any, found: Summit, config: SummitConfig, maps: dict[str, torch.Tensor]) -> None:
    """Summit's own formula: channel i convolved with its slice of the kernel, where channel j is largest."""
    assert found.influences
    by_key = {(e.label, e.source, e.target): e for e in found.influences}
    for label in range(3):
        rows = (label == LABELS).nonzero().flatten().tolist()
        for upper in found.channels_of(label, "upper"):
            sets, shares = [], []
            for row in rows:
                place = maps["upper"][row, upper.channel].flatten().argmax()
                parts = [
                    functional.conv2d(
                        maps["lower"][row, i][None, None], model.upper.weight[upper.channel, i][None, None], padding=1
                    ).flatten()[place].item()
                    for i in range(6)
                ]  # fmt: skip
                sets.append(slow_set(parts, config))
                shares.append([max(p, 0) / sum(max(q, 0) for q in parts) for p in parts])
            for lower in found.channels_of(label, "lower"):
                hits = sum(lower.channel in kept for kept in sets)
                edge = by_key.pop((label, lower.channel, upper.channel), None)
                assert (edge.pictures if edge else 0) == hits
                if edge:
                    mean = sum(share[lower.channel] for share in shares) / len(rows)
                    assert edge.strength == pytest.approx(mean, abs=1e-5)
                    assert edge.share == hits / len(rows)
    assert not by_key


def test_the_batch_size_changes_nothing_and_the_graph_is_read_by_networkx() -> None:
    model, config = Chain().eval(), SummitConfig(top=2, channels=3)
    found = summit(model, batches, 3, ["lower", "upper"], config)
    again = summit(model, lambda: batches(3), 3, ["lower", "upper"], config)
    assert found.channels == again.channels
    assert [(e.source, e.target, e.pictures) for e in found.influences] == [
        (e.source, e.target, e.pictures) for e in again.influences
    ]
    graph = networkx.node_link_graph(found.graph(["a", "b", "c"]), edges="edges")
    assert graph.number_of_nodes() == len(found.channels)
    assert graph.number_of_edges() == len(found.influences)
    assert all(graph.nodes[node]["class"] == node.split("/")[0] for node in graph)


def test_one_layer_has_channels_and_no_influences() -> None:
    found = summit(Chain().eval(), batches, 3, ["upper"])
    assert found.channels
    assert found.influences == ()


def test_errors() -> None:
    model = Chain().eval()
    with pytest.raises(
        ConfigError, match="'lower' does not depend on 'upper'; name them from input to output"
    ):
        summit(model, batches, 3, ["upper", "lower"])
    with pytest.raises(ConfigError, match="should be different modules"):
        summit(model, batches, 3, ["upper", "upper"])
    with pytest.raises(DataError, match="There is no picture"):
        summit(model, lambda: (), 3, ["upper"])
    with pytest.raises(DataError, match="all need one of 0 to 1"):
        summit(model, batches, 2, ["upper"])
