"""Small pictures drawn on the spot, a cache folder of their own for every test session, one torch thread."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from drawn import draw_tree

if TYPE_CHECKING:
    from foveate.experiment import Run

torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job inherits deafness to Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing a user has cached is read or written."""
    before = os.environ.get("FOVEATE_CACHE")
    os.environ["FOVEATE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["FOVEATE_CACHE"]
    else:
        os.environ["FOVEATE_CACHE"] = before


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 pictures of 3 classes with masks."""
    return draw_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="session")
def finished(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> "Run":
    """A finished run of two short phases on ``tree``; tests only read it."""
    from foveate.experiment import run
    from training_helpers import experiment

    return run(experiment(), tree, tmp_path_factory.mktemp("runs") / "finished")
