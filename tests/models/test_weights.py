"""Weights in: every form a file comes in, and every way it can be wrong."""

import argparse
import collections
import copy
import re
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from foveate.core.errors import ConfigError, WeightsError
from foveate.core.files import write_json
from foveate.models.build import build_network
from foveate.models.networks import Network
from foveate.models.settings import ModelConfig
from foveate.models.tensor_files import read_tensors
from foveate.models.weights import load_backbone, load_head, resolve_weights

import huggingface_hub  # isort: skip
import timm  # isort: skip

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def network() -> Any:
    return timm.create_model("test_resnet", num_classes=5).eval()


def build(weights: Path | str, **settings: Any) -> Network:
    config = ModelConfig(backbone=settings.pop("backbone", "test_resnet"), weights=str(weights), **settings)
    return build_network(config, classes=5, size=64, seed=0).eval()


@pytest.mark.parametrize(
    ("suffix", "wrap"),
    [
        (".safetensors", lambda t: t),
        (".pth", lambda t: t),
        (".pt", lambda t: {"state_dict": t, "epoch": 3}),
        (".bin", lambda t: {"model": {f"module.{k}": v for k, v in t.items()}}),
        (
            ".pth",
            lambda t: {
                "state_dict": {},
                "state_dict_ema": {f"_orig_mod.module.{k}": v for k, v in t.items()},
            },
        ),
        (".pth", lambda t: collections.OrderedDict(t)),
        (
            ".pth",
            lambda t: {"epoch": 3, "model_state_dict": t, "optimizer_state_dict": {"state": {}}, "loss": 0.3},
        ),
        (
            ".ckpt",
            lambda t: {
                "state_dict": {f"model.{k}": v for k, v in t.items()},
                "hyper_parameters": {"lr": 0.1},
            },
        ),
        (".pth", lambda t: {"weights": t, "epoch": 3}),
        (".pth", lambda t: {"student": {}, "teacher": {f"module.backbone.{k}": v for k, v in t.items()}}),
        (".safetensors", lambda t: {f"net.encoder.0.{k}": v for k, v in t.items()}),
        (
            ".pth",
            lambda t: {
                "state_dict": {f"module.encoder_k.{k}": v + 1 for k, v in t.items()}
                | {f"module.encoder_q.{k}": v for k, v in t.items()}
                | {"module.queue": torch.zeros(4, 8)}
            },
        ),
        (".safetensors", lambda t: {k: v.double() if v.is_floating_point() else v for k, v in t.items()}),
        (".safetensors", lambda t: {k: v for k, v in t.items() if not k.startswith("fc.")}),
        (".safetensors", lambda t: {k: v for k, v in t.items() if not k.endswith("num_batches_tracked")}),
    ],
)
def test_every_form_of_file_gives_the_same_features(
    tmp_path: Path, network: Any, suffix: str, wrap: Any
) -> None:
    content, file = wrap(network.state_dict()), tmp_path / f"net{suffix}"
    if suffix == ".safetensors":
        safetensors.torch.save_file(content, file)
    else:
        torch.save(content, file)
    model, images = build(file), torch.randn(2, 3, 64, 64)
    expected = network.forward_head(network.forward_features(images), pre_logits=True)
    torch.testing.assert_close(model.features(images), expected)
    left_out = [note for note in model.notes if "fc.weight" in note or "only what lies below" in note]
    assert len(left_out) == any(key.endswith("fc.weight") for key in read_tensors(file))


def test_the_classifier_is_taken_over_on_request(tmp_path: Path, network: Any) -> None:
    file = tmp_path / "net.safetensors"
    safetensors.torch.save_file(network.state_dict(), file)
    model, images = build(file), torch.randn(2, 3, 64, 64)
    notes = load_head(model, read_tensors(file), str(file))
    assert "taken over" in notes[0]
    torch.testing.assert_close(model(images).logits, network(images))
    smaller = build_network(
        ModelConfig(backbone="test_resnet", weights=str(file)), classes=4, size=64, seed=0
    )
    with pytest.raises(WeightsError, match=r"classifier\.weight \(5, 96\) instead of \(4, 96\)"):
        load_head(smaller, read_tensors(file), str(file))


def test_position_embeddings_are_resized_to_the_picture(tmp_path: Path) -> None:
    vit = timm.create_model("test_vit", num_classes=0)
    file = tmp_path / "vit.safetensors"
    safetensors.torch.save_file(vit.state_dict(), file)
    model = build(file, backbone="test_vit")
    truth = timm.create_model(
        "test_vit", num_classes=0, img_size=64, pretrained=True, pretrained_cfg_overlay={"file": str(file)}
    )
    assert model.backbone.pos_embed.shape[1] == 17
    assert torch.equal(model.backbone.pos_embed, truth.pos_embed)


