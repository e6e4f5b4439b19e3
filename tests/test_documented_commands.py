"""Every whole command that README and docs show is run as it stands there, on small pictures and small networks.

What is made small is not typed: recipes train one epoch at 32 px on random weights, studies keep two arms and two
blocks. Only what goes beyond this machine is exchanged (``SMALL``), and every command writes to a place of its own.
"""

import functools
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

import foveate.app.server
import foveate.recipes
import foveate.recipes.demo
from drawn import draw_tree
from foveate.cli.main import app
from foveate.core.files import write_json
from foveate.data.discover import discover
from foveate.data.synthetic import SyntheticConfig
from foveate.experiment import Experiment
from foveate.recipes import STUDIES
from foveate.studies.specification import Study
from label_studio_export import export
from layout_copies import food101
from test_docs import EXTENDING, PAGES, ROOT, blocks, command_lines

import timm  # isort: skip

WRITES = ("--out", "--csv", "--json", "--html", "--onnx", "--torch", "--web", "--timm", "--folders")
SMALL = {
    "--agreeing": "1",
    "--trials": "2",
    "--jobs": "1",
    "--seeds": "1",
    "--limit": "2",
    "--storage": "sqlite:///trials.db",
}
"""Values of flags that would take long here, or another machine."""
NAMED = {"pictures/test": "new", "/shared/p": "p"}


def mended(line: str) -> list[str]:
    """The words of a command, small."""
    for old, new in NAMED.items():
        line = line.replace(old, new)
    words = shlex.split(line, comments=True)[1:]
    for k, word in enumerate(words[:-1]):
        words[k + 1] = SMALL.get(word, words[k + 1])
    for flag in ("--ray", "--gpus"):  # test_cluster.py has a cluster
        if flag in words:
            del words[words.index(flag) : words.index(flag) + 2]
    if words[0] in ("look", "summit") and "--limit" not in words:
        words += ["--limit", "2"]
    if words[0] == "compare-backbones":
        words += [] if "--backbones" in words else ["--backbones", "net"]
        names = words.index("--backbones") + 1  # a file instead of a download
        words[names] = re.sub(r"(^|,)(\w+)(?=,|$)", r"\1weights/\2.safetensors", words[names])
        words += [] if "--size" in words else ["--size", "32"]
    for flag in ("--labels", "--backbone"):
        if words[0] in ("check", "learning-curve") and flag in words:
            words[words.index(flag) + 1] = "weights/net.safetensors"
            if words[0] == "learning-curve":
                words[1:2] = ["demo/pictures", "--size", "32"]  # the smallest folder that is large enough
    if "--from-masks" in words and "--run" not in words:
        words += ["--weights", "weights/net.safetensors"]  # a file instead of a download
    if words[:2] == ["train", "pictures/labels.csv"]:
        words[1] = "table.csv"  # pictures/ would be read by that table in all commands
    if words[:2] == ["study", "run"]:
        # A sentence may name a study alone.
        words += [] if "--data" in words else ["--data", "pictures"]
        words += [] if "--out" in words else ["--out", f"studies/{words[2]}"]
    return words


def parses(words: list[str]) -> bool:
    """Whether this is a whole command, and not only mentioned in a sentence."""
    command, rest = typer.main.get_command(app), list(words)
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    try:
        command.make_context("foveate", rest)
    except Exception as error:
        if type(error).__name__ != "MissingParameter":  # typer's own click, which has no public name
            raise
        return False
    return True


MENTIONED = "foveate train --config"
"""No command: its flag has no value."""
SEARCH = next(body for body in blocks(ROOT / "docs" / "more.md", "yaml") if "space:" in body)
LINES = sorted(
    {
        line
        for page, line in command_lines()
        if line != MENTIONED and page != EXTENDING and parses(mended(line))
    }
)
FILES = [
    pytest.param(body, id=f"{page.stem}-{k}")
    for page in PAGES
    for k, body in enumerate(blocks(page, "yaml"))
    if not {"arms", "space"} & set(yaml.safe_load(body))
]


EPOCHS = 2


def shrunk(values: Any) -> Any:
    """Settings with two epochs for each phase (proxies are made in one and shown in the next), random weights."""
    if isinstance(values, list):
        return [shrunk(value) for value in values]
    if not isinstance(values, dict):
        return values
    small = {name: shrunk(value) for name, value in values.items()}
    for name in small:
        if name.rsplit(".", 1)[-1] == "epochs":
            small[name] = [EPOCHS] if isinstance(small[name], list) else EPOCHS
        if name.rsplit(".", 1)[-1] == "schedule" and isinstance(small[name], list):
            small[name] = ["p", 1] if "p" in small[name] else [EPOCHS]
        if name == "precision":
            small[name] = "fp32"
    return small


