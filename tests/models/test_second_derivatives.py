"""Second derivatives: the exchanged operators equal PyTorch's, and timm's networks can be differentiated twice."""

import torch
import torch.nn.functional as F
from torch import nn

from foveate.models.build import build_network
from foveate.models.second_derivatives import HardSigmoid, differentiable_twice
from foveate.models.settings import ModelConfig

import timm  # isort: skip


def test_hard_sigmoid_has_pytorchs_bits_and_slope() -> None:
    x = torch.cat(
        [torch.linspace(-4, 4, 4001), torch.randn(5000, generator=torch.Generator().manual_seed(0))]
    )
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    assert torch.equal(HardSigmoid()(ours), F.hardsigmoid(theirs))
    HardSigmoid()(ours).sum().backward()
    F.hardsigmoid(theirs).sum().backward()
    assert torch.equal(ours.grad, theirs.grad)


def test_every_gate_is_exchanged_and_the_network_says_the_same() -> None:
    backbone = timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=0).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    names = list(backbone.state_dict())
    with torch.no_grad():
        before = backbone(images)
        differentiable_twice(backbone)
        after = backbone(images)
    assert not any(isinstance(module, nn.Hardsigmoid) for module in backbone.modules())
    assert sum(isinstance(module, HardSigmoid) for module in backbone.modules()) > 5
    assert torch.equal(before, after)
    assert list(backbone.state_dict()) == names


def test_attention_can_be_differentiated_twice_when_asked_for() -> None:
    config = ModelConfig(
        backbone="vit_tiny_patch16_224", weights="none",
        backbone_kwargs={"depth": 2, "embed_dim": 12, "num_heads": 3},
    )  # fmt: skip
    model = build_network(config, classes=2, size=32, seed=0).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(model(images, differentiable=True).logits, model(images).logits, atol=1e-5)
    given = images.clone().requires_grad_()
    logits = model(given, taps=("early",), differentiable=True).logits
    (first,) = torch.autograd.grad(logits[:, 0].sum(), given, create_graph=True)
    first.square().sum().backward()
    weight = model.backbone.blocks[0].attn.qkv.weight
    assert weight.grad.abs().max() > 0
