"""A run whose last layer is fitted again: what is saved, what it says, what is refused; studies of such arms."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from foveate.core.errors import ConfigError, FoveateError
from foveate.data.cache import open_pictures
from foveate.data.cache_config import CacheConfig
from foveate.experiment import Experiment, Run, run
from foveate.experiment.consumed import consumed
from foveate.experiment.specification import merge
from foveate.studies.engine import twins
from foveate.studies.specification import Study
from training_helpers import BASE, experiment

ATTRIBUTE = {"layout": {"attributes": ["place=regex:([0-4])[.]png"]}, "split": {"val": 0.4, "test": 0.2}}
SHORT = {"phases": [{"name": "head", "epochs": 1, "trainable": "head", "lr": 0.01, "restore_best": None}]}
SMALL = {"backbone": "foveate_small_cnn", "weights": "none"}
WAYS: dict[str, dict[str, Any]] = {
    "dfr": {"attribute": "place"},
    "afr": {},
    "self": {"numbers": [5, 10]},
    "swapped": {"copies": 2},
    "ridge": {"rule": "leave_one_out"},
}


def settings(**changes: Any) -> Experiment:
    return experiment(**merge({"data": ATTRIBUTE, "training": SHORT}, changes))


@pytest.fixture(scope="module")
def plain(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(settings(), tree, tmp_path_factory.mktemp("plain") / "run")


@pytest.mark.parametrize("kind", list(WAYS))
def test_only_the_last_layer_is_another_and_the_run_says_what_was_done(
    kind: str, tree: Path, plain: Run, tmp_path: Path
) -> None:
    asked = settings(last_layer={"kind": kind, **WAYS[kind]})
    assert asked.training_hash() == plain.experiment.training_hash()
    assert asked.hash() != plain.experiment.hash()
    done = run(asked, tree, tmp_path / "run")
    before, after = plain.model.state_dict(), done.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head.classifier.weight", "head.classifier.bias"}
    told = {d["name"]: d for d in done.environment["decisions"]}
    assert told["last layer"]["value"] == kind
    assert "by the rule '" in told["last layer"]["reason"]
    assert " s" in told["last layer"]["reason"]
    assert done.result["consumed"] == list(consumed(asked))
    assert told["consumed"]["value"] == ", ".join(consumed(asked))
    taken = run(asked, tree, tmp_path / "taken", trained=plain.folder)  # seconds: the network is there
    bits = [(folder / "model.safetensors").read_bytes() for folder in (done.folder, taken.folder)]
    assert bits[0] == bits[1]
    with pytest.raises(FoveateError, match="trained another network"):
        run(asked, tree, tmp_path / "refused", trained=done.folder)


def test_ridge_answers_as_its_formula(tree: Path, plain: Run, tmp_path: Path) -> None:
    """A linear head on the backbone's own features: scikit-learn's ridge regression on them gives the same answers."""
    head = {"kind": "linear", "widths": None}
    asked = settings(
        model={"head": head}, last_layer={"kind": "ridge", "strengths": [10.0], "rule": "last_epoch"}
    )
    done = run(asked, tree, tmp_path / "run")
    model = done.model
    train, test = (done.catalog.indices(split) for split in ("train", "test"))
    features = []
    pictures = open_pictures(done.catalog, 32, "squash", CacheConfig(enabled=False))
    for rows in (train, test):
        images = pictures.read_many(rows)[0].float() / 255
        with torch.no_grad():
            normal = (images - model.mean.view(-1, 1, 1)) / model.std.view(-1, 1, 1)
            features.append(model.features(normal).double().numpy())
    scaler = StandardScaler().fit(features[0])
    labels = done.catalog.labels
    expected = Ridge(alpha=10.0).fit(scaler.transform(features[0]), np.eye(3)[labels[train]])
    answers = expected.predict(scaler.transform(features[1])).argmax(axis=1)
    table = done.predictions.of_split("test")
    assert table.probabilities.argmax(axis=1).tolist() == answers.tolist()


CONSUMED: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({}, ()),
    ({"training": {"phases": [{"restore_best": "val_loss"}]}}, ("validation labels",)),
    (
        {"training": {"phases": [{"restore_best": "val_worst_place_accuracy"}]}},
        ("attribute labels", "validation labels"),
    ),
    ({"objective": {"look": {"kind": "spatial_mse"}}}, ("masks",)),
    ({"objective": {"look": {"kind": "spatial_mse", "weight": 0.0}}}, ()),
    ({"objective": {"look": {"kind": "spatial_mse"}}, "data": {"masks": {"use": "none"}}}, ()),
    ({"objective": {"classification": {"kind": "group_dro", "attribute": "place"}}}, ("attribute labels",)),
    ({"transforms": [{"kind": "background_swap"}]}, ("masks",)),
    ({"transforms": [{"kind": "random_erasing", "region": "object"}]}, ("masks",)),
    ({"transforms": [{"kind": "random_erasing"}, {"kind": "mixup"}]}, ()),
    ({"feedback": [{"kind": "class_sampling"}, {"kind": "jtt", "epoch": 1}]}, ()),
    ({"feedback": [{"kind": "class_sampling", "by": "place"}]}, ("attribute labels",)),
    ({"last_layer": {"kind": "afr", "rule": "last_epoch", "pictures": "training"}}, ()),
    ({"last_layer": {"kind": "afr"}}, ("validation labels",)),
    ({"last_layer": {"kind": "dfr", "attribute": "place"}}, ("attribute labels", "validation labels")),
    ({"last_layer": {"kind": "swapped"}}, ("masks", "validation labels")),
]


@pytest.mark.parametrize(("changes", "expected"), CONSUMED)
def test_what_an_experiment_consumed_follows_from_its_settings(
    changes: dict[str, Any], expected: tuple[str, ...]
) -> None:
    assert consumed(settings(**changes)) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {**SMALL, "head": {"kind": "cosine"}}}, "which the head 'cosine' does not do"),
        ({"model": {**SMALL, "network": "bilinear"}}, "which the network 'bilinear' does not do"),
        ({"data": {"layout": {"attributes": []}}}, "have no attribute 'place'"),
    ],
)
def test_what_has_no_linear_head_is_refused(
    changes: dict[str, Any], message: str, tree: Path, tmp_path: Path
) -> None:
    plain = settings(last_layer={"kind": "dfr", "attribute": "place"}).to_dict()
    asked = Experiment.from_dict(
        {**merge(plain, changes), **{k: v for k, v in changes.items() if k == "model"}}
    )
    with pytest.raises(FoveateError, match=message):
        run(asked, tree, tmp_path / "run")


def test_swapped_backgrounds_need_masks(tree: Path, tmp_path: Path) -> None:
    asked = settings(last_layer={"kind": "swapped"}, data={"masks": {"use": "none"}})
    with pytest.raises(ConfigError, match="needs masks of training pictures, and there are none"):
        run(asked, tree, tmp_path / "run")


def test_a_pretext_run_keeps_its_head() -> None:
    with pytest.raises(ConfigError, match="keeps the head that answers its questions"):
        settings(task={"kind": "rotation"}, last_layer={"kind": "afr"})


def test_the_arms_of_a_study_share_one_network() -> None:
    arms = {
        "dfr": {"last_layer": {"kind": "dfr", "attribute": "place"}},
        "plain": {},
        "afr": {"last_layer": "afr"},
    }
    study = Study.from_dict(
        {"name": "heads", "base": BASE, "arms": arms, "seeds": [0, 1], "baseline": "plain"}
    )
    found = {(c.arm, c.seed): twins(study.cells()).get(c.key) for c in study.cells()}
    assert {place: (twin.arm, twin.seed) for place, twin in found.items() if twin} == {
        (arm, seed): ("plain", seed) for arm in ("dfr", "afr") for seed in (0, 1)
    }
