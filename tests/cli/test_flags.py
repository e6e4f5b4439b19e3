"""One rule for every flag of every command that reads settings: typed flag over file over recipe."""

import functools
import inspect
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from safetensors.torch import save_file
from typer.testing import CliRunner

from foveate import api
from foveate.cli.flags import FLAGS
from foveate.cli.main import app
from foveate.experiment import Experiment, Run
from foveate.experiment.specification import put
from foveate.recipes import finetune, guidance, pretext
from foveate.studies.specification import Study

FILE: dict[str, Any] = {
    "data": {
        "size": 64, "fit": "pad",
        "layout": {"masks": "file-masks", "group": "part:1", "label": "part:1", "columns": "path=picture",
            "attributes": ["place=part:1"],
        },
        "split": {"file": "file.csv", "fold": 1}, "cache": {"enabled": True, "size": 80},
        "augment": {"steps": [{"kind": "vflip"}], "fill": "black", "interpolation": "bilinear"},
    },
    "model": {"backbone": "resnet18", "weights": "none", "head": {"kind": "deep"}},
    "objective": {"classification": {"kind": "focal", "gamma": 1.0}, "mine": {"kind": "huber", "weight": 0.1}},
    "transforms": [{"kind": "mixup", "alpha": 0.3}],
    "training": {
        "phases": [{"name": "one", "epochs": 3}, {"name": "two", "epochs": 4, "lr": 0.5}], "batch_size": 7,
        "device": "cuda", "clip": 3.0,
    },
    "evaluation": {"neighbours": 5},
    "seed": 5,
}  # fmt: skip
"""What a user's file says; every setting that a flag decides, with another value than any recipe's."""
TASK = {"kind": "perturbation", "side": 8}

PHASES = finetune(weights="none", freeze="backbone").to_dict()["training"]["phases"]
FOCUSED = Experiment.from_dict(guidance("class-map")).to_dict()
TYPED: dict[str, tuple[Any, dict[str, Any]]] = {
    "task": ("rotation", {"task": pretext("rotation").to_dict()["task"]}),
    "faithful": (True, {"task.faithful": True}),
    "backbone": ("resnet34", {"model.backbone": "resnet34"}),
    "weights": ("pretrained", {"model.weights": "pretrained"}),
    "start": ("RUN", {"model.weights": "RUN", "model.backbone": None, "model.keep_head": True}),
    "freeze": ("backbone", {"training.phases": PHASES}),
    "size": (48, {"data.size": 48}),
    "augment": ("plant", {"data.augment.preset": "plant", "data.augment.steps": None}),
    "guide": ("class-map", {"objective": FOCUSED["objective"], "transforms": []}),
    "epochs": (9, {"training.phases.1.epochs": 9}),
    "batch_size": (11, {"training.batch_size": 11}),
    "lr": ("auto", {"training.phases.1.lr": "auto"}),
    "split": ("typed.csv", {"data.split.file": "typed.csv"}),
    "masks": ("typed-masks", {"data.layout.masks": "typed-masks"}),
    "group": ("part:2", {"data.layout.group": "part:2"}),
    "label": ("part:2", {"data.layout.label": "part:2"}),
    "attributes": ("camera", {"data.layout.attributes": ["camera"]}),
    "columns": ("path=image_id,split=part", {"data.layout.columns": "path=image_id,split=part"}),
    "no_cache": (True, {"data.cache.enabled": False}),
    "seed": (0, {"seed": 0}),
    "device": ("auto", {"training.device": "auto"}),
    "set": ("training.clip=2.5", {"training.clip": 2.5}),
}
"""{flag: (what is typed, all settings that it then decides)}, written down by hand."""


def commands() -> dict[str, Any]:
    found = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    return {
        **{name: command for name, command in found.items() if not hasattr(command, "commands")},
        **{f"{group} {name}": command for group, inner in found.items() if hasattr(inner, "commands")
           for name, command in inner.commands.items()},
    }  # fmt: skip


def flags_of(command: str) -> list[str]:
    """The flags of the table that a command takes, found among its options."""
    options = {option for parameter in commands()[command].params for option in parameter.opts}
    return [name for name in FLAGS if option(name) in options]