def small_experiment(recipe: Callable[..., Experiment]) -> Callable[..., Experiment]:
    @functools.wraps(recipe)  # flags are given to what the recipe takes
    def make(**settings: Any) -> Experiment:
        values = shrunk(recipe(**settings).to_dict())
        values["data"]["size"] = values["data"]["size"] or 32
        if values["model"]["weights"] == "pretrained":
            values["model"] |= {"weights": "none", "backbone": "foveate_small_cnn"}
        return Experiment.from_dict(values)

    return make


def small_study(name: str, recipe: Callable[[], Study]) -> Callable[[], Study]:
    lines = " ".join(line for _, line in command_lines() if f"study run {name}" in line)

    def make() -> Study:
        values = shrunk(recipe().to_dict())
        base = values["base"]
        base.setdefault("data", {})["size"] = 32
        base.setdefault("training", {})["precision"] = "fp32"
        base["model"]["weights"] = "none"
        if str(base["model"].get("backbone")).startswith("convnext_large"):
            base["model"]["backbone"] = "convnext_atto"  # a block where the report's freezing ends
        elif "--weights" not in lines:
            base["model"] |= {"backbone": "foveate_small_cnn", "backbone_kwargs": {}}
        for kind in ("arms", "blocks"):
            names = list(values[kind])
            kept = {
                *names[:2],
                values["baseline"],
                *(name for name in names if f"--{kind[:-1]} {name}" in lines.replace('"', "")),
            }
            values[kind] = {name: changes for name, changes in values[kind].items() if name in kept}
        values["seeds"] = [0]
        return Study.from_dict(values)

    return make


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("finetune", "pretext"):
            patch.setattr(foveate.recipes, name, small_experiment(getattr(foveate.recipes, name)))
        for name, recipe in STUDIES.items():
            patch.setitem(STUDIES, name, small_study(name, recipe))
        draw = lambda seed: SyntheticConfig(train=15, val=3, test=3, size=48, seed=seed)  # noqa: E731
        patch.setattr(foveate.recipes.demo, "demo_data", draw)
        demo = foveate.recipes.demo.demo_experiment
        patch.setattr(
            foveate.recipes.demo,
            "demo_experiment",
            lambda guide, seed: Experiment.from_dict(shrunk(demo(guide, seed).to_dict())),
        )
        archive = "torchvision.datasets.food101.download_and_extract_archive"
        patch.setattr(archive, lambda url, download_root, md5: food101(Path(download_root)))
        patch.setattr(foveate.app.server.App, "serve_forever", _stopped)
        yield


def _stopped(server: object) -> None:
    raise KeyboardInterrupt


PREPARED = (
    "foveate demo --out demo",
    "foveate split pictures --out split.csv",
    "foveate split pictures --folds 5 --out folds.csv",
    "foveate pretext photos --task rotation --out runs/rotation",
    "foveate masks propose pictures --out masks",
    "foveate split beetles --masks export.json --out beetles.csv",
    "foveate masks propose beetles --masks export.json --from-masks --out proposed",
    "foveate masks propose pictures --all --limit 30 --out trial",
    "foveate study run guidance --data pictures --out studies/guidance --jobs 2",
    "foveate export runs/first --onnx first.onnx",
)
"""Documented commands whose results others take; they run first."""


def run(words: list[str]) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, f"foveate {shlex.join(words)}\n{result.output}\n{result.exception!r}"


