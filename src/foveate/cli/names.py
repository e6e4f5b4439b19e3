"""foveate list"""

from collections.abc import Iterable
from importlib import import_module

from rich.markup import escape

from foveate.cli.screen import guarded, out
from foveate.core.errors import ConfigError
from foveate.core.registry import Registry

_TABLES = {
    "recipes": ("foveate.recipes", "RECIPES"),
    "studies": ("foveate.recipes", "STUDIES"),
    "guides": ("foveate.recipes.guides", "GUIDES"),
    "explainers": ("foveate.explanation", "EXPLAINERS"),
    "losses": ("foveate.objectives", "LOSSES"),
    "weightings": ("foveate.objectives.weighting", "WEIGHTINGS"),
    "augmentations": ("foveate.data.transforms", "PRESETS"),
    "transforms": ("foveate.augmentation", "TRANSFORMS"),
    "feedbacks": ("foveate.feedback", "FEEDBACKS"),
    "networks": ("foveate.models.networks", "NETWORKS"),
    "heads": ("foveate.models.heads", "HEADS"),
    "schedules": ("foveate.training.schedules", "SCHEDULES"),
    "tasks": ("foveate.pretext", "TASKS"),
    "tta": ("foveate.evaluation.tta", "TTA"),
}
"""{what can be listed: (module, its table)}; the module is imported when it is asked for."""


@guarded
def names(what: str, pattern: str) -> None:
    """Print the names of one table, one a line, and what each is where that can be said in a sentence."""
    known = ("backbones", *_TABLES)
    if what not in known:
        raise ConfigError(f"There is no list '{what}'; choose one of {', '.join(known)}.")
    if what == "explainers":
        _explainers(pattern)
        return
    table = _backbones() if what == "backbones" else _table(*_TABLES[what])
    shown = [name for name in table if pattern in name]
    sentences = table.sentences() if isinstance(table, Registry) else {}
    width = max(map(len, shown), default=0)
    for name in shown:
        out.print(escape(f"{name:<{width}}  {sentences[name]}" if sentences else name), soft_wrap=True)


def _explainers(pattern: str) -> None:
    """A line for each: name, where it works, whether it takes many passes, the first sentence on it."""
    from foveate.explanation import EXPLAINERS

    shown = {name: text for name, text in EXPLAINERS.sentences().items() if pattern in name}
    width = max(map(len, shown), default=0)
    for name, text in shown.items():
        where = "at a layer" if EXPLAINERS[name].layered else "pixels    "
        pace = "slow" if EXPLAINERS[name].slow else "    "
        out.print(escape(f"{name:<{width}}  {where}  {pace}  {text}"), soft_wrap=True)


def _table(module: str, name: str) -> Iterable[str]:
    table: Iterable[str] = getattr(import_module(module), name)
    return table


def _backbones() -> Iterable[str]:
    import foveate.core.torchvision_guard  # noqa: I001 (must come before timm)
    import foveate.models.plain  # noqa: F401 (registers ours)
    import timm

    listed: list[str] = timm.list_models()
    return listed
