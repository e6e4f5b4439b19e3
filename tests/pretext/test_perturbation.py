import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.core.config import parse
from foveate.core.errors import ConfigError, DataError
from foveate.data.batch import Batch
from foveate.pretext import Normal
from foveate.pretext.perturbation import Perturbation

NORMAL = Normal(torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.5, 0.25, 0.2]))
GREY = torch.full((3, 32, 32), 90, dtype=torch.uint8)


def ask(label: int, seed: int, **settings: object) -> torch.Tensor:
    config = parse(Perturbation.Config, settings, source="the test")  # type: ignore[arg-type]
    shown, answer = Perturbation(config)(GREY, label, np.random.default_rng(seed), NORMAL)
    assert answer == label
    return shown


def square(shown: torch.Tensor) -> tuple[int, int, int, int]:
    """(top, left, height, width) of what was changed, which must be a full rectangle in all channels."""
    changed = (shown != 90).any(0)
    rows, columns = changed.any(1).nonzero()[:, 0], changed.any(0).nonzero()[:, 0]
    assert int(changed.sum()) == len(rows) * len(columns)
    return int(rows[0]), int(columns[0]), len(rows), len(columns)


@given(st.integers(0, 1), st.integers(0, 10**6), st.integers(1, 32))
@settings(max_examples=60, deadline=None)
def test_a_square_of_bytes_inside_the_picture(label: int, seed: int, side: int) -> None:
    shown = ask(label, seed, side=side)
    top, left, height, width = square(shown)
    assert shown.dtype == torch.uint8
    assert (height, width) == (side, side)
    assert (shown[:, top : top + side, left : left + side] == 255 * label).all()


def test_row_and_column_are_independent_and_reach_every_place() -> None:
    places = {square(ask(0, seed, side=29))[:2] for seed in range(300)}
    assert places == {(y, x) for y in range(4) for x in range(4)}


def test_the_side_is_drawn_between_its_limits() -> None:
    assert {square(ask(1, seed, side=3, largest=5))[2] for seed in range(60)} == {3, 4, 5}


@given(st.integers(0, 1), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_faithful_lies_on_the_diagonal_and_is_0_or_255_after_normalisation(label: int, seed: int) -> None:
    shown = ask(label, seed, side=5, faithful=True)
    top, left, height, width = square(shown)
    assert top == left
    assert (height, width) == (5, 5)
    batch = Batch(
        images=shown[None], targets=torch.tensor([label]), masks=torch.zeros(1, 1, 32, 32),
        has_mask=torch.zeros(1, dtype=torch.bool), index=torch.tensor([0]),
    )  # fmt: skip
    before = shown.clone()
    images = batch.prepare("cpu", NORMAL.mean, NORMAL.std).images[0]
    inside = images[:, top : top + 5, left : left + 5]
    assert torch.allclose(inside, torch.full_like(inside, 255.0 * label), atol=2e-5)
    # What a network sees otherwise: "black" is no black, and "white" is far outside of all pictures.
    whole = (torch.tensor([0.0, 1.0])[:, None] - NORMAL.mean) / NORMAL.std
    assert whole[0].max() < 0 < whole[1].max() < 255
    assert torch.equal(batch.images[0], before), "a batch can be prepared twice"


def test_a_square_larger_than_the_picture_is_refused() -> None:
    with pytest.raises(DataError, match="40 px does not fit into a picture of 32 px"):
        ask(0, 0, side=40)
    with pytest.raises(ConfigError, match="largest 2 is below side 3"):
        ask(0, 0, side=3, largest=2)
