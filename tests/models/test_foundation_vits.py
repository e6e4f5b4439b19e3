"""Vision transformers of foundation models, small and with random weights, against a second implementation in numpy.

What decides on their features and is easily lost: LayerScale, register tokens, position embeddings of another grid,
rotary positions, attention pooling, and a file whose names are not timm's.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from scipy.special import erf, softmax

from foveate.core.errors import WeightsError
from foveate.models.build import build_network
from foveate.models.settings import ModelConfig

import timm  # isort: skip  # after the guard of torchvision, which build imports

Tensors = dict[str, np.ndarray]
WIDTH, HEADS, DEPTH = 32, 2, 2
SMALL: dict[str, Any] = {"embed_dim": WIDTH, "num_heads": HEADS, "depth": DEPTH}


def file_of(architecture: str, folder: Path, grid: int) -> tuple[Path, Tensors]:
    """Random weights for pictures of ``grid`` x ``grid`` patches, none of them 0 or 1 by chance."""
    patch = 14 if "patch14" in architecture else 16
    model = timm.create_model(architecture, num_classes=0, img_size=grid * patch, **SMALL)
    rng = np.random.default_rng(7)
    tensors = {
        key: torch.from_numpy(rng.normal(0.1, 0.4, value.shape).astype(np.float32))
        for key, value in model.state_dict().items()
    }
    file = folder / f"{architecture}.safetensors"
    safetensors.torch.save_file(tensors, file)
    return file, {key: value.double().numpy() for key, value in tensors.items()}


def ours(architecture: str, file: Path, images: np.ndarray) -> np.ndarray:
    """(B, F) features of normalised pictures (B, 3, S, S)."""
    config = ModelConfig(backbone=architecture, weights=str(file), backbone_kwargs=SMALL)
    network = build_network(config, classes=3, size=images.shape[-1], seed=0).eval()
    with torch.no_grad():
        return network.features(torch.from_numpy(images).float()).numpy()


def pictures(side: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, 3, side, side))


# The second implementation --------------------------------------------------------------------------------------------


def linear(x: np.ndarray, w: Tensors, name: str) -> np.ndarray:
    return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0)


def norm(x: np.ndarray, w: Tensors, name: str, eps: float) -> np.ndarray:
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
    return x * w[f"{name}.weight"] + w[f"{name}.bias"]


def mlp(x: np.ndarray, w: Tensors, name: str) -> np.ndarray:
    x = linear(x, w, f"{name}.fc1")
    return linear(x * (1 + erf(x / np.sqrt(2))) / 2, w, f"{name}.fc2")


def patches(images: np.ndarray, w: Tensors) -> np.ndarray:
    """(B, N, WIDTH), row by row."""
    kernel = w["patch_embed.proj.weight"]
    p, n = kernel.shape[-1], images.shape[-1] // kernel.shape[-1]
    cut = [images[:, :, p * y : p * y + p, p * x : p * x + p] for y in range(n) for x in range(n)]
    flat = np.stack([one.reshape(len(images), -1) for one in cut], axis=1)
    return flat @ kernel.reshape(len(kernel), -1).T + w.get("patch_embed.proj.bias", 0)


def resized(grid: np.ndarray, side: int) -> np.ndarray:
    """Embeddings (1, n n, F) for side x side places, bicubically by Pillow."""
    old = round(grid.shape[1] ** 0.5)
    maps = grid[0].reshape(old, old, -1).astype(np.float32)
    layers = [Image.fromarray(np.ascontiguousarray(layer)) for layer in maps.transpose(2, 0, 1)]
    large = [np.asarray(layer.resize((side, side), Image.Resampling.BICUBIC)) for layer in layers]
    return np.stack(large, axis=-1).reshape(1, side * side, -1).astype(float)


def heads(x: np.ndarray) -> np.ndarray:
    """(B, N, WIDTH) -> (B, heads, N, d)."""
    return x.reshape(*x.shape[:2], HEADS, -1).transpose(0, 2, 1, 3)


def mixed(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Attention of each head, side by side again."""
    shares = softmax(q @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[-1]), axis=-1)
    found = (shares @ v).transpose(0, 2, 1, 3)
    return found.reshape(*found.shape[:2], -1)


