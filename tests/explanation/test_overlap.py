"""Regions and boxes against scikit-image."""

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops

from foveate.explanation.localisation import LocalisationConfig, localisation, otsu


@pytest.mark.parametrize("power", [0.2, 1, 6])
def test_otsu_is_that_of_scikit_image(power: float) -> None:
    maps = torch.rand(5, 17, 13, generator=torch.Generator().manual_seed(0)) ** power
    expected = [threshold_otsu(values.double().numpy()) for values in maps]
    assert otsu(maps).tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_boxes_are_those_of_scikit_image(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.nn.functional.avg_pool2d(torch.rand(4, 24, 20, generator=generator), 5, 1)
    masks = torch.zeros(4, 20, 16)
    masks[:, 4:15, 3:12] = 1
    found = localisation(maps, masks, LocalisationConfig(thresholds=10))["box_50"]
    for i, a in enumerate(maps.numpy()):
        scaled = (a - a.min()) / (a.max() - a.min())
        for k in range(10):
            parts = regionprops(label(scaled >= np.float32(k / 10), connectivity=2))
            largest = max(part.area for part in parts)
            scores = []
            for part in (part for part in parts if part.area == largest):
                top, left, bottom, right = part.bbox
                shared = max(0, min(bottom, 15) - max(top, 4)) * max(0, min(right, 12) - max(left, 3))
                area = (bottom - top) * (right - left) + 11 * 9 - shared
                scores.append(float(shared / area >= 0.5))
            assert float(found[i, k]) in scores
