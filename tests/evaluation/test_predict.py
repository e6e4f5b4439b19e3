"""The forward loop: right order, probabilities averaged, nothing changed in the network."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.data.catalog import Catalog
from foveate.evaluation.subject import Subject
from foveate.evaluation.tta import TTA
from foveate.models.build import build_network
from foveate.models.settings import ModelConfig

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


@pytest.mark.parametrize("tta", ["none", "flip"])
def test_features_of_a_batch_are_not_computed_again_for_its_answers(batches: list[Batch], tta: str) -> None:
    model = build_network(ModelConfig(backbone="resnet18", weights="none"), classes=3, size=16, seed=0)
    subject = Subject(model, Catalog(Path("data"), tuple("abc"), ()), torch.device("cpu"), 16, tta=tta)
    wanted = subject.predict(batches)[1]
    passes: list[int] = []
    subject.answering.backbone.conv1.register_forward_hook(lambda *_: passes.append(1))
    asked: list[torch.Tensor] = []

    def watched() -> Iterator[Batch]:
        for batch in batches:
            asked.append(subject.features(batch))
            yield batch

    found = subject.predict(watched())[1]
    np.testing.assert_array_equal(found, wanted)
    assert torch.cat(asked).shape == (sum(len(batch) for batch in batches), 512)
    assert len(passes) == len(batches) * (1 if tta == "none" else 3)


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