def option(name: str) -> str:
    return {"start": "--from", "attributes": "--attribute"}.get(name, "--" + name.replace("_", "-"))


READ_FILES = [
    name for name, command in commands().items()
    if any("--config" in parameter.opts for parameter in command.params)
]  # fmt: skip
CASES = [(command, flag) for command in READ_FILES for flag in flags_of(command)]


def test_all_are_walked() -> None:
    assert {"train", "pretext", "tune"} == set(READ_FILES)
    assert {flag for _, flag in CASES} == set(TYPED) == set(FLAGS)


class Built(Exception):
    """Carries what a command was about to run."""


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The experiment (or study) that a command with a file and words would run."""

    def stop(which: int) -> Callable[..., None]:
        def call(*arguments: Any, **_: Any) -> None:
            raise Built(arguments[which])

        return call

    monkeypatch.setattr("foveate.api.train", stop(2))
    monkeypatch.setattr("foveate.studies.tune.tune", stop(1))
    monkeypatch.setattr("foveate.studies.engine.run_study", stop(0))
    monkeypatch.setattr("foveate.cli.train.check_start", lambda *_: None)

    def run(command: str, file: dict[str, Any] | None, *words: object) -> Any:
        line: list[object] = [command, "pictures", "--out", tmp_path / "out"]
        if command == "pretext" and "--task" not in words:
            line += ["--task", "perturbation"]
        if command == "tune":
            file = {"experiment": file or {}, "space": {"seed": {"choices": [1, 2]}}}
        if file is not None:
            path = tmp_path / "settings.yaml"
            path.write_text(yaml.safe_dump(file, sort_keys=False), encoding="utf-8")
            line += ["--config", path]
        result = CliRunner().invoke(app, [str(word) for word in (*line, *words)])
        assert isinstance(result.exception, Built), result.output
        return result.exception.args[0]

    return run


def said(command: str, **more: Any) -> dict[str, Any]:
    """The file, for this command."""
    values = deepcopy(FILE) | more
    return values | {"task": TASK} if command == "pretext" else values


def typed(flag: str) -> tuple[object, ...]:
    value = TYPED[flag][0]
    return (option(flag),) if value is True else (option(flag), value)


def expected(base: Experiment, flag: str) -> Experiment:
    values = base.to_dict()
    for place, value in TYPED[flag][1].items():
        values = put(values, place, value)
    return Experiment.from_dict(values)


@pytest.mark.parametrize("command", READ_FILES)
def test_the_file_wins_over_the_recipe_and_flags_that_are_not_typed_over_nothing(
    command: str, build: Callable[..., Any]
) -> None:
    whole = Experiment.from_dict(said(command)).to_dict()
    assert build(command, whole).to_dict() == whole
    partial = build(command, {"training": {"batch_size": 9}}).to_dict()
    assert put(build(command, None).to_dict(), "training.batch_size", 9) == partial


@pytest.mark.parametrize(("command", "flag"), CASES)
def test_a_typed_flag_wins_and_decides_nothing_else(
    command: str, flag: str, build: Callable[..., Any]
) -> None:
    whole = Experiment.from_dict(said(command)).to_dict()
    found = build(command, whole, *typed(flag))
    assert found.to_dict() == expected(Experiment.from_dict(whole), flag).to_dict()


@pytest.mark.parametrize(("command", "flag"), CASES)
def test_a_typed_flag_wins_over_the_recipe(command: str, flag: str, build: Callable[..., Any]) -> None:
    found = build(command, None, *typed(flag)).to_dict()
    if command == "pretext" and flag == "task":
        assert found == pretext("rotation").to_dict()
        return
    if flag == "freeze":
        assert found == finetune(freeze="backbone").to_dict()
        return
    recipe = finetune(start="RUN") if flag == "start" else build(command, None)
    last = len(recipe.training.phases) - 1
    values = recipe.to_dict()
    for place, value in TYPED[flag][1].items():
        values = put(values, place.replace("phases.1.", f"phases.{last}."), value)
    assert found == Experiment.from_dict(values).to_dict()


@pytest.mark.parametrize(
    ("file", "words", "said"),
    [
        ({"training": {"batchsize": 9}}, ("--seed", 1), "settings.yaml: training.batchsize is no setting (got 9)."),
        ({"training": {"batch_size": 9}}, ("--size", -1), "--size: data.size must be at least 16 (got -1)."),
        ({"seed": "much"}, ("--size", -1), "settings.yaml: seed must be a whole number (got 'much')."),
        ({}, ("--seed", 1, "--set", "training.clip=hard"), "--set: training.clip must be a number (got 'hard')."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_blamed_on_where_it_was_said(
    file: dict[str, Any], words: tuple[object, ...], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(file), encoding="utf-8")
    line = ["train", "pictures", "--out", tmp_path / "out", "--config", path, *words]
    result = CliRunner().invoke(app, [str(word) for word in line])
    assert result.exit_code == 1
    assert said in result.output


def test_the_epochs_that_were_asked_for_are_said_to_be_those_of_the_last_phase(tmp_path: Path) -> None:
    def said(*words: str) -> str:
        line = [
            "train",
            str(tmp_path / "none"),
            "--out",
            str(tmp_path / "out"),
            "--weights",
            "pretrained",
            *words,
        ]
        return CliRunner().invoke(app, line).output

    assert "--epochs is for the phase all; before it come at most 40 of head." in said("--epochs", "9")
    assert "--epochs is for" not in said("--epochs", "9", "--weights", "none")
    assert "--epochs is for" not in said()


def test_last_among_flags_is_set(build: Callable[..., Any]) -> None:
    assert build("train", FILE, "--size", 48, "--set", "data.size=96").data.size == 96


def test_a_part_of_a_file_keeps_what_the_recipe_says_beside_it(build: Callable[..., Any]) -> None:
    for augment in ("plant", {"preset": "plant"}):
        for command in READ_FILES:
            found = build(command, {"data": {"augment": augment}}).data.augment
            assert (found.preset, found.steps, found.interpolation) == ("plant", None, "bicubic"), command
    kept = build(
        "train", {"data": {"augment": {"fill": "black", "interpolation": "bilinear"}}}, "--augment", "basic"
    )
    augment = kept.data.augment
    assert (augment.preset, augment.fill, augment.interpolation) == ("basic", "black", "bilinear")


def test_a_preset_by_set_wins_over_steps(build: Callable[..., Any]) -> None:
    found = build("pretext", None, "--set", "data.augment.preset=plant").data.augment
    assert (found.preset, found.steps) == ("plant", None)


def test_the_recipe_goes_by_the_weights_of_the_file(build: Callable[..., Any], tmp_path: Path) -> None:
    scratch = build("train", {"model": {"weights": "none"}})
    assert [phase.name for phase in scratch.training.phases] == ["scratch"]
    file = str(tmp_path / "net.safetensors")
    assert build("train", {"model": {"weights": file}}).model.backbone is None, "the file names its network"
    typed = build("train", {"model": {"backbone": "resnet18"}}, "--weights", file)
    assert (typed.model.backbone, typed.model.weights) == (None, file)
    both = build("train", {"model": {"backbone": "resnet18"}}, "--weights", file, "--backbone", "resnet34")
    assert both.model.backbone == "resnet34"
    kept = build("train", {"model": {"backbone": "resnet18"}}, "--weights", "none")
    assert kept.model.backbone == "resnet18"


STUDY: dict[str, Any] = {
    "name": "x",
    "base": {"data": {"size": 64}, "model": {"backbone": "resnet18", "weights": "none"}, "training": {"clip": 3.0}},
    "arms": {"plain": {}, "other": {"seed": 1}},
    "blocks": {"few": {"data.split.train_per_class": 3}, "many": {}},
    "seeds": [7],
}  # fmt: skip
DOTTED = {
    **STUDY,
    "base": {"data.size": 64, "model.backbone": "resnet18", "model.weights": "none", "training.clip": 3.0},
}
AROUND = {
    "seeds": (2, lambda study: study.seeds == (0, 1)),
    "arm": ("other", lambda study: list(study.arms) == ["plain", "other"]),
    "block": ("many", lambda study: list(study.blocks) == ["many"]),
    # One file is one split for all seeds.
    "split": (
        "typed.csv",
        lambda study: (
            study.split == "shared"
            and {cell.experiment.data.split.file for cell in study.cells()} == {Path("typed.csv")}
        ),
    ),
    "guide": ("spatial", lambda study: list(study.arms) == ["none", "spatial", "spatial, placebo"]),
}
"""Flags of ``study run`` about the study itself."""
HOW = {"data", "out", "jobs", "threads", "time-limit", "quarantine", "help", "ray", "gpus"}
"""How it is run, which no file says."""


@pytest.mark.parametrize("file", [STUDY, DOTTED], ids=["nested", "dotted"])
def test_every_flag_of_a_study_wins_over_its_file(
    file: dict[str, Any], build: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(file, sort_keys=False), encoding="utf-8")

    def study(*words: object) -> Study:
        line = ["study", "run", path, "--data", "pictures", "--out", tmp_path / "out", *words]
        result = CliRunner().invoke(app, [str(word) for word in line])
        assert isinstance(result.exception, Built), result.output
        found: Study = result.exception.args[0]
        return found

    mine = [flag for flag in flags_of("study run") if flag not in AROUND]
    options = {p.opts[0].lstrip("-") for p in commands()["study run"].params if p.param_type_name == "option"}
    assert options - HOW == {option(flag).lstrip("-") for flag in mine} | set(AROUND)
    before = [cell.experiment for cell in study().cells()]
    for flag in mine:
        words = ("--set", "base.training.clip=2.5") if flag == "set" else typed(flag)
        after = [cell.experiment for cell in study(*words).cells()]
        assert [e.to_dict() for e in after] == [expected(e, flag).to_dict() for e in before], flag
    for name, (value, right) in AROUND.items():
        assert right(study(f"--{name}", value)), name


def test_weights_of_a_study_bring_their_network(tmp_path: Path) -> None:
    from foveate.cli.study import build_study

    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY, sort_keys=False), encoding="utf-8")
    save_file({}, tmp_path / "net.safetensors")
    study = build_study(str(path), {"weights": str(tmp_path / "net.safetensors")})
    assert {cell.experiment.model.backbone for cell in study.cells()} == {None}
    study = build_study(str(path), {"weights": str(tmp_path)})
    assert {cell.experiment.model.backbone for cell in study.cells()} == {"resnet18"}


ON_RUNS = {
    "invert": "foveate.api.invert",
    "summit": "foveate.api.summit",
    "look": "foveate.experiment.Run.look",
}
"""Commands that have --set but no experiment, and the function that they call."""


@pytest.mark.parametrize("command", ON_RUNS)
def test_set_wins_over_the_flags_of_commands_on_runs(
    command: str, finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = {"invert": api.invert, "summit": api.summit, "look": Run.look}[command]
    taken: dict[str, Any] = {}

    def stop(*given: Any, **named: Any) -> None:
        inspect.signature(real).bind(*given, **named)  # a name given twice would be an error
        taken.update(named)
        raise Built

    monkeypatch.setattr(ON_RUNS[command], functools.wraps(real)(stop))
    own = {p.name: p for p in commands()[command].params if p.param_type_name == "option"}

    def call(*words: str) -> Any:
        line = [command, finished.folder, *words]
        line += ["--out", tmp_path / "out"] if own["folder" if "folder" in own else "out"].required else []
        return CliRunner().invoke(app, [str(word) for word in line])

    settings = {
        "device": "cpu",
        "seed": 3,
        "size": 48,
        "limit": 2,
        "channels": [3],
        "split": "test",
        "layer": "last",
    }
    tried = [name for name in settings if name in own]
    assert len(tried) >= 4
    for name in tried:
        result = call(
            "--set", f"{name}={yaml.safe_dump(settings[name], default_flow_style=True).splitlines()[0]}"
        )
        assert isinstance(result.exception, Built), result.output
        assert taken[name] == settings[name]
    result = call("--set", "progress=1")
    assert (result.exit_code, "--set progress: that is no setting" in result.output) == (1, True)
