"""Comparing backbones: who is left alone, who stays together, what the ranking says."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import foveate
from foveate.core.errors import ConfigError
from foveate.data.catalog import Catalog, Sample
from foveate.data.discover import discover
from foveate.data.layout_settings import LayoutConfig
from foveate.data.split import SplitConfig, save_split
from foveate.data.split import split as divide
from foveate.experiment.prepare import Prepared, prepare
from foveate.experiment.specification import DataConfig
from foveate.models.build import build_network
from foveate.models.settings import ModelConfig
from foveate.models.store import save_model
from foveate.studies import backbone_comparison as backbones
from foveate.studies.backbone_comparison import (
    CONTROL,
    BackboneComparison,
    _Answers,
    _draws,
    _rank,
    compare_backbones,
)
from foveate.studies.feature_probes import nearest_neighbours
from training_helpers import Heard

CONFIG = DataConfig(size=32)
SMALL = "foveate_small_cnn:none"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file with its card."""
    folder = tmp_path_factory.mktemp("weights")
    model = build_network(ModelConfig(backbone="foveate_three_conv", weights="none"), 3, 32, seed=1)
    save_model(model, folder, class_names=("a", "b", "c"))
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def found(tree: Path, weights: Path) -> BackboneComparison:
    return compare_backbones(tree, [SMALL, str(weights), "nonsense"], CONFIG, folds=3, device="cpu")


def test_every_backbone_is_there_and_what_failed_says_why(found: BackboneComparison, weights: Path) -> None:
    assert {row.backbone for row in found.ranked} == {SMALL, str(weights)}
    assert [row.rank for row in found.rows] == [1, 2, None]
    assert found.rows[-1].backbone == CONTROL
    assert found.rows[-1].features == 8 * 8 * 3
    assert list(found.failures) == ["nonsense"]
    assert "no backbone 'nonsense'" in found.failures["nonsense"]
    first, second = found.ranked
    assert first.probe >= second.probe
    assert first.behind == 0
    assert second.behind == pytest.approx(first.probe - second.probe)
    for row in found.rows:
        assert 0 <= row.probe_low <= row.probe <= row.probe_high <= 1
        assert row.behind_low <= row.behind <= row.behind_high
    assert found.best in found.as_good


def test_test_pictures_are_left_alone(found: BackboneComparison) -> None:
    left = 48 - found.rows[0].pictures
    assert 4 <= left <= 10  # 15 % of 48
    assert f"{left} test pictures were left alone; {48 - left} were compared on." in found.notes


