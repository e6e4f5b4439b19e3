"""Run.look: which pictures, which masks, which scores, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import foveate
from foveate.core.errors import ConfigError, DataError
from foveate.experiment import Run

QUICK = {"faithfulness": {"scores": ("insertion",), "steps": 2}}


def test_the_runs_own_test_pictures(finished: Run) -> None:
    table = foveate.look(finished.folder, methods=("gradcam",), limit=5, **QUICK)
    known = [finished.catalog.samples[row].path for row in finished.catalog.indices("test")]
    assert len(table.paths) == min(5, len(known))
    assert set(table.paths) <= set(known)
    assert set(table.values["gradcam"]) > {"pointing", "insertion"}
    assert table.settings["split"] == "test"
    assert table.settings["masked"] == len(table.paths)


def test_other_masks(finished: Run, tree: Path, tmp_path: Path) -> None:
    for file in (tree / "masks").rglob("*.png"):
        mask = np.zeros((32, 32), dtype=np.uint8)
        mask[:, :8] = 255
        out = tmp_path / "left" / file.relative_to(tree / "masks")
        out.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(out)
    table = finished.look(metrics=("localisation",), masks=tmp_path / "left", limit=4)
    np.testing.assert_allclose(table.values["chance"]["energy"], 0.25)


def test_another_data_set_without_masks(finished: Run, tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree / "images" / "class1", tmp_path / "data" / "class1")
    table = finished.look(tmp_path / "data", limit=3, **QUICK)
    assert "pointing" not in table.values["gradcam"]
    assert table.cells()["gradcam"]["insertion"].n <= 3
    with pytest.raises(DataError, match="has a mask, which localisation needs"):
        finished.look(tmp_path / "data", metrics=("localisation",))


def test_what_is_refused(finished: Run) -> None:
    with pytest.raises(ConfigError, match="no explanation method"):
        finished.look(methods=("gradcan",), limit=2)
    with pytest.raises(ConfigError, match="metrics"):
        finished.look(metrics=("localization",), limit=2)
    with pytest.raises(ConfigError, match="fill"):
        finished.look(limit=2, faithfulness={"fill": "white"})
