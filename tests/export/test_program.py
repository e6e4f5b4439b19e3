"""Every network of ours leaves as ONNX and as a torch program, and answers as before."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from foveate.core.errors import RunError
from foveate.data.discover import discover
from foveate.evaluation.subject import Subject
from foveate.experiment import Run, run
from foveate.explanation.maps import class_maps
from foveate.export import program
from foveate.export.card import KEY, ExportCard
from foveate.export.graph import Graph, card_of
from foveate.export.onnx_classifier import OnnxClassifier
from foveate.export.timm_folder import export_timm
from foveate.models.build import build_network
from foveate.models.settings import ModelConfig
from training_helpers import PHASES, experiment

KINDS: dict[str, dict[str, Any]] = {
    "classifier": {},
    "fbsd": {"width": 16},
    "mmal": {"part_side": 0.5},
    "cal": {"maps": 4, "test_crops": True},
    "bilinear": {"size": 256},
    "attention": {},
    "attention_branch": {"width": 8},
    "cut_out": {},
}
HERE = Path("runs/one")


def subject_of(
    tree: Path, network: dict[str, Any], backbone: str = "foveate_small_cnn", **more: Any
) -> Subject:
    """A network that was never trained, on the drawn pictures."""
    catalog = discover(tree / "images").catalog
    catalog = catalog.with_splits(["test"] * len(catalog))
    config = ModelConfig.model_validate(
        {"backbone": backbone, "weights": "none", "network": network, **more.pop("model", {})}
    )
    model = build_network(config, len(catalog.classes), 32, seed=1).eval()
    torch.manual_seed(0)
    for module in model.modules():  # as after training: statistics that are not those of the beginning
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return Subject(model, catalog, torch.device("cpu"), 32, **more)


@pytest.mark.parametrize("kind", KINDS)
def test_every_network_answers_as_before_in_batches_of_any_size(tree: Path, kind: str) -> None:
    subject = subject_of(tree, {"kind": kind, **KINDS[kind]})
    content, card = program.onnx_of(subject, HERE, limit=10)
    assert card.parity is not None
    assert (card.parity.pictures, card.parity.agreement) == (10, 1.0)
    assert card.parity.difference < 1e-4
    onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
    pictures = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    prepared = (
        torch.from_numpy(pictures).float() / 255 - subject.model.mean.view(3, 1, 1)
    ) / subject.model.std.view(3, 1, 1)
    with torch.no_grad():
        wanted = subject.model(prepared).logits.numpy()
    session = OnnxClassifier(content)
    for count in (1, 2, 5):
        np.testing.assert_allclose(session.answers(pictures[:count])["logits"], wanted[:count], atol=2e-4)


def test_the_class_map_is_that_of_the_run(tree: Path) -> None:
    """Grad-CAM at the last map of a linear head is the map cut at zero, divided by the number of places."""
    subject = subject_of(tree, {"kind": "classifier"})
    session = OnnxClassifier(program.onnx_of(subject, HERE, limit=4)[0])
    assert session.card.outputs == ("logits", "class_map", "features")
    pictures = np.random.default_rng(1).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    found = session.answers(pictures)
    classifier = subject.model.head.classifier
    np.testing.assert_allclose(
        found["class_map"].mean((2, 3)) + classifier.bias.detach().numpy(), found["logits"], atol=1e-4
    )
    prepared = (
        torch.from_numpy(pictures).float() / 255 - subject.model.mean.view(3, 1, 1)
    ) / subject.model.std.view(3, 1, 1)
    targets = torch.tensor([0, 1, 2])
    (known,) = class_maps(
        subject.model(prepared, taps=("stage:-1",), differentiable=True), targets, ["stage:-1"]
    )
    own = found["class_map"][np.arange(3), targets]
    np.testing.assert_allclose(own.clip(0) / own[0].size, known.detach().numpy(), atol=1e-5)


def test_a_head_of_several_layers_has_features_and_no_class_map(tree: Path) -> None:
    subject = subject_of(tree, {"kind": "classifier"}, model={"head": {"kind": "deep", "widths": [16]}})
    assert program.onnx_of(subject, HERE, limit=4)[1].outputs == ("logits", "features")


@pytest.mark.parametrize("tta", ["plants8", "flip@48"])
def test_test_time_views_are_in_the_graph(tree: Path, tta: str) -> None:
    subject = subject_of(tree, {"kind": "classifier"}, tta=tta)
    _, card = program.onnx_of(subject, HERE, limit=12)
    assert card.parity is not None
    assert card.parity.difference < 1e-4
    assert card.size == (48 if "@" in tta else 32)


@pytest.mark.parametrize("fit", ["squash_bicubic", "crop", "pad_bicubic", "squash@40"])
def test_pictures_are_prepared_as_the_run_does(tree: Path, fit: str) -> None:
    subject = subject_of(tree, {"kind": "classifier"}, fit=fit)
    kept = replace(subject, cache=subject.cache.model_copy(update={"size": 44}))
    for shown in (subject, kept) if "@" not in fit else (subject,):
        card = card_of(shown, Graph(shown))
        batch = next(iter(shown.batches(np.arange(6), "")))
        files = [shown.catalog.file(row) for row in range(6)]
        difference = np.abs(
            np.stack([card.square(file) for file in files]).astype(int) - batch.images.numpy()
        )
        assert difference.max() <= (1 if shown is kept else 0)


def test_a_network_that_answers_otherwise_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = subject_of(tree, {"kind": "classifier"})
    answer = OnnxClassifier.logits
    monkeypatch.setattr(OnnxClassifier, "logits", lambda self, files: np.roll(answer(self, files), 1, axis=1))
    with pytest.raises(
        RunError, match=r"agrees with the one in runs/one on \d+\.\d+% of 20 pictures, less than 99\.9%"
    ):
        program.onnx_of(subject, HERE, limit=20)


def test_the_torch_program(finished: Run, tmp_path: Path) -> None:
    card = program.export_torch(finished, tmp_path / "run.pt2", limit=8)
    told = {KEY: ""}
    loaded = torch.export.load(tmp_path / "run.pt2", extra_files=told).module()
    assert ExportCard.model_validate(json.loads(told[KEY])) == card
    file = finished.catalog.file(0)
    logits = loaded(torch.from_numpy(card.square(file))[None])[0]
    np.testing.assert_allclose(
        logits.softmax(1)[0].detach().numpy(), finished.predict(file).probabilities[0], atol=1e-5
    )


def test_timm_loads_the_folder_by_itself(tree: Path, tmp_path: Path) -> None:
    import timm

    linear = run(
        experiment(model={"head": {"kind": "linear", "widths": None}}, training={"phases": [PHASES[0]]}),
        tree, tmp_path / "run",
    )  # fmt: skip
    card = export_timm(linear, tmp_path / "timm", limit=5)
    assert card.parity is not None
    assert (card.parity.agreement, card.parity.pictures) == (1.0, 5)
    model = timm.create_model(f"local-dir:{tmp_path / 'timm'}", pretrained=True).eval()
    assert model.pretrained_cfg["label_names"] == ["class0", "class1", "class2"]
    data = timm.data.resolve_model_data_config(model)
    assert (tuple(data["input_size"]), data["crop_mode"], data["crop_pct"]) == ((3, 32, 32), "squash", 1.0)
    file = linear.catalog.file(0)
    prepared = timm.data.create_transform(**data)(
        Image.open(file).convert("RGB")
    )  # 32 px already: no resizing
    with torch.no_grad():
        found = model(prepared[None]).softmax(1)[0].numpy()
    np.testing.assert_allclose(found, linear.predict(file).probabilities[0], atol=1e-5)


def test_timm_is_not_told_what_it_cannot_build(finished: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not timm's own foveate_small_cnn with one linear layer"):
        export_timm(finished, tmp_path / "timm")
    assert not (tmp_path / "timm").exists()
