"""Labels that were swapped on purpose are doubted, by networks that never saw them."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from drawn import draw_tree
from foveate.cli.main import app
from foveate.core.errors import ConfigError, DataError
from foveate.data.audit import audit
from foveate.data.discover import discover
from foveate.experiment import Run
from foveate.studies import label_errors
from foveate.studies.feature_probes import out_of_fold
from foveate.studies.label_errors import doubts, with_doubted_labels


def test_swapped_labels_of_clear_classes_are_found_and_ranked() -> None:
    """Nearly all that is swapped and nearly nothing else, the least probable label first."""
    rng = np.random.default_rng(0)
    truth = np.arange(400) % 4
    features = rng.normal(size=(400, 8)) + 6 * np.eye(4, 8)[truth]
    wrong = rng.permutation(400)[:20]
    given = truth.copy()
    given[wrong] = (truth[wrong] + 1) % 4
    probabilities = out_of_fold(features, given, rng.integers(0, 5, 400))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    found = doubts(probabilities, given)
    rows = [doubt.row for doubt in found]
    hits = len(set(rows) & set(wrong.tolist()))
    assert hits >= 16
    assert len(rows) - hits <= 2
    assert np.mean([doubt.likely for doubt in found] == truth[rows]) > 0.9
    of_label = [doubt.of_label for doubt in found]
    assert of_label == sorted(of_label) == probabilities[rows, given[rows]].tolist()


@pytest.fixture
def swapped(tmp_path: Path) -> Path:
    """48 pictures of 3 classes of which three lie in a wrong folder."""
    data = draw_tree(tmp_path / "data")
    images = data / "images"
    (images / "class0" / "004.png").rename(images / "class1" / "wrong.png")
    for name in ("007", "010"):
        (images / "class2" / f"{name}.png").rename(images / "class0" / f"wrong{name}.png")
    return data


NETWORK = "mobilenetv3_small_050:none"


def test_check_names_them(swapped: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["check", str(swapped), "--labels", NETWORK, "--csv", str(tmp_path / "problems.csv")]
    )
    assert result.exit_code == 0, result.output
    assert "Label in doubt" in result.output
    assert "A probe names" in " ".join(result.output.split())
    lines = (tmp_path / "problems.csv").read_text().splitlines()
    doubted = [line for line in lines if "label-doubtful" in line]
    assert doubted[0].startswith('info,label-doubtful,,"A probe names')
    assert any("/wrong" in line for line in doubted[1:4])
    assert all("looks like class" in line for line in doubted[1:])


def test_a_run_lends_the_weights_that_it_started_from(
    finished: Run, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def stop(name: str, *more: object) -> None:
        asked.append(name)
        raise ConfigError("enough")

    monkeypatch.setattr(label_errors, "frozen", stop)
    found = audit(discover(tree).catalog)
    model = finished.experiment.model.model_copy(update={"weights": "before.safetensors"})
    started = finished.experiment.model_copy(update={"model": model})
    monkeypatch.setattr(label_errors.RunFolder, "experiment", started)
    with pytest.raises(ConfigError, match="enough"):
        with_doubted_labels(found, str(finished.folder))
    assert asked == ["before.safetensors"]


def test_random_weights_doubt_nothing(finished: Run, tree: Path) -> None:
    assert finished.experiment.model.weights == "none"
    with pytest.raises(ConfigError, match="did not start from weights that know pictures"):
        with_doubted_labels(audit(discover(tree).catalog), str(finished.folder))


def test_classes_too_small_are_left_alone(tmp_path: Path) -> None:
    found = audit(discover(draw_tree(tmp_path / "small", each=2)).catalog)
    with pytest.raises(DataError, match="two classes or more can be divided into folds"):
        with_doubted_labels(found, NETWORK)
