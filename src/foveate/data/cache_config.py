"""Where decoded pictures, and what the check found, are kept between commands."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from foveate.core.config import Config, Mark


class CacheConfig(Config):
    """Where decoded pictures are kept."""

    enabled: Annotated[bool, Mark.DECIDES_NOTHING] = True
    """Decode once and keep the bytes; otherwise decode in every epoch."""
    folder: Annotated[Path | None, Mark.DECIDES_NOTHING] = None
    """The cache; None takes the environment variable FOVEATE_CACHE, else the user's cache folder."""
    size: Annotated[int | None, Mark.LATER] = Field(default=None, ge=8, le=4096)
    """Side of the kept pictures in pixels; None takes the network's. Larger leaves detail for crops."""

    @model_validator(mode="before")
    @classmethod
    def _without_fit(cls, values: Any) -> Any:
        """Files of earlier versions hold a ``fit`` that nothing read: ``data.fit`` decides."""
        return {k: v for k, v in values.items() if k != "fit"} if isinstance(values, dict) else values


def cache_folder(config: CacheConfig) -> Path:
    """The cache's folder: the setting, FOVEATE_CACHE, or ``foveate`` in the user's cache folder."""
    if config.folder is not None:
        return config.folder.expanduser()
    if os.environ.get("FOVEATE_CACHE"):
        return Path(os.environ["FOVEATE_CACHE"]).expanduser()
    user = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or "~/.cache"
    return Path(user).expanduser() / "foveate"
