"""Studies of guidance from few masks, at several sizes and under a total shortcut: what their arms differ in."""

import csv
import runpy
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn import draw_tree
from foveate.data.discover import discover
from foveate.experiment.consumed import consumed
from foveate.experiment.specification import Experiment
from foveate.recipes import STUDIES
from foveate.studies.specification import PLACEBO

SCRIPT = Path(__file__).parents[2] / "results" / "total_shortcut.py"


def arms_of(study: str) -> dict[str, Experiment]:
    cells = STUDIES[study]().cells()
    first = [cell for cell in cells if cell.seed == 0 and cell.block == cells[0].block]
    return {cell.arm: cell.experiment for cell in first}


@pytest.mark.parametrize(
    ("study", "trainings"), [("guidance-budget", 130), ("guidance-sizes", 60), ("total-shortcut", 50)]
)
def test_each_has_so_many_trainings(study: str, trainings: int) -> None:
    assert len(STUDIES[study]().cells()) == trainings


def test_every_budget_stands_beside_its_placebo() -> None:
    arms = arms_of("guidance-budget")
    guided = [arm for arm in arms if arm != "none" and not arm.endswith(PLACEBO)]
    assert [str(arms[arm].data.masks.use) for arm in guided] == [
        "10", "50", "all", "boxes", "learned=10", "learned=50"
    ]  # fmt: skip
    for arm in guided:
        own, placebo = arms[arm].to_dict(), arms[f"{arm}{PLACEBO}"].to_dict()
        masks, others = own["data"].pop("masks"), placebo["data"].pop("masks")
        assert own == placebo
        if arm == "all masks":
            assert "shuffled" in (others["use"], others["shuffled"] and "shuffled")
        else:
            assert others == {**masks, "shuffled": True}
    study = STUDIES["guidance-budget"]()
    assert (study.primary, study.margin) == ("test.backgrounds.swapped.accuracy", {"test.accuracy": 1.0})


def test_what_the_arms_of_the_total_shortcut_consume() -> None:
    found = {
        arm: consumed(one) for arm, one in arms_of("total-shortcut").items() if not arm.endswith(PLACEBO)
    }
    assert found == {
        "none": (), "backgrounds": ("masks",), "cut-out": ("masks",), "group-dro": ("attribute labels",),
        "dfr": ("attribute labels", "validation labels"), "afr": ("validation labels",),
        "self": ("validation labels",), "jtt": (),
    }  # fmt: skip
    assert [phase.epochs for phase in arms_of("total-shortcut")["jtt"].training.phases] == [5, 10, 30]


def test_a_background_is_the_class_in_training_and_says_nothing_in_the_test(tmp_path: Path) -> None:
    objects = draw_tree(tmp_path / "objects", each=20)
    rng = np.random.default_rng(0)
    for kind in range(4):
        for number in range(6):
            file = tmp_path / "scenes" / f"scene{kind}" / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            level = 60 * kind + 10 * number + rng.integers(0, 3, (20, 30, 3))
            Image.fromarray(level.astype(np.uint8)).save(file)
    out = tmp_path / "out"
    runpy.run_path(str(SCRIPT))["before_scenes"](objects, tmp_path / "scenes", out)
    with open(out / "pictures.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert Counter(row["split"] for row in rows) == {"train": 27, "val": 15, "test": 18}
    tied = {(row["label"], row["background"]) for row in rows if row["split"] != "test"}
    assert len(tied) == 3, "one scene a class"
    assert {kind for _, kind in tied} == {f"scene{k}" for k in range(3)}
    free = Counter((row["label"], row["background"]) for row in rows if row["split"] == "test")
    assert len(free) >= 7, "nearly every class before every scene"
    catalog = discover(out, Experiment.from_dict(STUDIES["total-shortcut"]().base).data.layout).catalog
    assert catalog.attributes == ("background",)
    assert sorted(catalog.values("background")) == sorted(row["background"] for row in rows)
    assert all(sample.mask for sample in catalog.samples)
    seen: dict[str, set[int]] = {"train": set(), "test": set()}
    for row in rows:
        picture, mask = (np.asarray(Image.open(out / row[name])) for name in ("path", "mask"))
        ground = picture[mask == 0]
        level = int(np.median(ground))
        assert level // 60 == int(row["background"][-1])
        seen["test" if row["split"] == "test" else "train"].add(level // 10)
    assert not seen["test"] & seen["train"], "scenes of the test are other pictures"
