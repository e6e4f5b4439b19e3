"""The share of a picture that holds half of a map, by adding the largest places one after the other."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foveate.evaluation.evaluators.map_extent import extent


def slow(values: list[float]) -> float:
    total, held, places = sum(values), 0.0, 0
    for value in sorted(values, reverse=True):
        if held >= total / 2:
            break
        held, places = held + value, places + 1
    return places / len(values)


@given(st.lists(st.integers(0, 50), min_size=12, max_size=12).filter(any))
def test_extent_is_that_of_adding_places(values: list[int]) -> None:
    found = extent(torch.tensor(values).float().reshape(1, 3, 4))
    assert found.item() == pytest.approx(slow([float(value) for value in values]))


def test_even_maps_have_a_half_and_empty_ones_no_value() -> None:
    maps = torch.stack([torch.ones(4, 4), torch.zeros(4, 4), torch.eye(4)])
    found = extent(maps).numpy()
    assert found[0] == 0.5
    assert np.isnan(found[1])
    assert found[2] == 2 / 16
