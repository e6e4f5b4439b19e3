"""A network that sees a part of larger pictures: in training a random one, in use the middle; maps lie over it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.core.errors import ConfigError
from foveate.experiment import Run, run
from training_helpers import experiment, phase

PART: dict[str, Any] = {
    "data": {"fit": "squash@48", "augment": {"preset": "none"}, "split": {"val": 0.25, "test": 0.25}},
    "training": {"phases": [phase(epochs=2)], "precision": "fp32"},
}


@pytest.fixture(scope="module")
def done(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(experiment(**PART), tree, tmp_path_factory.mktemp("runs") / "part")


def test_it_is_measured_on_the_middle(done: Run) -> None:
    table = done.predictions
    test = [row for row in range(len(table)) if table.split[row] == "val"]
    files = [done.catalog.root / table.path[row] for row in test]
    card = done.model.card
    images = []
    for file in files:
        whole = Image.open(file).convert("RGB").resize((48, 48), Image.Resampling.BILINEAR)
        middle = torch.from_numpy(np.array(whole)[8:40, 8:40]).permute(2, 0, 1).float() / 255
        images.append(
            (middle - torch.tensor(card.mean)[:, None, None]) / torch.tensor(card.std)[:, None, None]
        )
    with torch.no_grad():
        p = done.model(torch.stack(images)).logits.double().softmax(dim=1).numpy()
    np.testing.assert_allclose(table.probabilities[test], p, atol=1e-5)
    np.testing.assert_allclose(done.predict(files, device="cpu").probabilities, p, atol=1e-5)
    # The last epoch is what is kept, so its validation is what was measured in the end.
    assert done.history[-1]["val_accuracy"] == pytest.approx(np.mean(p.argmax(axis=1) == table.label[test]))
    assert done.history[-1]["val_loss"] == pytest.approx(
        -np.log(p[np.arange(len(test)), table.label[test]]).mean(), rel=1e-4
    )


def test_training_sees_other_parts_in_other_epochs(done: Run, tree: Path, tmp_path: Path) -> None:
    fixed = experiment(**{**PART, "data": {**PART["data"], "fit": "squash"}})
    other = run(fixed, tree, tmp_path / "whole")
    assert other.history[0]["train_loss"] != done.history[0]["train_loss"]
    again = run(done.experiment, tree, tmp_path / "again")
    assert [row["train_loss"] for row in again.history] == [row["train_loss"] for row in done.history]


def test_maps_lie_over_the_part_that_is_seen(done: Run, tree: Path) -> None:
    (item,) = done.explain(sorted((tree / "images").rglob("*.png"))[0], "gradcam", device="cpu")
    over = item.over("gradcam@last")
    height, width = over.shape
    rows, columns = np.isfinite(over).any(axis=1), np.isfinite(over).any(axis=0)
    assert (rows.sum(), columns.sum()) == (
        pytest.approx(height * 2 / 3, abs=1.5),
        pytest.approx(width * 2 / 3, abs=1.5),
    )
    assert not any(line[end] for line in (rows, columns) for end in (0, -1))


def test_other_pictures_are_refused(tree: Path, tmp_path: Path) -> None:
    proxies = ({"kind": "proxy_attention", "schedule": ["p", 1], "share": 1.0, "threshold": 0.3},)
    with pytest.raises(ConfigError, match="needs a network that sees all of a picture"):
        run(experiment(**PART, feedback=list(proxies)), tree, tmp_path / "run")