def turned(x: np.ndarray, side: int, first: int) -> np.ndarray:
    """DINOv3: places are turned by their coordinates in [-1, 1]; the ``first`` tokens have none."""
    d = x.shape[-1]
    where = (np.arange(side) + 0.5) / side * 2 - 1
    periods = 100.0 ** (np.arange(d // 4) * 4 / d)
    for y in range(side):
        for place in range(side):
            angles = np.concatenate([2 * np.pi * where[y] / periods, 2 * np.pi * where[place] / periods])
            token = x[:, :, first + y * side + place]
            a, b = token[..., : d // 2].copy(), token[..., d // 2 :].copy()
            token[..., : d // 2] = a * np.cos(angles) - b * np.sin(angles)
            token[..., d // 2 :] = b * np.cos(angles) + a * np.sin(angles)
    return x


def blocks(x: np.ndarray, w: Tensors, eps: float, side: int = 0, first: int = 0) -> np.ndarray:
    """Pre-norm blocks with LayerScale where the file has it; with ``side`` rotary positions."""
    for k in range(DEPTH):
        name = f"blocks.{k}"
        q, key, v = map(
            heads, np.split(linear(norm(x, w, f"{name}.norm1", eps), w, f"{name}.attn.qkv"), 3, -1)
        )
        if side:
            q, key = turned(q, side, first), turned(key, side, first)
        scales = [w.get(f"{name}.ls{i}.gamma", w.get(f"{name}.gamma_{i}", np.ones(WIDTH))) for i in (1, 2)]
        x = x + scales[0] * linear(mixed(q, key, v), w, f"{name}.attn.proj")
        x = x + scales[1] * mlp(norm(x, w, f"{name}.norm2", eps), w, f"{name}.mlp")
    return x


def before(x: np.ndarray, *tokens: np.ndarray) -> np.ndarray:
    return np.concatenate([*(np.repeat(token, len(x), axis=0) for token in tokens), x], axis=1)


def dinov2(images: np.ndarray, w: Tensors, side: int) -> np.ndarray:
    place = w["pos_embed"]
    x = before(patches(images, w) + resized(place[:, 1:], side), w["cls_token"] + place[:, :1])
    return norm(blocks(x, w, 1e-6), w, "norm", 1e-6)[:, 0]


def dinov2_registers(images: np.ndarray, w: Tensors, side: int) -> np.ndarray:
    x = before(patches(images, w) + resized(w["pos_embed"], side), w["cls_token"], w["reg_token"])
    return norm(blocks(x, w, 1e-6), w, "norm", 1e-6)[:, 0]


def dinov3(images: np.ndarray, w: Tensors, side: int) -> np.ndarray:
    x = before(patches(images, w), w["cls_token"], w["reg_token"])
    return norm(blocks(x, w, 1e-5, side, first=5), w, "norm", 1e-5)[:, 5:].mean(axis=1)


def siglip(images: np.ndarray, w: Tensors, side: int) -> np.ndarray:
    x = norm(blocks(patches(images, w) + resized(w["pos_embed"], side), w, 1e-6), w, "norm", 1e-6)
    key, v = map(heads, np.split(linear(x, w, "attn_pool.kv"), 2, -1))
    latent = np.repeat(w["attn_pool.latent"], len(x), axis=0)
    pooled = linear(mixed(heads(linear(latent, w, "attn_pool.q")), key, v), w, "attn_pool.proj")
    return (pooled + mlp(norm(pooled, w, "attn_pool.norm", 1e-6), w, "attn_pool.mlp"))[:, 0]


def clip(images: np.ndarray, w: Tensors, side: int) -> np.ndarray:
    place = w["pos_embed"]
    x = before(patches(images, w) + resized(place[:, 1:], side), w["cls_token"] + place[:, :1])
    return norm(blocks(norm(x, w, "norm_pre", 1e-5), w, 1e-5), w, "norm", 1e-5)[:, 0]


PLAIN = {
    "vit_small_patch14_dinov2": (dinov2, 14),
    "vit_small_patch14_reg4_dinov2": (dinov2_registers, 14),
    "vit_small_patch16_dinov3": (dinov3, 16),
    "vit_base_patch16_siglip_224": (siglip, 16),
    "vit_base_patch16_clip_224": (clip, 16),
}


@pytest.mark.parametrize("side", [4, 6])
@pytest.mark.parametrize("architecture", PLAIN)
def test_features_are_those_of_a_second_implementation(architecture: str, side: int, tmp_path: Path) -> None:
    plain, patch = PLAIN[architecture]
    file, tensors = file_of(architecture, tmp_path, grid=4)
    images = pictures(side * patch)
    truth = plain(images, tensors, side)
    assert truth.std() > 0.1
    np.testing.assert_allclose(ours(architecture, file, images), truth, atol=2e-4 * np.abs(truth).max())


def test_a_file_of_the_authors_of_dinov2(tmp_path: Path) -> None:
    file, tensors = file_of("vit_small_patch14_reg4_dinov2", tmp_path, grid=4)
    theirs = dict(tensors)
    theirs["register_tokens"] = theirs.pop("reg_token")
    at_class = np.full((1, 1, WIDTH), 0.25)
    theirs["pos_embed"] = np.concatenate([at_class, theirs["pos_embed"]], axis=1)
    theirs["cls_token"] = theirs["cls_token"] - at_class
    theirs["mask_token"] = np.zeros((1, WIDTH))
    safetensors.torch.save_file({k: torch.from_numpy(v).float() for k, v in theirs.items()}, file)
    images = pictures(6 * 14)
    truth = dinov2_registers(images, tensors, 6)
    np.testing.assert_allclose(
        ours("vit_small_patch14_reg4_dinov2", file, images), truth, atol=2e-4 * np.abs(truth).max()
    )


def openclip(tensors: Tensors, text: tuple[str, ...] = ()) -> dict[str, torch.Tensor]:
    """An image tower as OpenCLIP (BioCLIP) names it, and tensors of a text tower."""
    names = {
        "patch_embed.proj": "conv1", "pos_embed": "positional_embedding", "cls_token": "class_embedding",
        "blocks.": "transformer.resblocks.", "norm_pre": "ln_pre", "norm1": "ln_1", "norm2": "ln_2",
        "qkv.": "in_proj_", "attn.proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    }  # fmt: skip
    found = {}
    for key, value in tensors.items():
        for mine, theirs in names.items():
            key = key.replace(mine, theirs)
        key = key.replace("norm.", "ln_post.") if key.startswith("norm.") else key
        value = value.reshape(-1) if key == "class_embedding" else value
        value = value[0] if key == "positional_embedding" else value
        found[f"visual.{key}"] = torch.from_numpy(value).float().clone()
    return found | {name: torch.ones(3, 2) for name in text}


def test_a_file_of_bioclip_and_what_of_it_is_left_out(tmp_path: Path) -> None:
    architecture = "vit_base_patch16_clip_224"
    file, tensors = file_of(architecture, tmp_path, grid=4)
    text = ("token_embedding.weight", "transformer.resblocks.0.ln_1.weight", "text_projection")
    safetensors.torch.save_file(openclip(tensors, text), file)
    for side in (4, 6):
        images = pictures(side * 16)
        truth = clip(images, tensors, side)
        np.testing.assert_allclose(ours(architecture, file, images), truth, atol=2e-4 * np.abs(truth).max())
    config = ModelConfig(backbone=architecture, weights=str(file), backbone_kwargs=SMALL)
    notes = " ".join(build_network(config, classes=3, size=96, seed=0).notes)
    assert f"Of {file} the backbone's part was taken, not" in notes
    assert all(name in notes for name in text)


@pytest.mark.parametrize(
    ("architecture", "lost"),
    [
        ("vit_small_patch14_reg4_dinov2", "blocks.1.ls2.gamma"),
        ("vit_small_patch14_reg4_dinov2", "reg_token"),
        ("vit_small_patch14_dinov2", "pos_embed"),
        ("vit_small_patch16_dinov3", "blocks.0.gamma_1"),
        ("vit_base_patch16_siglip_224", "attn_pool.latent"),
        ("vit_base_patch16_clip_224", "norm_pre.weight"),
    ],
)
def test_a_missing_and_a_strange_tensor_are_errors(architecture: str, lost: str, tmp_path: Path) -> None:
    file, _ = file_of(architecture, tmp_path, grid=4)
    whole = safetensors.torch.load_file(file)
    config = ModelConfig(backbone=architecture, weights=str(file), backbone_kwargs=SMALL)
    safetensors.torch.save_file({k: v for k, v in whole.items() if k != lost}, file)
    with pytest.raises(WeightsError, match=rf"1 missing \({lost}\)"):
        build_network(config, classes=3, size=96 if "16" in architecture else 84, seed=0)
    safetensors.torch.save_file(whole | {"blocks.0.second.weight": torch.ones(2)}, file)
    with pytest.raises(WeightsError, match=r"1 unexpected \(blocks\.0\.second\.weight\)"):
        build_network(config, classes=3, size=96 if "16" in architecture else 84, seed=0)
