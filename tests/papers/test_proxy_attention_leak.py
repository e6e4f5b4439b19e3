"""The control that shows the published leak really leaks, as much as the formula says, and says so."""

from typing import Any

import numpy as np
import pytest
import torch

from foveate.core.config import parse
from foveate.core.errors import ConfigError
from foveate.experiment import Experiment
from foveate.feedback import FEEDBACKS, Seen
from foveate.papers.proxy_attention.leak import LeakingResplit
from foveate.training import fit
from training_helpers import phase, toy_job, weights_of

LABELS = np.arange(240) % 3
SCHEDULE = [1, "p", 2, "p", 1]


class Watched(LeakingResplit):
    """Writes down which rows each epoch shows."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.epochs: list[list[int]] = []

    def see(self, seen: Seen) -> None:
        self.epochs[-1] += seen.index.tolist()

    def between(self, moment: Any, network: Any, pictures: Any) -> Any:
        self.epochs.append([])
        return super().between(moment, network, pictures)


def job(schedule: list[Any], **settings: Any) -> Any:
    config = parse(LeakingResplit.Config, {"schedule": schedule}, source="the test")
    return toy_job(
        feedbacks=(Watched(config),),
        labels=LABELS,
        val=120,
        phases=[phase(epochs=6)],
        batch_size=24,
        **settings,
    )


def test_validation_pictures_are_trained_on_as_often_as_the_formula_says() -> None:
    made = job(SCHEDULE)
    fit(made)
    epochs = made.feedbacks[0].epochs
    own = set(range(120))
    assert [len(rows) for rows in epochs] == [120] * 6
    for rows in epochs:
        assert len(set(rows)) == 120
        assert np.bincount(LABELS[rows]).tolist() == [40, 40, 40]
    assert set(epochs[2]) == set(epochs[3])  # one entry, one draw,
    assert epochs[2] != epochs[3]  # in another order
    assert len({frozenset(rows) for rows in epochs}) == 5
    assert set(epochs[-1]) == own
    before = set().union(*map(set, epochs[:-1])) - own
    expected, spread = 1 - 0.5**4, np.sqrt(0.5**4 * (1 - 0.5**4) / 120)
    assert abs(len(before) / 120 - expected) < 4 * spread
    (told,) = [d for d in made.decisions.as_list() if d["name"].startswith("feedback 1")]
    assert "LEAK: validation pictures are trained on" in told["value"]


def test_one_entry_leaks_nothing_and_changes_no_bit() -> None:
    made, plain = job([6]), toy_job(labels=LABELS, val=120, phases=[phase(epochs=6)], batch_size=24)
    fit(made)
    fit(plain)
    expected, found = weights_of(plain), weights_of(made)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_it_is_chosen_by_its_kind_and_read_back_though_the_core_does_not_know_it() -> None:
    settings = {"feedback": [{"kind": "leaking_resplit", "schedule": [1, "p"]}]}
    experiment = Experiment.from_dict(settings)
    again = Experiment.from_dict(experiment.to_dict())
    assert again == experiment
    assert again.hash() == experiment.hash() != Experiment().hash()
    assert "schedule:\n  - 1\n  - p" in experiment.to_yaml()
    (built,) = map(FEEDBACKS.build, experiment.feedback)
    assert isinstance(built, LeakingResplit)
    with pytest.raises(ConfigError, match="kind must be one of"):
        Experiment.from_dict({"feedback": [{"kind": "leaking"}]})


def test_stored_features_do_not_let_it_go_by_in_silence() -> None:
    frozen = [phase(trainable="head", epochs=6)]
    config = parse(LeakingResplit.Config, {"schedule": SCHEDULE}, source="the test")
    made = toy_job(feedbacks=(LeakingResplit(config),), labels=LABELS, val=120, phases=frozen)
    fit(made)
    (decision,) = [d for d in made.decisions.as_list() if d["name"] == "features: p"]
    assert decision["value"] == "recomputed"
