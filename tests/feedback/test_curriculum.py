"""The curriculum: pacing by the formula, easy before hard, out of fold, resumed bit-equal."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from foveate.core.config import parse
from foveate.data.batch import Batch
from foveate.feedback import Moment, TrainingPictures
from foveate.feedback.curriculum import Curriculum, out_of_fold_loss
from foveate.training import fit
from training_helpers import Drawn, Stop, phase, toy_job, weights_of

LABELS = np.array([0] * 20 + [1] * 10 + [2] * 3)


class Eyes:
    """Features are the first pixel of the picture's channels."""

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :, 0, 0]


def pictures(rows: np.ndarray) -> TrainingPictures:
    """Class c at the corner c of a triangle, picture k of a class the further away the larger k is."""

    def prepared(wanted: np.ndarray) -> Iterator[Batch]:
        for part in np.array_split(wanted, 4):
            first = np.array([np.flatnonzero(LABELS[row] == LABELS)[0] for row in part])
            share = torch.from_numpy((part - first) / 22).float()[:, None]
            corners = torch.eye(3)
            own, other = corners[LABELS[part]], corners[(LABELS[part] + 1) % 3]
            images = ((1 - share) * own + share * other)[:, :, None, None]
            masks, known = torch.zeros(len(part), 1, 1, 1), torch.zeros(len(part)).bool()
            yield Batch(images, torch.from_numpy(LABELS[part]), masks, known, torch.from_numpy(part))

    plain = TrainingPictures(Drawn(LABELS), rows, LABELS, [str(row) for row in LABELS], 3, prepared)
    return replace(plain)


def curriculum(**settings: object) -> Curriculum:
    return Curriculum(parse(Curriculum.Config, settings, source="the test"))


def orders(feedback: Curriculum, epochs: int, rows: np.ndarray) -> list[np.ndarray | None]:
    changes = [
        feedback.between(Moment(epoch, "p", epoch, 0), Eyes(), pictures(rows)) for epoch in range(epochs)
    ]
    return [None if change is None else change.order for change in changes]


@pytest.mark.parametrize("order", ["easy", "hard", "random"])
def test_classes_keep_their_shares_while_more_is_shown(order: str) -> None:
    rows = np.arange(33)
    found = orders(curriculum(order=order, epochs=8, first=0.25), 10, rows)
    for epoch in range(8):
        share = 0.25 + 0.75 * epoch / 8
        counts = np.bincount(LABELS[found[epoch]], minlength=3)
        assert counts.tolist() == np.ceil(share * np.array([20, 10, 3])).astype(int).tolist()
        assert len(set(found[epoch].tolist())) == len(found[epoch])
        if epoch:
            assert set(found[epoch - 1]) <= set(found[epoch])
    assert found[8] is None  # everything as usual
    again = orders(curriculum(order=order, epochs=8, first=0.25), 10, rows)
    assert all(np.array_equal(a, b) for a, b in zip(found[:8], again[:8], strict=True))


def test_easy_ones_come_first_and_hard_ones_in_the_control() -> None:
    rows = np.arange(33)
    easy = orders(curriculum(epochs=4), 1, rows)[0]
    hard = orders(curriculum(epochs=4, order="hard"), 1, rows)[0]
    random = orders(curriculum(epochs=4, order="random"), 1, rows)[0]
    assert set(easy[easy < 20]) == {0, 1, 2, 3}
    assert set(hard[hard < 20]) == {16, 17, 18, 19}
    assert set(random[random < 20]) not in ({0, 1, 2, 3}, {16, 17, 18, 19})
    some = np.setdiff1d(rows, [0, 5, 31])
    assert set(orders(curriculum(epochs=4), 1, some)[0]) <= set(some)


def test_how_hard_a_picture_is_by_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 8)
    features = rng.normal(size=(24, 5)) + np.eye(3, 5)[labels] * 2
    found = out_of_fold_loss(
        features, labels, 24, np.random.default_rng(1)
    )  # every picture a fold of its own
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    answers = cross_val_predict(probe, features, labels, cv=LeaveOneOut(), method="predict_proba")
    np.testing.assert_allclose(found, -np.log(answers[np.arange(24), labels]), rtol=1e-6)
    rare = np.append(labels, 3)
    lonely = out_of_fold_loss(np.vstack([features, np.zeros(5)]), rare, 5, rng)
    assert lonely[-1] == pytest.approx(-np.log(1e-12))  # nobody could have known it
    assert np.isfinite(lonely).all()


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_killed_and_gone_on_it_ends_with_the_same_bits(tmp_path: Path, steps: int) -> None:
    def job(**more: object) -> object:
        return toy_job(
            feedbacks=(curriculum(epochs=3, first=0.4),), phases=[phase(epochs=4)], checkpoint_seconds=0.0,
            labels=np.arange(48) % 3, **more,
        )  # fmt: skip

    whole = job()
    fit(whole)
    with pytest.raises(KeyboardInterrupt):
        fit(job(folder=tmp_path, observer=Stop(steps)))
    again = job(folder=tmp_path)
    fit(again)
    expected, found = weights_of(whole), weights_of(again)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