def without(prefix: str) -> Any:
    return lambda t: {k: v for k, v in t.items() if not k.startswith(prefix)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("layer4.0.conv2"), r"1 missing \(layer4\.0\.conv2\.weight\)"),
        (without("layer"), r"missing \(layer\S+, layer\S+, layer\S+, \.\.\.\)"),
        (lambda t: {**t, "extra.weight": torch.ones(1)}, r"1 unexpected \(extra\.weight\)"),
        (
            lambda t: {**t, "conv1.0.weight": torch.ones(2, 3, 3, 3)},
            r"of another shape \(conv1\.0\.weight \(2, 3",
        ),
        (lambda t: {**t, "conv1.0.weight": t["conv1.0.weight"] * torch.nan}, "not finite in conv1.0.weight"),
        (lambda t: {**t, "backbone.conv1.0.weight": torch.ones(1)}, r"1 unexpected \(backbone\.conv1"),
        (
            lambda t: {**t, "conv1.0.weight": t["conv1.0.weight"].int()},
            "1 of another kind .conv1.0.weight int32 inst",
        ),
        (
            lambda t: {**t, "bn1.bias": t["bn1.bias"].bool()},
            "1 of another kind .bn1.bias bool instead of float32",
        ),
        (lambda t: {**t, "bn1.bias": t["bn1.bias"].cfloat()}, "holds bn1.bias as complex64; save plain"),
        (
            lambda t: {**t, "bn1.bias": t["bn1.bias"].to(torch.float8_e4m3fn)},
            "bn1.bias as float8_e4m3fn; save",
        ),
        (
            lambda t: {f"{p}{k}": v for p in ("left.", "right.") for k, v in copy.deepcopy(t).items()},
            "several networks that fit",
        ),
    ],
)
def test_wrong_tensors_are_an_error(tmp_path: Path, network: Any, change: Any, words: str) -> None:
    file = tmp_path / "net.safetensors"
    safetensors.torch.save_file(change(network.state_dict()), file)
    with pytest.raises(WeightsError, match=words):
        build(file)


def test_a_file_without_whole_parts_leads_to_a_card(tmp_path: Path) -> None:
    whole = timm.create_model("mobilenetv3_small_050", num_classes=5)
    file = tmp_path / "net.safetensors"
    safetensors.torch.save_file(without("conv_head")(whole.state_dict()), file)
    with pytest.raises(WeightsError, match=r"2 missing .* its card, .* says so: ({.*})\.$") as told:
        build(file, backbone="mobilenetv3_small_050")
    shown = re.findall(r"{.*}", str(told.value))[0].replace("NAME", '"mobilenetv3_small_050"')
    file.with_suffix(".json").write_text(shown)
    assert build(file, backbone="mobilenetv3_small_050").card.feature_mode == "pooled"
    safetensors.torch.save_file(without("blocks.0.0.conv_dw")(whole.state_dict()), file)
    file.with_suffix(".json").unlink()
    with pytest.raises(WeightsError, match=r"\d missing \([^)]*\)\.$"):
        build(file, backbone="mobilenetv3_small_050")


def test_nothing_is_loaded_when_something_is_wrong(tmp_path: Path, network: Any) -> None:
    file = tmp_path / "net.safetensors"
    safetensors.torch.save_file(without("layer4.0.conv2")(network.state_dict()), file)
    model = build("none")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(WeightsError):
        load_backbone(model.backbone, read_tensors(file), None, str(file))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_files_that_are_not_tensors(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "args": argparse.Namespace(lr=1)}, tmp_path / "objects.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "broken.pth").write_bytes(b"nonsense")
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense")
    (tmp_path / "empty.pt").write_bytes(b"")
    for name, words in (
        ("objects.pth", "Python objects besides tensors"),
        ("list.pth", "no plain table of tensors"),
        ("broken.pth", "broken"),
        ("broken.safetensors", "cannot be read as weights"),
        ("empty.pt", "cannot be read as weights"),
    ):
        with pytest.raises(WeightsError, match=words):
            read_tensors(tmp_path / name)


def test_what_stands_beside_the_network_is_named(tmp_path: Path, network: Any) -> None:
    file = tmp_path / "ssl.pth"
    below = {
        f"backbone.{key}": value for key, value in network.state_dict().items() if not key.startswith("fc")
    }
    torch.save(below | {"projection.weight": torch.zeros(8, 96)}, file)
    note = f"Of {file} only what lies below 'backbone.' was taken, not projection.weight."
    assert note in build(file).notes


def test_several_tables_are_asked_about(tmp_path: Path, network: Any) -> None:
    torch.save({"one": network.state_dict(), "two": network.state_dict()}, tmp_path / "two.pth")
    with pytest.raises(WeightsError, match=r"several tables of tensors \(one, two\)"):
        read_tensors(tmp_path / "two.pth")


