"""Group DRO against a plain simulation of the published algorithm, and on a shortcut that most pictures share."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.data.catalog import Catalog, Sample
from foveate.experiment import run
from foveate.models.output import Output
from foveate.objectives import Context, Progress
from foveate.objectives.group_dro import GroupDRO
from training_helpers import experiment

PLACES = ["sea"] * 3 + ["land"] + ["sea"] + ["land"] * 3
LABELS = [0] * 4 + [1] * 4


def catalog(labels: list[int], places: list[str]) -> Catalog:
    samples = [
        Sample(f"{n}.png", label, "train", attributes=(place,))
        for n, (label, place) in enumerate(zip(labels, places, strict=True))
    ]
    return Catalog(Path("x"), ("a", "b"), tuple(samples), attributes=("place",))


def term(**settings: Any) -> GroupDRO:
    known = replace(Context(("a", "b"), (4, 4)), catalog=catalog(LABELS, PLACES))
    return GroupDRO(GroupDRO.Config(attribute="place", **settings), known)


def batch_of(rows: list[int], targets: torch.Tensor | None = None) -> Batch:
    n = len(rows)
    labels = torch.tensor([LABELS[row] for row in rows]) if targets is None else targets
    return Batch(
        torch.zeros(n, 3, 2, 2), labels, torch.zeros(n, 1, 2, 2), torch.zeros(n).bool(), torch.tensor(rows)
    )


@pytest.mark.parametrize("adjustment", [0.0, 2.0])
def test_weights_and_loss_follow_the_algorithm(adjustment: float) -> None:
    loss = term(step=0.3, adjustment=adjustment)
    names = [(0, "land"), (0, "sea"), (1, "land"), (1, "sea")]
    q, sizes = dict.fromkeys(names, 0.25), dict(zip(names, (1, 3, 3, 1), strict=True))
    rng = np.random.default_rng(0)
    for rows in ([0, 1, 2, 5], [3, 4, 6, 7], [3, 3, 0, 5, 6, 4]):  # the first batch lacks two subgroups
        logits = torch.from_numpy(rng.normal(size=(len(rows), 2))).float().requires_grad_()
        means = {}
        for name in names:
            own = [i for i, row in enumerate(rows) if (LABELS[row], PLACES[row]) == name]
            chance = logits.detach().double().softmax(1)
            means[name] = -sum(math.log(chance[i, name[0]]) for i in own) / max(len(own), 1)
            q[name] *= math.exp(0.3 * (means[name] + adjustment / math.sqrt(sizes[name])))
        whole = sum(q.values())
        q = {name: value / whole for name, value in q.items()}
        value = loss(Output(logits), batch_of(rows), Progress())
        assert value.item() == pytest.approx(sum(q[name] * means[name] for name in names), rel=1e-5)
        assert loss.weights.tolist() == pytest.approx(list(q.values()), rel=1e-5)
        value.backward()
        assert logits.grad is not None
    saved = loss.state_dict()
    assert list(saved) == ["weights"]
    again = term(step=0.3, adjustment=adjustment)
    again.load_state_dict(saved)
    assert torch.equal(again.weights, loss.weights)


def test_in_evaluation_it_is_plain_cross_entropy_and_nothing_moves() -> None:
    loss = term().eval()
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    value = loss(Output(logits), batch_of([0, 3, 4, 5]), Progress())
    assert value.item() == pytest.approx(
        -logits.log_softmax(1)[range(4), [0, 0, 1, 1]].mean().item(), rel=1e-6
    )
    assert loss.weights.tolist() == [0.25] * 4


def test_what_it_cannot_do_it_says() -> None:
    with pytest.raises(ConfigError, match="attribute 'weather', but the pictures have place; name it"):
        GroupDRO(
            GroupDRO.Config(attribute="weather"),
            replace(Context(("a",), (1,)), catalog=catalog(LABELS, PLACES)),
        )
    with pytest.raises(ConfigError, match="to which subgroup a mixed picture belongs"):
        term()(Output(torch.zeros(1, 2)), batch_of([0], torch.tensor([[0.5, 0.5]])), Progress())


def test_it_raises_the_worst_subgroup_where_most_pictures_share_a_shortcut() -> None:
    """500 points a class; the second coordinate tells the class in 95 % of them and is larger than the first."""
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 500)
    tied = np.where(rng.random(1000) < 0.95, label, 1 - label)
    points = np.stack([(2 * label - 1) * 1.0, (2 * tied - 1) * 1.0], axis=1) + rng.normal(size=(1000, 2)) * [
        1.0,
        0.3,
    ]
    images, targets = torch.from_numpy(points).float(), torch.from_numpy(label)
    places = ["sea" if place else "land" for place in tied]
    known = replace(Context(("a", "b"), (500, 500)), catalog=catalog(label.tolist(), places))
    loss = GroupDRO(GroupDRO.Config(attribute="place", step=0.1), known)
    batch = Batch(images, targets, torch.zeros(1000, 1, 1, 1), torch.zeros(1000).bool(), torch.arange(1000))
    worst = {}
    for robust in (False, True):
        head = torch.nn.Linear(2, 2)
        torch.nn.init.zeros_(head.weight), torch.nn.init.zeros_(head.bias)
        optimizer = torch.optim.SGD(head.parameters(), lr=0.5)
        for _ in range(300):
            loss.train(robust)
            loss(Output(head(images)), batch, Progress()).backward()
            optimizer.step()
            optimizer.zero_grad()
        right = head(images).argmax(1).numpy() == label
        worst[robust] = min(right[(label == a) & (tied == b)].mean() for a in (0, 1) for b in (0, 1))
    assert worst[False] < 0.5
    assert worst[True] > 0.7


def test_a_phase_may_keep_the_epoch_of_the_best_worst_subgroup(tree: Path, tmp_path: Path) -> None:
    done = run(
        experiment(
            data={
                "layout": {"attributes": ["place=regex:([0-4])[.]png"]},
                "split": {"val": 0.4, "test": 0.2},
            },
            objective={"classification": {"kind": "group_dro", "attribute": "place"}},
            training={"phases": [{"epochs": 3, "lr": 0.01, "restore_best": "val_worst_place_accuracy"}]},
        ),
        tree,
        tmp_path / "run",
    )
    scores = [row["val_worst_place_accuracy"] for row in done.history]
    measured = done.result["metrics"]["val"]["attributes"]["place"]["worst_group"]["accuracy"]
    assert max(scores) == pytest.approx(measured)
    (told,) = [d for d in done.environment["decisions"] if d["name"] == "epoch kept: train"]
    assert told["value"] == "worst attribute on validation"
