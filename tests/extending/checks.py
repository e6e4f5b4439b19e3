"""What holds of the examples of ``docs/extending.md``; ``test_extending.py`` runs it where the package has them.

Each test trains by the very command that the page shows, on small pictures.
"""

import os
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from typer.testing import CliRunner

from foveate import Run, explain
from foveate.cli.main import app
from foveate.core.progress import Progress
from foveate.data.batch import Batch
from foveate.data.discover import discover
from foveate.experiment.specification import Experiment, merge
from foveate.models.output import Output
from layout_copies import picture, write
from training_helpers import BASE, Killer, in_child

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")


def test_a_loss(tmp_path: Path) -> None:
    from foveate.objectives.confidence import Confidence

    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    loss = Confidence(Confidence.Config(), None)(Output(logits), None, Progress())
    assert loss.item() == pytest.approx(-np.mean(entropy(logits.softmax(1).numpy(), axis=1)), rel=1e-5)
    trained = shown("objective.calm", tmp_path)
    assert trained.experiment.to_dict()["objective"]["calm"]["weight"] == 0.1
    # The column of the term is its mean over the epoch: an entropy of 3 classes.
    assert all(-np.log(3) - 1e-3 <= row["train_calm"] <= 0 for row in trained.history)


def test_an_explainer(tmp_path: Path, finished: Run) -> None:
    network, images = finished.model, torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pixels = images.clone().requires_grad_()
    network(pixels).logits[:, 1].sum().backward()
    found = explain(network, images, 1, "gradient_norm", raw=True)
    torch.testing.assert_close(found, pixels.grad.norm(dim=1))
    command(
        "gradient_norm",
        tmp_path,
        {"runs/calm": str(finished.folder), "new": f"{os.environ['TREE']}/images/class0"},
    )
    assert list((tmp_path / "maps").rglob("*.png"))
    assert "gradient_norm" in CliRunner().invoke(app, ["list", "explainers"]).output


def test_a_head_with_a_setting_of_its_own(tmp_path: Path) -> None:
    trained = shown("model.head.kind=maxout", tmp_path)
    head, features = trained.model.head, torch.randn(2, trained.model.num_features)
    weight, bias = head.classifier.weight.detach(), head.classifier.bias.detach()
    assert len(weight) == 3 * 4  # classes x pieces
    for logits, row in zip(head(features), features, strict=True):
        answers = [float(row @ weight[k] + bias[k]) for k in range(12)]
        assert logits.tolist() == pytest.approx([max(answers[4 * c : 4 * c + 4]) for c in range(3)], abs=1e-4)


def test_a_batch_transform_that_asks_an_explainer(tmp_path: Path, finished: Run) -> None:
    from foveate.augmentation.spotlight import Spotlight

    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    none = torch.zeros(2, dtype=torch.bool)
    batch = Batch(images.clone(), torch.tensor([0, 2]), torch.zeros(2, 1, 32, 32), none, torch.arange(2))
    transform = Spotlight(Spotlight.Config(strength=0.8), torch.ones(3))
    changed = transform(batch, finished.model, np.random.default_rng(0), Progress(training=0.5)).images
    maps = explain(finished.model, images, torch.tensor([0, 2]), "gradcam")
    torch.testing.assert_close(changed, images - 0.4 * images * (1 - maps)[:, None])
    assert shown("spotlight", tmp_path).experiment.to_dict()["transforms"][0]["strength"] == 0.3


