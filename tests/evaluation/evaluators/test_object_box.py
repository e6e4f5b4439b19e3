"""Boxes of the object against masks, by counting pixels."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from foveate.data.batch import Batch
from foveate.evaluation.evaluators.object_box import ObjectBox
from foveate.experiment import run
from training_helpers import experiment, phase

SIDE = 20


class Finder:
    """Answers with boxes that it was given."""

    mean, std = torch.zeros(3), torch.ones(3)

    def __init__(self, boxes: list[list[int]]) -> None:
        self.boxes = torch.tensor(boxes).float()

    def object_of(self, images: torch.Tensor) -> tuple[None, torch.Tensor]:
        return None, self.boxes[: len(images)].clone()


def pixels(box: Any) -> np.ndarray:
    inside = np.zeros((SIDE, SIDE), dtype=bool)
    top, left, bottom, right = box
    inside[top : bottom + 1, left : right + 1] = True
    return inside


def test_columns_are_counts_of_pixels() -> None:
    found = [[0, 0, 9, 9], [5, 5, 14, 14], [0, 0, 19, 19], [3, 3, 5, 5], [1, 1, 2, 2]]
    true = [[0, 0, 9, 4], [5, 4, 14, 14], [2, 2, 17, 17], [0, 0, 19, 19]]
    masks = torch.zeros(5, 1, SIDE, SIDE, dtype=torch.uint8)
    for number, (top, left, bottom, right) in enumerate(true):
        masks[number, :, top : bottom + 1, left : right + 1] = 255
    batch = Batch(
        torch.zeros(5, 3, SIDE, SIDE, dtype=torch.uint8), torch.zeros(5, dtype=torch.long), masks,
        torch.tensor([True, True, True, False, True]), torch.arange(5),
    )  # fmt: skip
    subject: Any = SimpleNamespace(model=Finder(found), device="cpu")
    evaluator = ObjectBox(ObjectBox.Config(), subject)
    evaluator.see(batch)
    columns = evaluator.columns()
    for row in range(3):
        one, other = pixels(found[row]), pixels(true[row])
        iou = (one & other).sum() / (one | other).sum()
        assert columns["box_iou"][row] == pytest.approx(iou)
        assert columns["box_found"][row] == (iou >= 0.5)
        assert columns["box_found_whole"][row] == (other.mean() >= 0.5)
    assert columns["box_found_centre"][:3].tolist() == [0, 1, 1]
    assert all(np.isnan(values[3:]).all() for values in columns.values()), "no mask, and an empty one"


def test_a_run_of_mmal_measures_its_boxes(tree: Path, tmp_path: Path) -> None:
    values = {
        "model": {"head": "linear", "network": "mmal"},
        "training": {"phases": [phase(epochs=1)]},
        "evaluation": {"measures": ["object_box"]},
    }
    done = run(experiment(**values), tree, tmp_path / "run")
    look = done.result["metrics"]["test"]["look"]
    assert set(look) >= {"box_iou", "box_found", "box_found_whole", "box_found_centre"}
    assert 0 < look["box_iou"]["mean"] < 1
    assert ((done.predictions.look["box_iou"] >= 0.5) == done.predictions.look["box_found"]).all()