@pytest.fixture(scope="module")
def place(small: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with everything that the documented commands name."""
    root = tmp_path_factory.mktemp("documented")
    drawn = draw_tree(root / "drawn", classes=3, each=18)
    rows = ["path,label,animal,background,camera"]
    for label, name in enumerate(("bee", "wasp", "fly")):
        for n, file in enumerate(sorted((drawn / "images" / f"class{label}").iterdir())):
            # In each class six animals; names with a frame and words.
            when = ("night", "day")[n % 3 == 0]
            path = Path(name) / f"animal{n % 6}" / f"frame{n}_{('cat', 'dog')[n % 2]}_{when}.png"
            for kind, target in (("images", root / "pictures"), ("masks", root / "pictures" / "masks")):
                if kind == "masks" and n % 6 == 5:
                    continue  # masks are proposed for those that have none
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(drawn / kind / f"class{label}" / file.name, target / path)
            rows.append(
                f"pictures/{path},{name},{name} {n % 6},{('meadow', 'wood')[n % 4 < 2]},camera {n % 3}"
            )
            for folder in ("photos", "new", "dogs"):
                (root / folder).mkdir(exist_ok=True)
                if folder == "photos" or n < 2:
                    shutil.copy(file, root / folder / f"{name}{n}.png")
    corrected = "path,corrected\nbee/animal0/frame0_cat_day.png,wasp\n"
    (root / "corrected.csv").write_text(corrected, encoding="utf-8")
    (root / "table.csv").write_text("\n".join(rows), encoding="utf-8")
    shutil.copytree(root / "pictures" / "masks", root / "pictures-drawn")
    for copy in ("scenes", "other place", "birds", "plants", "blood/cells"):
        shutil.copytree(root / "pictures", root / copy)
    shutil.copytree(root / "photos", root / "places")
    for path in (root / "pictures").rglob("*.png"):  # half of the masks are an export of Label Studio
        *folders, name, _, file = path.relative_to(root / "pictures").parts
        copy = root.joinpath("beetles", *folders, name, f"{name}_{file}")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    beetles = discover(root / "beetles").catalog
    masked = [row for row, sample in enumerate(beetles.samples) if sample.mask]
    export(beetles, masked[::2], root / "labelled", "json").rename(root / "export.json")
    shutil.rmtree(root / "beetles" / "masks")
    for name in ("cat.jpg", "new/a.jpg", "new/b.jpg"):
        with Image.open(root / "photos" / "bee0.png") as picture:
            picture.save(root / name)
    (root / "weights").mkdir()
    for name in ("mobilenetv3_small_100", "resnet18"):
        save_file(timm.create_model(name).state_dict(), root / "weights" / f"{name}.safetensors")
        write_json(root / "weights" / f"{name}.json", {"architecture": name})
    tensors = timm.create_model("foveate_small_cnn", num_classes=0).state_dict()
    for name in ("net", "own"):
        save_file(tensors, root / "weights" / f"{name}.safetensors")
        card = {"architecture": "foveate_small_cnn", "input_size": [3, 32, 32]}
        write_json(root / "weights" / f"{name}.json", card)
    (root / "exp.yaml").write_text(blocks(ROOT / "docs" / "train.md", "yaml")[0], encoding="utf-8")
    [body] = [body for body in blocks(ROOT / "docs" / "compare.md", "yaml") if "arms:" in body]
    study = small_study("study.yaml", lambda: Study.from_dict(yaml.safe_load(body)))()
    (root / "study.yaml").write_text(yaml.safe_dump(study.to_dict()), encoding="utf-8")
    search = SEARCH.replace("trials: 30", "trials: 2")
    (root / "search.yaml").write_text(search, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run(mended("foveate train pictures --epochs 15 --out runs/first"))
        for name in (
            "runs/a",
            "runs/b",
            "runs/c",
            "runs/guided",
            "runs/final",
            "runs/second",
            "search/trials/7",
        ):
            shutil.copytree("runs/first", name)
        shutil.copy("runs/first/experiment.yaml", "search/best.yaml")
        for line in PREPARED:
            run(mended(line))
            assert Path(re.split("--(?:out|onnx) ", line)[1].split()[0]).exists()
        yield root


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in LINES if line not in PREPARED], ids=str)
def test_it_runs_and_leaves_what_it_says(line: str, place: Path, tmp_path: Path) -> None:
    words = mended(line)
    written = [Path(value) for flag, value in pairwise(words) if flag in WRITES]
    for k, (flag, value) in enumerate(pairwise(words), start=1):
        if flag in WRITES:
            words[k] = str(tmp_path / value.lstrip("/"))
            Path(words[k]).parent.mkdir(parents=True, exist_ok=True)
    if words[:2] == ["labels", "apply"]:  # the table lies among the pictures
        words[3] = str(shutil.copytree(words[3], tmp_path / words[3], dirs_exist_ok=True))
    run(words)
    for path in written:
        found = tmp_path / str(path).lstrip("/")
        assert found.is_file() or any(found.iterdir()), path


@pytest.mark.slow
@pytest.mark.parametrize("body", FILES)
def test_files_of_settings_train(body: str, place: Path, tmp_path: Path) -> None:
    file = tmp_path / "exp.yaml"
    short = re.sub(r"start: \d+", "start: 1", re.sub(r"schedule: \[.*?\]", "schedule: [p, 1]", body))
    file.write_text(short, encoding="utf-8")
    run(
        [
            "train",
            "pictures",
            "--config",
            str(file),
            "--out",
            str(tmp_path / "run"),
            "--size",
            "32",
            "--epochs",
            str(EPOCHS),
        ]
    )
    assert (tmp_path / "run" / "report.html").is_file()


def test_what_is_prepared_is_documented() -> None:
    assert set(PREPARED) <= set(LINES)
    assert len(LINES) > 60
    assert re.fullmatch(r"[\w -]+", " ".join(STUDIES))