def test_a_network_with_two_branches_and_a_crop(tmp_path: Path) -> None:
    trained = shown("zoom", tmp_path)
    assert all(row["train_crop"] > 0 for row in trained.history)
    network, images = trained.model, torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    images[2] = 0
    # Grad-CAM of the whole picture, by hand: one pass, no crop.
    maps = network.backbone.forward_features(images)
    logits = network.classifier(network.backbone.forward_head(maps, pre_logits=True))
    slopes = torch.autograd.grad(logits[:, 1].sum(), maps)[0].mean((2, 3), keepdim=True)
    found = explain(network, images, 1, "gradcam", layer="last", raw=True)
    torch.testing.assert_close(found, (slopes * maps).sum(dim=1).clamp(min=0).detach())
    output = network(images)
    torch.testing.assert_close(output.logits, (logits + output.branches["crop"]) / 2)
    # The crop is the quarter at the strongest place.
    energy = torch.zeros(1, 4, 4)
    energy[0, 3, 0] = 1  # the lower left corner
    ramp = torch.arange(32.0).expand(1, 3, 32, 32)
    quarter = network.cropped(ramp, energy)[0, 0, 0]
    assert quarter.tolist() == pytest.approx([max(0, (k + 0.5) / 2 - 0.5) for k in range(32)])
    down = network.cropped(ramp.mT, energy)[0, 0, :, 0]
    assert down.mean().item() == pytest.approx(23.5, abs=0.1)


def test_a_feedback(tmp_path: Path) -> None:
    from foveate.feedback.second_look import SecondLook

    values = merge(BASE, {"feedback": [{"kind": "second_look"}], "training": {"phases": PHASES}})
    data = Path(os.environ["TREE"])
    whole = foveate_run(values, data, tmp_path / "whole")
    plain = foveate_run({**values, "feedback": []}, data, tmp_path / "plain")
    assert weights(whole) != weights(plain)
    killed = in_child(values, data, tmp_path / "killed", Killer(0, 7))
    killed.join()
    assert killed.exitcode == -9
    assert weights(foveate_run(values, data, tmp_path / "killed")) == weights(whole)
    assert SecondLook(SecondLook.Config()).state()["wrong"].shape == (0, 2)


PHASES = [{"name": "all", "epochs": 3, "lr": 0.003}]


def foveate_run(values: dict[str, Any], data: Path, out: Path) -> Path:
    """The folder of a finished run, made by a process of its own."""
    process = in_child(values, data, out)
    process.join()
    assert process.exitcode == 0
    return out


def weights(out: Path) -> bytes:
    return (out / "model.safetensors").read_bytes()


def command(word: str, folder: Path, places: dict[str, str]) -> None:
    """Run the page's command that contains ``word``; its ``--out`` lands in ``folder``."""
    [line] = [line for line in re.findall(r"^foveate .*$", PAGE, re.MULTILINE) if word in line]
    words = [places.get(part, part) for part in shlex.split(line)[1:]]
    out = words.index("--out") + 1
    words[out] = str(folder / words[out])
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output


def shown(word: str, folder: Path) -> Run:
    """The run of the page's training command that contains ``word``, made small."""
    import foveate.recipes

    model = {"backbone": "foveate_small_cnn", "weights": "none"}
    small = Experiment.from_dict({**merge(BASE, {"training": {"phases": PHASES}}), "model": model})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(foveate.recipes, "finetune", lambda **_: small)
        command(word, folder, {"pictures": os.environ["TREE"]})
    [experiment] = (folder / "runs").rglob("experiment.yaml")
    return Run.open(experiment.parent)


def test_a_published_data_set(tmp_path: Path) -> None:
    root = tmp_path / "textures"
    listed = {
        "train": ["banded/1", "dotted/1"],
        "val": ["banded/2", "dotted/2"],
        "test": ["banded/3", "dotted/3"],
    }
    for split, names in listed.items():
        write(root, f"labels/{split}1.txt", [f"{name}.jpg" for name in names])
        for name in names:
            picture(root, f"images/{name}.jpg")
    found = discover(root)
    assert found.layout == "Describable Textures"
    read = {s.path: (found.catalog.classes[s.label], s.split) for s in found.catalog.samples}
    assert read == {
        f"images/{name}.jpg": (name.split("/")[0], split) for split, names in listed.items() for name in names
    }
    checked = CliRunner().invoke(app, ["check", str(root)])
    assert "Recognised as Describable Textures: 6 pictures, 2 classes" in " ".join(checked.output.split())
