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
    pyramid = timm.create_model("pvt_v2_b0", num_classes=4).eval()
    with pytest.raises(ConfigError, match=r"or Swin's windows; PyramidVision\w+ has .* Use lrp, gradcam"):
        explain(pyramid, pictures(1, 64), 0, method)


# -- Swin --------------------------------------------------------------------------------------------------------------

SWIN = {
    "img_size": 40,
    "window_size": 4,
    "depths": (2, 2),
    "embed_dim": 24,
    "num_heads": (2, 3),
    "num_classes": 4,
}
"""A grid of 10 x 10 patches, then 5 x 5: windows of 4 do not fit, and rows are padded when four become one."""


def swin(name: str) -> Any:
    torch.manual_seed(0)
    model = timm.create_model(name, **SWIN)
    for key, parameter in model.named_parameters():
        if "qkv.weight" in key:
            nn.init.normal_(parameter, 0, 0.3)
        if "head" in key and key.endswith("weight"):
            nn.init.normal_(parameter, 0, 0.5)
        if "norm" in key and key.endswith("weight"):
            nn.init.ones_(parameter)  # the second version begins at 0
    return model.eval()


def dense(block: Any, weights: torch.Tensor, side: int) -> torch.Tensor:
    """The matrix (N, N) over all tokens of one picture, written down token by token from its windows' (n, 16, 16)."""
    window, shift = block.window_size[0], block.shift_size[0]
    padded = -(-side // window) * window
    matrix = torch.zeros(side * side, side * side)
    for number, own in enumerate(weights):
        top, left = (number // (padded // window)) * window, (number % (padded // window)) * window
        cells = [(top + n // window, left + n % window) for n in range(window * window)]
        # What lies at (y, x) after the roll came from (y + shift, x + shift); beyond the grid there is padding.
        place = [
            ((y + shift) % side) * side + (x + shift) % side if y < side and x < side else None
            for y, x in cells
        ]
        for i, to in enumerate(place):
            for j, origin in enumerate(place):
                if to is not None and origin is not None:
                    matrix[to, origin] += own[i, j]
    return matrix


def attention_of(block: Any) -> tuple[list[torch.Tensor], Any]:
    """Weights of a block's attention as its own softmax makes them."""
    kept: list[torch.Tensor] = []
    block.attn.fused_attn = False
    return kept, block.attn.softmax.register_forward_hook(lambda module, given, result: kept.append(result))


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"])
@pytest.mark.parametrize("method", METHODS)
def test_swin_equals_dense_matrices_over_all_tokens(name: str, method: str) -> None:
    model, images = swin(name), pictures(2, 40)
    found = explain(model, images, 2, method, raw=True)
    assert found.shape == (2, 10, 10)
    blocks = [block for stage in model.layers for block in stage.blocks]
    assert [any(block.shift_size) for block in blocks] == [False, True, False, True]
    kept = [attention_of(block) for block in blocks]
    logits = model(images)
    weights = [softmax[0] for softmax, _ in kept]
    gradients = torch.autograd.grad(logits[:, 2].sum(), weights)
    for i in range(2):
        total, side = torch.eye(100), 10
        for number, (block, own, gradient) in enumerate(zip(blocks, weights, gradients, strict=True)):
            if number == 2:  # four tokens become one, of which each is a quarter; 10 x 10 -> 5 x 5
                merged = torch.zeros(25, 100)
                for token in range(100):
                    merged[(token // 10 // 2) * 5 + token % 10 // 2, token] = 0.25
                total, side = merged @ total, 5
            mine, slope = (part.detach().view(2, -1, *part.shape[1:])[i] for part in (own, gradient))
            if method == "transformer_relevance":
                total = total + dense(block, (mine * slope).clamp(min=0).mean(1), side) @ total
            else:
                mixed = 0.5 * mine.mean(1) + 0.5 * torch.eye(16)
                total = dense(block, mixed / mixed.sum(-1, keepdim=True), side) @ total
        assert torch.allclose(found[i], total.mean(0).view(10, 10), rtol=1e-4, atol=1e-7)
    assert found.std() > 1e-5


def test_rollout_of_swin_loses_nothing() -> None:
    """Rows of attention sum to 1; so does what the answer takes from all patches, where no padding takes part."""
    model = timm.create_model("swin_tiny_patch4_window7_224", **SWIN | {"img_size": 32}).eval()
    found = explain(model, pictures(2, 32), None, "attention_rollout", raw=True)
    assert torch.allclose(found.sum(dim=(1, 2)), torch.ones(2), atol=1e-5)
