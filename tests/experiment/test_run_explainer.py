"""A run explains loose pictures: the same answers as predict, maps that lie where they belong, clear errors."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from drawn import draw_tree
from foveate.core.errors import ConfigError, DataError
from foveate.data.square import resize
from foveate.experiment import Experiment, Run, run
from foveate.experiment.run_explainer import (
    REFERENCES,
    Column,
    ExplainConfig,
    Frame,
    RunExplainer,
    _placed,
    lay_over,
    pictures_of,
    reference_pictures,
)
from foveate.experiment.subjects import agreeing_pictures
from foveate.explanation import EXPLAINERS, Explainer, explain
from foveate.explanation.explainer import PIXELS
from foveate.explanation.probe import Probe
from training_helpers import experiment


class Brightness(Explainer):
    """The picture's own brightness: a map whose truth is the picture."""

    def __call__(
        self, probe: Probe, images: torch.Tensor, targets: torch.Tensor, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        return {PIXELS: images.sum(dim=1)}


class Chosen(Brightness):
    """The class that was asked for, everywhere."""

    slow = True

    def __call__(
        self, probe: Probe, images: torch.Tensor, targets: torch.Tensor, layers: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        probe.report(1, 2)
        return {PIXELS: targets.float()[:, None, None].expand(-1, 4, 4)}


@pytest.fixture(autouse=True)
def _more_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXPLAINERS._classes, "brightness", Brightness)
    monkeypatch.setitem(EXPLAINERS._classes, "chosen", Chosen)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """{fit: a run}, each barely trained."""
    tree = draw_tree(tmp_path_factory.mktemp("tree"), classes=2, each=8)
    phases = [{"name": "a", "epochs": 1, "trainable": "head", "lr": 0.01}]
    runs = tmp_path_factory.mktemp("runs")
    return {
        fit: run(
            experiment(
                data={"fit": fit}, training={"phases": phases}, evaluation={"background_tests": False}
            ),
            tree,
            runs / fit,
        )
        for fit in ("squash", "crop", "pad")
    }


def blob(path: Path, width: int, height: int, at: tuple[float, float]) -> np.ndarray:
    """A dark picture with a bright soft spot at (x, y), shares of width and height; returns its brightness."""
    y, x = np.mgrid[0:height, 0:width]
    radius = min(width, height) / 6
    spot = np.exp(-(((x + 0.5 - at[0] * width) ** 2 + (y + 0.5 - at[1] * height) ** 2) / (2 * radius**2)))
    values = (20 + 220 * spot).astype(np.uint8)
    Image.fromarray(np.repeat(values[..., None], 3, axis=2)).save(path)
    return spot


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize(
    ("width", "height", "at"), [(37, 101, (0.5, 0.6)), (160, 47, (0.45, 0.5)), (64, 64, (0.3, 0.7))]
)
def test_a_map_lies_where_its_evidence_is(
    fit: str, width: int, height: int, at: tuple[float, float], fitted: dict[str, Run], tmp_path: Path
) -> None:
    spot = blob(tmp_path / "spot.png", width, height, at)
    (item,) = fitted[fit].explain(tmp_path / "spot.png", "brightness")
    values = item.over("brightness")
    assert values.shape == (height, width)
    seen = np.isfinite(values)
    side = min(width, height)
    assert seen.all() if fit != "crop" else abs(int(seen.sum()) - side * side) <= side
    # The map went through 32 x 32 pixels; what the spot loses there is the tolerance.
    assert np.abs(values[seen] - spot[seen]).mean() < 0.03
    row, column = np.unravel_index(np.nanargmax(values), values.shape)
    step = max(width, height) / 32
    assert abs(row + 0.5 - at[1] * height) <= step
    assert abs(column + 0.5 - at[0] * width) <= step


def test_a_picture_that_its_exif_turns_is_explained_upright(fitted: dict[str, Run], tmp_path: Path) -> None:
    blob(tmp_path / "spot.png", 60, 30, (0.2, 0.3))
    with Image.open(tmp_path / "spot.png") as image:
        exif = Image.Exif()
        exif[0x0112] = 6
        image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    for name in ("turned.jpg", "spot.png"):
        (item,) = fitted["squash"].explain(tmp_path / name, "brightness")
        values = item.over("brightness")
        assert values.shape == (30, 60)
        row, column = np.unravel_index(values.argmax(), values.shape)
        assert abs(row - 9) <= 1
        assert abs(column - 12) <= 2


@pytest.mark.parametrize(("width", "height"), [(1000, 11), (11, 1000), (37, 101), (200, 132)])
def test_padding_is_undone_by_whole_pixels(width: int, height: int) -> None:
    """A ramp across the padding comes back as the part of it that lies where ``resize`` pasted the picture."""
    side = 32
    pasted = np.asarray(resize(Image.new("L", (width, height), 255), side, "pad")) == 255
    axis = 0 if width > height else 1  # along which there is padding
    places = np.flatnonzero(pasted.any(axis=1 - axis))
    ramp = np.arange(side, dtype=np.float32) / (side - 1)
    raw = np.repeat(ramp[:, None], side, axis=1) if axis == 0 else np.repeat(ramp[None], side, axis=0)
    values = lay_over(raw, Column(Brightness(), ""), Frame(width, height, "pad", side), "positive")
    length = min(width, height)
    centres = places[0] + (np.arange(length) + 0.5) * len(places) / length - 0.5
    found = values.mean(axis=1 - axis)
    np.testing.assert_allclose(found, centres / (side - 1), atol=1e-5)


def test_the_same_as_predict_and_explain(finished: Run) -> None:
    folder = finished.catalog.root / "images" / "class1"
    items = list(finished.explain(folder, ["gradcam", "layercam"], ["first", "last"]))
    table = finished.predict(folder)
    assert [item.path for item in items] == table.path.tolist()
    np.testing.assert_allclose([i.probability for i in items], table.confidence, atol=1e-5)
    assert [i.prediction for i in items] == [finished.catalog.classes[k] for k in table.prediction]
    assert {item.label for item in items} == {"class1"}
    assert list(items[0].maps) == ["gradcam@first", "gradcam@last", "layercam@first", "layercam@last"]
    model = finished.model
    pixels = np.stack([np.asarray(Image.open(folder / item.path)) for item in items])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    images = (images - model.mean.view(3, 1, 1)) / model.std.view(3, 1, 1)
    truth = explain(model, images, targets=torch.from_numpy(table.prediction), layer="last")
    for item, wanted in zip(items, truth.numpy(), strict=True):
        np.testing.assert_allclose(item.over("gradcam@last"), wanted, atol=2e-4)
    with pytest.raises(ConfigError, match="no map 'gradcam'; there are gradcam@first"):
        items[0].over("gradcam")


def test_targets(finished: Run, tree: Path, tmp_path: Path) -> None:
    strange = tmp_path / "strange.png"
    Image.new("RGB", (8, 8)).save(strange)
    (tmp_path / "class2").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "class2" / "named.png")
    pictures = [tree / "images" / "class0" / "001.png", tree / "images" / "class1" / "001.png"]

    def asked(paths: list[Path], target: str) -> list[int]:
        items = finished.explain(paths, "chosen", target=target)
        return [int(item.maps["chosen"][0, 0]) for item in items]

    assert asked(pictures, "true") == [0, 1]
    assert asked([tmp_path / "class2"], "true") == [2]
    assert asked(pictures, "class2") == [2, 2]
    predicted = [int(k) for k in finished.predict(pictures).prediction]
    assert asked(pictures, "predicted") == predicted
    (item,) = finished.explain(strange, "chosen", target="class1")
    assert item.label is None
    assert item.target == "class1"
    with pytest.raises(DataError, match=r"true class of .*strange\.png is not known \(1 of 1"):
        finished.explain(strange, "chosen", target="true")
    copies = [tmp_path / "class2" / f"copy{k}.png" for k in (0, 1)]
    for picture, copy in zip(pictures, copies, strict=True):
        shutil.copy(picture, copy)  # its bytes say more than the folder it lies in
    assert asked(copies, "true") == [0, 1]


