import numpy as np
import pytest
import torch

from foveate.core.errors import DataError
from foveate.pretext import Normal
from foveate.pretext.jigsaw import Jigsaw, far_orders

NORMAL = Normal(torch.zeros(3), torch.ones(3))


def tiles(grid: int, place: int) -> torch.Tensor:
    """A picture in which tile k has the grey value 10 k + 5."""
    numbers = torch.arange(grid * grid, dtype=torch.uint8).view(grid, grid) * 10 + 5
    return numbers.repeat_interleave(place, 0).repeat_interleave(place, 1).expand(3, -1, -1)


@pytest.mark.parametrize("grid", [2, 3])
def test_every_place_shows_the_tile_of_its_order_and_grey(grid: int) -> None:
    task = Jigsaw(Jigsaw.Config(grid=grid, orders=6, gap=0.25))
    place = 8
    for label, order in enumerate(task.orders):
        shown, answer = task(tiles(grid, place), label, np.random.default_rng(label), NORMAL)
        assert answer == label
        for k, tile in enumerate(order):
            y, x = divmod(k, grid)
            seen = shown[0, y * place : (y + 1) * place, x * place : (x + 1) * place]
            assert set(seen.unique().tolist()) == {128, 10 * int(tile) + 5}
            assert int((seen != 128).sum()) == 6 * 6


def test_without_a_gap_the_first_order_is_the_picture() -> None:
    image = torch.randint(0, 256, (3, 12, 12), dtype=torch.uint8)
    shown, _ = Jigsaw(Jigsaw.Config(grid=3, gap=0))(image, 0, np.random.default_rng(0), NORMAL)
    assert torch.equal(shown, image)


def test_orders_are_permutations_far_from_each_other() -> None:
    orders = far_orders(9, 24)
    assert (np.sort(orders, axis=1) == np.arange(9)).all()
    distances = [(a != b).sum() for i, a in enumerate(orders) for b in orders[:i]]
    shuffled = np.stack([np.random.default_rng(k).permutation(9) for k in range(24)])
    assert min(distances) >= 7 > min((a != b).sum() for i, a in enumerate(shuffled) for b in shuffled[:i])
    assert np.array_equal(orders, far_orders(9, 24))
    assert len(far_orders(4, 24)) == 24
    with pytest.raises(DataError, match="4 tiles have 24 orders only"):
        far_orders(4, 25)


def test_a_tiny_picture_is_refused() -> None:
    with pytest.raises(DataError, match="5 px is too small for 4 x 4 tiles"):
        Jigsaw(Jigsaw.Config(grid=4))(
            torch.zeros(3, 5, 5, dtype=torch.uint8), 0, np.random.default_rng(0), NORMAL
        )
