"""Feedbacks at work in the loop, and killed in the middle of it."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from foveate.core.config import parse
from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.data.epoch_change import Change
from foveate.feedback import Feedback, Moment, Seen, TrainingPictures
from foveate.feedback.jtt import JustTrainTwice
from foveate.feedback.sampling import ClassSampling, Upweighting
from foveate.models.networks import Network
from foveate.models.output import Output
from foveate.training import Interrupted, fit
from training_helpers import Drawn, Stop, phase, toy_job, weights_of

LABELS = np.arange(48) % 3


class Darken(Feedback):
    """Shows a dark copy of every picture that was answered wrong in the last epoch; keeps a diary."""

    changes_pictures = True

    def __init__(self, beside: bool = False) -> None:
        self.beside, self.wrong, self.diary = beside, {}, []

    def see(self, seen: Seen) -> None:
        self.wrong.update(zip(seen.index.tolist(), seen.wrong.tolist(), strict=True))

    def between(self, moment: Moment, network: Network, pictures: TrainingPictures) -> Change:
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())
        rows = np.array(sorted(row for row, wrong in self.wrong.items() if wrong), np.int64)
        self.diary.append((moment.epoch, len(self.wrong), rows.tolist()))
        self.wrong = {}
        if not len(rows):
            return Change()
        torch.rand(3)  # a feedback that draws leaves the training's random numbers alone
        asked = [batch.index for batch in pictures.prepared(rows)]
        assert torch.cat(asked).tolist() == rows.tolist()
        images = pictures.pictures.read_many(rows)[0] // 4
        return Change(dict(zip(rows.tolist(), images, strict=True)), beside=self.beside)

    def state(self) -> dict[str, torch.Tensor]:
        return {"wrong": torch.tensor(list(self.wrong.items()), dtype=torch.int64).reshape(-1, 2)}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        self.wrong = {row: bool(wrong) for row, wrong in state["wrong"].tolist()}


class CutOff(Darken):
    """Stopped in the middle of ``between`` after an epoch, when it has forgotten what it saw."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def between(self, moment: Moment, network: Network, pictures: TrainingPictures) -> Change:
        change = super().between(moment, network, pictures)
        if moment.epoch == self.epoch:
            os.kill(os.getpid(), signal.SIGINT)
        return change


def job(feedback: Callable[[], Feedback], **settings: object) -> object:
    return toy_job(
        feedbacks=(feedback(),), phases=[phase(epochs=2), phase(name="q", epochs=2)], checkpoint_seconds=0.0,
        labels=LABELS, **settings,
    )  # fmt: skip


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("steps", [1, 4, 5, 6, 9, 13])
def test_killed_and_gone_on_it_ends_with_the_same_bits(tmp_path: Path, beside: bool, steps: int) -> None:
    whole = job(lambda: Darken(beside))
    history = fit(whole)
    with pytest.raises(KeyboardInterrupt):
        fit(job(lambda: Darken(beside), folder=tmp_path, observer=Stop(steps)))
    again = job(lambda: Darken(beside), folder=tmp_path)
    gone_on = fit(again)
    expected, found = weights_of(whole), weights_of(again)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    timed = ("seconds", "images_per_second", "feedback_seconds")
    assert [{k: v for k, v in row.items() if k not in timed} for row in gone_on] == [
        {k: v for k, v in row.items() if k not in timed} for row in history
    ]
    assert all(row["feedback_seconds"] > 0 for row in gone_on)
    seen = whole.feedbacks[0].diary
    assert [epoch for epoch, _, _ in seen] == [0, 1, 2, 3]
    assert [count for _, count, _ in seen] == [0, 32, 32, 32]
    assert any(rows for _, _, rows in seen)


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_stopped_between_two_epochs_it_has_forgotten_nothing(tmp_path: Path, epoch: int) -> None:
    whole = job(Darken)
    fit(whole)
    assert any(rows for at, _, rows in whole.feedbacks[0].diary if at == epoch), "nothing to forget"
    with pytest.raises(Interrupted, match="the position is saved"):
        fit(job(lambda: CutOff(epoch), folder=tmp_path))
    again = job(Darken, folder=tmp_path)
    fit(again)
    expected, found = weights_of(whole), weights_of(again)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_what_it_shows_is_what_is_trained_on() -> None:
    dark, plain = job(Darken), job(Feedback)
    fit(dark)
    fit(plain)
    expected, found = weights_of(plain), weights_of(dark)
    assert any(not torch.equal(found[name], expected[name]) for name in expected)
    without = toy_job(phases=[phase(epochs=2), phase(name="q", epochs=2)], labels=LABELS)
    fit(without)
    bits = weights_of(without)
    assert all(
        torch.equal(expected[name], bits[name]) for name in bits
    )  # one that changes nothing changes no bit