def test_other_pictures_to_compare_with_are_training_pictures(finished: Run, tree: Path) -> None:
    picture = tree / "images" / "class0" / "001.png"
    (item,) = finished.explain(picture, "expected_gradients", settings={"expected_gradients": {"samples": 4}})
    rows = finished.catalog.indices("train", labelled=False)
    others = torch.cat([_placed(finished, finished.catalog, [int(row)], torch.device("cpu")) for row in rows])
    chosen = reference_pictures(finished, 0)
    assert len(chosen) == min(REFERENCES, len(rows))
    assert all((others == one).flatten(1).all(dim=1).any() for one in chosen)
    images = _placed(finished, pictures_of([picture]), [0], torch.device("cpu"))
    found = explain(
        finished.model, images, None, "expected_gradients", raw=True, samples=4, references=chosen
    )
    np.testing.assert_allclose(item.maps["expected_gradients"], found[0].numpy(), atol=1e-6)
    table = finished.look(
        methods=[{"kind": "gradient_shap", "baseline": "pictures", "samples": 2}],
        metrics=["faithfulness"],
        limit=2,
    )
    assert "gradient_shap" in table.methods


def test_slow_methods_report_and_chunks_change_nothing(finished: Run, tree: Path) -> None:
    explainer = RunExplainer(finished, ExplainConfig(methods=("chosen", "gradcam")))
    assert explainer.at_once == 8
    told: list[tuple[str, int, int]] = []
    catalog = pictures_of([tree / "images" / "class0"])
    whole = explainer.explain(catalog, range(4), lambda *step: told.append(step))
    assert told == [("chosen", 1, 2)]
    for row in range(4):
        (alone,) = explainer.explain(catalog, [row])
        np.testing.assert_allclose(alone.over("gradcam@last"), whole[row].over("gradcam@last"), atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "gradcamm"}, "no explanation method 'gradcamm'; did you mean gradcam"),
        ({"method": "brightness", "layers": "last"}, "brightness explains pixels and has no layer"),
        ({"method": ["brightness", "chosen"], "layers": "last"}, "explain pixels and have no layer"),
        ({"layers": "third"}, "third"),
        ({"target": "class7"}, "target is 'class7', which is no class of"),
        ({"settings": {"chosen": {"a": 1}}}, "settings for chosen, which is not among the methods"),
        ({"settings": {"gradcam": {"a": 1}}}, "a is no setting"),
        ({"colour": "red"}, "colour is no setting"),
        ({"method": []}, "methods must have at least 1 item"),
    ],
)
def test_mistakes(changes: dict[str, object], message: str, finished: Run, tree: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        finished.explain(tree / "images", **changes)  # type: ignore[arg-type]


def test_pictures_that_cannot_be_read_are_named(finished: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"No picture in .*empty"):
        finished.explain(tmp_path / "empty")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.png"):
        finished.explain(tmp_path)


def test_agreeing_pictures(finished: Run, fitted: dict[str, Run]) -> None:
    """Against predictions.csv, read plainly: of each class the first test picture that is right."""
    table = finished.predictions.of_split("test")
    right = {path for path, ok in zip(table.path.tolist(), table.correct.tolist(), strict=True) if ok}
    wanted: dict[int, Path] = {}
    for sample in finished.catalog.samples:
        if sample.split == "test" and sample.path in right and sample.label not in wanted:
            wanted[sample.label] = finished.catalog.root / sample.path
    count = len(wanted)
    assert count >= 1
    assert agreeing_pictures([finished], count) == [wanted[k] for k in sorted(wanted)]
    assert agreeing_pictures([finished, finished], 1) == [wanted[min(wanted)]]
    with pytest.raises(
        DataError, match=rf"{count} of 3 classes have a test picture that the run names correctly, 9"
    ):
        agreeing_pictures([finished], 9)
    with pytest.raises(DataError, match="knows other classes"):
        agreeing_pictures([finished, fitted["pad"]], 1)


def test_agreeing_goes_by_the_plain_network(finished: Run, tmp_path: Path) -> None:
    """Maps explain the plain network, so a table made with test-time augmentation does not count."""
    import shutil

    other = tmp_path / "run"
    shutil.copytree(finished.folder, other)
    values = finished.experiment.to_dict()
    values["evaluation"]["tta"] = "flip"
    (other / "manifest.json").unlink()
    (other / "experiment.yaml").write_text(Experiment.from_dict(values).to_yaml(), encoding="utf-8")
    lines = (other / "predictions.csv").read_text().splitlines()
    (other / "predictions.csv").write_text(lines[0] + "\n" + lines[1] + "\n")
    assert agreeing_pictures([Run.open(other)], 1) == agreeing_pictures([finished], 1)
