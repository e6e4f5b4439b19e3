"""Freezing: parameter counts of the reports, what moves and what does not."""

import copy

import pytest
import torch
from torch import nn

from foveate.core.errors import ConfigError
from foveate.models.build import build_network
from foveate.models.freeze import apply_trainable, backbone_layers, is_backbone_frozen, set_modes
from foveate.models.networks import Network
from foveate.models.settings import ModelConfig


def small(name: str = "test_resnet", **kwargs: object) -> Network:
    return build_network(
        ModelConfig(backbone=name, weights="none", backbone_kwargs=kwargs), classes=3, size=64, seed=0
    )


def learning(model: Network) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def pictures() -> torch.Tensor:
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_the_plant_report_freezes_25_103_040_parameters() -> None:
    """Stem, stages 1-2, blocks 1-4 of stage 3, then depthwise convolution and norm of block 5."""
    config = ModelConfig(backbone="convnext_large", weights="none")
    with torch.device("meta"):
        model = build_network(config, classes=8, size=64, seed=0)
    summary = apply_trainable(model, "until:stages.2.blocks.4.norm")
    assert summary.frozen == 25_103_040
    assert summary.first_trainable == "backbone.stages.2.blocks.4.mlp.fc1.weight"
    assert model.backbone.stages[2].blocks[4].gamma.requires_grad
    assert apply_trainable(model, "from:stages.2.blocks.4.mlp").frozen == 25_103_040
    # By count: Keras calls 87 of 295 layers frozen, many of which own no parameters; of those that do it is 58.
    assert apply_trainable(model, "after:58").frozen == 25_103_040
    assert backbone_layers(model)[57] == "stages.2.blocks.4.norm"


def test_head_and_all() -> None:
    model = small()
    head = {name for name, _ in model.named_parameters() if name.startswith("head.")}
    summary = apply_trainable(model, "head")
    assert learning(model) == head
    assert summary.trainable == 96 * 3 + 3
    assert summary.first_trainable == "head.classifier.weight"
    assert apply_trainable(model, "head") == summary
    everything = apply_trainable(model, "all")
    assert everything.frozen == 0
    assert everything.trainable == sum(p.numel() for p in model.parameters())
    assert everything.first_trainable == "backbone.conv1.0.weight"


def test_settings_agree_with_each_other_and_do_not_remember() -> None:
    model = small()
    layers = backbone_layers(model)
    assert layers[:2] == ["conv1.0", "conv1.1"]
    position = layers.index("layer3.0.conv1")
    sets = []
    for setting in (
        "from:layer3",
        "until:layer2",
        f"after:{position}",
        "from:stage:-2",
        "from:backbone.layer3",
    ):
        apply_trainable(model, "head")
        apply_trainable(model, setting)
        sets.append(learning(model))
    assert sets[0] == {
        name
        for name, _ in model.named_parameters()
        if name.split(".")[1] in ("layer3", "layer4", "classifier")
    }
    assert all(names == sets[0] for names in sets)
    apply_trainable(model, "after:0")
    assert learning(model) == {name for name, _ in model.named_parameters()}


def test_a_share_of_the_layers_is_rounded_down() -> None:
    model = small()
    count = len(backbone_layers(model))
    for share, layers in ((0, 0), (10, count // 10), (50, count // 2), (100, count)):
        assert apply_trainable(model, f"after:{share}%") == apply_trainable(model, f"after:{layers}")


def test_what_learns_is_said_in_words() -> None:
    model = small()
    whole = sum(p.numel() for p in model.parameters())
    assert apply_trainable(model, "head").words("head") == (
        f"291 of {whole:,} learn",
        "trainable is 'head', from head.classifier.weight on",
    )
    assert apply_trainable(model, "all").words("all") == (
        f"{whole:,} of {whole:,} learn",
        "trainable is 'all'",
    )


def test_a_vit_freezes_its_position_embedding_with_the_first_layers() -> None:
    model = small("test_vit")
    apply_trainable(model, "until:blocks.2")
    assert not model.backbone.pos_embed.requires_grad
    assert not model.backbone.cls_token.requires_grad
    assert all(p.requires_grad == (i > 2) for i in range(6) for p in model.backbone.blocks[i].parameters())
    assert model.backbone.norm.weight.requires_grad


def train_step(model: Network) -> None:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(pictures()).logits.square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize(
    ("setting", "freeze_bn", "moving"),
    [
        ("head", True, set()),
        ("head", False, {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}),
        ("from:layer3", True, {"layer3", "layer4"}),
        ("from:layer3", "all", set()),
        ("all", True, {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}),
        ("all", "all", set()),
    ],
)
def test_which_batch_statistics_move(setting: str, freeze_bn: bool, moving: set[str]) -> None:
    model = small()
    apply_trainable(model, setting)
    model.eval()
    set_modes(model, setting, freeze_bn)
    before = copy.deepcopy(model.state_dict())
    train_step(model)
    after = model.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    statistics = {key for key in changed if "running_" in key}
    assert {key.split(".")[1] for key in statistics} == moving
    assert changed - {key for key in before if "running_" in key or "num_batches" in key} <= learning(model)
    assert model.head.training


def test_frozen_layers_have_no_chance_in_them() -> None:
    """Dropout and stochastic depth up to the boundary are off, after it on."""
    model = small("test_vit", proj_drop_rate=0.5, drop_path_rate=0.5, pos_drop_rate=0.5)
    apply_trainable(model, "from:blocks.3")
    set_modes(model, "from:blocks.3")
    images, backbone = pictures(), model.backbone

    def maps() -> dict[str, torch.Tensor]:
        return model(images, taps=["blocks.2", "blocks.3"]).taps

    first, second = maps(), maps()
    assert torch.equal(first["blocks.2"], second["blocks.2"])
    assert not torch.equal(first["blocks.3"], second["blocks.3"])
    modes = {
        name: module.training for name, module in backbone.named_modules() if isinstance(module, nn.Dropout)
    }
    assert not modes["pos_drop"]
    assert not modes["blocks.2.mlp.drop2"]
    assert modes["blocks.3.mlp.drop1"]
    set_modes(model, "all")
    assert all(module.training for module in model.modules())


def test_is_backbone_frozen() -> None:
    model = small()
    apply_trainable(model, "head")
    assert not is_backbone_frozen(model)  # still in training mode
    set_modes(model, "head", freeze_bn=False)
    assert not is_backbone_frozen(model)
    set_modes(model, "head")
    assert is_backbone_frozen(model)
    assert torch.equal(model.features(pictures()), model.features(pictures()))
    apply_trainable(model, "from:layer4")
    set_modes(model, "from:layer4")
    assert not is_backbone_frozen(model)
    count = len(backbone_layers(model))
    apply_trainable(model, f"after:{count}")
    set_modes(model, f"after:{count}")
    assert is_backbone_frozen(model)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("heads", "'heads' is no setting"),
        ("from:", "is no setting"),
        ("after:-1", "is no setting"),
        ("after:1000", "has 30 layers only"),
        ("after:101%", "no more than 100%"),
        ("after:x%", "is no setting"),
        ("from:layer9", "did you mean layer"),
        ("until:maxpool", "has no parameters"),
    ],
)
def test_unknown_settings_are_refused(setting: str, words: str) -> None:
    model = small()
    apply_trainable(model, "head")
    before = learning(model)
    with pytest.raises(ConfigError, match=words):
        apply_trainable(model, setting)
    assert learning(model) == before
