"""Flags that are settings of an experiment: one line each, and one rule for all commands that take them.

A typed flag wins over the file (``--config``), the file over the recipe; a flag that was not typed decides nothing.
"""

import inspect
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from foveate.core.errors import ConfigError

Typed = dict[str, Any]
"""{name in FLAGS: value} of the flags that were typed."""


def number_or_auto(text: str, option: str) -> float | int | str:
    """ "auto" or a number.

    Raises:
        ConfigError: neither.
    """
    if text == "auto":
        return text
    try:
        return float(text) if "." in text or "e" in text.lower() else int(text)
    except ValueError:
        raise ConfigError(f"{option} takes a number or auto, got '{text}'.") from None


def words(text: str) -> list[str]:
    """What stands between commas; empty parts are left out."""
    return [word.strip() for word in text.split(",") if word.strip()]


def numbers(text: str, wanted: str) -> list[int]:
    """ "3,7" -> [3, 7].

    Raises:
        ConfigError: something in it is no number, where ``wanted`` says what is.
    """
    found = words(text)
    if not found or not all(word.isdecimal() for word in found):
        raise ConfigError(f"{wanted}, got '{text}'.")
    return [int(word) for word in found]


def one_or_several(masks: list[Path] | Path) -> str | list[str]:
    """``--masks`` as the setting has it."""
    named = [str(path) for path in masks] if isinstance(masks, list) else [str(masks)]
    return named if len(named) > 1 else named[0]


@dataclass(frozen=True)
class Flag:
    """One flag."""

    help: str
    places: tuple[str, ...] = ()
    """The settings that it decides."""
    kind: type = str
    option: str | None = None
    """As it is typed, where that is not its name."""
    metavar: str | None = None
    read: Callable[[Any, str], Any] = lambda value, option: str(value) if isinstance(value, Path) else value
    """(what was typed, the option) -> the setting's value."""
    former: tuple[str, dict[str, str]] | None = None
    """An older name that no help shows, and what its values are called now."""


# A new flag: one line here, and its name in the commands that take it.
FLAGS: dict[str, Flag] = {
    "task": Flag("What is asked (foveate list tasks): rotation, perturbation ...", ("task.kind",)),
    "faithful": Flag(
        "The published program with its faults (perturbation).", ("task.faithful",), bool, "--faithful"
    ),
    "backbone": Flag(
        "Any timm network; default: the one of the weights file, else the recipe's.", ("model.backbone",)
    ),
    "weights": Flag(
        "pretrained (timm downloads them once; default for labelled pictures), none (random; default for pretext), a "
        ".safetensors or .pth file, a run folder, or a folder with a file for each network.",
        ("model.weights", "model.backbone"),
    ),
    "start": Flag(
        "Start from the network of a finished run (see pretext); for the same classes its head is kept.",
        ("model.weights", "model.backbone", "model.keep_head"), Path, "--from", "RUN",
    ),
    "freeze": Flag(
        "What is not trained: none (default), backbone (its head is), weights (of the backbone, while its BatchNorm "
        "statistics move), or probe (nothing is: a tuned linear probe on the frozen backbone).",
        ("training.phases",), former=("trunk", {"trained": "none", "frozen": "backbone", "faithful": "weights"}),
    ),
    "size": Flag(
        "Side of the square picture the network sees, in pixels; default: that of the weights.", ("data.size",), int
    ),
    "augment": Flag(
        "How training pictures are varied: none, basic, standard, advanced, plant or plant_zoom; default: the "
        "recipe's.",
        ("data.augment.preset",),
    ),
    "guide": Flag(
        "Use of the masks: none (default), backgrounds, class-map, ... (foveate list guides), or several joined by +.",
        ("objective", "transforms"),
    ),
    "epochs": Flag("Epochs of the last phase, at most; default: the recipe's.", ("training.phases.-1.epochs",), int),
    "batch_size": Flag(
        "Pictures (or questions) a step, or auto (measured); default: 32.",
        ("training.batch_size",), read=number_or_auto,
    ),
    "lr": Flag(
        "Learning rate of the last phase, or auto (range test); default: the recipe's.",
        ("training.phases.-1.lr",), read=number_or_auto,
    ),
    "split": Flag(
        "Follow this split file (see foveate split); default: draw a split.", ("data.split.file",), Path
    ),
    "masks": Flag(
        "Folder of masks, or file of annotations (Label Studio, COCO, CVAT ...), when it is not found by itself; may "
        "be repeated: auto is what is found by itself, and drawn masks count before proposed ones.",
        ("data.layout.masks",), list[Path], read=lambda value, option: one_or_several(value),
    ),
    "group": Flag(
        "What must stay together: column:NAME, part:K of the path, or regex:PATTERN with one group.",
        ("data.layout.group",),
    ),
    "label": Flag(
        "What names the class, if not the first folder: part:K of the path (-2: the folder a picture lies in), "
        "regex:PATTERN with one group, or column:NAME.",
        ("data.layout.label",),
    ),
    "attributes": Flag(
        "What else is known of the pictures, to be measured and balanced: a column of the table, or NAME=part:K or "
        "NAME=regex:PATTERN of the path; may be repeated.",
        ("data.layout.attributes",), list[str], "--attribute",
    ),
    "columns": Flag(
        "What a table's columns are, where their names do not say it: path=image_id,label=dx (also split, mask, group, "
        "class_id).",
        ("data.layout.columns",),
    ),
    "no_cache": Flag(
        "Decode pictures again every epoch.", ("data.cache.enabled",), bool, "--no-cache",
        read=lambda value, option: not value,
    ),
    "seed": Flag("Random seed; default: 0.", ("seed",), int),
    "device": Flag("auto (default), cpu or cuda.", ("training.device",)),
    "set": Flag(
        "One setting by its place, as training.phases.0.epochs=5; may be repeated; wins over all other flags.",
        kind=list[str],
    ),
}  # fmt: skip


