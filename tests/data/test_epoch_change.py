"""What a change shows is what a plain list says: rows, pictures, labels, in their order."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.core.errors import ConfigError
from foveate.core.rng import numpy_generator
from foveate.data.epoch_change import Change, combine
from foveate.data.loader import Loader
from foveate.data.transforms import Transform
from training_helpers import Drawn

LABELS = np.arange(20, dtype=np.int64) % 3
ROWS = np.array([1, 2, 3, 5, 8, 13, 19])
PICTURES = Drawn(LABELS)
SIDE = PICTURES.size


def loader(**changes) -> Loader:
    return Loader(PICTURES, LABELS, ROWS, Transform((), SIDE), 3, 7, **{"shuffle": True, **changes})


def other(row: int) -> torch.Tensor:
    return torch.full((3, SIDE, SIDE), row, dtype=torch.uint8)


def shown(feed: Loader, epoch: int = 0) -> list[tuple[int, int, bool]]:
    """(row, label, whether the picture is the other one) of every picture of an epoch."""
    found = []
    for batch in feed.epoch(epoch):
        for image, label, row in zip(batch.images, batch.targets.tolist(), batch.index.tolist(), strict=True):
            changed = torch.equal(image, other(row))
            assert changed or torch.equal(image, PICTURES.images[row])
            found.append((row, label, changed))
    return found


@given(changed=st.sets(st.sampled_from(ROWS.tolist())), beside=st.booleans(), workers=st.sampled_from([0]))
@settings(max_examples=30, deadline=None)
def test_other_pictures_are_shown_in_place_or_beside(changed, beside, workers):
    change = Change({row: other(row) for row in changed}, beside)
    found = shown(loader().changed(change))
    expected = [(row, int(LABELS[row]), row in changed and not beside) for row in ROWS.tolist()]
    expected += [(row, int(LABELS[row]), True) for row in changed] if beside else []
    assert sorted(found) == sorted(expected)


def test_workers_and_a_second_change_show_the_same():
    change = Change({3: other(3), 8: other(8)}, beside=True)
    with loader(workers=2) as before:
        list(before.epoch(0))  # workers are running, with the ordinary pictures
        with before.changed(change) as feed:
            assert shown(feed, 1) == shown(loader().changed(change), 1)
        assert [row for row, _, _ in shown(before, 1)] == [row for row, _, _ in shown(loader(), 1)]


def test_an_order_is_kept_with_what_is_missing_and_what_comes_again():
    order = np.array([8, 1, 8, 19, 2])
    feed = loader().changed(Change(order=order))
    assert len(feed) == 2
    assert [row for row, _, _ in shown(feed)] == order.tolist()
    assert np.concatenate([repeats for _, _, repeats in feed.batches(0)]).tolist() == [0, 0, 1, 0, 0]


def test_weights_are_how_often_rows_are_drawn():
    weights = np.zeros(20)
    weights[ROWS] = [1, 1, 1, 2, 2, 0, 3]
    feed = loader().changed(Change(weights=weights))
    drawn = Counter(int(row) for epoch in range(2000) for _, rows, _ in feed.batches(epoch) for row in rows)
    count = 2000 * len(ROWS)
    assert sum(drawn.values()) == count
    for row in ROWS.tolist():
        share = weights[row] / 10
        assert abs(drawn[row] / count - share) <= 4.5 * np.sqrt(share * (1 - share) / count)
    again = loader().changed(Change(weights=weights))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(feed.batches(3), again.batches(3), strict=True))


@given(rows=st.lists(st.integers(0, 4), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_how_often_a_row_came_before(rows):
    pictures = Drawn(np.zeros(5, np.int64))
    whole = Loader(pictures, np.zeros(5, np.int64), np.arange(5), Transform((), SIDE), 3, 7, shuffle=True)
    repeats = whole.changed(Change(order=np.array(rows))).order(0)[1]
    assert repeats.tolist() == [rows[:place].count(row) for place, row in enumerate(rows)]


def test_a_checkpoint_gives_it_back():
    for change in (
        Change(),
        Change({3: other(3)}, beside=True, weights=np.linspace(0, 1, 20)),
        Change({3: other(3), 1: other(9)}, order=np.array([3, 3, 1])),
    ):
        again = Change.from_tensors(change.tensors())
        assert list(again.pictures) == list(change.pictures)
        assert all(torch.equal(again.pictures[row], change.pictures[row]) for row in change.pictures)
        assert again.beside == change.beside
        for one, two in ((again.weights, change.weights), (again.order, change.order)):
            assert (one is None and two is None) or np.array_equal(one, two)


def test_several_at_once():
    one = Change({3: other(3)}, weights=np.full(20, 2.0))
    two = Change({3: other(5), 5: other(5)}, weights=np.arange(20.0))
    both = combine([one, Change(), two])
    assert {row: int(image[0, 0, 0]) for row, image in both.pictures.items()} == {3: 5, 5: 5}
    assert np.array_equal(both.weights, 2 * np.arange(20.0))
    assert not combine([Change(), Change()])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (Change({0: other(0)}), "row 0, which is not trained on"),
        (Change({1: other(1)[:, :4]}), "3x4x16 torch.uint8; 3x16x16 uint8 is wanted"),
        (Change({1: other(1).float()}), "float32"),
        (Change(order=np.array([], np.int64)), "is empty or names rows"),
        (Change(order=np.array([0])), "is empty or names rows"),
        (Change(order=np.array([1]), weights=np.ones(20)), "leave out the feedback that weighs them"),
        (Change(weights=np.zeros(20)), "not all 0"),
        (Change(weights=np.full(20, np.nan)), "finite"),
        (Change(weights=-np.ones(20)), "0 or more"),
    ],
)
def test_what_cannot_be_shown_is_refused(change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        loader().changed(change)


def test_contradictions_are_refused():
    with pytest.raises(ConfigError, match="order of rows"):
        combine([Change(order=np.array([1])), Change(order=np.array([2]))])
    with pytest.raises(ConfigError, match="beside or in place"):
        combine([Change({1: other(1)}), Change({2: other(2)}, beside=True)])


def test_ordinary_epochs_are_what_they_were():
    feed = loader().changed(Change({3: other(3)}))
    assert [row for row, _, _ in shown(feed, 4)] == numpy_generator(7, "order", 4).permutation(ROWS).tolist()
