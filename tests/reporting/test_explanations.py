"""The folder of explanations: complete, documented, of one command only; killed, it goes on."""

import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import foveate
from drawn import draw_tree
from foveate.core.errors import ConfigError, DataError, RunError
from foveate.core.lock import LOCK
from foveate.experiment import Run, run, run_explainer
from foveate.explanation import explain
from foveate.reporting.explanation_folder import RECORD, Explanations
from foveate.reporting.explanations import run_names
from foveate.training import Decision, Observer
from training_helpers import experiment

from .conftest import Page


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures of two classes, one of them wide."""
    root = draw_tree(tmp_path_factory.mktemp("few"), classes=2, each=2) / "images"
    Image.new("RGB", (90, 30), "red").save(root / "class1" / "wide <b>.png")
    return root


@pytest.fixture(scope="module")
def second(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    phases = [{"name": "a", "epochs": 1, "trainable": "head", "lr": 0.01}]
    settings = experiment(seed=5, training={"phases": phases}, evaluation={"background_tests": False})
    return run(settings, tree, tmp_path_factory.mktemp("second") / "other run")


def files(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != LOCK
    }


class Stops(Observer):
    """Does something after so many pictures."""

    def __init__(self, pictures: int, number: int | None = None) -> None:
        self.left, self.number, self.told = pictures, number, list[str]()

    def progress(self, what: str, done: int, total: int) -> None:
        if what == "explaining pictures" and done == self.left:
            if self.number is None:
                raise KeyboardInterrupt
            os.kill(os.getpid(), self.number)

    def message(self, text: str) -> None:
        self.told.append(text)


def test_everything_is_there_and_right(finished: Run, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = foveate.explain_pictures(finished, pictures, out, ["gradcam", "layercam"], ["first", "last"])
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest == done.manifest == Explanations.open(out).manifest
    assert manifest["finished"] is True
    assert [column["name"] for column in manifest["columns"]] == [
        "gradcam@first", "gradcam@last", "layercam@first", "layercam@last",
    ]  # fmt: skip
    modules = dict(finished.model.backbone.named_modules())
    assert all(column["module"] in modules for column in manifest["columns"])
    assert manifest["versions"]["torch"] == torch.__version__
    assert [p["path"] for p in manifest["pictures"]] == sorted(
        f"{p.parent.name}/{p.name}" for p in pictures.rglob("*.png")
    )
    listed = {"manifest.json", *manifest["sheets"]}
    table = finished.predict(pictures)
    for row, picture in enumerate(manifest["pictures"]):
        listed |= {picture["maps"], *picture["overlays"].values()}
        (answer,) = picture["answers"]
        assert answer["prediction"] == finished.catalog.classes[table.prediction[row]]
        assert answer["probability"] == pytest.approx(table.confidence[row], abs=1e-5)
        assert picture["label"] == picture["path"].split("/")[0]
        for name in picture["overlays"].values():
            with Image.open(out / name) as image:
                assert image.size == (picture["width"], picture["height"])
                assert image.mode == "RGB"
        with np.load(out / picture["maps"], allow_pickle=False) as arrays:
            assert set(arrays.files) == {*picture["overlays"], RECORD}
            assert all(arrays[name].dtype == np.float32 for name in picture["overlays"])
    assert listed == set(files(out))
    # The raw maps are those of foveate.explain.
    path = manifest["pictures"][0]["path"]
    pixels = torch.from_numpy(np.array(Image.open(pictures / path))).permute(2, 0, 1)[None].float() / 255
    images = (pixels - finished.model.mean.view(3, 1, 1)) / finished.model.std.view(3, 1, 1)
    truth = explain(finished.model, images, method="layercam", layer=["first", "last"], raw=True)
    maps = done.maps(path)
    for layer, wanted in truth.items():
        np.testing.assert_allclose(maps[f"layercam@{layer}"], wanted[0].numpy(), rtol=1e-3, atol=1e-6)


def test_the_sheet(finished: Run, second: Run, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = foveate.explain_pictures(
        finished, pictures, out, "gradcam", ["first", "last"], compare=[second.folder], target="class1"
    )
    assert done.sheets == [out / "sheet.html"]
    page = Page(out / "sheet.html")
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(images) == 5 * (1 + 2 * 2)
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,") for image in images)
    assert "http://" not in page.source
    assert "https://" not in page.source
    assert "wide <b>.png" in page.text.replace("\u200b", "")
    for folder in (finished.folder, second.folder):
        assert folder.name in page.text
    for picture in done.manifest["pictures"]:
        for answer in picture["answers"]:
            mark = "✓" if answer["prediction"] == picture["label"] else "✗"
            assert f"{mark} {answer['prediction']} {100 * answer['probability']:.0f}" in page.text
    others = sum(a["prediction"] != "class1" for p in done.manifest["pictures"] for a in p["answers"])
    assert page.text.count("map of class1") == others
    with Image.open(out / "sheet.png") as image:
        assert image.width > 5 * 224
        assert image.height > 5 * 75
    names = {column["run"] for column in done.manifest["columns"]}
    assert names == {finished.folder.name, second.folder.name}
    assert (out / "overlays" / "other_run" / "gradcam-last" / "class0" / "000.png.png").is_file()


def _explain(run_folder: Path, pictures: Path, out: Path, observer: Observer) -> None:
    torch.set_num_threads(1)
    foveate.explain_pictures(run_folder, pictures, out, ["gradcam", "eigencam"], observer=observer)


def test_the_time_is_told_once_and_kept(
    finished: Run, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_explainer, "AT_ONCE", 2)
    told: list[Decision] = []
    observer = Stops(-1)
    monkeypatch.setattr(observer, "decision", told.append)
    done = foveate.explain_pictures(finished, pictures, tmp_path / "out", observer=observer)
    assert [(decision.name, decision.value) for decision in told] == [
        ("time needed", done.manifest["time_needed"])
    ]
    assert "for 3 pictures more" in told[0].reason
    assert foveate.explain_pictures(finished, pictures, tmp_path / "out").manifest == done.manifest


@pytest.mark.slow
def test_killed_it_goes_on(finished: Run, pictures: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    foveate.explain_pictures(finished, pictures, whole, ["gradcam", "eigencam"])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["foveate.experiment", "foveate.reporting.report"])
    child = context.Process(target=_explain, args=(finished.folder, pictures, cut, Stops(3, signal.SIGKILL)))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert json.loads((cut / "manifest.json").read_text())["finished"] is False
    before = {path: path.stat().st_mtime_ns for path in (cut / "maps").rglob("*.npz")}
    assert len(before) == 3
    (cut / "maps" / ".left.npz.1.tmp").write_bytes(b"half")
    damaged = min(before)
    damaged.write_bytes(b"half a file")
    again = Stops(-1)
    foveate.explain_pictures(finished, pictures, cut, ["gradcam", "eigencam"], observer=again)
    assert again.told == ["2 of 5 pictures are explained already and stay as they are."]
    assert all(path.stat().st_mtime_ns == when for path, when in before.items() if path != damaged)
    assert set(files(cut)) == set(files(whole))
    # The damaged picture was explained again in another batch than the first time.
    ours, theirs = Explanations.open(cut), Explanations.open(whole)
    for mine, other in zip(ours.manifest["pictures"], theirs.manifest["pictures"], strict=True):
        for key, value in mine["answers"][0].items():
            assert other["answers"][0][key] == (pytest.approx(value) if isinstance(value, float) else value)
        assert {**mine, "answers": 0} == {**other, "answers": 0}
        for column, found in ours.maps(mine["path"]).items():
            expected = theirs.maps(mine["path"])[column]
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    for name in (name for name in files(whole) if name.endswith(".png")):
        one, two = (np.asarray(Image.open(folder / name), dtype=int) for folder in (cut, whole))
        # Where a map's value rounds the other way, a pixel has the neighbouring one of 256 colours.
        assert np.abs(one - two).max() <= 6, name


def test_interrupted_it_keeps_what_is_finished(finished: Run, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        foveate.explain_pictures(finished, pictures, tmp_path / "out", observer=Stops(2))
    assert len(list((tmp_path / "out" / "maps").rglob("*.npz"))) == 2
    assert len(list((tmp_path / "out" / "overlays").rglob("*.png"))) == 2
    assert Explanations.open(tmp_path / "out").manifest["finished"] is False


def test_pictures_may_be_added_or_change_and_none_is_orphaned(
    finished: Run, pictures: Path, tmp_path: Path
) -> None:
    copy, out = tmp_path / "copy", tmp_path / "out"
    shutil.copytree(pictures, copy)
    foveate.explain_pictures(finished, copy, out)
    Image.new("RGB", (20, 20), "blue").save(copy / "class0" / "new.png")
    Image.new("RGB", (50, 40), "green").save(copy / "class0" / "000.png")
    again = Stops(-1)
    done = foveate.explain_pictures(finished, copy, out, observer=again)
    assert again.told == ["4 of 6 pictures are explained already and stay as they are."]
    assert [p["width"] for p in done.manifest["pictures"]][:2] == [50, 32]
    (copy / "class0" / "new.png").unlink()
    with pytest.raises(DataError, match=r"holds the explanation of class0/new\.png, which is not among"):
        foveate.explain_pictures(finished, copy, out)


def test_a_folder_of_something_else_is_left_alone(
    finished: Run, second: Run, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match=r"holds other files \(thesis\.txt\)"):
        foveate.explain_pictures(finished, pictures, tmp_path / "mine")
    assert files(tmp_path / "mine") == {"thesis.txt": b"years of work"}
    with pytest.raises(DataError, match="is a file"):
        foveate.explain_pictures(finished, pictures, tmp_path / "mine" / "thesis.txt")
    out = tmp_path / "out"
    foveate.explain_pictures(finished, pictures / "class0", out)
    before = files(out)
    for changes, message in [
        ({"method": "layercam"}, r"methods is \['gradcam'\] there and \['layercam'\] now"),
        ({"layers": "first"}, "layers is"),
        ({"run": second}, "they are of other runs"),
        ({"paths": pictures}, "root is"),
        ({"target": "true"}, "target is 'predicted' there and 'true' now"),
    ]:
        arguments = {"run": finished, "paths": pictures / "class0", "out": out} | changes
        with pytest.raises(DataError, match=message):
            foveate.explain_pictures(**arguments)  # type: ignore[arg-type]
    assert files(out) == before
    earlier = json.loads(before["manifest.json"])
    earlier["runs"][0]["layers"]["last"] = "blocks.0"
    (out / "manifest.json").write_text(json.dumps(earlier))
    with pytest.raises(DataError, match=r"maps of other modules: \{'last': 'blocks.0'\} there"):
        foveate.explain_pictures(finished, pictures / "class0", out)
    for damaged in ({}, {**earlier, "finished": False, "runs": []}):
        (out / "manifest.json").write_text(json.dumps(damaged))
        with pytest.raises(RunError, match=r"manifest\.json: .*(identity is missing|runs must have)"):
            foveate.explain_pictures(finished, pictures / "class0", out)
    with pytest.raises(RunError, match="holds no explanations"):
        Explanations.open(tmp_path / "mine")


def test_a_folder_of_an_earlier_version_goes_on(finished: Run, pictures: Path, tmp_path: Path) -> None:
    """It had the names of the methods, and their settings apart."""
    out = tmp_path / "out"
    few = {"rise": {"masks": 4}}
    done = foveate.explain_pictures(finished, pictures / "class0", out, ["rise", "gradcam"], settings=few)
    done.manifest["identity"] |= {"methods": ["rise", "gradcam"], "settings": few}
    (out / "manifest.json").write_text(json.dumps(done.manifest))
    maps = {path: path.stat().st_mtime_ns for path in (out / "maps").rglob("*.npz")}
    foveate.explain_pictures(finished, pictures / "class0", out, ["rise", "gradcam"], settings=few)
    assert {path: path.stat().st_mtime_ns for path in maps} == maps
    with pytest.raises(DataError, match=r"'masks': 4.* there and .*'masks': 5.* now"):
        foveate.explain_pictures(
            finished, pictures / "class0", out, ["rise", "gradcam"], settings={"rise": {"masks": 5}}
        )


def test_pictures_or_agreeing(finished: Run, pictures: Path, tmp_path: Path) -> None:
    for arguments in ({}, {"paths": pictures, "agreeing": 1}):
        with pytest.raises(ConfigError, match="not both"):
            foveate.explain_pictures(finished, out=tmp_path / "out", **arguments)  # type: ignore[arg-type]
    done = foveate.explain_pictures(finished, agreeing=1, out=tmp_path / "out", compare=[])
    (picture,) = done.manifest["pictures"]
    assert picture["answers"][0]["prediction"] == picture["label"]


def test_names_of_runs_differ() -> None:
    assert run_names([Path("/a/x/run"), Path("/a/y/run")]) == ["x_run", "y_run"]
    assert run_names([Path("/a/one"), Path("/b/two")]) == ["one", "two"]
    with pytest.raises(ConfigError, match="named twice"):
        run_names([Path("/a/one"), Path("/a/one")])


def test_the_report_shows_what_lies_in_the_run_folder(finished: Run, pictures: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished.folder, copy)
    without = Page(foveate.report(copy, tmp_path / "without.html"))
    assert "Explained pictures" not in without.text
    done = foveate.explain_pictures(copy, pictures, None, ["gradcam", "layercam"])
    assert done.folder == copy / "explanations"
    page = Page(foveate.report(copy, tmp_path / "with.html"))
    shown = [str(attributes["alt"]) for tag, attributes in page.elements if tag == "img"]
    for picture in done.manifest["pictures"]:
        assert f"layercam@last of {picture['path']}" in shown
    assert "Explained pictures" in page.text
    done.manifest["runs"][0]["weights_sha256"] = "other"
    (done.folder / "manifest.json").write_text(json.dumps(done.manifest))
    stale = Page(foveate.report(copy, tmp_path / "stale.html"))
    assert "was made with other weights" in stale.text
