"""The page on which a network answers, wherever it runs: what it has beside the network and its script."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib import colormaps

from foveate.core.errors import DataError
from foveate.core.intervals import of_answers
from foveate.experiment.run import Run
from foveate.export.card import ExportCard
from foveate.reporting.answers import page_json
from foveate.reporting.overlays import COLORMAP, PALE, STRONGEST

HERE = "foveate.export"


def page_of(
    run: Run, card: ExportCard, template: str, scripts: Sequence[str], values: Mapping[str, Any], package: str = HERE,
    **shown: Any,
) -> str:  # fmt: skip
    """The page as text.

    Args:
        template: extends ``page.html.j2``; lies in ``package``.
        scripts: texts that become one script.
        values: what the script finds in its constant ``card``, beside the card's own.
        shown: of the template.
    """
    script = "\n".join(scripts)
    if "</script" in script.lower() or "<!--" in script:
        raise DataError(
            "The page's script holds what would end it; this version of ONNX Runtime Web cannot be used."
        )
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(place, package_path="") for place in dict.fromkeys((package, HERE))]),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    palette = (colormaps[COLORMAP](np.arange(256) / 255)[:, :3] * 255).round().astype(int)
    colours = {"pale": PALE, "strongest": STRONGEST, "palette": palette.ravel().tolist()}
    return environment.get_template(template).render(
        title=run.folder.resolve().name,
        card=card,
        measured=_measured(run),
        data=page_json(card.model_dump(mode="json") | {"classes": card.class_names} | colours | dict(values)),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **shown,
    )


def part(name: str, package: str = HERE) -> str:
    """The text of a file of ``package``."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def _measured(run: Run) -> dict[str, Any] | None:
    """The run's accuracy on its test pictures, else on its validation pictures."""
    table = run.predictions
    split = next((name for name in ("test", "val") if name in table.splits), None)
    if split is None:
        return None
    rows = table.of_split(split)
    interval = of_answers(rows.correct, rows.group)
    return {"split": {"test": "test", "val": "validation"}[split], "n": len(rows), "accuracy": rows.correct.mean(),
            "interval": interval}  # fmt: skip