LAYOUT = ("masks", "group", "label", "columns", "attributes")
"""How a folder of pictures is read: every command that reads one takes these."""


def option_of(name: str) -> str:
    """The flag as it is typed."""
    return FLAGS[name].option or f"--{name.replace('_', '-')}"


def as_typed(data: Path, typed: Typed) -> str:
    """The pictures and the flags, to be typed to another command."""
    flags = (
        (option_of(name), str(value))
        for name, given in typed.items()
        for value in (given if isinstance(given, list) else [given])
    )
    return shlex.join([str(data), *(text for pair in flags for text in pair)])


def build_experiment(
    recipe: Callable[..., Any], typed: Typed, config: Path | dict[str, Any] | None = None
) -> Any:
    """The experiment: the recipe's settings, over them the file's, over them the typed flags, over them ``--set``.

    Args:
        recipe: makes an Experiment of those flags that it has an argument for.
        config: a file with settings, or the settings themselves.

    Raises:
        ConfigError: whatever does not fit, with its path.
    """
    from foveate.core.reading import read_yaml
    from foveate.experiment import Experiment
    from foveate.experiment.specification import merge, put

    file = _longhand(read_yaml(config) if isinstance(config, Path) else config or {})
    arguments = inspect.signature(recipe).parameters
    flagged = recipe(**{n: v for n, v in _network(typed, file).items() if n in arguments}).to_dict()
    settings = {name: value for name, value in typed.items() if name != "set"}
    for name, value in settings.items():
        if name not in arguments:
            flagged = with_flag(flagged, name, value)
    values = merge(flagged, file)
    source = str(config) if isinstance(config, Path) else "The experiment"
    for name in settings:
        for place in FLAGS[name].places:
            try:
                values = put(values, place, _at(flagged, place))
            except ConfigError as error:  # the file has something else on the way to that place
                raise ConfigError(f"{source}: {error}") from None
    values = assigned(typed.get("set"), values)
    try:
        return Experiment.from_dict(values, source=option_of([*typed][-1]) if typed else source)
    except ConfigError:
        if typed:  # perhaps the file is to blame, or an earlier flag
            build_experiment(recipe, {name: typed[name] for name in [*typed][:-1]}, config)
        raise


def layout_of(typed: Typed, base: Any = None) -> Any:
    """The ``LayoutConfig``: ``base`` with those typed flags that say how the pictures are read.

    Raises:
        ConfigError: not of the known forms.
    """
    from foveate.core.config import parse
    from foveate.data.layout_settings import LayoutConfig

    values = {} if base is None else base.model_dump(mode="json")
    values |= {name: FLAGS[name].read(typed[name], option_of(name)) for name in LAYOUT if name in typed}
    return parse(LayoutConfig, values, source="The command line")


def with_flag(values: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """``values`` of an experiment with one typed flag."""
    from foveate.experiment.specification import put

    return put(values, FLAGS[name].places[0], FLAGS[name].read(value, option_of(name)))


def assigned(assignments: list[str] | None, values: dict[str, Any] | None = None) -> dict[str, Any]:
    """``values`` with what ``--set`` says laid over them."""
    from foveate.experiment.specification import assign

    return reduce(assign, assignments or (), values or {})


def with_assignments(
    call: Callable[..., Any], values: dict[str, Any], assignments: list[str] | None
) -> dict[str, Any]:
    """Arguments of ``call``: the flags' ``values``, over them ``--set``, which may also name what ``call`` hands on.

    Raises:
        ConfigError: an assignment to something that ``call`` gets in another way.
    """
    taken = set(inspect.signature(call).parameters) - set(values)
    for assignment in assignments or ():
        name = assignment.partition("=")[0].partition(".")[0].strip()
        if name in taken:
            raise ConfigError(
                f"--set {name}: that is no setting; {', '.join(values)} and those of the docs are."
            )
    return assigned(assignments, values)


def _longhand(file: dict[str, Any]) -> dict[str, Any]:
    data = file.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("augment"), str):
        return file
    return {**file, "data": {**data, "augment": {"preset": data["augment"]}}}


def _network(typed: Typed, file: dict[str, Any]) -> Typed:
    """The typed flags, and what the file says about the network instead of those that were not typed.

    A recipe goes by the weights: random ones are not frozen, and a file or run brings its own backbone.
    """
    from foveate.models.weights import brings_backbone

    model = file.get("model")
    model = model if isinstance(model, dict) and "start" not in typed else {}
    told = {name: model[name] for name in ("backbone", "weights") if isinstance(model.get(name), str)}
    if brings_backbone(typed.get("weights", "none")):
        told.pop("backbone", None)
    return {**told, **typed}


def _at(values: Any, path: str) -> Any:
    return reduce(
        lambda place, step: place[int(step) if isinstance(place, list) else step], path.split("."), values
    )
