"""1,000 random calls of explain leave network and process as they were, also when the call raises."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from torch import nn

from explanation_helpers import Tiny, pictures, randomised
from foveate.core.errors import ConfigError
from foveate.explanation import EXPLAINERS, explain
from foveate.models.small_cnn import SmallCnn

FEW = {"samples": 3, "steps": 3, "masks": 3, "segments": 4}
"""Settings of slow methods, where they have them."""
WINDOWS = {"window": 0.5, "stride": 0.5}
OTHERS = pictures(2, 32, 7)


class Broken(RuntimeError):
    """Raised from inside of the network."""


def _vit() -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return randomised(
            VisionTransformer(img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=10)
        )


def _resnet() -> nn.Module:
    from timm.models.resnet import BasicBlock, ResNet

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return randomised(ResNet(BasicBlock, (1, 1, 1, 1), channels=(4, 4, 8, 8), num_classes=10))


def _small() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return randomised(SmallCnn(num_classes=10, widths=(6, 8, 8), strides=(2, 2, 1)))


MAKERS = {"vit": _vit, "small_cnn": _small, "resnet": _resnet}
"""Attention and GELU; in-place ReLU; skip connections and an overlapping max-pool."""
LAYERS = {
    "vit": [None, "blocks.0", ["first", "blocks.1.norm1"], "nothing"],
    "small_cnn": [None, "stages.1", ["first", "last"], "stages.7"],
    "resnet": [None, "layer1", ["layer1", "layer2"], "fc"],
}
NETS: dict[tuple[str, torch.dtype], nn.Module] = {}


def net_of(name: str, dtype: torch.dtype) -> nn.Module:
    if (name, dtype) not in NETS:
        NETS[name, dtype] = MAKERS[name]().to(dtype)
    return NETS[name, dtype]


calls = st.fixed_dictionaries(
    {
        "method": st.sampled_from(sorted(EXPLAINERS)),
        "net": st.sampled_from(sorted(MAKERS)),
        "dtype": st.sampled_from([torch.float32, torch.bfloat16]),
        "mode": st.sampled_from(["eval", "train", "mixed"]),
        "frozen": st.sampled_from(["none", "all", "half"]),
        "gradients": st.booleans(),
        "hooks": st.booleans(),
        "fails": st.sampled_from([None, None, None, 0, 2]),
        "batch": st.integers(1, 3),
        "chunk": st.sampled_from([None, 1, 2]),
        "layer": st.integers(0, 3),
        "target": st.sampled_from([None, 3, 3, 99]),
        "seed": st.integers(0, 3),
        "precision": st.sampled_from(["auto", "float32", "bfloat16"]),
    }
)


def snapshot(model: nn.Module) -> dict[str, Any]:
    """Everything that a call could leave behind."""
    modules = dict(model.named_modules())
    return {
        "weights": {name: value.clone() for name, value in model.state_dict().items()},
        "modes": [module.training for module in modules.values()],
        "in_place": [getattr(module, "inplace", None) for module in modules.values()],
        "attributes": [sorted(module.__dict__) for module in modules.values()],
        "hooks": [
            (key, list(value.items()))
            for module in modules.values()
            for key, value in module.__dict__.items()
            if "hooks" in key and isinstance(value, dict)
        ],
        "frozen": [p.requires_grad for p in model.parameters()],
        "parameters": [id(p) for p in model.parameters()],
        "gradients": [id(p.grad) for p in model.parameters()],
        "values": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "torch": torch.random.get_rng_state(),
        "numpy": [str(part) for part in np.random.get_state()],  # noqa: NPY002
        "python": random.getstate(),
        "enabled": torch.is_grad_enabled(),
        "function modes": torch._C._len_torch_function_stack(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "default": torch.get_default_dtype(),
    }


def assert_same(before: Any, after: Any, where: str = "state") -> None:
    if isinstance(before, torch.Tensor):
        assert torch.equal(before, after), where
    elif isinstance(before, dict):
        assert before.keys() == after.keys(), where
        for key in before:
            assert_same(before[key], after[key], f"{where}: {key}")
    elif isinstance(before, list) and any(isinstance(value, torch.Tensor) for value in before):
        for one, other in zip(before, after, strict=True):
            assert_same(one, other, where)
    else:
        assert before == after, where


@contextmanager
def prepared(model: nn.Module, call: dict[str, Any]) -> Iterator[None]:
    """The network as a user may have it: training or not, partly frozen, with gradients and hooks of its own."""
    modules, parameters = list(model.modules()), list(model.parameters())
    model.train(call["mode"] == "train")
    if call["mode"] == "mixed":
        modules[len(modules) // 2].train()
    for i, parameter in enumerate(parameters):
        parameter.requires_grad_(call["frozen"] == "none" or (call["frozen"] == "half" and i % 2 == 0))
        parameter.grad = torch.full_like(parameter, 0.5) if call["gradients"] else None
    handles, count = [], iter(range(10**9))

    def fail(*_: object) -> None:
        if next(count) >= call["fails"]:
            raise Broken

    if call["hooks"]:
        handles += [modules[2].register_forward_hook(lambda module, inputs, output: output)]
        handles += [modules[1].register_forward_pre_hook(lambda module, inputs: None)]
        handles += [modules[-1].register_full_backward_hook(lambda module, inputs, outputs: None)]
    if call["fails"] is not None:
        handles.append(modules[-1].register_forward_hook(fail))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.slow
@pytest.mark.timeout(900)  # a busy machine
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(call=calls)
def test_a_random_call_leaves_no_trace(call: dict[str, Any]) -> None:
    model = net_of(call["net"], call["dtype"])
    kind = EXPLAINERS[call["method"]]
    few = {name: value for name, value in (FEW | WINDOWS).items() if name in kind.model_fields}
    layer = {"layer": LAYERS[call["net"]][call["layer"]]} if kind.layered else {}
    images = pictures(call["batch"], 32, call["seed"]).to(call["dtype"])
    kept = images.clone()
    with prepared(model, call):
        before = snapshot(model)
        outcome = "maps"
        try:
            maps = explain(
                model, images, call["target"], call["method"], chunk=call["chunk"], seed=call["seed"],
                precision=call["precision"], references=OTHERS, **layer, **few,
            )  # fmt: skip
        except (ConfigError, Broken) as error:
            outcome = type(error).__name__
        assert_same(before, snapshot(model))
    event(outcome)
    assert torch.equal(images, kept)
    assert not images.requires_grad
    if outcome == "maps":
        for found in maps.values() if isinstance(maps, dict) else [maps]:
            assert found.shape == (call["batch"], 32, 32)
            assert found.dtype == torch.float32
            assert not found.requires_grad
            assert found.isfinite().all()
            assert found.min() >= 0
            assert found.max() <= 1


@pytest.mark.parametrize("method", sorted(EXPLAINERS))
def test_every_method_gives_maps_or_a_reason(method: str) -> None:
    """On each of the tiny networks, with no layer named; at least one gives a map."""
    few = {name: value for name, value in (FEW | WINDOWS).items() if name in EXPLAINERS[method].model_fields}
    found = 0
    for name in MAKERS:
        with suppress(ConfigError):
            explain(net_of(name, torch.float32), pictures(2, 32), method=method, references=OTHERS, **few)
            found += 1
    assert found or method == "internal_influence"


@pytest.mark.parametrize("method", sorted(EXPLAINERS))
def test_a_pictures_map_does_not_depend_on_its_batch(method: str) -> None:
    """Alone, among others, and in passes of one picture: the same map; and the same again."""
    few = {name: value for name, value in (FEW | WINDOWS).items() if name in EXPLAINERS[method].model_fields}
    layer = {"layer": "norm"} if method == "internal_influence" else {}
    if EXPLAINERS[method].layered and not layer:
        layer = {"layer": "pool"}
    model, images = Tiny(), pictures(3, 32)
    try:
        whole = explain(model, images, 1, method, references=OTHERS, raw=True, **layer, **few)
    except ConfigError:
        pytest.skip("means nothing for this network")
    again = explain(model, images, 1, method, references=OTHERS, raw=True, **layer, **few)
    assert torch.equal(whole, again)
    scale = float(whole.abs().max())
    alone = explain(model, images[1:2], 1, method, references=OTHERS, raw=True, **layer, **few)
    small = explain(model, images, 1, method, references=OTHERS, raw=True, chunk=1, **layer, **few)
    assert torch.allclose(alone[0], whole[1], atol=1e-4 * scale, rtol=1e-3)
    assert torch.allclose(small, whole, atol=1e-4 * scale, rtol=1e-3)