@pytest.mark.filterwarnings("ignore")  # torch warns of its own quantised and sparse tensors
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: torch.eye(3).to_sparse(), "as a sparse tensor"),
        (lambda: torch.eye(3).to_sparse_csr(), "as a sparse tensor"),
        (lambda: torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8), "as a quantised tensor"),
        (lambda: torch.empty(3, device="meta"), "without values"),
        (lambda: torch.zeros(1).expand(10**9, 10**9), "as one value shown many times"),
        (lambda: torch.zeros(2).to(torch.float8_e5m2), "as float8_e5m2"),
        (lambda: torch.zeros(2, dtype=torch.complex128), "as complex128"),
    ],
)
def test_tensors_that_are_no_weights(tmp_path: Path, make: Any, words: str) -> None:
    torch.save({"conv.weight": make()}, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match=f"holds conv.weight {words}.*; save plain tensors"):
        read_tensors(tmp_path / "odd.pth")


def test_the_card_and_the_backbone_must_agree(tmp_path: Path, network: Any) -> None:
    file = tmp_path / "net.safetensors"
    safetensors.torch.save_file(network.state_dict(), file)
    with pytest.raises(ConfigError, match="has no card"):
        resolve_weights(ModelConfig(weights=str(file)))
    assert "no card" in " ".join(build(file).notes)
    write_json(
        file.with_suffix(".json"), {"architecture": "test_resnet", "mean": [0, 0, 0], "std": [1, 1, 1]}
    )
    assert resolve_weights(ModelConfig(weights=str(file))).architecture == "test_resnet"
    assert build(file, backbone="test_resnet.r160_in1k").std.tolist() == [1, 1, 1]
    with pytest.raises(ConfigError, match="is 'resnet18', but the card"):
        resolve_weights(ModelConfig(weights=str(file), backbone="resnet18"))
    with pytest.raises(WeightsError, match="no weights file"):
        resolve_weights(ModelConfig(weights=str(tmp_path / "missing.safetensors"), backbone="resnet18"))


def test_of_a_folder_the_file_of_the_network_is_taken(tmp_path: Path, network: Any) -> None:
    tensors = network.state_dict()
    safetensors.torch.save_file(tensors, tmp_path / "mine.safetensors")
    write_json(tmp_path / "mine.json", {"architecture": "test_resnet.r160_in1k"})
    torch.save(tensors, tmp_path / "resnet18.pth")
    safetensors.torch.save_file(tensors, tmp_path / "resnet34.a1_in1k.safetensors")

    def found(backbone: str | None) -> str:
        file = resolve_weights(ModelConfig(backbone=backbone, weights=str(tmp_path))).file
        return file.name if file else ""

    assert found("test_resnet") == found("test_resnet.r160_in1k") == "mine.safetensors"
    assert found("resnet18") == found("resnet18.a1_in1k") == "resnet18.pth"
    assert found("resnet34") == "resnet34.a1_in1k.safetensors"
    with pytest.raises(
        WeightsError, match=r"none belongs to 'resnet34.a2_in1k'; put it there as resnet34.a2_in1k"
    ):
        found("resnet34.a2_in1k")
    with pytest.raises(ConfigError, match="name the backbone"):
        found(None)
    (tmp_path / "resnet18.bin").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"more than one \(resnet18.bin, resnet18.pth\)"):
        found("resnet18")
    own = build(tmp_path).backbone.state_dict()
    assert all(torch.equal(own[name], tensors[name]) for name in own)
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    assert found("resnet18") == "model.safetensors", "a run folder is its own"


def test_without_a_network_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(
        WeightsError, match=r"put it at \./resnet18\.safetensors and pass --backbone resnet18 --weights"
    ):
        build("pretrained", backbone="resnet18")
    assert time.monotonic() - start < 8
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="could not be downloaded"):
        build("pretrained", backbone="resnet18")


def test_an_error_of_the_hub_client_is_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise huggingface_hub.errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr("foveate.models.build.download_source", lambda name: {})
    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(WeightsError, match="to start from random weights"):
        build("pretrained", backbone="resnet18")


def test_a_file_in_the_hub_s_cache_needs_no_network(
    tmp_path: Path, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.safetensors"
    safetensors.torch.save_file(timm.create_model("test_resnet").state_dict(), file)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repo, name: str(file))
    monkeypatch.setattr(socket, "socket", forbidden)
    model = build("pretrained")
    assert torch.equal(model.backbone.conv1[0].weight, read_tensors(file)["conv1.0.weight"])


def forbidden(*_: object, **__: object) -> None:
    raise AssertionError("the network was touched")


def test_no_network_unless_asked(tmp_path: Path, network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(socket, "create_connection", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    file = tmp_path / "net.safetensors"
    safetensors.torch.save_file(network.state_dict(), file)
    build(file)
    build("none")


def test_timm_has_no_weights_for_our_own_network() -> None:
    with pytest.raises(ConfigError, match="no pretrained weights for 'foveate_small_cnn'"):
        build("pretrained", backbone="foveate_small_cnn")
