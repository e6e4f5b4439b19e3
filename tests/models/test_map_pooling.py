"""Other poolings against slow readings of their definitions."""

from typing import Any

import numpy as np
import pytest
import torch

from foveate.models.build import build_network
from foveate.models.networks import NETWORKS
from foveate.models.settings import ModelConfig
from foveate.models.store import load_model, save_model


def network(kind: str, seed: int = 1, **settings: Any) -> Any:
    config = NETWORKS[kind].Config(**settings)
    return build_network(
        ModelConfig(backbone="foveate_small_cnn", weights="none", network=config), 3, 32, seed
    )


def test_bilinear_sums_are_convolutions_of_two_count_sketches() -> None:
    size, maps = 50, torch.randn(2, 160, 2, 3, generator=torch.Generator().manual_seed(0))
    model = network("bilinear", size=size)
    bins, signs = model.bins.view(160, 160), model.signs.view(160, 160)
    first, second = bins[:, 0] - bins[0, 0], bins[0]  # up to one shift that the two share
    for number, picture in enumerate(maps.double().numpy()):
        sums = np.zeros(size)
        for place in picture.reshape(160, 6).T:
            sketches = np.zeros((2, size))
            for i, value in enumerate(place):
                sketches[0, int(first[i]) % size] += float(signs[i, 0] * signs[0, 0]) * value
                sketches[1, int(second[i])] += float(signs[0, i]) * value
            sums += np.fft.ifft(np.fft.fft(sketches[0]) * np.fft.fft(sketches[1])).real / 6
        roots = np.sign(sums) * np.sqrt(np.abs(sums) + 1e-6)
        found = model.pooled(maps)[number].numpy()
        np.testing.assert_allclose(found, roots / np.sqrt((roots**2).sum()), atol=1e-4)


def test_attention_means_are_weighted_place_by_place() -> None:
    model, maps = (
        network("attention", maps=2),
        torch.randn(2, 160, 2, 3, generator=torch.Generator().manual_seed(0)),
    )
    weight, bias = model.attention.weight[:, :, 0, 0].detach(), model.attention.bias.detach()
    for number, picture in enumerate(maps):
        places = picture.flatten(1).T
        expected = []
        for m in range(2):
            shares = [torch.exp(weight[m] @ place + bias[m]) for place in places]
            mean = sum(share * place for share, place in zip(shares, places, strict=True)) / sum(shares)
            expected.append(mean)
        torch.testing.assert_close(model.pooled(maps)[number].detach(), torch.cat(expected))


@pytest.mark.parametrize("kind", ["bilinear", "attention"])
def test_saved_and_loaded_it_says_the_same(kind: str, tmp_path: Any) -> None:
    model, images = network(kind).eval(), torch.rand(2, 3, 32, 32)
    save_model(model, tmp_path, class_names=("a", "b", "c"))
    with torch.no_grad():
        expected = model(images, taps=["stage:-1"])
        torch.testing.assert_close(load_model(tmp_path).eval()(images).logits, expected.logits)
        other = network(kind, seed=2).eval()(images).logits
    assert expected.taps["stage:-1"].shape[1] == 160
    assert not torch.equal(other, expected.logits)
