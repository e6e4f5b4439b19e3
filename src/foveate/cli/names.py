"""foveate list"""

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from foveate.cli.command import command
from foveate.cli.screen import out, say
from foveate.core.errors import ConfigError

TABLES = {
    "recipes": ("foveate.recipes", "RECIPES"),
    "studies": ("foveate.recipes", "STUDIES"),
    "guides": ("foveate.studies.guides", "GUIDES"),
    "explainers": ("foveate.explanation", "EXPLAINERS"),
    "losses": ("foveate.objectives", "LOSSES"),
    "weightings": ("foveate.objectives.weighting", "WEIGHTINGS"),
    "augmentations": ("foveate.data.presets", "PRESETS"),
    "steps": ("foveate.data.steps", "STEPS"),
    "transforms": ("foveate.augmentation", "TRANSFORMS"),
    "feedbacks": ("foveate.feedback", "FEEDBACKS"),
    "last-layers": ("foveate.last_layer", "LAST_LAYERS"),
    "selection-rules": ("foveate.training.selection", "SELECTION_RULES"),
    "networks": ("foveate.models.networks", "NETWORKS"),
    "heads": ("foveate.models.heads", "HEADS"),
    "optimizers": ("foveate.training.optimizers", "OPTIMIZERS"),
    "schedules": ("foveate.training.schedules", "SCHEDULES"),
    "tasks": ("foveate.pretext", "TASKS"),
    "evaluators": ("foveate.evaluation.evaluators", "EVALUATORS"),
    "tta": ("foveate.evaluation.tta", "TTA"),
}
"""{what can be listed: (module, its table)}; the module is imported when it is asked for."""
WIDTH = 80
"""Columns of what is wrapped wherever it goes."""
ARMS = 4
"""Arms of a study that are named, at most."""
COUNTED = 64
"""Runs of one seed, beyond which it is not looked for networks that are trained once and measured twice."""
KNOWN = ("backbones", *TABLES)


@command()
def list_(
    what: Annotated[str, typer.Argument(help=f"{', '.join(KNOWN[:-1])} or {KNOWN[-1]}.")], pattern: str = ""
) -> None:
    """List the names that commands and settings take.

    Args:
        pattern: Only names that contain this.
    """
    from foveate.core.registry import Registry

    if what not in KNOWN:
        raise ConfigError(f"There is no list '{what}'; choose one of {', '.join(KNOWN)}.")
    table: Any = (
        _backbones() if what == "backbones" else getattr(import_module(TABLES[what][0]), TABLES[what][1])
    )
    shown = [name for name in table if pattern in name]
    if what == "studies":
        _print_studies({name: table[name] for name in shown})
    elif isinstance(table, Mapping):
        of = _of_class if isinstance(table, Registry) else _of_recipe
        _print([(name, *of(table[name])) for name in shown], WIDTH if what == "guides" else 0)
    else:
        _print([(name,) for name in shown])


def _print(rows: Sequence[tuple[str, ...]], width: int = 0) -> None:
    """Columns; within ``width``, or on a screen, the last one is wrapped within itself."""
    width = min(width or out.width, out.width) if out.is_terminal else width
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for *cells, last in rows:
        start = "".join(f"{cell:<{width}}  " for cell, width in zip(cells, widths, strict=True))
        indent = " " * len(start)
        lines = textwrap.wrap(last, max(20, width - len(start))) if width else [last]
        say(start + f"\n{indent}".join(lines))


def _print_studies(table: Mapping[str, Any]) -> None:
    """Of each study its sentence, its arms and how many trainings it is."""
    for name, recipe in table.items():
        study, (place, about) = recipe(), _of_recipe(recipe)
        arms = list(study.arm_changes())
        sizes = {"arm": len(arms), "block": len(study.blocks), "seed": len(study.seeds)}
        sizes["fold"] = study.folds if study.split == "folds" else 0
        product = " x ".join(f"{size} {what}{'s' * (size > 1)}" for what, size in sizes.items() if size)
        more = f" and {len(arms) - ARMS} more" if len(arms) > ARMS else ""
        told = f"{'; '.join(arms[:ARMS])}{more}: {_trainings(study, sizes)} trainings ({product})"
        say((name, "bold"))
        for line in (f"{about} (of the paper {place})" if place else about, told):
            say(textwrap.fill(line, min(WIDTH, out.width), initial_indent="  ", subsequent_indent="  "))


def _trainings(study: Any, sizes: Mapping[str, int]) -> int:
    """Of all runs those that are not another's network, measured otherwise."""
    from foveate.studies.engine import twins

    total = math.prod(size for size in sizes.values() if size)
    if total // sizes["seed"] > COUNTED:
        return total
    cells = study.model_copy(update={"seeds": study.seeds[:1]}).cells()
    return (len({cell.key for cell in cells}) - len(twins(cells))) * sizes["seed"]


def _of_class(kind: type[Any]) -> tuple[str, ...]:
    """What a class of a registry is; of an explainer before that where it works and whether it takes many passes, and
    behind it the first work that its docstring names, up to the year."""
    from foveate.core.registry import first_sentence

    about = first_sentence(kind.__doc__)
    if not hasattr(kind, "layered"):
        return (about,)
    source = re.search(r"Sources?: (.*?\d{4}(?: \([^)]*\))?)", " ".join((kind.__doc__ or "").split()))
    place, pace = "at a layer" if kind.layered else "pixels", "slow" if kind.slow else ""
    return place, pace, about + (f" [{source[1]}]" if source else "")


def _of_recipe(entry: Any) -> tuple[str, ...]:
    """Of a recipe or study: the paper it belongs to, and what it is; of a use of masks: what it is."""
    from foveate.core.registry import first_sentence

    if not callable(entry):
        return (about,) if (about := getattr(entry, "about", "")) else ()
    place = getattr(entry, "__module__", "").split(".")
    return place[2] if place[:2] == ["foveate", "papers"] else "", first_sentence(entry.__doc__)


def _backbones() -> list[str]:
    import foveate.core.torchvision_guard  # noqa: I001 (must come before timm)
    import foveate.papers  # noqa: F401 (registers ours)
    import timm

    listed: list[str] = timm.list_models()
    return listed
