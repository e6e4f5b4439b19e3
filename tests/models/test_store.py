"""What a run saves is all that is needed to go on from it."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from foveate.core.errors import WeightsError
from foveate.core.files import write_json
from foveate.models.build import build_network
from foveate.models.card import read_card
from foveate.models.heads import MlpHead
from foveate.models.networks import Network
from foveate.models.settings import ModelConfig
from foveate.models.store import load_model, save_model
from foveate.models.tensor_files import read_tensors
from foveate.models.weights import load_head

NAMES = ("ant", "bee", "wasp")


def trained(name: str = "test_resnet", **settings: Any) -> Network:
    """A network whose every tensor, batch statistics included, differs from a fresh one."""
    model = build_network(ModelConfig(backbone=name, weights="none", **settings), 3, 64, seed=1)
    model(torch.randn(4, 3, 64, 64)).logits.square().mean().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    return model.eval()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("test_resnet", {"mean": (0.1, 0.2, 0.3)}),
        ("foveate_small_cnn", {"backbone_kwargs": {"widths": (8, 16), "strides": (2, 2)}}),
        ("test_vit", {"head": MlpHead.Config(widths=(9,), dropout=0.1)}),
        ("mobilenetv3_small_050", {"features": "pooled"}),
        ("swin_tiny_patch4_window7_224", {"backbone_kwargs": {"depths": [1, 1, 1, 1], "embed_dim": 24}}),
    ],
)
def test_a_saved_network_comes_back_bit_for_bit(
    tmp_path: Path, name: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = trained(name, **settings)
    card = save_model(model, tmp_path, class_names=NAMES, preprocessing={"fit": "squash"})
    monkeypatch.setattr(socket, "socket", None)
    again = load_model(tmp_path)
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(again(images).logits, model(images).logits)
    assert not again.training
    assert torch.equal(again.mean, model.mean)
    assert again.card == card == read_card(tmp_path / "model.safetensors")
    assert card.preprocessing == {"size": 64, "fit": "squash"}
    assert card.class_names == NAMES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_saving_again_gives_the_same_bytes(tmp_path: Path) -> None:
    model = trained()
    save_model(model, tmp_path / "a", class_names=NAMES, class_ids=["4780", "4781", "4999"])
    save_model(
        load_model(tmp_path / "a"), tmp_path / "b", class_names=NAMES, class_ids=["4780", "4781", "4999"]
    )
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_network_is_loaded_with_one_look_at_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, looks = trained(), []
    save_model(model, tmp_path, class_names=NAMES)
    plain = safetensors.torch.load_file
    monkeypatch.setattr(safetensors.torch, "load_file", lambda file: looks.append(file) or plain(file))
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(load_model(tmp_path)(images).logits, model(images).logits)
    assert looks == [tmp_path / "model.safetensors"]


def test_channels_last_networks_are_saved_too(tmp_path: Path) -> None:
    model = trained().to(memory_format=torch.channels_last)
    save_model(model, tmp_path, class_names=NAMES)
    assert torch.equal(load_model(tmp_path).backbone.conv1[0].weight, model.backbone.conv1[0].weight)


@pytest.mark.parametrize("settings", [{}, {"features": "pooled"}])
@pytest.mark.parametrize("path", ["model.safetensors", "."])
def test_a_run_s_weights_are_the_next_run_s_start(tmp_path: Path, settings: Any, path: str) -> None:
    model = trained("mobilenetv3_small_050", **settings, std=(0.3, 0.3, 0.3))
    save_model(model, tmp_path, class_names=NAMES)
    following = build_network(ModelConfig(weights=str(tmp_path / path)), classes=7, size=None, seed=0).eval()
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(following.features(images), model.features(images))
    assert following(images).logits.shape == (2, 7)
    assert following.std.tolist() == model.std.tolist()
    assert "left out (head." in " ".join(following.notes)


def test_the_head_of_a_run_is_taken_over_on_request(tmp_path: Path) -> None:
    model = trained()
    save_model(model, tmp_path, class_names=NAMES)
    file = tmp_path / "model.safetensors"
    following = build_network(ModelConfig(weights=str(file)), classes=3, size=None, seed=0).eval()
    load_head(following, read_tensors(file), str(file))
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(following(images).logits, model(images).logits)


def test_what_is_no_saved_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"model\.safetensors is missing"):
        load_model(tmp_path)
    model = trained()
    save_model(model, tmp_path, class_names=NAMES)
    (tmp_path / "model.json").unlink()
    with pytest.raises(WeightsError, match=r"model\.json is missing"):
        load_model(tmp_path)
    write_json(tmp_path / "model.json", {"architecture": "test_resnet"})
    with pytest.raises(WeightsError, match="describes a backbone only"):
        load_model(tmp_path)
    with pytest.raises(ValueError, match="2 class names for 3 logits"):
        save_model(model, tmp_path, class_names=NAMES[:2])


def test_a_head_that_does_not_fit_its_card_is_refused(tmp_path: Path) -> None:
    save_model(trained(), tmp_path, class_names=NAMES)
    file = tmp_path / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    del tensors["head.classifier.bias"]
    safetensors.torch.save_file(tensors, file)
    with pytest.raises(WeightsError, match=r"1 missing \(head\.classifier\.bias\)"):
        load_model(tmp_path)
    card = json.loads((tmp_path / "model.json").read_text())
    write_json(tmp_path / "model.json", {**card, "feature_mode": "guessed"})
    with pytest.raises(WeightsError, match="feature_mode"):
        load_model(tmp_path)
