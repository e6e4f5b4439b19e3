"""The forward loop: right order, probabilities averaged, nothing changed in the network."""

from pathlib import Path

import numpy as np
import pytest
import torch

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.data.catalog import Catalog
from foveate.evaluation.subject import Subject
from foveate.evaluation.tta import TTA

from .conftest import TinyNetwork


def predicted(network: TinyNetwork, batches: list[Batch], tta: str = "none") -> tuple[np.ndarray, np.ndarray]:
    subject = Subject(network, Catalog(Path("data"), ("a",), ()), torch.device("cpu"), 16, tta=tta)
    return subject.predict(batches)


def plain(network: TinyNetwork, batches: list[Batch], tta: str = "none") -> np.ndarray:
    """One picture at a time, softmax, mean of the views."""
    network.eval()
    rows = []
    for batch in batches:
        for image in batch.images:
            x = (image[None].float() / 255 - network.mean.view(1, 3, 1, 1)) / network.std.view(1, 3, 1, 1)
            with torch.no_grad():
                rows.append(
                    torch.stack([network(view(x)).logits.softmax(1) for view in TTA[tta]().views]).mean(0)
                )
    return torch.cat(rows).numpy()


@pytest.mark.parametrize("tta", list(TTA))
def test_probabilities_are_averaged(network: TinyNetwork, batches: list[Batch], tta: str) -> None:
    index, logs = predicted(network, batches, tta)
    np.testing.assert_allclose(np.exp(logs), plain(network, batches, tta), atol=2e-6)
    np.testing.assert_array_equal(index, np.arange(10) + 100)


def test_modes_are_put_back_and_nothing_moves(network: TinyNetwork, batches: list[Batch]) -> None:
    network.train()
    network.norm.eval()  # frozen batch norm inside a network in training
    before = {name: value.clone() for name, value in network.state_dict().items()}
    predicted(network, batches)
    assert network.training
    assert not network.norm.training
    assert network.drop.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_modes_are_put_back_after_an_error(network: TinyNetwork, batches: list[Batch]) -> None:
    network.train()
    with pytest.raises(ConfigError, match="choose one of"):
        predicted(network, batches, "nothing")
    assert network.training
    assert torch.is_grad_enabled()


def test_no_picture(network: TinyNetwork) -> None:
    assert predicted(network, [])[0].shape == (0,)
