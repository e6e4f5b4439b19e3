"""Masks from several sources: which one counts, what is said of the rest, and what having some only may give away."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from rich.console import Console

from drawn import draw_tree
from foveate.api import propose_masks
from foveate.cli.check_screen import check_pictures
from foveate.data.annotations.proposed import source_of
from foveate.data.audit import Audit, AuditConfig, audit
from foveate.data.catalog import Catalog
from foveate.data.discover import discover
from foveate.data.grabcut import ProposeConfig
from foveate.data.layout_settings import LayoutConfig
from foveate.data.split import SplitConfig, split


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Pictures of two classes, of which the first ten of each class have a drawn mask; and proposals for all."""
    data = draw_tree(tmp_path_factory.mktemp("half"), classes=2, each=20)
    for file in (data / "masks").rglob("*.png"):
        if int(file.stem) >= 10:
            file.unlink()
    proposed = data.parent / "proposed"
    propose_masks(data, proposed, ProposeConfig(side=32), everything=True)
    return data, proposed


def sources(catalog: Catalog) -> list[str]:
    return [source_of(catalog.root, sample.mask) for sample in catalog.samples]


def test_drawn_masks_win_in_whatever_order(half: tuple[Path, Path]) -> None:
    data, proposed = half
    for masks in (["auto", proposed], [proposed, "auto"], [data / "masks", proposed], [proposed, "masks"]):
        found = discover(data, LayoutConfig(masks=masks)).catalog
        assert sources(found) == (["drawn"] * 10 + ["proposed"] * 10) * 2
        assert found.samples[0].mask == "png:masks/class0/000.png"
    alone = discover(data, LayoutConfig(masks=proposed))
    assert sources(alone.catalog) == ["proposed"] * 40
    assert any("--masks auto beside" in note for note in alone.notes)
    with pytest.raises(ValueError, match="says none beside other masks"):
        LayoutConfig(masks=["none", proposed])


def test_a_table_that_names_masks_is_what_is_found(half: tuple[Path, Path]) -> None:
    data, proposed = half
    rows = [
        f"images/class{c}/{n:03d}.png,{c},{f'masks/class{c}/{n:03d}.png' if n < 3 else ''}"
        for c in (0, 1)
        for n in range(20)
    ]
    (data / "table.csv").write_text("\n".join(["path,label,mask", *rows]))
    found = discover(data / "table.csv", LayoutConfig(masks=[proposed, "auto"])).catalog
    (data / "table.csv").unlink()
    assert sources(found) == (["drawn"] * 3 + ["proposed"] * 17) * 2


def test_an_edited_proposal_is_drawn(half: tuple[Path, Path], tmp_path: Path) -> None:
    _, proposed = half
    file = proposed / "class0" / "000.png"
    assert source_of(proposed, "png:class0/000.png") == "proposed"
    with Image.open(file) as image:
        pixels, text = np.array(image), image.info["foveate"]
    pixels[:4, :4] = 255 - pixels[:4, :4]
    kept = PngImagePlugin.PngInfo()
    kept.add_itxt("foveate", text)
    Image.fromarray(pixels).save(tmp_path / "edited.png", pnginfo=kept)
    assert source_of(tmp_path, "png:edited.png") == "drawn"


def told(data: Path, masks: list[Path | str], config: AuditConfig) -> str:
    stream = io.StringIO()
    typed = {"masks": [Path(place) for place in masks]}
    check_pictures(data, typed, console=Console(file=stream, width=100, highlight=False), config=config)
    return " ".join(stream.getvalue().split())


def test_check_tells_who_has_which(half: tuple[Path, Path]) -> None:
    data, proposed = half
    text = told(data, ["auto", proposed], AuditConfig(probes=False))
    assert "Masks 40 (png, 20 drawn, 20 proposed)" in text
    assert text.count("10 drawn, 10 proposed") == 2
    assert "10 drawn, 10 without mask" in told(data, ["auto"], AuditConfig(probes=False))


def codes(found: Audit) -> set[str]:
    return {problem.code for problem in found.problems}


def keep(catalog: Catalog, wanted: Callable[[int], bool]) -> Catalog:
    """The masks of some rows only."""
    return catalog.with_column(
        "mask", [s.mask if wanted(row) else "" for row, s in enumerate(catalog.samples)]
    )


def test_masks_of_some_classes_or_splits_only_are_warned_of(tree: Path) -> None:
    config = AuditConfig(near_duplicates=False, class_floor=0)
    catalog = split(discover(tree).catalog, SplitConfig(val=0.25, test=0.25)).catalog
    whole = audit(catalog, config)
    assert not codes(whole) & {"mask-some-classes", "mask-some-splits", "mask-missing"}
    assert "masks" not in {cue.name for cue in whole.cues}
    one = audit(keep(catalog, lambda row: catalog.labels[row] != 2), config)
    (said,) = (problem.message for problem in one.problems if problem.code == "mask-some-classes")
    assert "No mask of class2, while class0, class1 have some" in said
    (cue,) = (cue for cue in one.cues if cue.name == "masks")
    assert cue.far_above
    assert cue.kind == "shortcut"
    assert cue.accuracy == pytest.approx(2 / 3, abs=0.01)  # class2 surely, the others by a guess
    training = audit(keep(catalog, lambda row: catalog.samples[row].split == "train"), config)
    (said,) = (problem.message for problem in training.problems if problem.code == "mask-some-splits")
    assert said.startswith("No mask in val and test:")
    (cue,) = (cue for cue in training.cues if cue.name == "masks")
    assert not cue.far_above


def test_whose_masks_they_are_may_give_the_class_away(half: tuple[Path, Path]) -> None:
    data, proposed = half
    both = discover(data, LayoutConfig(masks=["auto", proposed])).catalog
    other = discover(data, LayoutConfig(masks=proposed)).catalog
    mixed = [a.mask if a.label == 0 else b.mask for a, b in zip(both.samples, other.samples, strict=True)]
    drawn = [mask for mask in mixed if mask.startswith("png:masks/")]
    assert len(drawn) == 10
    config = AuditConfig(near_duplicates=False, class_floor=0)
    found = audit(both.with_column("mask", mixed), config)
    (cue,) = (cue for cue in found.cues if cue.name == "masks")
    assert cue.accuracy > 0.7
    assert found.masks_by_class()["class0"] == {"drawn": 10, "proposed": 10, "none": 0}
    assert found.masks_by_class()["class1"] == {"drawn": 0, "proposed": 20, "none": 0}
    assert "mask-some-classes" not in codes(found)
