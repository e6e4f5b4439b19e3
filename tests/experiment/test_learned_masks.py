"""Masks learned from a few: they are of what was drawn, held-back figures are honest, files are kept and mended."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.core.errors import ConfigError, DataError
from foveate.data.annotations import sample_mask
from foveate.data.cache import DecodedPictures
from foveate.data.catalog import Catalog
from foveate.data.decode import read_image
from foveate.data.discover import discover
from foveate.data.grabcut import ProposeConfig
from foveate.evaluation.mask_agreement import agreement
from foveate.experiment import run
from foveate.experiment.learned_masks import LearnedMasks, cut_of, digest_of_sources, with_learned_masks
from foveate.experiment.mask_proposals import propose_masks
from foveate.models.build import build_network
from foveate.models.networks import Network
from foveate.models.settings import ModelConfig
from training_helpers import experiment

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> Network:
    return build_network(ModelConfig(backbone="foveate_small_cnn", weights="none"), 2, 48, 0)


def truth(number: int) -> np.ndarray:
    """(40, 60) bool: a blob somewhere. What stands out most is another one, of another colour."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[:40, :60]
    y, x = rng.uniform(12, 28), rng.uniform(14, 26)
    return (rows - y) ** 2 + (columns - x) ** 2 <= 8**2


def draw(root: Path, masks: int, count: int = 14) -> Catalog:
    for number in range(count):
        rng = np.random.default_rng(100 + number)
        object_, rows_columns = truth(number), np.mgrid[:40, :60]
        other = (rows_columns[0] - 20) ** 2 + (rows_columns[1] - 47) ** 2 <= 9**2
        colours = np.where(object_[..., None], (150.0, 120.0, 70.0), (100.0, 130.0, 90.0))
        colours = np.where(other[..., None], (250.0, 40.0, 30.0), colours)
        name = f"class{number % 2}/{number}.png"
        for folder in ("images", "masks"):
            (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((colours + rng.normal(0, 8, colours.shape)).clip(0, 255).astype(np.uint8)).save(
            root / "images" / name
        )
        if number < masks:
            Image.fromarray(object_.astype(np.uint8) * 255).save(root / "masks" / name)
    return discover(root).catalog


def row_of(catalog: Catalog, number: int) -> int:
    return next(i for i, s in enumerate(catalog.samples) if s.path.endswith(f"/{number}.png"))


def test_it_finds_what_was_drawn_and_not_what_stands_out(tmp_path: Path, network: Network) -> None:
    catalog = draw(tmp_path, masks=8)
    learned = LearnedMasks(network, catalog, CPU)
    for number in range(8, 14):
        row = row_of(catalog, number)
        likely = learned.of(row, read_image(catalog.file(row)), (60, 40), (60, 40))
        assert likely.shape == (40, 60)
        assert agreement(likely >= 0.5, truth(number)).iou > 0.7
    assert sorted(learned.held_back) == sorted(row_of(catalog, number) for number in range(8))
    assert "Learned from 8 masks in" in learned.words()


def test_a_picture_with_a_mask_is_asked_of_a_model_that_has_not_seen_it(
    tmp_path: Path, network: Network
) -> None:
    """One mask is the wrong blob: learning from it would show."""
    catalog = draw(tmp_path, masks=10)
    row = row_of(catalog, 3)
    rows, columns = np.mgrid[:40, :60]
    wrong = (rows - 20) ** 2 + (columns - 47) ** 2 <= 9**2
    before = LearnedMasks(network, catalog, CPU)
    picture = read_image(catalog.file(row))
    first = before.of(row, picture, (60, 40), (60, 40))
    Image.fromarray(wrong.astype(np.uint8) * 255).save(tmp_path / "masks" / "class1" / "3.png")
    after = LearnedMasks(network, catalog, CPU)
    assert after.held_back[row] < 0.2 < before.held_back[row]
    again = after.of(row, picture, (60, 40), (60, 40))
    assert agreement(again >= 0.5, first >= 0.5).iou > 0.9, (
        "its own mask changes nothing in what is said of it"
    )


def test_the_held_back_figure_is_that_of_the_models_answers(tmp_path: Path, network: Network) -> None:
    catalog = draw(tmp_path, masks=7)
    learned = LearnedMasks(network, catalog, CPU)
    for row, score in learned.held_back.items():
        mask: Any = sample_mask(catalog, row)
        side = network.input_size
        known = np.asarray(mask.resize((side, side), Image.Resampling.BOX)) >= 128
        likely = learned.of(row, read_image(catalog.file(row)), (side, side), (side, side))
        assert score == pytest.approx(agreement(likely >= 0.5, known).iou, abs=0.02)


def test_too_few_masks_and_empty_ones_are_refused(tmp_path: Path, network: Network) -> None:
    with pytest.raises(DataError, match=r"4 pictures of .* have a drawn mask, and at least 5 are needed"):
        LearnedMasks(network, draw(tmp_path / "few", masks=4), CPU)
    catalog = draw(tmp_path / "empty", masks=6)
    for file in (tmp_path / "empty" / "masks").rglob("*.png"):
        Image.new("L", (60, 40)).save(file)
    with pytest.raises(DataError, match="show no object, or nothing else"):
        LearnedMasks(network, catalog, CPU)


def test_specks_go_and_what_is_unsure_is_doubtful() -> None:
    likely = np.zeros((40, 40), dtype=np.float32)
    likely[5:25, 5:25], likely[35, 35], likely[28:38, 5:15] = 1, 1, 0.9
    image = np.where(likely[..., None] > 0.5, 200, 50).astype(np.uint8).repeat(3, axis=2)
    sure = cut_of(image, likely)
    assert sure.mask.sum() == 500, "two pieces stay, the speck goes"
    assert sure.doubts == ()
    likely[5:25, 25:40] = 0.4
    assert cut_of(image, likely).doubts[0] == "unsure of places that are 60% of it"
    assert cut_of(image, np.zeros_like(likely)).doubts == ("nothing was found",)


def test_files_are_kept_mended_and_learned_from(tmp_path: Path, network: Network) -> None:
    draw(tmp_path / "data", masks=8)
    out, config = tmp_path / "out", ProposeConfig(prior="masks")

    def proposed(**arguments: Any) -> list[Any]:
        return propose_masks(discover(tmp_path / "data").catalog, out, config, network=network, **arguments)

    first = proposed()
    assert {(p.state, p.prior) for p in first} == {("proposed", "masks")}
    assert len(first) == 6
    bytes_ = {file: file.read_bytes() for file in out.rglob("*.png")}
    assert [p.path for p in proposed()] == [p.path for p in first]
    assert {file: file.read_bytes() for file in out.rglob("*.png")} == bytes_
    shutil.copy(
        tmp_path / "data/masks/class0/0.png", tmp_path / "data/masks/class0/8.png"
    )  # one more is drawn
    with pytest.raises(ConfigError, match="other settings"):
        proposed()
    assert len(proposed(overwrite=True)) == 5


def test_a_network_is_needed_and_its_weights_count(tmp_path: Path, network: Network) -> None:
    catalog = draw(tmp_path / "data", masks=6)
    with pytest.raises(ConfigError, match=r"a run \(--run RUN\), or weights \(--weights\)"):
        propose_masks(catalog, tmp_path / "out", ProposeConfig(prior="masks"))
    other = build_network(ModelConfig(backbone="foveate_small_cnn", weights="none"), 2, 48, 1)
    assert digest_of_sources(network, catalog) != digest_of_sources(other, catalog)
    assert digest_of_sources(network, catalog) == digest_of_sources(network, catalog)


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_training_gets_masks_from_those_of_a_few(fit: str, tmp_path: Path) -> None:
    whole = draw(tmp_path, masks=14)
    few = whole.with_column("mask", [s.mask if k < 8 else "" for k, s in enumerate(whole.samples)])
    pictures, rows = DecodedPictures(few, 48, fit), np.arange(3, 14)
    config = ModelConfig(backbone="foveate_small_cnn", weights="none", network={"kind": "cut_out"})
    found, words = with_learned_masks(
        few, rows, pictures, config=config, size=48, fit=fit, device=CPU, tell=lambda what, done, total: None
    )
    assert words.startswith("Learned from 8 masks")
    known = DecodedPictures(whole, 48, fit)
    scores = []
    for row in range(14):
        image, mask, has_mask = found.read(row)
        assert has_mask
        assert torch.equal(image, pictures.read(row)[0])
        if row < 8:
            assert torch.equal(mask, pictures.read(row)[1]), "what was drawn stays"
        else:
            scores.append(agreement(mask[0].numpy() > 0, known.read(row)[1][0].numpy() > 0).iou)
    assert np.median(scores) > 0.6
    one, many = found.read(12), found.read_many(rows)
    assert torch.equal(one[1], many[1][9])


def test_a_run_learns_masks_of_its_training_pictures_alone(tree: Path, tmp_path: Path) -> None:
    terms = {"classification": {"kind": "cross_entropy"}, "look": {"kind": "spatial_energy", "weight": 1.0}}
    use = {"masks": {"use": {"learned": 6}}, "augment": "none"}
    made = run(
        experiment(data=use, objective=terms, training={"phases": [{"name": "all", "epochs": 1}]}),
        tree,
        tmp_path / "run",
    )
    said = {entry["name"]: entry for entry in made.environment["decisions"]}["masks in training"]
    n = len(made.catalog.indices("train"))
    assert said["value"] == f"{n} of {n} pictures"
    assert "Learned from 6 masks in" in said["reason"]
    assert made.result["consumed"] == ["masks", "validation labels"]
    assert made.catalog.has_masks, "measuring knows the drawn ones"
