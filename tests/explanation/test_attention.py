"""Attention rollout and transformer relevance against the same computed by hand from the qkv weights."""

from typing import Any

import pytest
import torch
from torch import nn

from explanation.networks import network, pictures
from foveate.core.errors import ConfigError
from foveate.explanation import explain

import timm  # isort: skip

SMALL = {"img_size": 32, "depth": 3, "num_classes": 4}
TINY = {**SMALL, "embed_dim": 48, "num_heads": 3}
NETWORKS = {
    "vit_tiny_patch16_224": SMALL,
    "deit_tiny_distilled_patch16_224": SMALL,
    "vit_base_patch16_gap_224": TINY,
}
NAMES = tuple(NETWORKS)
METHODS = ("attention_rollout", "transformer_relevance")


def transformer(name: str) -> Any:
    torch.manual_seed(0)
    model = timm.create_model(name, **NETWORKS[name])
    for key, parameter in model.named_parameters():
        if "qkv.weight" in key:
            nn.init.normal_(parameter, 0, 0.3)  # attention that is far from uniform
        if "head" in key and key.endswith("weight"):
            nn.init.normal_(parameter, 0, 0.5)
    return model.eval()


def plain_forward(model: Any, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Logits and the attention of every block of a timm ViT, from its weights, token by token."""
    tokens = model._pos_embed(model.patch_embed(images))
    kept = []
    for block in model.blocks:
        attention, x = block.attn, block.norm1(tokens)
        b, n, c = x.shape
        heads = attention.num_heads
        q, k, v = attention.qkv(x).reshape(b, n, 3, heads, c // heads).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(torch.einsum("bhid,bhjd->bhij", q, k) * (c // heads) ** -0.5, dim=-1)
        kept.append(weights)
        mixed = torch.einsum("bhij,bhjd->bihd", weights, v).reshape(b, n, c)
        tokens = tokens + attention.proj(mixed)
        tokens = tokens + block.mlp(block.norm2(tokens))
    return model.forward_head(model.norm(tokens)), kept


def readers(name: str, model: Any, count: int) -> list[int]:
    """The tokens that the classifier reads."""
    known = {"vit_tiny_patch16_224": [0], "deit_tiny_distilled_patch16_224": [0, 1]}
    return known.get(name, list(range(model.num_prefix_tokens, count)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("heads", "residual"), [("mean", 0.5), ("max", 0.2), ("min", 0.0)])
def test_rollout_equals_a_plain_reference(name: str, heads: str, residual: float) -> None:
    model, images = transformer(name), pictures(2, 32)
    with torch.no_grad():
        _, attention = plain_forward(model, images)
    found = explain(model, images, None, "attention_rollout", raw=True, heads=heads, residual=residual)
    for i in range(2):
        rolled = torch.eye(attention[0].shape[-1])
        for weights in attention:
            fused = getattr(weights[i], "mean" if heads == "mean" else f"a{heads}")(0)
            mixed = residual * torch.eye(len(fused)) + (1 - residual) * fused
            rolled = (mixed / mixed.sum(1, keepdim=True)) @ rolled
        row = rolled[readers(name, model, len(rolled))].mean(0)[model.num_prefix_tokens :].view(2, 2)
        assert torch.allclose(found[i], row, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_relevance_equals_a_plain_reference(name: str) -> None:
    model, images, target = transformer(name), pictures(2, 32), 2
    logits, attention = plain_forward(model, images)
    gradients = torch.autograd.grad(logits[:, target].sum(), attention)
    found = explain(model, images, target, "transformer_relevance", raw=True)
    for i in range(2):
        relevance = torch.eye(attention[0].shape[-1])
        for weights, gradient in zip(attention, gradients, strict=True):
            mean = (weights[i] * gradient[i]).detach().clamp(min=0).mean(0)
            relevance = relevance + mean @ relevance
        row = relevance[readers(name, model, len(relevance))].mean(0)[model.num_prefix_tokens :].view(2, 2)
        assert torch.allclose(found[i], row, atol=1e-6)
    assert found.std() > 1e-4  # there is something to compare


def test_discard_drops_the_smallest() -> None:
    model, images = transformer(NAMES[0]), pictures(1, 32)
    with torch.no_grad():
        _, attention = plain_forward(model, images)
    rolled = torch.eye(5)
    for weights in attention:
        fused = weights[0].mean(0)
        limit = fused.flatten().sort().values[int(25 * 0.6)]
        kept = fused * (fused >= limit)
        kept[0, 0] = fused[0, 0]
        mixed = 0.5 * kept + 0.5 * torch.eye(5)
        rolled = (mixed / mixed.sum(1, keepdim=True)) @ rolled
    found = explain(model, images, None, "attention_rollout", raw=True, discard=0.6)
    assert torch.allclose(found[0].flatten(), rolled[0, 1:], atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_pictures_map_does_not_depend_on_its_batch(method: str) -> None:
    model, images = transformer(NAMES[0]), pictures(3, 32)
    whole = explain(model, images, 1, method)
    assert torch.allclose(whole[1:2], explain(model, images[1:2], 1, method), atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_registers_are_no_patches(method: str) -> None:
    model = timm.create_model("vit_tiny_patch16_224", **SMALL, reg_tokens=4).eval()
    assert model.num_prefix_tokens == 5
    assert explain(model, pictures(2, 32), 0, method, raw=True).shape == (2, 2, 2)


def test_beit_with_its_position_bias() -> None:
    model = timm.create_model("beit_base_patch16_224", **TINY).eval()
    found = explain(model, pictures(2, 32), None, "attention_rollout", raw=True)
    assert found.shape == (2, 2, 2)
    assert (found > 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_other_networks_are_refused_with_what_to_use(method: str) -> None:
    with pytest.raises(
        ConfigError, match=f"{method} needs attention, which ResNet does not have; use gradcam"
    ):
        explain(network("resnet18"), pictures(1), 0, method)
    swin = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=32, window_size=2, depths=(1, 1, 1, 1), embed_dim=24
    ).eval()
    with pytest.raises(ConfigError, match=r"between all tokens .* SwinTransformer has .* Use lrp, gradcam"):
        explain(swin, pictures(1, 32), 0, method)