def test_near_copies_stay_in_one_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the set brings splits of its own, which keeps training from grouping them."""
    folds: list[np.ndarray] = []
    pools: list[Catalog] = []

    def probe(features: np.ndarray, labels: np.ndarray, fold: np.ndarray) -> np.ndarray:
        folds.append(fold)
        return labels

    def pool(prepared: Prepared) -> tuple[Catalog, list[str]]:
        pools.append(real(prepared)[0])
        return real(prepared)

    real = backbones.pool_of
    for name, replacement in (("linear_probe", probe), ("nearest_neighbours", probe), ("pool_of", pool)):
        monkeypatch.setattr(backbones, name, replacement)
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 4)):
        for label in ("a", "b"):
            (tmp_path / split / label).mkdir(parents=True)
            for k in range(count):
                cells = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
                picture = cells.resize((48, 48), Image.Resampling.BICUBIC)
                picture.save(tmp_path / split / label / f"{k}.png")
                if split == "train" and k < 3:
                    for copy in range(3):
                        picture.save(tmp_path / split / label / f"{k} copy {copy}.png", compress_level=copy)
    compare_backbones(tmp_path, [SMALL], CONFIG, folds=3, device="cpu")
    assert len(pools[0]) == 2 * (12 + 9)
    for label in ("a", "b"):
        for k in range(3):
            alike = [
                row
                for row, sample in enumerate(pools[0].samples)
                if sample.path.startswith((f"train/{label}/{k}.png", f"train/{label}/{k} copy"))
            ]
            assert len(alike) == 4
            assert len(set(folds[0][alike].tolist())) == 1


def test_features_are_kept_and_the_same(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "linear_probe", nearest_neighbours)
    heard = Heard()
    first = compare_backbones(
        tree, ["foveate_inception_like:none"], CONFIG, folds=3, device="cpu", observer=heard
    )
    again = compare_backbones(tree, ["foveate_inception_like:none"], CONFIG, folds=3, device="cpu")
    assert first.rows[0].feature_seconds > 0
    assert again.rows[0].feature_seconds is None
    assert again.rows[0].probe == first.rows[0].probe
    assert heard.messages == ["foveate_inception_like:none (1 of 1)"]
    off = DataConfig(size=32, cache={"enabled": False})
    plain = compare_backbones(tree, ["foveate_inception_like:none"], off, folds=3, device="cpu")
    assert plain.rows[0].feature_seconds > 0
    assert plain.rows[0].probe == first.rows[0].probe


def test_features_are_those_of_the_network(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    monkeypatch.setattr(backbones, "linear_probe", lambda f, y, k: (seen.append(f), y)[1])
    monkeypatch.setattr(backbones, "nearest_neighbours", lambda f, y, k: y)
    compare_backbones(tree, [SMALL], CONFIG, folds=3, device="cpu")
    prepared = prepare(tree, CONFIG, quarantine=False, observer=Heard())
    catalog, _ = backbones.pool_of(prepared)
    model = build_network(ModelConfig(backbone="foveate_small_cnn", weights="none"), 3, 32, seed=0).eval()
    for row in (0, len(catalog) - 1):
        with Image.open(catalog.file(row)) as picture:
            small = picture.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
        image = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            expected = model.features((image - 0.5) / 0.5)[0].numpy()
        np.testing.assert_allclose(seen[0][row], expected, atol=1e-4)


def answers(right: np.ndarray) -> _Answers:
    names = ("features", "parameters", "memory", "epoch_seconds", "feature_seconds", "probe_seconds", "size")
    return _Answers(right, right, dict.fromkeys(names, 1))


def catalog(n: int, group: int) -> Catalog:
    samples = tuple(Sample(f"{k}.png", 0, "", group=f"g{k // group}" if group > 1 else "") for k in range(n))
    return Catalog(Path("nowhere"), ("a",), samples)


def test_ranks_and_intervals_of_known_answers() -> None:
    rng = np.random.default_rng(0)
    n = 400
    good, same, bad = (rng.random(n) < p for p in (0.9, 0.9, 0.5))
    given = {"bad": bad, "good": good, "same": same, CONTROL: bad}
    rows = _rank({name: answers(right) for name, right in given.items()}, catalog(n, 1), np.arange(n))
    by_name = {row.backbone: row for row in rows}
    assert [row.backbone for row in rows][2:] == ["bad", CONTROL]
    assert (by_name["bad"].rank_low, by_name["bad"].rank_high) == (3, 3)
    assert (by_name["good"].rank_low, by_name["good"].rank_high) == (1, 2)
    assert by_name["bad"].behind_low > 0
    half = 1.96 * np.sqrt(bad.mean() * (1 - bad.mean()) / n)
    assert by_name["bad"].probe_high - by_name["bad"].probe_low == pytest.approx(2 * half, rel=0.1)


def test_the_first_of_equals_is_not_clearly_better() -> None:
    """Ten equal backbones: the first leads by luck. Its lead must not look certain."""
    rng = np.random.default_rng(0)
    held = certain = 0
    for _ in range(60):
        easy = rng.normal(size=200)
        given = {str(k): answers(0.8 * easy + 0.6 * rng.normal(size=200) < 1.3) for k in range(10)}
        rows = _rank({**given, CONTROL: answers(easy < 0)}, catalog(200, 1), np.arange(200))[:-1]
        held += sum(row.behind_low <= 0 for row in rows[1:])
        certain += all(row.behind_low > 0 for row in rows[1:])
        assert all(row.behind_low <= row.behind <= row.behind_high for row in rows)
        assert all((row.rank_low or 0) <= (row.rank or 0) <= (row.rank_high or 0) for row in rows)
        assert (rows[-1].rank_low or 10) < 10
    assert held / (60 * 9) >= 0.95
    assert not certain


def test_groups_widen_the_interval() -> None:
    right = np.repeat(np.random.default_rng(0).random(40) < 0.7, 10)
    alone = _rank({"a": answers(right), CONTROL: answers(right)}, catalog(400, 1), np.arange(400))[0]
    grouped = _rank({"a": answers(right), CONTROL: answers(right)}, catalog(400, 10), np.arange(400))[0]
    assert grouped.probe == alone.probe
    wide, narrow = (row.probe_high - row.probe_low for row in (grouped, alone))
    assert wide == pytest.approx(narrow * np.sqrt(10), rel=0.2)
    assert _draws(["a", "a", "b"]).shape[1] == 3


def test_files(found: BackboneComparison, tmp_path: Path) -> None:
    found.save_csv(tmp_path / "b.csv")
    found.save_json(tmp_path / "b.json")
    with open(tmp_path / "b.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    values = json.loads((tmp_path / "b.json").read_text())
    assert [row["backbone"] for row in rows] == [row["backbone"] for row in values["rows"]]
    assert float(rows[0]["probe"]) == values["rows"][0]["probe"] == found.rows[0].probe
    assert values["folds"] == 3


def test_from_python(tree: Path, found: BackboneComparison) -> None:
    again = foveate.compare_backbones(tree, [SMALL], size=32, folds=3, device="cpu")
    assert again.rows[0].probe == next(row for row in found.rows if row.backbone == SMALL).probe


@pytest.mark.parametrize(
    ("names", "folds", "words"),
    [
        ([], 5, "Name one or more backbones"),
        ([SMALL, SMALL], 5, "each once"),
        ([SMALL], 2, "3 or more"),
        (["resnet18:half"], 3, "only 'none'"),
        (["no/such.safetensors"], 3, "does not exist"),
    ],
)
def test_what_cannot_be_compared(tree: Path, names: list[str], folds: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        compare_backbones(tree, names, CONFIG, folds=folds, device="cpu")


@pytest.mark.slow
def test_a_split_file_decides_what_is_left_alone(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    divided = divide(discover(tree, LayoutConfig()).catalog, SplitConfig(test=0.5, val=0.1, seed=3)).catalog
    save_split(divided, tmp_path / "split.csv", None)
    config = CONFIG.model_copy(update={"split": SplitConfig(file=tmp_path / "split.csv")})
    monkeypatch.setattr(backbones, "linear_probe", nearest_neighbours)
    found = compare_backbones(tree, [SMALL], config, folds=3, device="cpu")
    assert found.rows[0].pictures == 48 - len(divided.indices("test"))
