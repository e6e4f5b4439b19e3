"""LRP: relevance is conserved, equal to captum where captum can, and to rules written out by hand."""

from typing import Any

import captum.attr
import pytest
import torch
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, GammaRule
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from explanation.networks import pictures
from foveate.core.errors import ConfigError
from foveate.explanation import explain
from foveate.explanation.lrp import LRP, Relevance

import timm  # isort: skip

RULES = ("epsilon", "gamma", "zplus", "composite")
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "efficientnet_b0": {},
    "mobilenetv3_small_100": {},
    "convnext_atto": {},
    "densenet121": {},
    "vit_tiny_patch16_224": {"img_size": 32, "depth": 3},
    "deit_tiny_patch16_224": {"img_size": 32, "depth": 3},
    "swin_tiny_patch4_window7_224": {"img_size": 32, "window_size": 2, "depths": (1, 1, 2, 1)},
}


def without_biases(name: str) -> nn.Module:
    """Nothing in it adds a constant, so all of a logit comes from the picture."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=5, **ARCHITECTURES[name])
    for key, parameter in model.named_parameters():
        if key.endswith("bias") or "pos_embed" in key or "cls_token" in key:
            nn.init.zeros_(parameter)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, -1.3, 1.3)  # a scale below zero turns signs round
            module.momentum = 1.0
    nn.init.normal_(model.get_classifier().weight, 0, 0.5)
    with torch.no_grad():
        model.train()(pictures(8, 32))  # statistics that keep the signal at its size
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.running_mean)
    return model.eval()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_relevance_sums_to_the_logit(name: str) -> None:
    model, images = without_biases(name).double(), pictures(2, 32).double()
    with torch.no_grad():
        logits, classes = model(images).max(dim=1)
    logits = logits.float()
    assert (logits.abs() > 1e-3).all()
    for rule in RULES if name in ("resnet18", "convnext_atto") else RULES[-1:]:
        found = explain(model, images, classes, "lrp", raw=True, rule=rule)
        assert torch.allclose(found.sum(dim=(1, 2)), logits, rtol=1e-3), rule


class Plain(nn.Module):
    """Of parts that captum knows."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1, bias=bias), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, stride=2, bias=bias), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Linear(32, 10, bias=bias), nn.ReLU(), nn.Linear(10, 4, bias=bias))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images).flatten(1))


@pytest.mark.parametrize("bias", [False, True])
def test_epsilon_rule_equals_captum(bias: bool) -> None:
    model, images = Plain(bias), pictures(3, 16)
    targets = torch.tensor([0, 1, 3])
    theirs = by_captum(model, images, targets)
    ours = explain(model, images, targets, "lrp", raw=True, rule="epsilon")
    assert torch.allclose(ours, theirs, atol=1e-4 * theirs.abs().max().item())


@pytest.mark.parametrize(("rule", "theirs_rule"), [("zplus", Alpha1_Beta0_Rule), ("gamma", GammaRule)])
def test_other_rules_equal_captum(rule: str, theirs_rule: type) -> None:
    model, images = Plain(bias=False), pictures(3, 16).abs()  # captum's rules are meant for values above zero
    with torch.no_grad():
        targets = model(images).argmax(dim=1)
    theirs = by_captum(model, images, targets, theirs_rule)
    ours = explain(model, images, targets, "lrp", raw=True, rule=rule)
    assert torch.allclose(ours, theirs, atol=1e-4 * theirs.abs().max().item())


def by_captum(
    model: nn.Module, images: torch.Tensor, targets: torch.Tensor, rule: type | None = None
) -> torch.Tensor:
    for module in model.modules():
        if rule is not None and isinstance(module, nn.Conv2d | nn.Linear):
            module.rule = rule()
    found: torch.Tensor = captum.attr.LRP(model).attribute(images.clone().requires_grad_(), target=targets)
    return found.sum(dim=1).detach()


class Block(nn.Module):
    """Convolution, batch norm, SiLU and a gate, as efficient networks have them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv = nn.Conv2d(3, 4, 3, bias=True)
        self.norm = nn.BatchNorm2d(4)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)
        self.squeeze = nn.Linear(4, 4)
        self.head = nn.Linear(4, 3, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = functional.silu(self.norm(self.conv(images)))
        gate = self.squeeze(x.mean((2, 3), keepdim=True).flatten(1)).sigmoid()
        return self.head((x * gate[:, :, None, None]).mean((2, 3)))


@pytest.mark.parametrize("rule", ["gamma", "zplus"])
def test_block_equals_the_rules_written_out(rule: str) -> None:
    """Loops over contributions; batch norm folded into the convolution, the gate a constant."""
    model, image, target = Block().eval(), pictures(1, 6), 1

    def spread(inputs: torch.Tensor, weights: torch.Tensor, offset: float, relevance: float) -> torch.Tensor:
        """Relevance of one output over its inputs."""
        parts = inputs * weights
        positive = bool(parts.sum() + offset >= 0)
        same = (parts > 0) if positive else (parts < 0)
        extra = offset if (offset > 0) == positive else 0.0
        if rule == "zplus":
            parts, total = parts * same, (parts * same).sum() + extra
        else:
            parts = parts + 0.25 * parts * same
            total = parts.sum() + offset + 0.25 * extra
        return parts / total * relevance

    with torch.no_grad():
        scale = model.norm.weight / (model.norm.running_var + model.norm.eps).sqrt()
        weight = model.conv.weight * scale.view(-1, 1, 1, 1)
        bias = (model.conv.bias - model.norm.running_mean) * scale + model.norm.bias
        x = functional.silu(functional.conv2d(image, weight, bias))
        gated = x * model.squeeze(x.mean((2, 3))).sigmoid()[:, :, None, None]
        pooled = gated.mean((2, 3))[0]
        head = model.head.weight[target]
        of_pooled = spread(pooled, head, 0.0, (pooled @ head).item())
        expected = torch.zeros_like(image[0])
        for k in range(4):
            share = of_pooled[k] * gated[0, k] / gated[0, k].sum()
            for i in range(4):
                for j in range(4):
                    patch = image[0, :, i : i + 3, j : j + 3]
                    part = spread(patch, weight[k], bias[k].item(), share[i, j].item())
                    expected[:, i : i + 3, j : j + 3] += part
    found = explain(model, image, target, "lrp", raw=True, rule=rule)
    # The dense layers follow the same rule here; the gate's own dense layer gets no relevance.
    assert torch.allclose(found[0], expected.sum(dim=0), atol=1e-5)


class Attentive(nn.Module):
    """A block of a transformer, with PyTorch's attention or step by step."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.fused = fused
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.head = nn.Linear(8, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.norm(tokens)).chunk(3, dim=-1)
        if self.fused:
            mixed = functional.scaled_dot_product_attention(q, k, v)
        else:
            mixed = (q @ k.transpose(1, 2) * 8**-0.5).softmax(dim=-1) @ v
        return self.head((tokens + mixed).mean(1))


