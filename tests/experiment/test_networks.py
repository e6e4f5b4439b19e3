"""Networks of several passes and several heads go through all that the ordinary one goes through."""

import copy
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import foveate
import toy_networks
from foveate.core.errors import ConfigError, WeightsError
from foveate.experiment import Experiment, Run, run
from foveate.experiment.specification import merge
from foveate.explanation import explain
from foveate.models.build import build_network
from foveate.models.networks import Classifier
from foveate.models.settings import ModelConfig
from foveate.models.store import load_model, save_model
from foveate.models.summary import summarise_network
from foveate.objectives import Context, Objective, Progress
from foveate.objectives.classification import CrossEntropy
from foveate.training.checkpoint import load_checkpoint
from foveate.training.checks import check_batches
from foveate.training.optimizers import parameter_groups
from foveate.training.training_job import TrainingConfig
from training_helpers import Killer, experiment, in_child, phase

BRANCHES = {
    "zoom": ("raw", "object", "parts"),
    "stripes": ("first", "second", "both"),
    "fbsd": ("level1", "level2", "level3", "concat"),
    "mmal": ("raw", "object", "parts"),
    "cal": ("raw", "effect", "crops"),
}
ONE = {"classification": {"kind": "cross_entropy"}}
"""Of networks without branches."""
TERMS: dict[str, dict[str, Any]] = {
    **{kind: {n: {"kind": "cross_entropy", "on": n} for n in names} for kind, names in BRANCHES.items()},
    "bilinear": ONE,
    "attention": ONE,
}
TERMS["cal"] = TERMS["cal"] | {"centre": {"kind": "centre", "on": "attended", "weight": 0.1}}
SMALL: dict[str, dict[str, Any]] = {
    "fbsd": {"width": 16, "dropout": 0.2},
    "cal": {"maps": 4},
    "bilinear": {"size": 256},
}
"""Settings that make the real ones as small as the pictures."""
TOYS = ("zoom", "stripes")
LOOK = {"look": {"kind": "spatial_energy", "aggregate": "gradcam", "tap": "late", "weight": 0.2}}
"""A loss on the class map, which is of the whole picture."""


@pytest.fixture(scope="module", autouse=True)
def _known() -> Iterator[None]:
    with toy_networks.known():
        yield


def asked(kind: str, **changes: Any) -> Experiment:
    """Two phases, the first with a frozen backbone; moving average, accumulated steps, losses on branches and maps."""
    phases = [
        phase(name="own", trainable="head", epochs=2, lr=0.02),
        phase(epochs=6, lr=0.01, lr_factors={"head": 2.0}, schedule={"kind": "one_cycle"}),
    ]
    training = {"ema": 0.7, "accumulate": 2, "batch_size": 4, "phases": phases}
    base = experiment(training=training, data={"augment": {"preset": "basic"}}, seed=4)
    values = merge(
        merge(
            base.to_dict(), {"model": {"network": {"kind": kind, **SMALL.get(kind, {})}, "head": "linear"}}
        ),
        changes,
    )
    return Experiment.from_dict({**values, "objective": {**TERMS[kind], **LOOK}})


def network(kind: str, size: int = 32) -> Any:
    config = ModelConfig(
        backbone="foveate_small_cnn", weights="none", network=toy_networks.NETWORKS[kind].Config()
    )
    return build_network(config, classes=3, size=size, seed=2)


