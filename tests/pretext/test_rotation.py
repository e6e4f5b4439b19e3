import numpy as np
import pytest
import torch

from foveate.pretext import TASKS, Normal
from foveate.pretext.rotation import Rotation

NORMAL = Normal(torch.full((3,), 0.5), torch.full((3,), 0.5))


@pytest.mark.parametrize("label", range(4))
def test_a_picture_turned_by_its_label_is_numpys(label: int) -> None:
    image = torch.randint(0, 256, (3, 9, 9), dtype=torch.uint8)
    before = image.clone()
    turned, answer = Rotation(Rotation.Config())(image, label, np.random.default_rng(0), NORMAL)
    assert answer == label
    assert np.array_equal(turned.numpy(), np.rot90(image.numpy(), label, axes=(1, 2)))
    assert torch.equal(image, before)


def test_four_quarter_turns_are_none() -> None:
    task = TASKS.build(Rotation.Config())
    image = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    turned = image
    for _ in range(4):
        turned, _ = task(turned, 1, np.random.default_rng(0), NORMAL)
    assert torch.equal(turned, image)
    assert len(task.classes) == 4