def test_attention_and_deviations_are_constants_in_both_forms() -> None:
    images = pictures(2, 16)
    fused, by_hand = Attentive(True).eval(), Attentive(False).eval()
    ours = explain(fused, images, 0, "lrp", raw=True, rule="epsilon", epsilon=0)
    steps = explain(by_hand, images, 0, "lrp", raw=True, rule="epsilon", epsilon=0)
    assert torch.allclose(ours, steps, atol=1e-6)
    # With its attention and its deviation frozen the network is linear: gradient times input.
    with torch.no_grad():
        tokens = fused.embed(images).flatten(2).transpose(1, 2)
        q, k, _ = fused.qkv(fused.norm(tokens)).chunk(3, dim=-1)
        weights = (q @ k.transpose(1, 2) * 8**-0.5).softmax(dim=-1)
        deviation = (tokens.var(dim=-1, unbiased=False, keepdim=True) + fused.norm.eps).sqrt()
    x = images.clone().requires_grad_()
    tokens = fused.embed(x).flatten(2).transpose(1, 2)
    normed = (tokens - tokens.mean(-1, keepdim=True)) / deviation * fused.norm.weight + fused.norm.bias
    mixed = weights @ fused.qkv(normed).chunk(3, dim=-1)[2]
    (gradient,) = torch.autograd.grad(fused.head((tokens + mixed).mean(1))[:, 0].sum(), x)
    assert torch.allclose(ours, (images * gradient).sum(dim=1), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    rule=st.sampled_from(RULES), gamma=st.floats(0, 10), epsilon=st.sampled_from([0.0, 1e-6, 0.25]),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_values_stay_the_same_and_maps_are_finite(rule: Any, gamma: float, epsilon: float, seed: int) -> None:
    model, images = Block().eval(), pictures(2, 8, seed)
    with Relevance(LRP(rule=rule, gamma=gamma, epsilon=epsilon)):
        changed = model(images.clone().requires_grad_())
    assert torch.allclose(changed, model(images), atol=1e-5)
    found = explain(model, images, 0, "lrp", raw=True, rule=rule, gamma=gamma, epsilon=epsilon)
    assert torch.isfinite(found).all()


def test_group_norm_is_linear_but_for_its_deviation() -> None:
    torch.manual_seed(6)
    norm = nn.GroupNorm(2, 4)
    nn.init.normal_(norm.weight)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), norm, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    images = pictures(1, 6)
    x = images.clone().requires_grad_()
    maps = model[0](x).view(1, 2, -1)
    deviation = (maps.detach().var(dim=2, unbiased=False, keepdim=True) + norm.eps).sqrt()
    normed = ((maps - maps.mean(2, keepdim=True)) / deviation).view(1, 4, 6, 6)
    # The mean of a normed group is zero, so look at a part of the picture: weights differ by channel.
    score = (normed * norm.weight.view(1, 4, 1, 1)).mean((2, 3))[0, 3]
    (gradient,) = torch.autograd.grad(score, x)
    found = explain(model, images, 3, "lrp", raw=True, rule="epsilon", epsilon=0)
    assert torch.allclose(found, (images * gradient).sum(1), atol=1e-6)
    assert found.abs().max() > 1e-4


def test_activations_in_place_are_seen_by_who_holds_their_input() -> None:
    class Holder(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            x = images * 1
            functional.relu(x, inplace=True)
            return x.mean((2, 3)) * 2

    images = pictures(2, 8)
    found = explain(Holder(), images, 0, "lrp", raw=True, rule="epsilon")
    assert torch.allclose(found, images[:, 0].relu() * 2 / 64, atol=1e-6)


def test_product_of_two_signals_is_shared() -> None:
    class Product(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return (images[:, :1] * images[:, 1:2]).mean((2, 3))

    images = pictures(2, 8)
    found = explain(Product(), images, 0, "lrp", raw=True)
    assert torch.allclose(found, images[:, 0] * images[:, 1] / 64, atol=1e-6)


def test_unknown_rule_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"rule must be .* \(got 'alpha'\)"):
        explain(Plain(True), pictures(1, 16), 0, "lrp", rule="alpha")