@pytest.fixture(scope="module", params=list(TERMS))
def done(request: pytest.FixtureRequest, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(asked(request.param), tree, tmp_path_factory.mktemp("runs") / request.param)


@pytest.mark.slow
def test_it_is_trained_measured_and_loaded_again(done: Run) -> None:
    kind = done.experiment.model.network.kind
    rows = done.history
    assert done.model.card.network["kind"] == kind
    assert type(done.model) is toy_networks.NETWORKS[kind]
    always = f"train_{next(iter(TERMS[kind]))}"
    assert rows[-1][always] < rows[0][always]
    for name in TERMS[kind]:
        first_only = kind in ("zoom", "mmal") and name != "raw"
        assert (rows[0].get(f"train_{name}") is None) == first_only, (
            "in the first epoch the picture alone counts"
        )
        assert rows[1][f"train_{name}"] > 0
        assert (rows[1].get(f"val_{name}") is None) == (name in ("parts", "crops")), (
            "evaluation does without parts"
        )
    features = [d for d in done.environment["decisions"] if d["name"].startswith("features")]
    assert [d["value"] for d in features] == ["recomputed", "recomputed"]
    assert f"the network '{kind}' does more" in features[0]["reason"]


def test_evaluation_and_prediction_say_what_the_run_said(done: Run) -> None:
    again = done.evaluate(device="cpu")
    np.testing.assert_allclose(again.probabilities, done.predictions.probabilities, atol=1e-5)
    files = [done.catalog.root / path for path in again.path[:3]]
    loose = done.predict(files, device="cpu")
    np.testing.assert_allclose(loose.probabilities, again.probabilities[:3], atol=1e-5)
    images = torch.stack([_read(done, file) for file in files])
    with torch.no_grad():
        logits = done.model(images).logits
    np.testing.assert_allclose(logits.double().softmax(1).numpy(), loose.probabilities, atol=1e-5)


def _read(done: Run, file: Path) -> torch.Tensor:
    values = torch.from_numpy(np.array(Image.open(file).convert("RGB"))).permute(2, 0, 1).float() / 255
    card = done.model.card
    return (values - torch.tensor(card.mean)[:, None, None]) / torch.tensor(card.std)[:, None, None]


def test_its_class_map_is_of_the_whole_picture(done: Run, tree: Path) -> None:
    files = sorted((tree / "images").rglob("*0.png"))
    maps, exact = [], copy.deepcopy(done.model).double()
    for file, item in zip(files, done.explain(files, "gradcam", "stage:-1", device="cpu"), strict=True):
        image = _read(done, file)[None]
        found, plain, expected = (
            values / max(values.max(), 1e-9)
            for values in (
                *item.maps.values(),
                _grad_cam(done.model, image),
                _grad_cam(exact, image.double()),
            )
        )
        maps.append(found)
        # Single precision alone is off by 4e-4 where a square root has a gradient near 0, by 1e-7 elsewhere.
        np.testing.assert_allclose(found, expected, atol=1e-4 + 10 * abs(plain - expected).max())
    assert np.ptp(maps) > 0.5


def _grad_cam(model: Any, images: torch.Tensor) -> np.ndarray:
    """(h, w), of the class that is predicted for (1, 3, H, W)."""
    chosen = int(model(images).logits.argmax())
    if isinstance(model, toy_networks.Zoom):  # its one layer on the mean of the map of the whole picture
        maps, weights = model.backbone.forward_features(images), model.fc.weight[chosen]
    else:
        with toy_networks.capture_taps(model.backbone, ["stage:-1"], images) as taps:
            given = model(images)
        maps = taps["stage:-1"]
        # MMAL-Net predicts from the object; the answer to the whole picture is its branch "raw".
        logits = given.branches["raw"] if model.card.network["kind"] in ("mmal", "cal") else given.logits
        (gradient,) = torch.autograd.grad(logits[0, chosen], maps)
        weights = gradient[0].mean((1, 2))
    return (weights[:, None, None] * maps[0]).sum(dim=0).relu().detach().numpy()


def test_where_it_looks_is_measured(done: Run) -> None:
    table = done.look(methods=("gradcam", "occlusion"), device="cpu", limit=4)
    assert set(table.methods) <= set(table.values)
    assert all(np.isfinite(table.values[row]["energy"]).any() for row in table.methods)
    assert np.isfinite(done.predictions.look["energy_in_mask"]).any()


def test_the_history_has_the_validation_of_each_branch(done: Run) -> None:
    rows = [i for i, sample in enumerate(done.catalog.samples) if sample.split == "val"]
    images = torch.stack([_read(done, done.catalog.file(i)) for i in rows])
    labels, last = done.catalog.labels[rows], done.history[-1]
    with torch.no_grad():
        given = done.model(images).branches
    named = set(given) - {"attended"}
    assert named == {name for name in done.model.branches if name not in ("parts", "crops", "attended")}
    assert {name for name in last if name.startswith("val_accuracy_")} == {f"val_accuracy_{n}" for n in named}
    for name in named:
        p = given[name].double().softmax(dim=1).numpy()
        assert last[f"val_accuracy_{name}"] == pytest.approx((p.argmax(axis=1) == labels).mean())
        assert last[f"val_loss_{name}"] == pytest.approx(
            -np.log(p[np.arange(len(rows)), labels]).mean(),
            rel=1e-3,
            abs=1e-6,  # of single precision
        )


def test_its_report_draws_each_branch(done: Run, tmp_path: Path) -> None:
    page = foveate.report(done, tmp_path / "report.html").read_text(encoding="utf-8")
    assert ("Validation accuracy of each branch" in page) == bool(done.model.branches)
    for name in (n for n in done.history[-1] if n.startswith("val_accuracy_")):
        assert f"{name.removeprefix('val_accuracy_')} ends at {done.history[-1][name]:.3g}" in page


def test_it_is_inverted(done: Run, tmp_path: Path) -> None:
    found = foveate.invert(
        done, device="cpu", out=tmp_path / "classes", steps=12, lr=30, blur_every=0, statistics=0
    )
    assert (tmp_path / "classes" / "sheet.png").is_file()
    mean, std = (torch.tensor(v)[:, None, None] for v in (done.model.card.mean, done.model.card.std))
    with torch.no_grad():
        p = done.model((found.images - mean) / std).logits.softmax(dim=1)
    np.testing.assert_allclose(found.probabilities, p[range(3), found.numbers], atol=1e-3)
    assert (found.final > found.scores[0]).all(), "it answers them more strongly than the noise they began as"


@pytest.mark.slow
def test_killed_and_resumed_it_ends_bit_equal(tree: Path, tmp_path: Path, done: Run) -> None:
    for killer, code in ((Killer(1, 3), -signal.SIGKILL), (None, 0)):
        child = in_child(done.experiment.to_dict(), tree, tmp_path / "run", killer, toy_networks.run_here)
        child.join()
        assert child.exitcode == code
        assert bool(load_checkpoint(tmp_path / "run" / "checkpoint")) == (code != 0)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (
        done.folder / "model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("kind", list(TERMS))
def test_with_a_frozen_backbone_its_own_parts_are_trained(kind: str, tree: Path, tmp_path: Path) -> None:
    only = asked(kind, training={"phases": [phase(trainable="head", epochs=2)], "ema": None})
    trained, untrained = run(only, tree, tmp_path / "run").model, build_network(only.model, 3, 32, only.seed)
    before, after = untrained.state_dict(), trained.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if not name.startswith("backbone.")} - {"bins", "signs"}


@pytest.mark.parametrize("kind", TOYS)
def test_everything_automatic_copes(kind: str, tree: Path, tmp_path: Path) -> None:
    automatic = {"phases": [phase(epochs=2, lr="auto")], "batch_size": "auto", "precision": "auto"}
    assert run(asked(kind, training=automatic), tree, tmp_path / "run").finished


def test_what_is_tried_out_needs_no_sensible_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    def strict(image: torch.Tensor, feature_map: torch.Tensor) -> torch.Tensor:
        raise ValueError("nothing stands out")

    monkeypatch.setattr(toy_networks, "_crop", strict)
    model = network("zoom").eval()
    with pytest.raises(ValueError, match="nothing stands out"):
        model(torch.zeros(1, 3, 32, 32))
    assert model.tap_channels("stage:-1") == 160
    summary = summarise_network(model)
    assert summary.parameters == sum(p.numel() for p in model.parameters())
    assert summary.rows[-1].name == "fc"
    check_batches(model, TrainingConfig(batch_size=1), pictures=8)


@pytest.mark.parametrize("method", ["attention_rollout", "transformer_relevance"])
def test_attention_is_that_of_the_pass_over_the_whole_picture(method: str) -> None:
    settings = ModelConfig(backbone="test_vit", weights="none")
    zoom = build_network(settings.model_copy(update={"network": toy_networks.Zoom.Config()}), 3, 32, 2)
    plain = build_network(settings, 3, 32, 2)
    with torch.no_grad():
        plain.head.classifier.weight.copy_(zoom.fc.weight)  # type: ignore[union-attr, operator]
        plain.head.classifier.bias.copy_(zoom.fc.bias)  # type: ignore[union-attr, operator]
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found, alone = (explain(model.eval(), images, [1, 2], method) for model in (zoom, plain))
    torch.testing.assert_close(found, alone, rtol=1e-3, atol=1e-4)


def test_new_parts_are_of_the_group_of_the_head() -> None:
    model = network("stripes")
    groups = parameter_groups(model, 0.05, {"backbone": 0.1, "head": 2.0, "both.bias": 3.0}, 0.5)
    factor = {id(p): group["lr_factor"] for group in groups for p in group["params"]}
    part = {id(p): group["part"] for group in groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        inside = name.startswith("backbone.")
        assert part[id(parameter)] == ("backbone" if inside else "head")
        if not inside:
            assert factor[id(parameter)] == (3.0 if name == "both.bias" else 2.0)
    assert max(factor[id(p)] for p in model.backbone.parameters()) == pytest.approx(0.1)


def test_an_objective_of_which_nothing_is_computed_is_refused() -> None:
    model = network("zoom").train()
    model.progress = Progress()
    terms = {"parts": CrossEntropy.Config(on="parts")}
    objective = Objective(terms, Context(("a", "b", "c"), (1, 1, 1), branches=model.branches))
    images = torch.rand(2, 3, 32, 32)
    with pytest.raises(ConfigError, match=r"none of the branches that the terms are on \(parts\)"):
        objective(model(images), None, Progress())  # type: ignore[arg-type]


def test_settings_and_cards(tmp_path: Path) -> None:
    plain = experiment().hash()
    assert experiment(model={"network": {"kind": "classifier"}}).hash() == plain
    assert experiment(model={"network": "classifier"}).hash() == plain
    assert asked("zoom").hash() != asked("zoom", model={"network": {"kind": "zoom", "parts": 3}}).hash()
    with pytest.raises(ConfigError, match=r"network\.kind must be one of 'classifier'"):
        experiment(model={"network": "zom"})
    with pytest.raises(ConfigError, match=r"'zoom' has heads of its own; leave model\.head out"):
        experiment(model={"network": "zoom"})
    save_model(network("zoom"), tmp_path, class_names=("a", "b", "c"))
    card = json.loads((tmp_path / "model.json").read_text())
    assert (card["network"], card["head"]) == ({"kind": "zoom", "parts": 2}, None)
    (tmp_path / "model.json").write_text(json.dumps({**card, "network": {"kind": "zom"}}))
    with pytest.raises(WeightsError, match=r"model\.json: network\.kind must be one of"):
        load_model(tmp_path)


def test_a_card_from_before_networks_had_kinds_is_the_classifiers(tmp_path: Path) -> None:
    config = ModelConfig(backbone="foveate_small_cnn", weights="none")
    model = build_network(config, classes=3, size=32, seed=1)
    save_model(model, tmp_path, class_names=("a", "b", "c"))
    card = json.loads((tmp_path / "model.json").read_text())
    del card["network"]
    (tmp_path / "model.json").write_text(json.dumps(card))
    again, images = load_model(tmp_path), torch.rand(2, 3, 32, 32)
    assert type(again) is Classifier
    torch.testing.assert_close(again(images).logits, model.eval()(images).logits)


def test_the_next_run_keeps_all_that_is_beside_the_backbone(tmp_path: Path) -> None:
    first = network("stripes")
    save_model(first, tmp_path, class_names=("a", "b", "c"), class_ids=("a", "b", "c"))
    settings = {"weights": str(tmp_path), "keep_head": True}
    kept = build_network(ModelConfig(network={"kind": "stripes"}, **settings), 3, 32, 9, ("a", "b", "c"))
    other = build_network(
        ModelConfig(network={"kind": "stripes", "factor": 0.4}, **settings), 3, 32, 9, ("a", "b", "c")
    )
    assert torch.equal(kept.both.weight, first.both.weight)
    assert not torch.equal(other.both.weight, first.both.weight)
    assert any("built in another way" in note for note in other.notes)
