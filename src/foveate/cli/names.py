"""foveate list"""

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
    "guides": ("foveate.recipes.guides", "GUIDES"),
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
    table = _backbones() if what == "backbones" else getattr(import_module(TABLES[what][0]), TABLES[what][1])
    shown = [name for name in table if pattern in name]
    if isinstance(table, Mapping):
        of = _of_class if isinstance(table, Registry) else _of_recipe
        _print([(name, *of(table[name])) for name in shown])
    else:
        _print([(name,) for name in shown])


def _print(rows: Sequence[tuple[str, ...]]) -> None:
    """Columns; on a screen the last one is wrapped within itself."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for *cells, last in rows:
        start = "".join(f"{cell:<{width}}  " for cell, width in zip(cells, widths, strict=True))
        indent = " " * len(start)
        lines = textwrap.wrap(last, max(20, out.width - len(start))) if out.is_terminal else [last]
        say(start + f"\n{indent}".join(lines))


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
