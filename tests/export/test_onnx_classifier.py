"""``foveate predict MODEL.onnx``: the run's own table, without torch."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from foveate.cli.main import app
from foveate.core.errors import DataError
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment import Run
from foveate.export.card import KEY
from foveate.export.onnx_classifier import OnnxClassifier


def foveate(*words: object) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def model(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("onnx") / "run.onnx"
    told = foveate("export", finished.folder, "--onnx", file)
    assert told.exit_code == 0, told.output
    assert "the same class in 100.00%" in " ".join(told.output.split())
    return file


def test_the_same_table_as_the_run(finished: Run, model: Path, tree: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    shutil.copytree(tree / "images", new)
    (new / "broken.png").write_bytes(b"nothing")
    photo = Image.effect_mandelbrot((1200, 900), (-2, -1.2, 1, 1.2), 60).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(new / "turned.jpg", exif=exif)
    for source, file in ((finished.folder, "a.csv"), (model, "b.csv")):
        told = foveate("predict", source, new, new / "turned.jpg", "--quick", "--out", tmp_path / file)
        # One picture is asked for twice, and has two of the 50 predictions.
        assert "1 of 51 pictures could not be read" in " ".join(told.output.split())
    a, b = (PredictionTable.from_csv(tmp_path / file) for file in ("a.csv", "b.csv"))
    assert len(a) == 50
    assert a.path.tolist() == b.path.tolist()
    assert a.class_ids == b.class_ids
    np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-5)
    assert list(a.look) == list(b.look) == ["calibrated", "not_sure"]
    np.testing.assert_allclose(a.look["calibrated"], b.look["calibrated"], atol=1e-4)
    np.testing.assert_array_equal(a.look["not_sure"], b.look["not_sure"])
    unreadable = [(tmp_path / f"{name}.unreadable.csv").read_text() for name in "ab"]
    assert unreadable[0] == unreadable[1]


def test_distances_are_those_of_the_run_but_for_rounding(
    finished: Run, model: Path, tree: Path, tmp_path: Path
) -> None:
    said = []
    for source, file in ((finished.folder, "a.csv"), (model, "b.csv")):
        told = foveate("predict", source, tree / "images", "--out", tmp_path / file)
        said.append(re.findall("False alarms, by .* of pictures like the run's own", told.output))
    assert said[0] == said[1] != []
    a, b = (PredictionTable.from_csv(tmp_path / file).look for file in ("a.csv", "b.csv"))
    np.testing.assert_allclose(a["distance"], b["distance"], atol=0.01)
    assert (a["distance"] > 0.02).any()
    assert np.mean(a["far"] != b["far"]) < 0.05


def test_a_training_picture_that_is_gone_costs_what_is_far_alone_and_it_is_said(
    finished: Run, tree: Path, tmp_path: Path
) -> None:
    file = tmp_path / "model.ONNX"
    gone = finished.catalog.file(int(finished.catalog.indices("train")[0]))
    gone.rename(tmp_path / "gone.png")
    try:
        exported = foveate("export", finished.folder, "--onnx", file)
    finally:
        (tmp_path / "gone.png").rename(gone)
    assert exported.exit_code == 0, exported.output
    told = foveate("predict", file, tree / "images" / "class0", "--out", tmp_path / "p.csv")
    assert told.exit_code == 0, told.output
    assert "does not know what is far from its training pictures" in " ".join(told.output.split())
    assert "does not know when it is sure" not in " ".join(told.output.split())


def test_neither_torch_nor_anything_heavy_is_imported(model: Path, tree: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from foveate.cli.main import app; app(sys.argv[1:], standalone_mode=False); "
        "print([name for name in ('torch', 'scipy', 'sklearn', 'pandas', 'timm', 'matplotlib') if name in sys.modules])"
    )
    words = ["predict", model, tree / "images" / "class0", "--out", tmp_path / "p.csv"]
    told = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], check=True, capture_output=True, text=True
    )
    assert told.stdout.splitlines()[-1] == "[]", told.stdout
    assert len(PredictionTable.from_csv(tmp_path / "p.csv")) == 16


def test_files_that_are_not_ours(model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.onnx does not exist; foveate export RUN --onnx writes one"):
        OnnxClassifier(tmp_path / "gone.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(DataError, match=r"text\.onnx is no ONNX file that can be used"):
        OnnxClassifier(tmp_path / "text.onnx")
    proto = onnx.load(model)
    card = proto.metadata_props[0].value
    proto.metadata_props[0].value = card.replace('"size":32', '"size":"wide"')
    with pytest.raises(DataError, match=r"the card: size must be a whole number"):
        OnnxClassifier(proto.SerializeToString())
    assert proto.metadata_props[0].key == KEY
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "foreign.onnx")
    with pytest.raises(DataError, match=r"foreign\.onnx was not written by foveate export: it has no card"):
        OnnxClassifier(tmp_path / "foreign.onnx")


def test_what_does_not_fit_is_refused(finished: Run, model: Path, tree: Path, tmp_path: Path) -> None:
    told = foveate("predict", model, tree / "images", "--tta", "flip", "--out", tmp_path / "p.csv")
    assert "An ONNX file has its test-time views inside" in " ".join(told.output.split())
    told = foveate("predict", model, tree / "images", "--level", "0.9", "--out", tmp_path / "p.csv")
    assert "knows when it is sure at --level 0.95 alone" in " ".join(told.output.split())
    assert "Say what to write: --onnx FILE" in " ".join(foveate("export", finished.folder).output.split())
