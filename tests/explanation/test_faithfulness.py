"""Faithfulness against plain loops, pytorch-grad-cam and captum; forwards counted; the network left as it was."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import spsolve
from torch import nn

from foveate.core import torchvision_guard  # noqa: F401  (before pytorch_grad_cam and captum)
from foveate.core.errors import ConfigError
from foveate.explanation.faithfulness import (
    FAITHFULNESS,
    FaithfulnessConfig,
    faithfulness,
    filled,
    sensitivity_max,
)
from foveate.explanation.probe import Probe

from captum.metrics import infidelity, sensitivity_max as captum_sensitivity  # isort: skip
from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence  # isort: skip
from pytorch_grad_cam.metrics.road import NoisyLinearImputer, ROADCombined  # isort: skip
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget  # isort: skip


class Net(nn.Module):
    """Small, with a batch norm, counting the pictures that it sees."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 8, 3, 2), nn.ReLU()
        )  # fmt: skip
        self.head = nn.Linear(8, 4)
        self.seen = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += len(x)
        return self.head(6 * self.body(x).mean(dim=(2, 3)))


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(5, 3, 20, 20, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def maps() -> torch.Tensor:
    found = torch.rand(5, 20, 20, generator=torch.Generator().manual_seed(2))
    found[3] = (found[3] - 0.7).clamp(min=0)  # many ties
    found[4] = 1.0
    return found


TARGETS = torch.tensor([0, 1, 2, 3, 0])


def probability(net: Net, image: torch.Tensor, target: int) -> float:
    with torch.no_grad():
        return float(net.eval()(image[None]).softmax(dim=1)[0, target])


def test_curves_are_those_of_a_loop(net: Net, images: torch.Tensor, maps: torch.Tensor) -> None:
    found = faithfulness(net, images, TARGETS, {"a": maps}, FaithfulnessConfig(fill="mean", steps=5))["a"]
    net.eval()
    for i in range(3):
        order = maps[i].flatten().argsort(descending=True)
        deleted, inserted, logits = [], [], []
        for step in range(6):
            count = round(step * 400 / 5)
            flat = images[i].flatten(1)
            less, more = flat.clone(), torch.zeros_like(flat)
            less[:, order[:count]] = 0
            more[:, order[:count]] = flat[:, order[:count]]
            deleted.append(probability(net, less.view(3, 20, 20), int(TARGETS[i])))
            inserted.append(probability(net, more.view(3, 20, 20), int(TARGETS[i])))
            with torch.no_grad():
                logits.append(float(net(less.view(1, 3, 20, 20))[0, TARGETS[i]]))
        assert float(found["deletion"][i]) == pytest.approx(np.trapezoid(deleted, dx=0.2), abs=1e-5)
        assert float(found["insertion"][i]) == pytest.approx(np.trapezoid(inserted, dx=0.2), abs=1e-5)
        assert float(found["flipping"][i]) == pytest.approx(np.mean(logits[0] - np.array(logits)), abs=1e-4)


def test_drop_and_increase_are_those_of_pytorch_grad_cam(
    net: Net, images: torch.Tensor, maps: torch.Tensor
) -> None:
    found = faithfulness(net, images, TARGETS, {"a": maps}, FaithfulnessConfig(scores=("drop", "increase")))[
        "a"
    ]
    wanted = [ClassifierOutputSoftmaxTarget(int(t)) for t in TARGETS[:4]]
    net.eval()
    drop = DropInConfidence()(images[:4], maps[:4].numpy(), wanted, net)
    increase = IncreaseInConfidence()(images[:4], maps[:4].numpy(), wanted, net)
    p = np.array([probability(net, image, int(t)) for image, t in zip(images, TARGETS, strict=True)])[:4]
    np.testing.assert_allclose(found["drop"][:4].numpy(), drop / p, atol=1e-5)  # theirs is not relative
    np.testing.assert_array_equal(found["increase"][:4].numpy(), increase)


def test_road_is_that_of_pytorch_grad_cam(
    net: Net, images: torch.Tensor, maps: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = FaithfulnessConfig(scores=("road",), road=(0.3, 0.6), road_noise=0)
    found = faithfulness(net, images, TARGETS, {"a": maps}, config)["a"]["road"]

    def solve(self: NoisyLinearImputer, image: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Its own call, which does not run with NumPy 2, without the noise."""
        matrix, right = self.setup_sparse_system(known.numpy(), image.numpy(), self.weighting)
        result = image.clone()
        result[:, known == 0] = torch.tensor(spsolve(matrix.tocsc(), right), dtype=torch.float32).T
        return result

    monkeypatch.setattr(NoisyLinearImputer, "__call__", solve)
    wanted = [ClassifierOutputSoftmaxTarget(int(t)) for t in TARGETS[:3]]
    # Their percentile is of what is kept.
    theirs = ROADCombined(percentiles=[70, 40])(images[:3], maps[:3].numpy(), wanted, net.eval())
    np.testing.assert_allclose(found[:3].numpy(), theirs, atol=2e-3)
    assert np.abs(theirs).max() > 0.005


def test_infidelity_is_that_of_captum(net: Net, images: torch.Tensor, maps: torch.Tensor) -> None:
    config = FaithfulnessConfig(scores=("infidelity",), holes=6, fill="mean")
    found = faithfulness(net, images, TARGETS, {"a": maps}, config)["a"]["infidelity"]
    from foveate.explanation.faithfulness import _squares

    holes = _squares(6, 20, 20, 0)
    net.eval()

    # captum repeats each picture once for each perturbation; the attribution is the same for the three channels, of
    # which the perturbation marks the first only.
    def perturb(inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hole = holes.repeat(len(inputs) // 6, 1, 1)[:, None]
        marked = torch.cat([hole, torch.zeros_like(hole), torch.zeros_like(hole)], dim=1).float()
        return marked, torch.where(hole, 0.0, inputs)

    repeated = maps[:, None].expand(-1, 3, -1, -1)
    with torch.no_grad():
        theirs = infidelity(
            net, perturb, images, repeated, target=TARGETS, n_perturb_samples=6, normalize=True
        )
        s = net(images).gather(1, TARGETS[:, None])
        falls = torch.stack(
            [s[:, 0] - net(images * ~hole).gather(1, TARGETS[:, None])[:, 0] for hole in holes]
        )
    expected = theirs / falls.square().mean(dim=0)
    np.testing.assert_allclose(found[:4].numpy(), expected[:4].numpy(), atol=1e-4)
    assert ((found[:4] >= 0) & (found[:4] <= 1)).all()


def test_sensitivity_is_that_of_captum(images: torch.Tensor) -> None:
    def explain(x: torch.Tensor) -> torch.Tensor:
        return (x**2).sum(dim=1).sin()

    found = sensitivity_max(explain, images, radius=0.05, draws=3, seed=7)
    moves = iter(torch.rand(3, *images.shape[1:], generator=generator_of(7)).mul(2).sub(1).mul(0.05).split(1))
    theirs = captum_sensitivity(
        lambda x: (explain(x[0] if isinstance(x, tuple) else x),),
        images,
        perturb_func=lambda x: (x[0] if isinstance(x, tuple) else x) + next(moves),
        n_perturb_samples=3,
        max_examples_per_batch=5,
    )
    np.testing.assert_allclose(found.numpy(), theirs.numpy(), rtol=1e-4)


def generator_of(seed: int) -> torch.Generator:
    from foveate.core.rng import key

    return torch.Generator().manual_seed(key(seed, "sensitivity"))


def test_fills(images: torch.Tensor) -> None:
    network, mean, std = nn.Identity(), torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.4])
    with pytest.raises(ConfigError, match="does not say with which mean and std"):
        filled(Probe(network), images, "black")
    network.mean, network.std = mean, std
    probe = Probe(network)
    black = filled(probe, images, "black") * std.view(3, 1, 1) + mean.view(3, 1, 1)
    assert black.abs().max() < 1e-6
    blurred = filled(probe, images, "blur")
    assert blurred.std() < 0.5 * images.std()
    assert filled(probe, torch.randn(1, 3, 5, 4), "blur").shape == (1, 3, 5, 4)


def test_passes_are_shared_and_nothing_is_left(net: Net, images: torch.Tensor, maps: torch.Tensor) -> None:
    net.train()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    config = FaithfulnessConfig(steps=4, road=(0.5,), holes=3)
    random = torch.random.get_rng_state()
    found = faithfulness(net, images, TARGETS, {"a": maps, "b": maps.flip(1)}, config)
    # whole, filled, 3 holes; for each map 3 + 3 steps, 2 imputed pictures, 1 product
    assert net.seen == 5 * (2 + 3 + 2 * (3 + 3 + 2 + 1))
    assert list(found) == ["a", "b"]
    assert list(found["a"]) == [score.name for score in FAITHFULNESS]
    assert all(found["a"][name][4].isnan() for name in found["a"])
    assert all(found["a"][name][:4].isfinite().all() for name in found["a"])
    assert net.training
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    again = faithfulness(net, images[1:2], TARGETS[1:2], {"a": maps[1:2]}, config)["a"]
    for name in again:
        assert float(again[name]) == pytest.approx(float(found["a"][name][1]), abs=1e-4), name


def test_the_true_map_beats_its_reverse() -> None:
    class Reads(nn.Module):
        """The logit of class 0 is the mean of a corner."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            score = 8 * x[:, :, :8, :8].mean(dim=(1, 2, 3))
            return torch.stack([score, -score], dim=1)

    truth = torch.zeros(3, 24, 24)
    truth[:, :8, :8] = 1
    images = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0)) - 1
    images[:, :, :8, :8] += 2
    maps = {"true": truth, "reverse": 1 - truth}
    found = faithfulness(Reads(), images, torch.zeros(3).long(), maps, FaithfulnessConfig(fill="mean"))
    for score in FAITHFULNESS:
        if score.name == "increase":
            continue
        sign = 1 if score.better == "higher" else -1
        better, worse = found["true"][score.name], found["reverse"][score.name]
        assert (sign * (better - worse) > 0.01).all(), score.name
