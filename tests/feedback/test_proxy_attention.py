"""Proxy Attention: what a proxy is, who gets one, how long it is shown, and that a kill changes nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from foveate.core.config import parse
from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.data.epoch_change import Change
from foveate.explanation import explain
from foveate.feedback import Moment, Seen, TrainingPictures
from foveate.feedback.proxy_attention import ProxyAttention
from foveate.feedback.proxy_pictures import changed, placed
from foveate.training import fit
from training_helpers import Drawn, Stop, phase, toy_job, weights_of

LABELS = np.arange(48) % 3
SHORT: dict[str, Any] = {"schedule": [1, "p", 2], "share": 1.0, "threshold": 0.3, "explainer": "gradcam"}


def feedback(**settings: Any) -> ProxyAttention:
    return ProxyAttention(parse(ProxyAttention.Config, settings, source="the test"))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3)).eval()


def pictures(folder: Path | None = None) -> TrainingPictures:
    drawn = Drawn(LABELS)

    def prepared(rows: np.ndarray) -> Any:
        for part in np.array_split(rows, max(1, len(rows) // 4)):
            images, masks, has_mask = drawn.read_many(part)
            yield Batch(
                images / 255, torch.from_numpy(LABELS[part]), masks, has_mask, torch.from_numpy(part.copy())
            )

    names = [str(row) for row in LABELS]
    return TrainingPictures(drawn, np.arange(32), LABELS, names, 3, prepared, folder=folder)


def seen(rows: list[int], losses: list[float]) -> Seen:
    """Wrong answers with these cross-entropies: -log(1 / (1 + e^a)) = l for a two-class logit a."""
    logits = torch.tensor([[0.0, float(np.log(np.expm1(loss))), -99.0] for loss in losses])
    return Seen(torch.tensor(rows), torch.zeros(len(rows), dtype=torch.int64), logits)


def test_proxies_are_what_the_formulas_say() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (3, 3, 4, 5)).astype(np.uint8)
    m = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], (3, 4, 5)).astype(np.float32)
    wide = np.broadcast_to(m[:, None], x.shape).astype(np.float64)
    each = x.reshape(3, -1)
    values = {
        "blended": (1 - 0.4 * wide) * x,
        "draft": ((1 - 0.4) * wide) * x,
        "mean": each.mean(1)[:, None, None, None] + 0 * wide,
        "max": each.max(1)[:, None, None, None] + 0 * wide,
        "min": each.min(1)[:, None, None, None] + 0 * wide,
        "half_max": each.max(1)[:, None, None, None] / 2 + 0 * wide,
    }
    for rule, other in values.items():
        inside = wide >= 0.5 if rule == "draft" else wide > 0.5
        found = changed(torch.from_numpy(x), torch.from_numpy(m), rule, 0.4, 0.5).numpy()
        expected = np.where(inside, other, x)
        assert np.abs(found - expected).max() <= 0.5 + 1e-3, rule
        assert (found == x)[~inside].all()
    filled = changed(torch.from_numpy(x), torch.from_numpy(m), "max", 0.4, 0.5, fill=127.4).numpy()
    assert (filled[wide > 0.5] == 127).all()


@pytest.mark.parametrize("region", ["random", "least_salient"])
def test_a_control_changes_as_many_pixels_and_as_strongly(region: Any) -> None:
    y, x = np.mgrid[:32, :32]
    hill = np.exp(-((y - 8) ** 2 + (x - 10) ** 2) / 60).astype(np.float32)
    hill[hill < 0.2] = 0  # as the ReLU of a class map does
    maps = torch.from_numpy(np.stack([hill, np.roll(hill, 7, 1)]))
    moved = placed(maps, region, np.random.default_rng(1))
    for before, after in zip(maps, moved, strict=True):
        assert torch.equal(before.flatten().sort().values, after.flatten().sort().values)
    if region == "least_salient":
        assert not ((moved > 0.3) & (maps > 0.3)).any()
        far = np.hypot(y - 8, x - 10)
        assert far[(moved[0] > 0.3).numpy()].min() > far[(maps[0] > 0.3).numpy()].max()
    else:
        places = [
            placed(maps[:1], region, np.random.default_rng(seed))[0].flatten().argmax() for seed in range(300)
        ]
        rows, columns = np.divmod(np.array(places), 32)
        for found in (rows, columns):  # everywhere alike: a chi-square of 3 degrees of freedom
            counts = np.bincount(found // 8, minlength=4)
            assert ((counts - 75) ** 2 / 75).sum() < 16.3


@pytest.mark.parametrize(("selection", "expected"), [("first_k", [9, 4, 7]), ("highest_loss", [5, 7, 2])])
def test_who_gets_a_proxy(selection: str, expected: list[int]) -> None:
    made = feedback(schedule=["p", 1], share=0.5, selection=selection, explainer="gradient")
    assert made.between(Moment(0, "p", 0, 0), network(), pictures()) is None
    made.see(seen([9, 4], [1.0, 0.9]))
    right = Seen(torch.tensor([1]), torch.tensor([0]), torch.tensor([[5.0, 0.0, 0.0]]))
    made.see(right)
    made.see(seen([7, 2, 5], [3.0, 2.0, 4.0]))  # 5 wrong: a half, rounded up, is 3
    change = made.between(Moment(1, "p", 1, 0), network(), pictures())
    assert sorted(change.pictures) == sorted(expected)


def test_random_k_takes_every_wrong_picture_equally_often() -> None:
    counts = np.zeros(10)
    shown = pictures()
    for seed in range(200):
        made = feedback(schedule=["p", 1], share=0.3, selection="random_k", explainer="gradient")
        made.between(Moment(0, "p", 0, seed), network(), shown)
        made.see(seen(list(range(10)), [1.0] * 10))
        rows = list(made.between(Moment(1, "p", 1, seed), network(), shown).pictures)
        assert len(rows) == 3
        counts[rows] += 1
    assert ((counts - 60) ** 2 / 60).sum() < 27.9  # chi-square, 9 degrees of freedom, 0.1 %


@pytest.mark.parametrize("target", ["predicted", "true"])
def test_the_map_is_that_of_the_class_asked_for(target: str) -> None:
    model, shown = network(), pictures()
    made = feedback(schedule=["p", 1], share=1, target=target, explainer="gradient", threshold=0.2, weight=1)
    made.between(Moment(0, "p", 0, 0), model, shown)
    made.see(seen([3, 8, 11], [1.0] * 3))
    found = made.between(Moment(1, "p", 1, 0), model, shown).pictures
    rows = np.array([3, 8, 11])
    images = shown.pictures.images[rows]
    classes = torch.from_numpy(LABELS[rows]) if target == "true" else model(images / 255).argmax(1)
    maps = explain(model, images / 255, classes, "gradient")
    for place, row in enumerate(rows.tolist()):
        m, x = maps[place].numpy().astype(np.float64), images[place].numpy()
        assert np.abs(found[row].numpy() - np.where(m > 0.2, (1 - m) * x, x)).max() <= 0.5 + 1e-3


# Epochs of the schedule, from 0: ordinary, p, ordinary, ordinary, p, p, ordinary. Made before 2, 5, 6.
@pytest.mark.parametrize(
    ("lifetime", "expected"),
    [
        ("until_next", ["", "", "a", "a", "", "", "c"]),
        ("one_entry", ["", "", "a", "a", "", "b", "c"]),
        (1, ["", "", "a", "", "", "b", "c"]),
        (3, ["", "", "a", "a", "a", "b", "bc"]),
        ("end", ["", "", "a", "a", "a", "ab", "abc"]),
    ],
)
@pytest.mark.parametrize("storage", ["memory", "disk"])
def test_proxies_live_as_long_as_they_should(
    lifetime: Any, expected: list[str], storage: str, tmp_path: Path
) -> None:
    made = feedback(
        schedule=[1, "p", 2, "p", "p", 1], lifetime=lifetime, share=1, explainer="gradient", storage=storage,
        use="add",
    )  # fmt: skip
    change, names, shown = Change(), {1: "a", 4: "b", 5: "c"}, pictures(tmp_path)
    found = []
    for epoch in range(7):
        new = made.between(Moment(epoch, "p", epoch, 0, change), network(), shown)
        change = change if new is None else new
        assert change.beside or not change.pictures
        again = feedback(**made.config.model_dump())
        again.restore(made.state())
        made = again
        found.append("".join(sorted("abc"[row // 2] for row in change.pictures if row % 2 == 0)))
        files = list(tmp_path.glob("*.npy"))
        assert len(files) == (len(found[-1]) if storage == "disk" else 0)
        if epoch in names:
            place = 2 * "abc".index(names[epoch])
            made.see(seen([place, place + 1], [1.0, 1.0]))
        else:
            made.see(seen([30], [1.0]))  # an ordinary epoch's mistakes do not count
    assert found == expected
    assert not list(tmp_path.glob("*.tmp"))


def test_the_newest_proxy_of_a_picture_is_shown() -> None:
    made = feedback(schedule=["p", "p", 1], lifetime="end", share=1, explainer="gradient", threshold=0)
    shown, change = pictures(), Change()
    made.between(Moment(0, "p", 0, 0), network(), shown)
    made.see(seen([3, 4], [1.0, 1.0]))
    first = made.between(Moment(1, "p", 1, 0, change), network(), shown)
    made.see(seen([4], [1.0]))
    other = nn.Sequential(nn.Flatten(), nn.Linear(768, 3)).eval()
    second = made.between(Moment(2, "p", 2, 0, first), other, shown)
    assert torch.equal(second.pictures[3], first.pictures[3])
    assert not torch.equal(second.pictures[4], first.pictures[4])


def job(settings: dict[str, Any], **others: Any) -> Any:
    return toy_job(
        feedbacks=(feedback(**settings),), phases=[phase(epochs=4)], labels=LABELS, checkpoint_seconds=0.0,
        **others,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "settings"),
    [
        (6, {"region": "random", "selection": "random_k"}),  # in the p-epoch
        (9, {"use": "add", "storage": "disk"}),  # while proxies are shown
        (14, {"lifetime": 1, "storage": "disk"}),  # after they were
    ],
)
def test_killed_and_gone_on_it_ends_with_the_same_bits(
    tmp_path: Path, steps: int, settings: dict[str, Any]
) -> None:
    whole = job(SHORT | settings, folder=tmp_path / "whole")
    fit(whole)
    with pytest.raises(KeyboardInterrupt):
        fit(job(SHORT | settings, folder=tmp_path / "cut", observer=Stop(steps)))
    again = job(SHORT | settings, folder=tmp_path / "cut")
    fit(again)
    expected, found = weights_of(whole), weights_of(again)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    plain = toy_job(phases=[phase(epochs=4)], labels=LABELS)
    fit(plain)
    assert any(not torch.equal(expected[name], value) for name, value in weights_of(plain).items())


def test_without_proxies_nothing_changes_not_even_a_bit() -> None:
    control, plain = job(SHORT | {"region": "none"}), toy_job(phases=[phase(epochs=4)], labels=LABELS)
    fit(control)
    fit(plain)
    expected, found = weights_of(plain), weights_of(control)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("schedule", [[4], [3, "p"], ["p", "p", "p", "p"]])
def test_a_schedule_that_would_show_no_proxy_is_refused_at_once(schedule: list[Any]) -> None:
    with pytest.raises(ConfigError, match="no epoch would show a proxy"):
        feedback(schedule=schedule).check(4)


@pytest.mark.parametrize(
    ("schedule", "lifetime"), [(["p"] * 4, 1), (["p"] * 4, "one_entry"), (["p", "p", 2], "until_next")]
)
def test_a_schedule_that_shows_some_is_not(schedule: list[Any], lifetime: Any) -> None:
    feedback(schedule=schedule, lifetime=lifetime).check(4)


def test_a_schedule_that_the_phases_do_not_have_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match=r"The schedule \[1, p, 3\] .* has 5 epochs .* the phases have 4"):
        fit(job(SHORT | {"schedule": [1, "p", 3]}))
    with pytest.raises(ConfigError, match=r"schedule.*q"):
        feedback(schedule=[1, "q"])
    with pytest.raises(ConfigError, match="no explanation method"):
        feedback(explainer="gradcamm")