def test_features_are_not_stored_where_pictures_may_change() -> None:
    frozen = [phase(trainable="head", epochs=2)]
    for feedback, how in ((Darken(), "recomputed"), (Feedback(), "stored")):
        made = toy_job(feedbacks=(feedback,), phases=frozen, labels=LABELS)
        fit(made)
        (decision,) = [d for d in made.decisions.as_list() if d["name"] == "features: p"]
        assert decision["value"] == how


def moment(epoch: int) -> Moment:
    return Moment(epoch, "p", epoch, 0)


def training(labels: np.ndarray, rows: np.ndarray) -> TrainingPictures:
    return TrainingPictures(
        Drawn(labels), rows, labels, [str(row) for row in labels], 3, lambda rows: iter(())
    )


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_class_sampling_draws_classes_as_the_formula_says(power: float) -> None:
    labels = np.array([0] * 25 + [1] * 16 + [2] * 4 + [2] * 5)
    rows = np.arange(45)  # the last five are not trained on
    feedback = ClassSampling(parse(ClassSampling.Config, {"power": power, "start": 2}, source="test"))
    assert feedback.between(moment(0), None, training(labels, rows)) is None
    change = feedback.between(moment(2), None, training(labels, rows))
    assert (change.weights[45:] == 0).all()
    share = np.array([change.weights[labels == label].sum() for label in range(3)])
    expected = np.array([25, 16, 4]) ** power
    np.testing.assert_allclose(share / share.sum(), expected / expected.sum(), rtol=1e-12)


def test_class_sampling_that_would_never_begin_is_refused() -> None:
    feedback = ClassSampling(ClassSampling.Config(start=2))
    feedback.check(3)
    with pytest.raises(ConfigError, match="starts after 2 epochs, and the phases have 2"):
        feedback.check(2)


def test_class_sampling_by_an_attribute_unties_it_from_the_class() -> None:
    labels = np.array([0] * 10 + [1] * 10)
    place = ["sea"] * 9 + ["land"] + ["sea"] * 2 + ["land"] * 7 + [""]
    pictures = replace(training(labels, np.arange(20)), attributes={"place": place})
    feedback = ClassSampling(parse(ClassSampling.Config, {"power": 0, "by": "place"}, source="test"))
    weights = feedback.between(moment(0), None, pictures).weights
    for label, value in ((0, "sea"), (0, "land"), (1, "sea"), (1, "land"), (1, "")):
        own = [row for row in range(20) if (labels[row], place[row]) == (label, value)]
        assert weights[own].sum() == pytest.approx(1)
    with pytest.raises(ConfigError, match="by the attribute 'place', but the pictures have none"):
        ClassSampling(feedback.config).between(moment(5), None, training(labels, np.arange(20)))


def test_upweighting_remembers_the_last_answers_of_its_epoch() -> None:
    def seen(rows: list[int], right: list[bool]) -> Seen:
        logits = torch.eye(3)[[0 if answer else 1 for answer in right]]
        return Seen(torch.tensor(rows), torch.zeros(len(rows), dtype=torch.int64), logits)

    feedback = Upweighting(parse(Upweighting.Config, {"epoch": 2, "factor": 5.0}, source="test"))
    pictures = training(np.zeros(6, np.int64), np.arange(5))
    feedback.see(seen([0, 1], [False, False]))
    assert feedback.between(moment(1), None, pictures) is None  # epoch 1 does not count
    feedback.see(seen([1, 2, 3], [False, False, True]))
    saved = feedback.state()
    feedback = Upweighting(feedback.config)
    feedback.restore(saved)
    feedback.see(seen([2], [True]))
    assert feedback.between(moment(2), None, pictures).weights.tolist() == [1, 5, 1, 1, 1, 0]
    assert feedback.between(moment(3), None, pictures) is None


