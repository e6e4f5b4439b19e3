"""Before training: errors refuse, quarantine lists, copies stay together, the check is remembered."""

import os
import shutil
from pathlib import Path

import pytest

from drawn import draw_tree
from foveate.core.errors import DataError
from foveate.data.audit import auditor as module
from foveate.experiment.prepare import prepare
from foveate.experiment.specification import DataConfig
from training_helpers import Heard


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return draw_tree(tmp_path / "data", classes=2, each=10)


def test_clean_pictures_get_splits(data: Path) -> None:
    found = prepare(data, DataConfig(), quarantine=False, observer=Heard())
    assert {sample.split for sample in found.catalog.samples} == {"train", "val", "test"}
    assert len(found.catalog) == 20
    assert found.quarantined == ()
    assert any("20 pictures, 2 classes" in note for note in found.notes)


def test_errors_refuse_and_quarantine_lists(data: Path) -> None:
    (data / "images" / "class1" / "broken.png").write_bytes(b"no picture")
    shutil.copy(data / "images" / "class0" / "000.png", data / "images" / "class1" / "stolen.png")
    with pytest.raises(DataError, match=r"2 errors.*broken\.png.*--quarantine"):
        prepare(data, DataConfig(), quarantine=False, observer=Heard())
    found = prepare(data, DataConfig(), quarantine=True, observer=Heard())
    gone = {entry["path"].removeprefix("images/"): entry["reason"] for entry in found.quarantined}
    assert set(gone) == {"class1/broken.png", "class1/stolen.png", "class0/000.png"}
    assert all(gone.values())
    assert len(found.catalog) == 22 - 3


def test_a_class_that_is_empty_after_quarantine_is_dropped(data: Path) -> None:
    (data / "images" / "aaa").mkdir()
    (data / "images" / "aaa" / "1.png").write_bytes(b"nothing")
    found = prepare(data, DataConfig(), quarantine=True, observer=Heard())
    assert found.catalog.classes == ("class0", "class1")
    assert found.catalog.counts().tolist() == [10, 10]
    assert {found.catalog.classes[s.label] == s.path.split("/")[-2] for s in found.catalog.samples} == {True}


def test_copies_stay_in_one_split(data: Path) -> None:
    pictures = data / "images" / "class0"
    for n in range(8):
        shutil.copy(pictures / f"{n:03d}.png", pictures / f"copy{n}.png")
    for seed in range(4):
        config = DataConfig.model_validate({"split": {"seed": seed, "val": 0.25, "test": 0.25}})
        catalog = prepare(data, config, quarantine=False, observer=Heard()).catalog
        split = {Path(s.path).parent.name + Path(s.path).name: s.split for s in catalog.samples}
        for n in range(8):
            assert split[f"class0copy{n}.png"] == split[f"class0{n:03d}.png"]


@pytest.mark.slow
def test_the_check_is_remembered_until_a_file_changes(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audits: list[int] = []
    real = module.audit

    def count(*args: object, **kwargs: object) -> object:
        audits.append(1)
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "audit", count)
    first = prepare(data, DataConfig(), quarantine=False, observer=Heard())
    assert prepare(data, DataConfig(), quarantine=False, observer=Heard()) == first
    assert len(audits) == 1
    os.utime(data / "images" / "class0" / "003.png", ns=(5, 5))
    prepare(data, DataConfig(), quarantine=False, observer=Heard())
    assert len(audits) == 2
    os.utime(data / "masks" / "class0" / "003.png", ns=(5, 5))
    prepare(data, DataConfig(), quarantine=False, observer=Heard())
    assert len(audits) == 3
    off = DataConfig.model_validate({"cache": {"enabled": False}})
    prepare(data, off, quarantine=False, observer=Heard())
    assert len(audits) == 4


@pytest.mark.parametrize("broken", [False, True])
def test_one_class_is_refused(tmp_path: Path, broken: bool) -> None:
    one = draw_tree(tmp_path / "one", classes=1, each=4)
    if broken:
        (one / "images" / "other").mkdir()
        (one / "images" / "other" / "1.png").write_bytes(b"no picture")
    with pytest.raises(
        DataError, match="All 4 labelled pictures are of one class, class0: there is nothing to tell apart"
    ):
        prepare(one, DataConfig(), quarantine=True, observer=Heard())
    prepare(one, DataConfig(), quarantine=True, observer=Heard(), labels=False)
