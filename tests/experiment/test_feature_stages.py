"""Feature maps before, on the way and after are those of a plain forward pass; the report draws them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import foveate
from foveate.core.errors import RunError
from foveate.experiment import Run, run
from foveate.experiment.feature_stages import AFTER, BEFORE, FILE, TAPS, FeatureStages, feature_stages
from foveate.models.build import build_network
from foveate.models.store import load_model
from training_helpers import experiment, phase


@pytest.fixture(scope="module")
def kept(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    asked = experiment(training={"phases": [phase(epochs=3)], "keep_every": 2})
    return run(asked, tree, tmp_path_factory.mktemp("runs") / "kept")


def test_maps_are_those_of_the_networks(kept: Run) -> None:
    found = feature_stages(kept, "cpu")
    e = kept.experiment
    networks = {
        BEFORE: build_network(e.model, len(kept.catalog.classes), e.data.size, e.seed),
        "epoch 2": load_model(kept.folder / "epochs" / "0002"),
        AFTER: kept.model,
    }
    images = torch.from_numpy(found.image).permute(0, 3, 1, 2).float() / 255
    assert list(found.maps) == list(TAPS)
    for tap in TAPS:
        assert list(found.maps[tap]) == list(networks)
        for stage, network in networks.items():
            mean, std = (v.view(1, 3, 1, 1) for v in (network.mean, network.std))
            with torch.no_grad():
                plain = network.eval()((images - mean) / std, taps=(tap,)).taps[tap].mean(1)
            low, high = (end(plain, dim=(1, 2), keepdim=True) for end in (torch.amin, torch.amax))
            expected = ((plain - low) / (high - low)).numpy()
            np.testing.assert_allclose(found.maps[tap][stage], expected, atol=2e-3)
    assert not np.array_equal(found.maps["late"][BEFORE], found.maps["late"][AFTER])


def test_the_report_draws_them(kept: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(kept.folder, tmp_path / "run"))
    page = foveate.report(folder).read_text(encoding="utf-8")
    assert "What training changed" not in page
    page = foveate.report(folder, feature_maps=True).read_text(encoding="utf-8")
    found = FeatureStages.load(folder / FILE)
    assert "What training changed" in page
    assert page.count('data-name="feature-maps-') == len(found.index)
    for word in ("before", "epoch 2", "after", "early", "middle", "late"):
        assert word in page[page.index("What training changed") :]


def test_what_is_not_known_is_said(kept: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(kept.folder, tmp_path / "run"))
    (folder / "maps.npz").unlink()
    (folder / "manifest.json").unlink()
    with pytest.raises(RunError, match=r"has no maps\.npz"):
        feature_stages(Run.open(folder), "cpu")
