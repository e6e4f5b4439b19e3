"""Proposals as files: found again as masks, kept when killed, never written over, every failure listed."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from drawn import draw_tree
from foveate.core.errors import ConfigError, DataError
from foveate.data.annotations import sample_mask
from foveate.data.catalog import Catalog
from foveate.data.discover import discover
from foveate.data.grabcut import ProposeConfig
from foveate.data.layout_settings import LayoutConfig
from foveate.experiment import Run
from foveate.experiment.mask_proposals import Proposal, check_place, propose_masks
from foveate.training import Decision, Observer


def blob(height: int = 60, width: int = 80, y: float = 0.5, x: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """A picture (H, W, 3) uint8 with a reddish blob on noisy green, and the blob (H, W) bool."""
    rows, columns = np.mgrid[:height, :width]
    mask = ((rows - y * height) / (0.27 * height)) ** 2 + ((columns - x * width) / (0.3 * width)) ** 2 <= 1
    colours = np.where(mask[..., None], (190.0, 70.0, 60.0), (80.0, 140.0, 90.0))
    noise = np.random.default_rng(height * width).normal(0, 10, colours.shape)
    return (colours + noise).clip(0, 255).astype(np.uint8), mask


def draw(
    root: Path, names: tuple[str, ...] = ("a/1.png", "a/2.png", "b/1.png", "b/2.png")
) -> dict[str, np.ndarray]:
    """Pictures below ``root``; {name: the blob in it}."""
    masks = {}
    for number, name in enumerate(names):
        picture, masks[name] = blob(60 + 2 * number, 80, x=0.45 + 0.02 * number)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(root / name)
    return masks


def propose(data: Path, out: Path, prior: Any = "centre", **arguments: Any) -> list[Proposal]:
    config = arguments.pop("config", None) or ProposeConfig(prior=prior)
    return propose_masks(discover(data).catalog, out, config, **arguments)


def iou(catalog: Catalog, row: int, truth: np.ndarray) -> float:
    image = sample_mask(catalog, row)
    assert image is not None
    found = np.asarray(image) > 0
    assert found.shape == truth.shape
    return float((found & truth).sum() / (found | truth).sum())


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


LAYOUTS = {
    "class folders": ("a/1.png", "b/1.png"),
    "images beside masks": ("images/a/1.png", "images/b/1.png"),
    "splits": ("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"),
    "dots, spaces and other alphabets": ("ähre/Weizen 1.v2.png", "ähre/麦.png", "лист/x_mask.png"),
}


@pytest.mark.parametrize("names", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("inside", [False, True], ids=["elsewhere", "in the data folder"])
def test_the_masks_are_found_as_masks(names: tuple[str, ...], inside: bool, tmp_path: Path) -> None:
    masks = draw(tmp_path / "data", names)
    out = tmp_path / "data" / "masks" if inside else tmp_path / "out"
    proposals = propose(tmp_path / "data", out)
    assert [p.state for p in proposals] == ["proposed"] * len(names)
    catalog = discover(tmp_path / "data", LayoutConfig(masks=None if inside else out)).catalog
    assert sorted(s.path for s in catalog.samples) == sorted(names)
    for row, sample in enumerate(catalog.samples):
        assert iou(catalog, row, masks[sample.path]) > 0.95
    again = propose(tmp_path / "data", out)
    assert again == proposals, "its own masks do not count as masks that were there"


def test_the_time_is_told_once_from_the_pictures_that_are_new(tmp_path: Path) -> None:
    class Listens(Observer):
        def __init__(self) -> None:
            self.told: list[Decision] = []

        def decision(self, decision: Decision) -> None:
            self.told.append(decision)

    draw(tmp_path / "data", tuple(f"a/{n}.png" for n in range(14)))
    few, rest, none = Listens(), Listens(), Listens()
    propose(tmp_path / "data", tmp_path / "out", limit=3, observer=few)
    propose(tmp_path / "data", tmp_path / "out", observer=rest)
    propose(tmp_path / "data", tmp_path / "out", observer=none)
    assert (few.told, none.told) == ([], [])
    assert [decision.name for decision in rest.told] == ["time needed"]
    assert "for 3 pictures more, by the time that the first 8 took" in rest.told[0].reason


def test_the_table_lists_every_picture(tmp_path: Path) -> None:
    draw(tmp_path / "data")
    flat = Image.new("RGB", (40, 40), "white")
    flat.save(tmp_path / "data" / "a" / "flat.png")
    (tmp_path / "data" / "b" / "bad.png").write_bytes(b"no picture")
    for twin in ("twin.png", "twin.bmp"):
        Image.fromarray(blob()[0]).save(tmp_path / "data" / "a" / twin)
    proposals = {p.path: p for p in propose(tmp_path / "data", tmp_path / "out")}
    assert len(proposals) == 8
    assert proposals["b/bad.png"].state == "failed"
    assert "bad.png cannot be read" in proposals["b/bad.png"].doubt
    for twin in ("a/twin.png", "a/twin.bmp"):
        assert proposals[twin].state == "failed"
        assert "same name but for the suffix" in proposals[twin].doubt
    assert proposals["a/flat.png"].state == "empty" or proposals["a/flat.png"].doubt
    with open(tmp_path / "out" / "proposals.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == [s.path for s in discover(tmp_path / "data").catalog.samples]
    for row in rows:
        assert (row["mask"] != "") == (tmp_path / "out" / Path(row["path"]).with_suffix(".png")).is_file()
        if row["state"] == "proposed":
            with Image.open(tmp_path / "out" / row["mask"]) as image:
                share = (np.asarray(image) > 0).mean()
            assert float(row["share"]) == pytest.approx(share, abs=1e-4)


def test_an_empty_cut_writes_no_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import foveate.data.grabcut as module

    draw(tmp_path / "data")
    monkeypatch.setattr(module, "grab_cut", lambda image, *a, **k: np.zeros(image.shape[:2], dtype=bool))
    proposals = propose(tmp_path / "data", tmp_path / "out")
    assert {(p.state, p.mask, p.doubt) for p in proposals} == {("empty", "", "nothing was found")}
    assert set(files(tmp_path / "out")) == {"proposals.csv"}


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_masks_lie_upright_over_a_picture_that_exif_turns(orientation: int, tmp_path: Path) -> None:
    picture, truth = blob(60, 90, y=0.42, x=0.4)
    turns = {3: 2, 6: 1, 8: 3}  # quarter turns, counter-clockwise, that the camera was held by
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "b").mkdir()
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("a", "b"):
        stored = Image.fromarray(np.rot90(picture, turns[orientation]).copy())
        stored.save(tmp_path / "data" / name / "1.jpg", quality=95, exif=exif)
    propose(tmp_path / "data", tmp_path / "data" / "masks")
    catalog = discover(tmp_path / "data").catalog
    assert iou(catalog, 0, truth) > 0.95
    with Image.open(tmp_path / "data" / "masks" / "a" / "1.png") as mask:
        assert mask.size == (90, 60)


class Stop(Observer):
    """Ends the work after some pictures, as Ctrl-C does."""

    def __init__(self, after: int) -> None:
        self.after = after

    def progress(self, what: str, done: int, total: int) -> None:
        if done == self.after:
            raise KeyboardInterrupt


class Heard(Observer):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.mark.parametrize("inside", [False, True], ids=["elsewhere", "in the data folder"])
def test_stopped_and_started_again_gives_the_same_files(inside: bool, tmp_path: Path) -> None:
    names = ("images/a/1.png", "images/a/2.png", "images/b/1.png", "images/b/2.png")
    draw(tmp_path / "data", names)
    rows = "".join(f"{name},10,8,70,52\n" for name in names[:3])
    (tmp_path / "data" / "boxes.csv").write_text(f"file,xmin,ymin,xmax,ymax\n{rows}")
    whole = tmp_path / "whole"
    proposals = propose(tmp_path / "data", whole, "auto")
    assert [p.prior for p in proposals] == ["box", "box", "box", "centre"]
    out = tmp_path / "data" / "masks" if inside else tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        propose(tmp_path / "data", out, "auto", observer=Stop(2))
    assert set(files(out)) == {"a/1.png", "a/2.png"}
    before = (out / "a" / "1.png").stat().st_mtime_ns
    heard = Heard()
    assert propose(tmp_path / "data", out, "auto", observer=heard) == proposals
    assert files(out) == files(whole)
    assert (out / "a" / "1.png").stat().st_mtime_ns == before
    assert heard.messages == [f"2 masks of {out} are there already and stay as they are."]


def test_what_was_drawn_or_edited_by_hand_is_kept(tmp_path: Path) -> None:
    draw(tmp_path / "data")
    out = tmp_path / "out"
    propose(tmp_path / "data", out)
    drawn = Image.new("L", (80, 60), 255)
    drawn.save(out / "a" / "1.png")
    with Image.open(out / "a" / "2.png") as opened:
        opened.load()
        edited, text = opened.copy(), opened.info
    edited.putpixel((0, 0), 255)
    info = PngImagePlugin.PngInfo()
    info.add_itxt("foveate", text["foveate"])  # an editor that keeps the text
    edited.save(out / "a" / "2.png", pnginfo=info)
    (out / "b" / "1.png").write_bytes(b"torn")
    before = files(out)
    for config in (ProposeConfig(prior="centre"), ProposeConfig(prior="centre", share=0.6)):
        proposals = {p.path: p for p in propose(tmp_path / "data", out, config=config, overwrite=True)}
        assert proposals["a/1.png"].state == proposals["a/2.png"].state == "edited"
        assert proposals["a/1.png"].share == 1
        assert proposals["b/1.png"].state == "failed"
        assert "b/1.png cannot be read" in proposals["b/1.png"].doubt
        for name in ("a/1.png", "a/2.png", "b/1.png"):
            assert (out / name).read_bytes() == before[name]


def test_masks_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    draw(tmp_path / "data")
    out = tmp_path / "out"
    propose(tmp_path / "data", out)
    before = files(out)
    other = ProposeConfig(prior="centre", iterations=1, share=0.3)
    with pytest.raises(
        ConfigError, match=r"a/1\.png was proposed with other settings \(prior centre\).*--overwrite"
    ):
        propose(tmp_path / "data", out, config=other)
    assert files(out) == before
    with pytest.raises(KeyboardInterrupt):
        propose(tmp_path / "data", out, config=other, overwrite=True, observer=Stop(2))
    propose(tmp_path / "data", out, config=other, overwrite=True)
    propose(tmp_path / "data", tmp_path / "fresh", config=other)
    assert files(out) == files(tmp_path / "fresh") != before


def test_a_setting_that_the_prior_does_not_read_changes_nothing(tmp_path: Path) -> None:
    draw(tmp_path / "data")
    propose(tmp_path / "data", tmp_path / "out")
    before = files(tmp_path / "out")
    propose(
        tmp_path / "data", tmp_path / "out", config=ProposeConfig(prior="auto", box_core=0.2, tap="middle")
    )
    assert files(tmp_path / "out") == before


def test_only_pictures_without_masks_unless_all_are_asked_for(tmp_path: Path) -> None:
    masks = draw(tmp_path / "data")
    known = tmp_path / "data" / "masks" / "a" / "1.png"
    known.parent.mkdir(parents=True)
    Image.fromarray(masks["a/1.png"].astype(np.uint8) * 255).save(known)
    heard = Heard()
    proposals = propose(tmp_path / "data", tmp_path / "out", observer=heard)
    assert [p.path for p in proposals] == ["a/2.png", "b/1.png", "b/2.png"]
    assert heard.messages == ["Left alone, since they have a mask already: 1 of 4 pictures."]
    boxed = propose(tmp_path / "data", tmp_path / "boxed", "box", everything=True)
    assert [p.state for p in boxed] == ["proposed", "failed", "failed", "failed"]
    assert boxed[1].doubt == "it has no box"
    for name, mask in masks.items():
        (tmp_path / "data" / "masks" / name).parent.mkdir(exist_ok=True)
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "data" / "masks" / name)
    with pytest.raises(DataError, match=r"All 4 pictures .* have a mask already; .*\(--all\)"):
        propose(tmp_path / "data", tmp_path / "more")
    boxed = propose(tmp_path / "data", tmp_path / "every", "box", everything=True)
    catalog = discover(tmp_path / "data", LayoutConfig(masks=tmp_path / "every")).catalog
    assert all(iou(catalog, row, masks[s.path]) > 0.95 for row, s in enumerate(catalog.samples))


def test_boxes_of_coco_are_boxes_and_polygons_are_masks(tmp_path: Path) -> None:
    masks = draw(tmp_path / "data", ("a/1.png", "b/1.png"))
    content = {
        "images": [{"id": 1, "file_name": "a/1.png", "width": 80, "height": 60},
                   {"id": 2, "file_name": "b/1.png", "width": 80, "height": 62}],
        "annotations": [{"id": 1, "image_id": 1, "bbox": [8, 10, 60, 40]},
                        {"id": 2, "image_id": 2, "segmentation": [[10, 10, 60, 10, 60, 50]], "bbox": [8, 10, 60, 40]}],
    }  # fmt: skip
    (tmp_path / "data" / "annotations.json").write_text(json.dumps(content))
    proposals = propose(tmp_path / "data", tmp_path / "out", "auto")
    assert [(p.path, p.prior, p.state) for p in proposals] == [("a/1.png", "box", "proposed")]
    catalog = discover(tmp_path / "data", LayoutConfig(masks=tmp_path / "out")).catalog
    assert iou(catalog, 0, masks["a/1.png"]) > 0.95


def test_a_limit_is_spread_over_the_set(tmp_path: Path) -> None:
    draw(tmp_path / "data", tuple(f"{c}/{n}.png" for c in "abc" for n in range(4)))
    few = propose(tmp_path / "data", tmp_path / "out", limit=3)
    assert [p.path[0] for p in few] == ["a", "b", "c"]
    assert len(propose(tmp_path / "data", tmp_path / "out", limit=100)) == 12
    assert len(propose(tmp_path / "data", tmp_path / "one", limit=1)) == 1


def test_places_among_the_pictures_are_refused(tmp_path: Path) -> None:
    draw(tmp_path / "data")
    for place in ("proposed", ".", "..", "a/masks", "parts"):
        with pytest.raises(DataError, match="the masks would lie among the pictures"):
            propose(tmp_path / "data", tmp_path / "data" / place)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file; name a folder"):
        propose(tmp_path / "data", tmp_path / "file")
    check_place(tmp_path / "data" / "inner", tmp_path / "data" / "inner" / "masks", tmp_path / "data")
    with pytest.raises(DataError, match=r"choose .*inner/masks, or a folder elsewhere"):
        check_place(tmp_path / "data" / "inner", tmp_path / "data" / "masks", tmp_path / "data")


def test_pictures_outside_the_data_folder_are_listed(tmp_path: Path) -> None:
    draw(tmp_path / "data", ("a/1.png", "b/1.png"))
    shutil.move(tmp_path / "data" / "b" / "1.png", tmp_path / "1.png")
    (tmp_path / "data" / "table.csv").write_text("path,label\na/1.png,a\n../1.png,b\n")
    proposals = propose(tmp_path / "data", tmp_path / "out")
    assert sorted(p.state for p in proposals) == ["failed", "proposed"]
    assert any("no tree of masks can mirror it" in p.doubt for p in proposals)


@pytest.mark.slow
def test_class_maps_of_a_run_are_a_prior(finished: Run, tmp_path: Path) -> None:
    data = draw_tree(tmp_path / "data", classes=2, each=4, seed=5)
    shutil.move(data / "masks", tmp_path / "known")
    config = ProposeConfig(prior="class-map")
    proposals = propose(data, tmp_path / "out", "auto", run=finished)
    assert {p.prior for p in proposals} == {"class-map"}
    assert any(p.state == "proposed" for p in proposals)
    with pytest.raises(KeyboardInterrupt):
        propose(data, tmp_path / "again", config=config, run=finished, observer=Stop(3))
    propose(data, tmp_path / "again", config=config, run=finished)
    assert files(tmp_path / "again") == files(tmp_path / "out")
    with pytest.raises(ConfigError, match="other settings"):
        propose(data, tmp_path / "out", "centre", run=None)

    shutil.move(data / "images" / "class1", data / "images" / "unknown")
    known = {p.path: p for p in proposals}
    other = {p.path: p for p in propose(data, tmp_path / "other", config=config, run=finished)}
    assert all(other[path] == known[path] for path in other if "class0" in path)
    assert sum("unknown" in path for path in other) == 4, "the predicted class stands in for an unknown one"


def test_prior_and_run_must_go_together(finished: Run, tmp_path: Path) -> None:
    draw(tmp_path / "data")
    with pytest.raises(ConfigError, match=r"class-map needs a trained run; .*\(--run RUN\)"):
        propose(tmp_path / "data", tmp_path / "out", "class-map")
    for prior in ("centre", "box"):
        with pytest.raises(ConfigError, match=f"The prior {prior} uses no run"):
            propose(tmp_path / "data", tmp_path / "out", prior, run=finished)
    half = tmp_path / "half"
    shutil.copytree(finished.folder, half)
    (half / "result.json").unlink()
    with pytest.raises(ConfigError, match="half is not finished"):
        propose(tmp_path / "data", tmp_path / "out", "class-map", run=Run.open(half))
    assert not (tmp_path / "out").exists()
