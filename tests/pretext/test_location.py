import numpy as np
import pytest
import torch

from foveate.core.errors import DataError
from foveate.pretext import Normal
from foveate.pretext.location import PLACES, Location

NORMAL = Normal(torch.zeros(3), torch.ones(3))


def ramps() -> torch.Tensor:
    """Channel 0 tells the column, channel 1 the row."""
    values = torch.arange(96, dtype=torch.uint8) * 2
    image = torch.zeros(3, 96, 96, dtype=torch.uint8)
    image[0], image[1] = values[None, :], values[:, None]
    return image


@pytest.mark.parametrize("label", range(8))
def test_the_right_patch_lies_where_the_label_says(label: int) -> None:
    name, down, right = PLACES[label]
    task = Location(Location.Config(gap=0.25))
    for seed in range(10):
        shown, answer = task(ramps(), label, np.random.default_rng(seed), NORMAL)
        assert answer == label
        assert task.classes[answer] == name
        first, second = shown[:, 24:72, :48].float(), shown[:, 24:72, 48:].float()
        x = float((second[0].mean() - first[0].mean()) / 2)
        y = float((second[1].mean() - first[1].mean()) / 2)
        # 24 px patches, 6 px gap: 30 px apart, each moved by up to 3.
        assert abs(x - 30 * right) <= 7
        assert abs(y - 30 * down) <= 7


def test_the_rest_is_grey() -> None:
    shown, _ = Location(Location.Config())(ramps(), 0, np.random.default_rng(0), NORMAL)
    assert (shown[:, :24] == 128).all()
    assert (shown[:, 72:] == 128).all()


def test_patches_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="Three patches of 32 px with gaps of 32 px do not fit into 96 px"):
        Location(Location.Config(patch=1 / 3, gap=1))(ramps(), 0, np.random.default_rng(0), NORMAL)
