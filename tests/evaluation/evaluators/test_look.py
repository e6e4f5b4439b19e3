"""Look metrics against loops, closed forms, and Grad-CAM by finite differences."""

from pathlib import Path

import numpy as np
import pytest
import torch

from explanation_helpers import slow_energy
from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.data.catalog import Catalog
from foveate.evaluation.evaluators.look import Look
from foveate.evaluation.subject import Subject
from foveate.explanation.maps import class_and_tap_map, class_map, min_max
from foveate.models.output import Output

from ..conftest import TinyNetwork


def test_min_max_of_a_constant_is_zero() -> None:
    maps = torch.stack([torch.full((2, 2), 3.0), torch.tensor([[1.0, 2.0], [3.0, 5.0]])])
    assert torch.equal(min_max(maps), torch.tensor([[[0, 0], [0, 0]], [[0, 0.25], [0.5, 1]]]))


def test_class_map_is_grad_cam_by_finite_differences(network: TinyNetwork, batches: list[Batch]) -> None:
    x = batches[0].prepare("cpu", network.mean, network.std).images
    targets = torch.tensor([0, 3, 2, 1])
    found = class_map(network, x, targets, "early")
    network.eval().double()
    features = torch.relu(network.norm(network.first(x.double()))).detach()

    def score(at: torch.Tensor, i: int) -> torch.Tensor:
        return network.head(torch.relu(network.second(at)).mean((2, 3)))[:, targets[i]]

    for i in (0, 3):
        at = features[i : i + 1]
        step = 1e-6
        weights = []
        for k in range(
            at.shape[1]
        ):  # the mean gradient = the slope when the whole channel is raised, over its places
            up, down = at.clone(), at.clone()
            up[:, k] += step
            down[:, k] -= step
            weights.append(((score(up, i) - score(down, i)) / (2 * step) / at[0, 0].numel()).item())
        expected = torch.relu((torch.tensor(weights).view(-1, 1, 1) * at[0]).sum(0))
        np.testing.assert_allclose(found[i].numpy(), expected.detach().numpy(), atol=1e-4)
    assert found.max() > 0


def test_class_map_works_on_a_frozen_network_and_leaves_nothing(
    network: TinyNetwork, batches: list[Batch]
) -> None:
    x = batches[0].prepare("cpu", network.mean, network.std).images
    targets = batches[0].targets
    free = class_map(network, x, targets, "late")
    network.requires_grad_(False)
    network.train()
    with torch.no_grad():
        frozen = class_map(network, x, targets, "late")
    assert torch.equal(free, frozen)
    assert network.training
    assert not x.requires_grad
    assert all(p.grad is None for p in network.parameters())
    assert not frozen.requires_grad


def test_a_tap_that_does_not_matter_is_an_error(network: TinyNetwork, batches: list[Batch]) -> None:
    class Beside(TinyNetwork):
        def forward(self, images: torch.Tensor, taps: tuple[str, ...] = ()) -> Output:
            output = super().forward(images, ("late",))
            return Output(output.logits, taps={"beside": self.first(images)})

    x = batches[0].prepare("cpu", network.mean, network.std).images
    with pytest.raises(ConfigError, match="does not depend on tap 'beside'"):
        class_map(Beside(), x, batches[0].targets, "beside")


def columns(network: TinyNetwork, batches: list[Batch]) -> dict[str, np.ndarray]:
    """What the evaluator makes of these batches."""
    look = Look(Look.Config(), Subject(network, Catalog(Path(), (), ()), torch.device("cpu"), 16))
    for batch in batches:
        look.see(batch)
    return look.columns()


def test_columns(network: TinyNetwork, batches: list[Batch]) -> None:
    look = columns(network, batches)
    assert set(look) == {"energy_in_mask", "tap_energy_in_mask", "energy_chance", "energy_centre"}
    assert all(values.shape == (10,) and values.dtype == np.float32 for values in look.values())
    assert np.isnan(look["energy_in_mask"][-1])  # no mask
    assert np.isnan(look["energy_chance"][-1])
    assert np.isnan(look["energy_in_mask"][-2])  # no label, hence no true class
    assert np.isfinite(look["tap_energy_in_mask"][-2])
    np.testing.assert_allclose(look["energy_chance"][:-1], 56 / 256, atol=1e-6)
    prepared = batches[1].prepare("cpu", network.mean, network.std)
    maps, means = class_and_tap_map(network, prepared.images, prepared.targets, "late")
    for name, made in (("energy_in_mask", maps), ("tap_energy_in_mask", min_max(means))):
        expected = [
            slow_energy(m.numpy(), s.numpy()) for m, s in zip(made, prepared.masks[:, 0], strict=True)
        ]
        np.testing.assert_allclose(look[name][4:8], expected, atol=1e-5)


def test_no_masks_no_work(network: TinyNetwork, batches: list[Batch]) -> None:
    bare = [batch.replace(has_mask=torch.zeros_like(batch.has_mask)) for batch in batches]
    network.forward = None  # type: ignore[method-assign, assignment]  # any call would fail
    look = columns(network, bare)
    assert all(np.isnan(values).all() and len(values) == 10 for values in look.values())
    assert columns(network, []) == {}
