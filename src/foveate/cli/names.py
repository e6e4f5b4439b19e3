"""foveate list"""

from collections.abc import Iterable
from importlib import import_module

from foveate.cli.screen import guarded, out
from foveate.core.errors import ConfigError

_TABLES = {
    "recipes": ("foveate.recipes", "RECIPES"),
    "studies": ("foveate.recipes", "STUDIES"),
    "guides": ("foveate.recipes.guides", "GUIDES"),
    "losses": ("foveate.objectives", "LOSSES"),
    "weightings": ("foveate.objectives.weighting", "WEIGHTINGS"),
    "augmentations": ("foveate.data.transforms", "PRESETS"),
    "transforms": ("foveate.augmentation", "TRANSFORMS"),
    "heads": ("foveate.models.heads", "HEADS"),
    "schedules": ("foveate.training.schedules", "SCHEDULES"),
    "tasks": ("foveate.pretext", "TASKS"),
    "tta": ("foveate.evaluation.tta", "TTA"),
}
"""{what can be listed: (module, its table)}; the module is imported when it is asked for."""


@guarded
def names(what: str, pattern: str) -> None:
    """Print the names of one table, one a line."""
    known = ("backbones", *_TABLES)
    if what not in known:
        raise ConfigError(f"There is no list '{what}'; choose one of {', '.join(known)}.")
    for name in _backbones() if what == "backbones" else _table(*_TABLES[what]):
        if pattern in name:
            out.print(name)


def _table(module: str, name: str) -> Iterable[str]:
    table: Iterable[str] = getattr(import_module(module), name)
    return table


def _backbones() -> Iterable[str]:
    import foveate.core.torchvision_guard  # noqa: I001 (must come before timm)
    import foveate.models.plain  # noqa: F401 (registers ours)
    import timm

    listed: list[str] = timm.list_models()
    return listed