def test_what_a_feedback_did_and_that_one_did_nothing_stands_among_the_decisions() -> None:
    never = Upweighting(parse(Upweighting.Config, {"epoch": 9}, source="test"))
    dark = job(Darken)
    fit(dark)
    (told,) = [d for d in dark.decisions.as_list() if d["name"] == "feedback 1: Darken"]
    last, _, rows = dark.feedbacks[0].diary[-1]
    assert told["value"].startswith(f"{len(rows)} of 32 pictures are shown changed") or not rows
    assert told["reason"] == f"from epoch {last + 1} on"
    quiet = job(lambda: never)
    fit(quiet)
    (told,) = [d for d in quiet.decisions.as_list() if d["name"] == "feedback 1: upweighting"]
    assert told["value"] == "nothing so far"
    weights = np.array([1.0, 5.0, 1.0, 1.0, 0.0, 0.0])
    assert (
        Change(weights=weights).words(np.arange(4)) == "1 of 4 pictures are drawn more often, up to 5 times"
    )
    assert Change(order=np.array([3, 1])).words(np.arange(4)) == "2 pictures are shown in an order"
    assert Change().words(np.arange(4)) == "every picture once, as usual"


def test_a_mixed_label_is_wrong_when_its_largest_part_is_missed() -> None:
    seen = Seen(
        torch.arange(2), torch.tensor([[0.6, 0.4], [0.4, 0.6]]), torch.tensor([[2.0, 1.0], [2.0, 1.0]])
    )
    assert seen.wrong.tolist() == [False, True]


def test_just_train_twice_weighs_what_the_network_answers_wrong() -> None:
    labels, rows = np.array([0, 1, 2, 0, 1, 2]), np.array([0, 1, 3, 4])
    answers = torch.tensor([0, 2, 2, 1, 1, 2])

    def prepared(asked: np.ndarray) -> Iterator[Batch]:
        for part in np.split(asked, [3]):
            images = torch.nn.functional.one_hot(answers[part], 3).float()
            yield Batch(images, torch.zeros(len(part)), images, images.bool()[:, 0], torch.from_numpy(part))

    pictures = replace(training(labels, rows), prepared=prepared)
    feedback = JustTrainTwice(parse(JustTrainTwice.Config, {"epoch": 2, "factor": 7.0}, source="test"))
    assert feedback.between(moment(1), Output, pictures) is None
    change = feedback.between(moment(2), Output, pictures)
    assert change.weights.tolist() == [1, 7, 0, 7, 1, 0]
    assert change.restart
    assert feedback.between(moment(3), Output, pictures) is None
    answers[[1, 3]] = torch.tensor([1, 0])  # all are right now
    change = feedback.between(moment(2), Output, pictures)
    assert (change.weights, change.restart) == (None, True)
    assert Change.from_tensors(change.tensors()) == change


STILL = phase(name="second", lr=1e-30, optimizer={"kind": "sgd"}, freeze_bn="all")
"""So low a rate changes no weight by more than 1e-20."""


@pytest.mark.parametrize("restart", [True, False])
def test_just_train_twice_starts_again_from_the_first_weights(restart: bool) -> None:
    config = parse(JustTrainTwice.Config, {"epoch": 2, "restart": restart}, source="test")
    made = toy_job(feedbacks=(JustTrainTwice(config),), phases=[phase(lr=0.05), STILL], labels=LABELS)
    first = weights_of(made)
    fit(made)
    last = weights_of(made)
    assert all(torch.allclose(last[name], first[name], rtol=0, atol=1e-20) for name in first) == restart
    (told,) = [d for d in made.decisions.as_list() if d["name"] == "feedback 1: jtt"]
    assert ("starts again from the first weights" in told["value"]) == restart
    assert told["reason"] == "from epoch 3 on"


def test_just_train_twice_needs_epochs_for_the_second_training() -> None:
    config = parse(JustTrainTwice.Config, {"epoch": 4}, source="test")
    with pytest.raises(ConfigError, match="after epoch 4, but there are 4 epochs"):
        fit(job(lambda: JustTrainTwice(config)))


@pytest.mark.parametrize("steps", [3, 8, 9, 13])
def test_just_train_twice_killed_and_gone_on_ends_with_the_same_bits(tmp_path: Path, steps: int) -> None:
    def made(**settings: object) -> object:
        config = parse(JustTrainTwice.Config, {"epoch": 2, "factor": 9.0}, source="test")
        return job(lambda: JustTrainTwice(config), ema=0.9, **settings)

    whole = made()
    fit(whole)
    with pytest.raises(KeyboardInterrupt):
        fit(made(folder=tmp_path, observer=Stop(steps)))
    again = made(folder=tmp_path)
    fit(again)
    expected, found = weights_of(whole), weights_of(again)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
