"""A run -> one HTML page that classifies pictures by itself: offline, from a file, on a phone too."""

import base64
import gzip
import hashlib
import io
import lzma
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from sklearn.preprocessing import normalize

from foveate.core.errors import DataError
from foveate.core.files import write_text
from foveate.core.intervals import of_answers
from foveate.core.threads import in_threads
from foveate.data.decode import read_image
from foveate.experiment.familiarity import NEIGHBOURS, limit_of, some
from foveate.experiment.run import Run
from foveate.export.card import ExportCard
from foveate.export.graph import subject_for_export
from foveate.export.onnx_classifier import OnnxClassifier
from foveate.export.program import TRIED, answers_of, onnx_of
from foveate.reporting.answers import page_json
from foveate.reporting.overlays import COLORMAP, PALE, STRONGEST
from foveate.reporting.pictures import data_uri

RUNTIME = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm.xz"
KNOWN = 500
"""Training pictures that a picture is compared with, drawn at random where there are more."""
MEASURED = 500
"""Validation pictures that say from which distance on a picture is far, at most."""
THUMBNAIL = 96
"""px."""


def export_web(run: Run, file: Path, *, nearest: bool = False, limit: int = TRIED) -> ExportCard:
    """Write the page: network, ONNX Runtime Web, classes, thresholds; it loads nothing.

    Args:
        nearest: show the nearest training pictures, as thumbnails that whoever has the page can see.

    Raises:
        RunError: as ``export_onnx``. DataError: pictures of the run are gone.
    """
    content, card = onnx_of(subject_for_export(run), run.folder, limit, answers_of(run))
    known = _known(run, content, card, nearest)
    script = _script()
    environment = Environment(
        loader=PackageLoader("foveate.export", package_path=""),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template("page.html.j2").render(
        title=run.folder.resolve().name,
        card=card,
        far=known["far"],
        nearest=nearest and bool(known["thumbnails"]),
        measured=_measured(run),
        data=_data(card, known),
        network=_packed(content),
        wasm=_packed(lzma.decompress(_runtime(RUNTIME[1]))),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    write_text(file, page)
    return card


def _known(run: Run, content: bytes, card: ExportCard, nearest: bool) -> dict[str, Any]:
    """Features of training pictures, and the distance from which on a picture is far: as ``experiment.familiarity``
    says it, of fewer pictures and of the rounded features that stand in the page."""
    nothing: dict[str, Any] = {"far": None, "thumbnails": [], "labels": []}
    catalog = run.catalog
    parts = {
        name: some(catalog.indices(name, labelled=False), most, "web", name)
        for name, most in (("train", KNOWN), ("val", MEASURED))
    }
    if "features" not in card.outputs or len(parts["train"]) < NEIGHBOURS or not len(parts["val"]):
        return nothing
    classifier = OnnxClassifier(content)
    train, val = (
        normalize(classifier.outputs([catalog.file(row) for row in rows], "features"))
        for rows in parts.values()
    )
    scales = np.abs(train).max(axis=1, keepdims=True) / 127
    whole = np.round(train / scales).astype(np.int8)
    distances = np.sort(np.linalg.norm(val[:, None] - (whole * scales)[None], axis=2), axis=1)
    found, rate = limit_of(distances[:, NEIGHBOURS - 1])
    far = {
        "features": base64.b64encode(whole.tobytes()).decode(),
        "scales": [float(f"{scale:.6g}") for scale in scales[:, 0]],
        "limit": found, "rate": rate, "n": len(val), "known": len(train),
    }  # fmt: skip
    files = [catalog.file(row) for row in parts["train"]]
    return {
        "far": far,
        "thumbnails": list(in_threads(_thumbnail, files)) if nearest else [],
        "labels": [int(catalog.labels[row]) for row in parts["train"]] if nearest else [],
    }


def _thumbnail(file: Path) -> str:
    picture = read_image(file, at_least=THUMBNAIL)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return str(data_uri(picture, quality=80))


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


def _data(card: ExportCard, known: dict[str, Any]) -> Markup:
    from matplotlib import colormaps

    palette = (colormaps[COLORMAP](np.arange(256) / 255)[:, :3] * 255).round().astype(int)
    values = card.model_dump(mode="json") | known
    values |= {
        "classes": card.class_names, "pale": PALE, "strongest": STRONGEST, "palette": palette.ravel().tolist()
    }  # fmt: skip
    return page_json(values)


def _script() -> str:
    """ONNX Runtime Web as the constant ``ort``, then the page's own script."""
    bundle = _runtime(RUNTIME[0]).decode()
    body, exported = re.fullmatch(r"(.*)export\{(.*?)\};.*", bundle, re.DOTALL).groups()  # type: ignore[union-attr]
    names = {said: own for own, said in (pair.split(" as ") for pair in exported.split(","))}
    given = ", ".join(f"{name}: {names[name]}" for name in ("InferenceSession", "Tensor", "env"))
    own = resources.files("foveate.export").joinpath("page.js").read_text(encoding="utf-8")
    script = f"const ort = await (async () => {{\n{body}\nreturn {{ {given} }};\n}})();\n{own}"
    if "</script" in script.lower() or "<!--" in script:
        raise DataError(
            "The page's script holds what would end it; this version of ONNX Runtime Web cannot be used."
        )
    return script


def _runtime(name: str) -> bytes:
    return resources.files("foveate.export").joinpath("runtime", name).read_bytes()


def _packed(content: bytes) -> Markup:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as stream:
        stream.write(content)
    return Markup(base64.b64encode(buffer.getvalue()).decode())
