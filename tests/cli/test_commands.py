"""Every command as a user types it: what it writes, prints and returns."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner, Result

from drawn import draw_tree
from foveate.cli.main import app
from foveate.experiment import Run
from foveate.recipes import STUDIES

LAYOUT = "--masks --group --label --columns --attribute"
"""How pictures are read: the same in every command that reads some."""
SURFACE = {
    "demo": "--out --seed",
    "check": "data LAYOUT --json --csv --html --split --labels",
    "compare-backbones": "data --backbones LAYOUT --size --folds --split --quarantine --csv --json --seed --device",
    "learning-curve": "data --backbone LAYOUT --size --split --quarantine --json --seed --device",
    "data get": "name --to",
    "split": "data --out LAYOUT --folds --val --test --seed --folders",
    "augment preview": "data --with --out LAYOUT --run --weights --count --size --set --seed",
    "train": "data --out --backbone --weights --from --freeze --size --augment --guide --epochs --batch-size --lr "
    "--split LAYOUT --no-cache --seed --device --set --quarantine --track --config",
    "pretext": "data --out --task --backbone --weights --size --augment --faithful --epochs --batch-size --lr "
    "--split LAYOUT --no-cache --seed --device --set --quarantine --config",
    "plan": "--pictures --seeds --accuracy --spread --correlation --arms --difference --margin --json",
    "tune": "data --out --config --backbone --weights --size --guide --split LAYOUT --seed --device --set "
    "--trials --jobs --storage --quarantine",
    "evaluate": "run LAYOUT --data --backgrounds --measures --tta --out --device",
    "study run": "study --out --backbone --weights --size --split LAYOUT --set --data --seeds --guide --arm --block "
    "--time-limit --jobs --threads --ray --gpus --quarantine",
    "study show": "folder --trim --all",
    "study final": "folder --out --arm --block --quarantine",
    "masks propose": "data --out --backbone --weights LAYOUT --prior --from-masks --run --share --iterations --limit "
    "--all --overwrite --set --device",
    "masks compare": "data proposed LAYOUT --values --out",
    "labels apply": "file data LAYOUT --out --field --new-classes --run",
    "predict": "run paths --out --layout --arm --block --level --quick --tta --device --ray --gpus",
    "explain": "run paths --method --layers --target --out --compare --agreeing --evidence --chunk "
    "--set --seed --device",
    "look": "run LAYOUT --data --methods --metrics --target --layer --limit --out --set --seed --device",
    "invert": "run --out --classes --layer --channels --size --recipe --set --seed --device",
    "summit": "run --out --layers --split --limit --channels --inversions --set --device",
    "report": "run --out --compare --explain --layers --feature-maps --assets --device",
    "app": "run --port --masks --quick --device",
    "export": "run --onnx --torch --web --timm --nearest --limit",
    "card": "run --out --study",
    "list": "what pattern",
}
"""What scripts rely on: think before you take something away here, and tell the users."""


def foveate(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def said(result: Result) -> str:
    """Output without the line breaks of the screen."""
    return " ".join(result.output.split())


def test_the_surface_is_frozen() -> None:
    found: dict[str, str] = {}
    commands = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for group in ("study", "masks", "labels", "augment", "data"):
        inner = commands.pop(group).commands
        commands |= {f"{group} {name}": command for name, command in inner.items()}
    for name, command in commands.items():
        found[name] = " ".join(
            p.opts[0] if p.param_type_name == "option" else p.name
            for p in command.params
            if p.name != "help" and not getattr(p, "hidden", False)
        )
    assert set(found) == set(SURFACE)
    for name, parameters in SURFACE.items():
        assert found[name].split() == parameters.replace("LAYOUT", LAYOUT).split(), name


@pytest.fixture(scope="module")
def trained(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    out = tmp_path_factory.mktemp("cli") / "run"
    return out, foveate(
        "train", tree, "--out", out, "--backbone", "foveate_small_cnn", "--weights", "none", "--size", 32,
        "--epochs", 2, "--batch-size", 16, "--lr", "0.01", "--augment", "basic", "--guide", "spatial",
        "--device", "cpu", "--set", "training.precision=fp32", "--set", "training.phases.0.name=only",
        "--track", "tensorboard",
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # tensorboard's own
def test_train(trained: tuple[Path, Result]) -> None:
    out, result = trained
    assert result.exit_code == 0, result.output
    run = Run.open(out)
    assert run.finished
    training = run.experiment.training
    assert (training.batch_size, training.phases[0].epochs, training.phases[0].lr) == (16, 2, 0.01)
    assert training.phases[0].name == "only"
    assert "spatial" in run.experiment.objective
    text = said(result)
    assert "Phase only: at most 2 epochs" in text
    assert f"test: accuracy {run.result['metrics']['test']['accuracy']:.3f} (95 % interval" in text
    tests = run.result["metrics"]["test"]["backgrounds"]
    assert f"backgrounds: swapped {tests['swapped']['accuracy']:.3f}, blurred" in text
    assert (
        f"object removed {tests['removed']['accuracy']:.3f} (chance {tests['chance_majority']:.3f})" in text
    )
    assert text.count("backgrounds: ") == 1, "of the test pictures only"
    assert "report.html" in text
    assert list((out / "tensorboard").iterdir())


def test_evaluate_predict_report(trained: tuple[Path, Result], tree: Path, tmp_path: Path) -> None:
    out, _ = trained
    result = foveate("evaluate", out, "--out", tmp_path / "table.csv", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert f"test: accuracy {Run.open(out).result['metrics']['test']['accuracy']:.3f}" in said(result)
    swapped = Run.open(out).result["metrics"]["test"]["backgrounds"]["swapped"]["accuracy"]
    assert f"backgrounds: swapped {swapped:.3f}, blurred" in said(result)
    assert "class2" in result.output
    assert (tmp_path / "table.csv").is_file()
    assert "Every set of possible classes holds all classes, so the sets say nothing." in said(result)
    assert foveate("evaluate", out, "--data", tree, "--tta", "flip", "--device", "cpu").exit_code == 0

    result = foveate("predict", out, tree / "images" / "class0", "--out", tmp_path / "p.csv")
    assert result.exit_code == 0, result.output
    assert "16 predictions" in said(result)
    assert "All 16 are marked not sure: with 7 validation pictures no threshold can promise 95 %" in said(
        result
    )
    assert "of them far from the training pictures. False alarms, by" in said(result)
    with open(tmp_path / "p.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 16
    for row in rows:
        assert row["prediction"] in row["possible"].split(" | ")
        assert {row["not_sure"], row["far"]} <= {"0", "1"}
    quick = foveate("predict", out, tree / "images" / "class0", "--quick", "--out", tmp_path / "q.csv")
    assert "far" not in quick.output
    one = tree / "images" / "class1" / "003.png"
    assert foveate("predict", out, one, "--out", tmp_path / "p.json").exit_code == 0
    assert len(json.loads((tmp_path / "p.json").read_text())) == 1
    arguments = ("predict", out, tree / "images", "--layout", "competition", "--out", tmp_path / "c.csv")
    assert foveate(*arguments).exit_code == 0
    lines = (tmp_path / "c.csv").read_text().splitlines()
    assert lines[0] == "file,class_id"
    assert len(lines) == 49
    arguments = ("predict", out, one, "--quick", "--layout", "fiftyone", "--out", tmp_path / "samples.json")
    assert foveate(*arguments).exit_code == 0
    (sample,) = json.loads((tmp_path / "samples.json").read_text())["samples"]
    assert sample["filepath"] == str(one)
    assert {"calibrated", "not_sure", "possible"} <= sample.keys()

    assert foveate("report", out, "--out", tmp_path / "report.html").exit_code == 0
    assert "<html" in (tmp_path / "report.html").read_text()


def test_evaluate_on_own_backgrounds_and_changed_pictures(
    trained: tuple[Path, Result], tree: Path, tmp_path: Path
) -> None:
    out, _ = trained
    (tmp_path / "lawn").mkdir()
    shutil.copy(tree / "images" / "class0" / "000.png", tmp_path / "lawn" / "a.png")
    (tmp_path / "lawn" / "b.png").write_bytes(b"no picture")
    flags = ("--backgrounds", tmp_path, "--measures", "textures,moved_object", "--device", "cpu")
    result = foveate("evaluate", out, *flags)
    assert result.exit_code == 0, result.output
    measures = ["textures", "moved_object", {"kind": "folder_backgrounds", "folder": str(tmp_path)}]
    found = Run.open(out).measure(device="cpu", measures=measures)[1]["test"]
    for line, kind in (("backgrounds of a folder", "folder_backgrounds"), ("textures", "textures")):
        assert f"{line}: accuracy {found[kind]['accuracy']:.3f} (95 %" in said(result)
        assert f"unchanged {found[kind]['consistent']:.3f}; unchanged" in said(result)
    assert "object moved and scaled: accuracy" in said(result)
    assert "drawn from 2 pictures (2 in lawn)" in said(result)
    assert "1 of them cannot be read and were left out: lawn/b.png: " in said(result)
    assert "plain colours" not in said(result)
    before = Run.open(out).result["metrics"]["test"]
    assert found["backgrounds"] == before["backgrounds"], "what the run measures is measured too"

    draw_tree(tmp_path / "unseen", each=4, seed=7)
    bare = foveate("evaluate", out, "--data", tmp_path / "unseen" / "images", *flags)
    assert bare.exit_code == 1
    assert "folder_backgrounds needs pictures with a mask, and none" in said(bare)
    assert "(got {'kind': 'mirrors'})" in said(foveate("evaluate", out, "--measures", "mirrors"))


def test_evaluate_says_which_value_of_an_attribute_is_worst(
    trained: tuple[Path, Result], tmp_path: Path
) -> None:
    other = draw_tree(tmp_path / "other", each=6, seed=9)
    file = tmp_path / "table.csv"
    flags = ("--attribute", r"third=regex:[03](?=\.png)", "--data", other, "--device", "cpu")
    result = foveate("evaluate", trained[0], *flags, "--out", file)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    table = table[table.attribute_third != ""].assign(right=table.label == table.prediction)
    assert set(table.attribute_third) == {"0", "3"}
    assert len(table) == 6
    accuracy = table.groupby("attribute_third").right.mean().min()
    group = table.groupby(["attribute_third", "label"]).right.mean().min()
    line = next(text for text in result.output.splitlines() if text.startswith("by third: worst"))
    worst, of_groups = re.findall(r"(\d\.\d{3}) \(n = (\d+)\)", line)
    assert worst == (f"{accuracy:.3f}", "3")
    assert of_groups == (f"{group:.3f}", "1")


@pytest.mark.slow
def test_split_and_check(tree: Path, tmp_path: Path) -> None:
    result = foveate(
        "split", tree, "--out", tmp_path / "split.csv", "--val", 0.25, "--test", 0.25, "--seed", 4
    )
    assert result.exit_code == 0, result.output
    assert "train 24, val 12, test 12" in said(result)
    first = (tmp_path / "split.csv").read_bytes()
    foveate("split", tree, "--out", tmp_path / "split.csv", "--val", 0.25, "--test", 0.25, "--seed", 4)
    assert (tmp_path / "split.csv").read_bytes() == first
    result = foveate("split", tree, "--out", tmp_path / "folds.csv", "--folds", 4)
    assert "4 folds of" in said(result)
    result = foveate("check", tree, "--json", tmp_path / "c.json", "--split", tmp_path / "split.csv")
    assert result.exit_code == 0, "warnings alone are no failure"
    assert json.loads((tmp_path / "c.json").read_text())["errors"] == 0

    broken = draw_tree(tmp_path / "broken", classes=2, each=6)
    (broken / "images" / "class0" / "bad.png").write_bytes(b"no picture")
    assert foveate("check", broken).exit_code == 1


@pytest.mark.parametrize(
    ("what", "pattern", "expected"),
    [
        ("backbones", "resnet18", "resnet18"),
        ("backbones", "foveate", "foveate_small_cnn"),
        ("recipes", "", "finetune"),
        ("guides", "", "class-map"),
        ("losses", "", "spatial_mse"),
        ("augmentations", "", "plant"),
        ("transforms", "", "background_swap"),
        ("heads", "", "mlp"),
        ("schedules", "cyc", "one_cycle"),
        ("tta", "", "flip"),
    ],
)
def test_list(what: str, pattern: str, expected: str) -> None:
    result = foveate("list", what, pattern) if pattern else foveate("list", what)
    assert result.exit_code == 0
    assert expected in result.output.split()


def test_studies_are_told_with_arms_and_trainings() -> None:
    result = foveate("list", "studies")
    assert max(map(len, result.output.splitlines())) <= 80
    told = " ".join(result.output.split())
    assert "none; backgrounds; backgrounds, placebo" in told
    assert "placebo: 15 trainings (3 arms x 5 seeds)" in told
    assert "240 trainings (12 arms x 4 blocks x 5 seeds)" in told
    tta = STUDIES["plants-tta"]()
    trained = {cell.experiment.training_hash() for cell in tta.cells()}
    assert len(trained) < len(tta.cells())
    assert f": {len(trained)} trainings" in " ".join(foveate("list", "studies", "plants-tta").output.split())


TRAIN = ("--backbone", "foveate_small_cnn", "--weights", "none", "--size", "32", "--device", "cpu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "sorcery"), "There is no list 'sorcery'"),
        (("check", "nowhere"), "does not exist"),
        (("split", "nowhere", "--out", "s.csv"), "does not exist"),
        (("split", "nowhere"), "Say what to write"),
        (("split", "nowhere", "--folders", "out", "--folds", "3"), "leave --folds out"),
        (("evaluate", "nowhere"), "not a run folder"),
        (("report", "nowhere"), "not a run folder"),
        (("predict", "nowhere", "a.png", "--out", "p.csv"), "not a run folder"),
        (("predict", "nowhere", "a.png", "--out", "p.txt"), "--out takes a .csv or .json file"),
        (("predict", "nowhere", "a.png", "--out", "p.csv", "--layout", "x"), "There is no layout 'x'"),
        (
            ("predict", "nowhere", "a.png", "--out", "p.csv", "--layout", "coco"),
            "--out takes a .json file for",
        ),
        (("train", "nowhere", "--out", "run", *TRAIN), "does not exist"),
        (("train", "nowhere", "--out", "run", *TRAIN, "--lr", "fast"), "--lr takes a number or auto"),
        (("train", "nowhere", "--out", "run", *TRAIN, "--guide", "x"), "no guidance 'x'"),
        (("train", "nowhere", "--out", "run", *TRAIN, "--track", "x"), "There is no tracker 'x'"),
        (("train", "nowhere", "--out", "run", *TRAIN, "--set", "a.b=1"), "a is no setting"),
        (
            ("train", "nowhere", "--out", "run", *TRAIN, "--config", "no.yaml"),
            "no.yaml does not exist",
        ),
        (("train", "nowhere", "--out", "run", *TRAIN, "--augment", "x"), "no augmentation preset 'x'"),
    ],
)
def test_errors_are_one_sentence_and_status_1(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = foveate(*arguments)
    assert result.exit_code == 1
    assert message in said(result)
    assert result.output.startswith("error ")
    assert "Traceback" not in result.output


def test_wrong_usage_is_status_2() -> None:
    assert foveate("train").exit_code == 2
    assert foveate("sing").exit_code == 2


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, **options
    )


def test_help_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'timm', 'torchvision', 'sklearn', 'scipy', 'matplotlib', 'pydantic', 'numpy', 'PIL'}"
    ask = f"import sys; print(sorted({heavy} & set(sys.modules)))"
    assert python("-c", f"import foveate; {ask}").stdout.strip() == "[]"
    shown = f"import sys, atexit; atexit.register(lambda: print(sorted({heavy} & set(sys.modules))))"
    result = python(
        "-c", f"{shown}; sys.argv = ['foveate', '--help']; import foveate.cli.main as m; m.main()"
    )
    assert result.stdout.strip().splitlines()[-1] == "[]"
    result = python("-m", "foveate", "--help")
    assert result.returncode == 0
    assert all(name.split()[0] in result.stdout for name in SURFACE)
    assert python("-m", "foveate", "--version").stdout.strip() == __import__("foveate").__version__


def test_a_prediction_does_not_wait_for_what_it_does_not_need() -> None:
    heavy = "{'sklearn', 'pandas', 'statsmodels', 'skimage', 'scipy.stats'}"
    ask = f"import sys; print(sorted({heavy} & set(sys.modules)), 'matplotlib' in sys.modules)"
    assert python("-c", f"import foveate.experiment.run; {ask}").stdout.strip() == "[] False"
    assert python("-c", f"import foveate.api; {ask}").stdout.startswith("[]")


@pytest.mark.slow
def test_check_does_without_torch(tree: Path) -> None:
    ask = "import sys; print(sorted({'torch', 'timm', 'torchvision', 'accelerate'} & set(sys.modules)))"
    call = f"from foveate.cli import check_screen as c; from pathlib import Path; c.check_pictures(Path({str(tree)!r}))"
    result = python("-c", f"{call}; {ask}")
    assert result.stdout.strip().splitlines()[-1] == "[]", result.stderr


def test_public_names_are_loaded_when_asked_for() -> None:
    import foveate as package

    assert {name: getattr(package, name).__name__ for name in package.__all__} == {
        name: name for name in package.__all__
    }
    with pytest.raises(AttributeError, match="nothing"):
        package.nothing  # noqa: B018


@pytest.mark.slow
def test_ctrl_c_is_status_130_and_says_how_to_go_on(tree: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "foveate", "train", str(tree), "--out", str(tmp_path / "run"), *TRAIN, "--epochs", "500",
        "--set", "training.precision=fp32",
    ]  # fmt: skip
    environment = {**os.environ, "COLUMNS": "300"}
    lines = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if " 2/500 " in line:
                process.send_signal(signal.SIGINT)
                break
        lines += process.stdout.readlines()
        assert process.wait(60) == 130, lines
    assert "Run the same command again to go on." in lines[-1]
    assert "Traceback" not in "".join(lines)
    assert list((tmp_path / "run" / "checkpoint").glob("saved-*"))
