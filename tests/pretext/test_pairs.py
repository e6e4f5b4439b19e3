import numpy as np
import torch

from foveate.pretext import TASKS, Normal

NORMAL = Normal(torch.zeros(3), torch.ones(3))


def test_a_view_is_another_one_for_another_draw_and_the_same_for_the_same() -> None:
    image = torch.randint(0, 256, (3, 24, 24), dtype=torch.uint8)
    for name in ("simclr", "dino"):
        task = TASKS.build(TASKS[name].Config(outputs=8))
        assert len(task.classes) == 8
        views = [task(image, 0, np.random.default_rng(seed), NORMAL) for seed in (1, 1, 2)]
        assert {answer for _, answer in views} == {-1}
        assert torch.equal(views[0][0], views[1][0])
        assert not torch.equal(views[0][0], views[2][0])
        assert views[0][0].shape == image.shape
        assert views[0][0].dtype == torch.uint8
