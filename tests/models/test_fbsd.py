"""FBSD is compared with a slow reading of the paper and its code: loops, one picture, one place at a time."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from foveate.core.errors import ConfigError
from foveate.models.build import build_network
from foveate.models.layer_names import resolve_tap
from foveate.models.networks.fbsd import Boosting, Fbsd, diversified, top_mean
from foveate.models.settings import ModelConfig
from foveate.models.store import save_model

ROWS = {(7, 8): [1] * 7, (8, 4): [2] * 4, (9, 4): [3, 2, 2, 2], (3, 2): [2, 1], (1, 2): [1]}
"""{(rows of the map, bands asked for): rows of each band}."""


def values(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("height", "bands"), list(ROWS))
def test_bands_are_boosted_and_the_strongest_is_weakened(height: int, bands: int, training: bool) -> None:
    maps = (values(3, 5, height, 4) - 0.4).requires_grad_()
    module = Boosting(5, bands, boost=0.5, suppress=0.3).double().train(training)
    with torch.no_grad():
        module.norm.weight.fill_(1.3)
        module.norm.bias.fill_(0.2)
        module.norm.running_mean.fill_(0.1)  # type: ignore[union-attr]
    mean, var = 0.1, 1.0
    boosted, suppressed = torch.zeros_like(maps), torch.zeros_like(maps)
    strength: list[list[torch.Tensor]] = [[] for _ in maps]
    top = 0
    for rows in ROWS[height, bands]:
        band = [
            [(module.conv.weight[0, :, 0, 0] * picture[:, y, x]).sum() + module.conv.bias[0]
             for y in range(top, top + rows) for x in range(4)]
            for picture in maps
        ]  # fmt: skip
        seen = torch.stack([value for picture in band for value in picture])
        centre, spread = (seen.mean(), seen.var(unbiased=False)) if training else (0.1, 1.0)
        mean, var = 0.9 * mean + 0.1 * seen.mean().item(), 0.9 * var + 0.1 * seen.var().item()
        for number, picture in enumerate(band):
            scale = module.norm.weight / (torch.as_tensor(spread) + 1e-5).sqrt()
            normed = [(v - centre) * scale[0] + module.norm.bias[0] for v in picture]
            strength[number].append(sum(v.clamp(min=0) for v in normed) / len(normed))  # type: ignore[arg-type]
        top += rows
    assert top == height
    for number, scores in enumerate(strength):
        total = sum(score.exp() for score in scores)
        weights = [score.exp() / total for score in scores]
        top = 0
        for rows, weight in zip(ROWS[height, bands], weights, strict=True):
            part = maps[number, :, top : top + rows]
            boosted[number, :, top : top + rows] = part + 0.5 * weight * part
            strongest = float(weight.detach()) == max(float(w.detach()) for w in weights)
            suppressed[number, :, top : top + rows] = part * (0.3 if strongest else 1.0)
            top += rows
    found = module(maps)
    if training:
        assert (float(module.norm.running_mean), float(module.norm.running_var)) == pytest.approx(  # type: ignore[arg-type]
            (mean, var)
        )
    _same(found, (boosted, suppressed), [maps, module.conv.weight, module.norm.bias])


def _same(found: Any, expected: Any, inputs: list[torch.Tensor]) -> None:
    """Values, and the gradients of a sum with uneven weights."""
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    sums = [sum((t * values(*t.shape, seed=9)).sum() for t in several) for several in (found, expected)]
    grads = [torch.autograd.grad(total, inputs, retain_graph=True) for total in sums]  # type: ignore[arg-type]
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
def test_each_level_takes_up_what_is_least_like_it(similarity: Any) -> None:
    maps = [values(2, 4, h, w, seed=h).requires_grad_() for h, w in ((4, 3), (2, 3), (1, 2))]
    expected = []
    for p, level in enumerate(maps):
        here = []
        for number, picture in enumerate(level):
            places = []
            for own in picture.flatten(1).T:
                total = own
                for q, other in enumerate(maps):
                    if q == p:
                        continue
                    theirs = list(other[number].flatten(1).T)
                    likeness = [(own * their).sum() for their in theirs]
                    if similarity == "cosine":
                        likeness = [
                            v / ((own @ own + 1e-6) * (t @ t + 1e-6)).sqrt()
                            for v, t in zip(likeness, theirs, strict=True)
                        ]
                    shares = [(-v).exp() for v in likeness]
                    total = total + 0.7 * sum(
                        share / sum(shares) * their for share, their in zip(shares, theirs, strict=True)
                    )
                places.append(total)
            here.append(torch.stack(places, dim=1).view_as(picture))
        expected.append(torch.stack(here))
    _same(diversified(maps, 0.7, similarity), expected, maps)


def test_a_map_becomes_the_mean_of_its_largest_values() -> None:
    maps = values(2, 3, 4, 3)
    for count, of in ((5, 5), (0, 12), (50, 12)):
        slow = [[sum(sorted(c.flatten().tolist())[-of:]) / of for c in picture] for picture in maps]
        torch.testing.assert_close(top_mean(maps, count), torch.tensor(slow, dtype=torch.float64))


def network(backbone: str = "foveate_small_cnn", size: int = 64, **settings: Any) -> Any:
    config = Fbsd.Config(width=8, **settings)
    return build_network(ModelConfig(backbone=backbone, weights="none", network=config), 3, size, seed=1)


def test_the_whole_is_its_parts_in_order() -> None:
    model = network(dropout=0.2).eval()
    assert [module.stripes for module in model.boosting] == [8, 4, 2]
    images = values(2, 3, 64, 64).float()
    maps, parts = images, []
    stages = list(model.backbone.stages)
    paths = [info["module"] for info in model.backbone.feature_info[-3:]]
    with torch.no_grad():
        for number, stage in enumerate(stages):
            maps = stage(maps)
            if f"stages.{number}" in paths:
                level = len(parts)
                boosted, maps = model.boosting[level](maps)
                parts.append(model.parts[level](boosted))
        pooled = [top_mean(part, 5) for part in diversified(parts, 1.0, "cosine")]
        given = [model.classifiers[k](vector) for k, vector in enumerate([*pooled, torch.cat(pooled, 1)])]
        output = model(images)
    assert len(parts) == 3
    for name, expected in zip(model.branches, given, strict=True):
        torch.testing.assert_close(output.branches[name], expected)
    torch.testing.assert_close(output.logits, sum(given))


BACKBONES = ("test_resnet", "test_convnext", "test_efficientnet", "mobilenetv3_small_050", "resnext26ts")


@pytest.mark.parametrize("backbone", BACKBONES)
def test_any_backbone_of_stages_learns_at_any_size(backbone: str) -> None:
    model = network(backbone, size=90)
    output = model(values(2, 3, 90, 90).float(), taps=["stage:-2"])
    assert {name: logits.shape for name, logits in output.branches.items()} == dict.fromkeys(
        model.branches, (2, 3)
    )
    output.branches["concat"].square().sum().backward()
    last = model.backbone.get_submodule(resolve_tap(model.backbone, "stage:-1"))
    assert all(p.grad is not None for p in last.parameters())
    assert math.isfinite(float(output.logits.detach().sum()))


def test_the_next_stage_receives_the_weakened_map() -> None:
    model, plain = network(suppress=0.0).eval(), network(suppress=1.0).eval()
    plain.load_state_dict(model.state_dict())
    images = values(1, 3, 64, 64).float()
    with torch.no_grad():
        weak, strong = (net(images, taps=["stage:-3", "stage:-2"]).taps for net in (model, plain))
    assert torch.equal(weak["stage:-3"], strong["stage:-3"])
    assert not torch.allclose(weak["stage:-2"], strong["stage:-2"])


def test_what_lies_behind_the_last_stage_is_not_computed() -> None:
    settings = ModelConfig(backbone="test_efficientnet", weights="none", network=Fbsd.Config(width=8))
    model = build_network(settings, 3, 64, 0)
    called: list[str] = []
    for name in ("conv_head", "blocks.2"):
        module = model.backbone.get_submodule(name)
        module.register_forward_hook(lambda *_, name=name: called.append(name))
    given = model(torch.rand(2, 3, 64, 64), taps=("stage:-1",))
    assert called == ["blocks.2"]
    assert given.taps["stage:-1"].shape[1] == model.tap_channels("stage:-1")
    given.logits.sum().backward()
    without = {name for name, p in model.named_parameters() if p.grad is None}
    behind = ("backbone.conv_head.", "backbone.bn2.")
    assert without == {name for name, _ in model.named_parameters() if name.startswith(behind)}


def test_dropout_acts_in_training_alone() -> None:
    model = network(dropout=0.9)
    drops = [m for m in model.modules() if isinstance(m, nn.Dropout) and m.p == 0.9]
    assert len(drops) == 3
    images = values(4, 3, 64, 64).float()
    first, second = (model(images).logits for _ in range(2))
    assert not torch.equal(first, second)
    model.eval()
    assert torch.equal(model(images).logits, model(images).logits)


def test_a_batch_of_one_picture_is_refused_in_training() -> None:
    with pytest.raises(ConfigError, match=r"set training\.batch_size to 2 or more"):
        network()(torch.zeros(1, 3, 64, 64))


def test_a_network_for_other_classes_goes_on_with_all_but_its_last_layers(tmp_path: Path) -> None:
    first = network(dropout=0.2)
    save_model(first, tmp_path, class_names=("a", "b", "c"), class_ids=("a", "b", "c"))
    config = ModelConfig(
        weights=str(tmp_path), keep_head="fitting", network=Fbsd.Config(width=8, dropout=0.2)
    )
    for classes in (("v", "w", "x", "y"), ("x", "y", "z")):
        second = build_network(config, len(classes), 64, 9, classes)
        old, new = first.state_dict(), second.state_dict()
        drawn = {
            name
            for name in new
            if new[name].shape != old[name].shape or not torch.equal(new[name], old[name])
        }
        last = {f"classifiers.{k}.4.{kind}" for k in range(4) for kind in ("weight", "bias")}
        assert drawn == last
        (note,) = (note for note in second.notes if "were taken over from" in note)
        assert "which was trained for 3 classes" in note
        assert all(name in note for name in last)
        assert not any("only what lies below" in other for other in second.notes)
    same = build_network(config, 3, 64, 9, ("a", "b", "c"))
    assert all(torch.equal(value, first.state_dict()[name]) for name, value in same.state_dict().items())
    other = config.model_copy(update={"network": Fbsd.Config(width=16)})
    assert any(
        "built in another way" in note or "other classes" in note
        for note in build_network(other, 4, 64, 9).notes
    )
