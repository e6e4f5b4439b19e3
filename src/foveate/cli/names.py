"""foveate list"""

from collections.abc import Iterable

from foveate.cli.screen import guarded, out
from foveate.core.errors import ConfigError


@guarded
def names(what: str, pattern: str) -> None:
    """Print the names of one table, one a line."""
    if what not in _TABLES:
        raise ConfigError(f"There is no list '{what}'; choose one of {', '.join(_TABLES)}.")
    for name in _TABLES[what]():
        if pattern in name:
            out.print(name)


def _backbones() -> Iterable[str]:
    import foveate.core.torchvision_guard  # noqa: I001 (must come before timm)
    import foveate.models.plain  # noqa: F401 (registers ours)
    import timm

    listed: list[str] = timm.list_models()
    return listed


def _losses() -> Iterable[str]:
    from foveate.objectives import LOSSES

    return LOSSES


def _augmentations() -> Iterable[str]:
    from foveate.data.transforms import PRESETS

    return PRESETS


def _transforms() -> Iterable[str]:
    from foveate.augmentation import TRANSFORMS

    return TRANSFORMS


def _heads() -> Iterable[str]:
    from foveate.models.heads import HEADS

    return HEADS


def _schedules() -> Iterable[str]:
    from foveate.training.schedules import SCHEDULES

    return SCHEDULES


def _tta() -> Iterable[str]:
    from foveate.evaluation.tta import TTA

    return TTA


def _guides() -> Iterable[str]:
    from foveate.recipes.guidance import GUIDES

    return GUIDES


def _recipes() -> Iterable[str]:
    from foveate.recipes import RECIPES

    return RECIPES


_TABLES = {
    "backbones": _backbones,
    "recipes": _recipes,
    "guides": _guides,
    "losses": _losses,
    "augmentations": _augmentations,
    "transforms": _transforms,
    "heads": _heads,
    "schedules": _schedules,
    "tta": _tta,
}
