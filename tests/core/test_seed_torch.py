"""seed_torch gives the numbers that torch.manual_seed gives."""

import pytest
import torch

from foveate.core.rng import key, seed_torch


@pytest.mark.parametrize("number", [0, 7, key(3, "step", 12)])
def test_seed_torch_is_manual_seed(number: int) -> None:
    torch.manual_seed(number)
    expected = torch.rand(16)
    torch.rand(3)
    seed_torch(number, "cpu")
    assert torch.equal(torch.rand(16), expected)
