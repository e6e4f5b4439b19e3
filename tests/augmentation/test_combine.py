"""Combinations of transforms: which act, how often, and when."""

import numpy as np
import pytest
import torch

from augmentation_helpers import COUNTS, MODEL, apply, told
from foveate.augmentation import build_transforms
from foveate.core.errors import ConfigError
from foveate.core.progress import Progress
from foveate.experiment import Experiment

HIDE = {"kind": "cutout", "side": 2.0}
"""Everything that can be reached from one pixel: most of the picture."""
PAIR = {"kind": "mixup"}


def combined(**settings: object) -> Experiment:
    return Experiment.from_dict({"transforms": [{"kind": "combine", **settings}]})


def acted(experiment: Experiment, seeds: int, progress: Progress) -> tuple[float, float, float]:
    """How often pixels were hidden, labels mixed, both."""
    (transform,) = build_transforms(experiment.transforms, COUNTS)
    hidden, mixed = [], []
    for seed in range(seeds):
        found = transform(told(), MODEL, np.random.default_rng(seed), progress)
        hidden.append(bool((found.images == 0).any()))
        mixed.append(found.targets.is_floating_point())
    both = [a and b for a, b in zip(hidden, mixed, strict=True)]
    return tuple(sum(values) / seeds for values in (hidden, mixed, both))


def test_one_of_them() -> None:
    hidden, mixed, both = acted(combined(members=[HIDE, PAIR], weights=[3, 1]), 400, Progress())
    assert hidden == pytest.approx(0.75, abs=0.07)
    assert mixed == pytest.approx(0.25, abs=0.07)
    assert both == 0


def test_all_of_them_each_with_its_probability() -> None:
    hidden, mixed, both = acted(
        combined(members=[HIDE, PAIR], take="all", weights=[0.5, 0.8]), 400, Progress()
    )
    assert hidden == pytest.approx(0.5, abs=0.08)
    assert mixed == pytest.approx(0.8, abs=0.08)
    assert both == pytest.approx(0.4, abs=0.08)
    assert acted(combined(members=[HIDE, PAIR], take="all"), 20, Progress()) == (1, 1, 1)


def test_from_an_epoch_on_and_ever_more() -> None:
    late = combined(members=[HIDE], start=3, ramp=0.5, p=0.8)
    for epoch, training, expected in ((2, 0.4, 0.0), (3, 0.25, 0.4), (3, 0.5, 0.8), (9, 1.0, 0.8)):
        found = acted(late, 400, Progress(epoch=epoch, training=training))[0]
        assert found == pytest.approx(expected, abs=0.07)


def test_combinations_of_combinations() -> None:
    inner = {"kind": "combine", "take": "all", "members": [HIDE, PAIR]}
    experiment = combined(members=[inner, {"kind": "smoothmix"}])
    assert Experiment.from_dict(experiment.to_dict()) == experiment
    other = combined(
        members=[{**inner, "members": [HIDE, {"kind": "mixup", "alpha": 0.3}]}, {"kind": "smoothmix"}]
    )
    assert other.hash() != experiment.hash()
    hidden, mixed, both = acted(experiment, 300, Progress())
    assert hidden == both == pytest.approx(0.5, abs=0.09)
    assert mixed == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"members": []}, "members is empty"),
        ({"members": [HIDE], "weights": [1, 2]}, "2 weights for 1 members"),
        ({"members": [HIDE], "take": "all", "weights": [2]}, "probabilities, at most 1"),
        ({"members": [HIDE], "weights": [0]}, "some weight must be above 0"),
        ({"members": [{"kind": "cutout", "sides": 1}]}, "members.0.sides is no setting"),
        ({"members": [{"kind": "nothing"}]}, "members.0.kind must be one of"),
    ],
)
def test_settings_are_checked(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        combined(**values)


def test_it_changes_nothing_with_probability_zero() -> None:
    batch = told()
    found = apply("combine", batch, members=[{"kind": "cutmix"}], p=0.0)
    assert torch.equal(found.images, batch.images)
