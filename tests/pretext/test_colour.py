import numpy as np
import pytest
import torch
from PIL import Image

from foveate.pretext import Normal
from foveate.pretext.colour import Colour

NORMAL = Normal(torch.zeros(3), torch.ones(3))


def flat(rgb: tuple[float, float, float]) -> torch.Tensor:
    return torch.tensor([round(255 * v) for v in rgb], dtype=torch.uint8).view(3, 1, 1).expand(3, 6, 6)


@pytest.mark.parametrize(
    ("rgb", "hue"),
    [
        ((1, 0, 0), "red"), ((1, 0.5, 0), "orange"), ((0.5, 1, 0), "yellow-green"), ((0, 1, 0), "green"),
        ((0, 1, 1), "cyan"), ((0, 0.5, 1), "blue"), ((0.5, 0, 1), "violet"), ((1, 0, 1), "magenta"),
        ((0.5, 0.5, 0.5), "colourless"),
    ],
)  # fmt: skip
def test_hues_of_pure_colours(rgb: tuple[float, float, float], hue: str) -> None:
    task = Colour(Colour.Config())
    _, answer = task(flat(rgb), 0, np.random.default_rng(0), NORMAL)
    assert task.classes[answer] == hue


def test_the_picture_is_grey_with_the_luminance_of_yiq() -> None:
    image = torch.randint(0, 256, (3, 7, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    shown, _ = Colour(Colour.Config())(image, 0, np.random.default_rng(0), NORMAL)
    assert torch.equal(shown[0], shown[1])
    assert torch.equal(shown[0], shown[2])
    luminance = np.array(Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L"), dtype=np.int64)
    assert abs(shown[0].numpy() - luminance).max() <= 1  # one cuts the fraction off, the other rounds


def test_the_answer_does_not_hang_on_what_is_wanted() -> None:
    image = flat((0, 0.5, 1))
    task = Colour(Colour.Config())
    assert {task(image, k, np.random.default_rng(k), NORMAL)[1] for k in range(9)} == {4}
