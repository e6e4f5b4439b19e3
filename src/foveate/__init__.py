"""Foveate: train an image classifier from a folder, guide it to look at the right place, measure whether that helped.

    import foveate
    run = foveate.train("pictures/", out="runs/first")
    print(run.result["metrics"]["test"]["accuracy"])
    table = run.predict("new pictures/")
    table.to_csv("predictions.csv")

Importing foveate is quick: torch is loaded by the first call that needs it.
"""

import os
from typing import TYPE_CHECKING, Any

from foveate.core.providers import PACKAGES
from foveate.core.version import VERSION

__version__ = VERSION
PACKAGES.append("foveate.papers")
# Threads of torch that wait for work spin for milliseconds, and on a busy machine take the processor from each other.
# Here they sleep sooner; torch's OpenMP (libgomp, LLVM's) reads it when it is loaded, and what a user has set stays.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ.setdefault("KMP_BLOCKTIME", "1")

if TYPE_CHECKING:
    from foveate.api import (
        card,
        check,
        compare_backbones,
        compare_masks,
        explain_pictures,
        invert,
        learning_curve,
        look,
        propose_masks,
        report,
        study,
        summit,
        train,
    )
    from foveate.experiment import Experiment, Run
    from foveate.explanation import explain
    from foveate.studies.specification import Study

__all__ = [
    "Experiment", "Run", "Study", "card", "check", "compare_backbones", "compare_masks", "explain",
    "explain_pictures", "invert", "learning_curve", "look", "propose_masks", "report", "study", "summit", "train",
]  # fmt: skip
_HOMES = {
    "Experiment": "foveate.experiment",
    "Run": "foveate.experiment",
    "Study": "foveate.studies.specification",
    "explain": "foveate.explanation",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        from importlib import import_module

        return getattr(import_module(_HOMES.get(name, "foveate.api")), name)
    raise AttributeError(f"module 'foveate' has no attribute '{name}'")
