"""The cut-out network: what it shows its backbone, what stays as it is, and that masks teach it alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from foveate.core.config import parse
from foveate.data.batch import Batch
from foveate.models.build import build_network
from foveate.models.freeze import apply_trainable, set_modes
from foveate.models.networks import NETWORKS
from foveate.models.settings import ModelConfig
from foveate.models.store import load_model, save_model
from foveate.objectives import LOSSES, Context, Objective, Progress

SIDE = 48


def network(backbone: str = "resnet10t", seed: int = 1) -> Any:
    config = NETWORKS["cut_out"].Config(dropout=0.0)
    return build_network(ModelConfig(backbone=backbone, weights="none", network=config), 3, SIDE, seed)


def images(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def noisy(model: Any) -> Any:
    """Logits of both signs, from features of mean 0."""
    model.segmenter.scale.momentum = 1.0
    model.train()(images())
    with torch.no_grad():
        model.segmenter.layer.weight.normal_(std=0.3, generator=torch.Generator().manual_seed(2))
        model.segmenter.layer.bias.zero_()
    return model


def test_the_backbone_sees_what_is_object() -> None:
    model, pictures = noisy(network()).eval(), images()
    with torch.no_grad():
        found = model(pictures, taps=("object",))
        likely = found.taps["object"]
        shown = F.interpolate(likely, (SIDE, SIDE), mode="bilinear").sigmoid() >= 0.5
        assert 0.05 < shown.float().mean() < 0.95
        cut = torch.where(shown, pictures, 0.0)
        answer = model.backbone(cut) @ model.classifier.weight.T + model.classifier.bias
        # Whatever lies where there is no object changes nothing, if the map stays.
        features = model.features(pictures * shown)
    torch.testing.assert_close(found.logits, answer)
    torch.testing.assert_close(features, model.backbone(cut))
    torch.testing.assert_close(model.drawings(pictures)["object"], likely[:, 0].sigmoid())


def test_in_the_beginning_everything_is_object() -> None:
    model, pictures = network().eval(), images()
    with torch.no_grad():
        assert (model(pictures, taps=("object",)).taps["object"] > 0).all()
        plain = model.backbone(pictures) @ model.classifier.weight.T + model.classifier.bias
        torch.testing.assert_close(model(pictures).logits, plain)


@pytest.mark.parametrize("backbone", ["mobilenetv3_small_050", "convnext_atto", "foveate_small_cnn"])
def test_it_stands_on_any_backbone(backbone: str) -> None:
    model = noisy(network(backbone)).eval()
    found = model(images(), taps=("late", "object"))
    assert found.logits.shape == (2, 3)
    assert found.taps["object"].shape == (2, 1, 12, 12)
    assert found.taps["late"].shape[1] == model.tap_channels("late")


def test_masks_teach_the_map_and_the_classification_does_not() -> None:
    model = network()
    apply_trainable(model, "all")
    settings = {
        "classification": {"kind": "cross_entropy"},
        "object": {"kind": "spatial_bce", "tap": "object", "normalise": "sigmoid"},
    }
    config = {
        name: parse(LOSSES[value["kind"]].Config, value, source="the test")
        for name, value in settings.items()
    }
    objective = Objective(config, Context(("a", "b", "c"), (1, 1, 1), None, model.tap_channels))
    pictures, masks = images(4), torch.zeros(4, 1, SIDE, SIDE)
    masks[:, :, :, 24:] = 1
    pictures[:, 0, :, 24:] += 3  # the object is red
    batch = Batch(
        pictures, torch.tensor([0, 1, 2, 0]), masks, torch.ones(4, dtype=torch.bool), torch.arange(4)
    )
    kept = {name: value.clone() for name, value in model.segmenter.looks.state_dict().items()}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    seen = []
    for _ in range(25):
        set_modes(model, "all")
        output = model(batch.images, taps=objective.taps)
        terms = objective(output, batch, Progress())
        optimizer.zero_grad()
        objective.weigh(terms, output, Progress()).total.backward()
        optimizer.step()
        seen.append(terms["object"].item())
    assert seen[-1] < 0.3 * seen[0]
    output = model(batch.images, taps=objective.taps)
    assert ((output.taps["object"] > 0).float() == F.max_pool2d(masks, 4)).float().mean() > 0.95
    optimizer.zero_grad()
    objective(output, batch, Progress())["classification"].backward()
    assert model.segmenter.layer.weight.grad is None
    assert not list(model.segmenter.looks.parameters())
    after = model.segmenter.looks.state_dict()
    assert all(torch.equal(after[name], value) for name, value in kept.items()), "batch norms too"


def test_saved_and_loaded_it_says_the_same(tmp_path: Path) -> None:
    model, pictures = noisy(network()).eval(), images()
    save_model(model, tmp_path, class_names=("a", "b", "c"))
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path).eval()(pictures).logits, model(pictures).logits)
