"""A run -> one HTML page that classifies pictures by itself: offline, from a file, on a phone too."""

import base64
import gzip
import io
import lzma
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from sklearn.preprocessing import normalize

from foveate.core.files import write_text
from foveate.core.threads import in_threads
from foveate.data.decode import read_image
from foveate.experiment.familiarity import NEIGHBOURS, limit_of, some
from foveate.experiment.run import Run
from foveate.export.card import ExportCard
from foveate.export.graph import subject_for_export
from foveate.export.onnx_classifier import OnnxClassifier
from foveate.export.page import page_of, part
from foveate.export.program import TRIED, answers_of, onnx_of
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
    page = page_of(
        run, card, "offline.html.j2", (_runtime_script(), part("page.js"), part("offline.js")), known,
        far=known["far"],
        nearest=nearest and bool(known["thumbnails"]),
        network=_packed(content),
        wasm=_packed(lzma.decompress(_runtime(RUNTIME[1]))),
    )  # fmt: skip
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


def _runtime_script() -> str:
    """ONNX Runtime Web as the constant ``ort``."""
    bundle = _runtime(RUNTIME[0]).decode()
    body, exported = re.fullmatch(r"(.*)export\{(.*?)\};.*", bundle, re.DOTALL).groups()  # type: ignore[union-attr]
    names = {said: own for own, said in (pair.split(" as ") for pair in exported.split(","))}
    given = ", ".join(f"{name}: {names[name]}" for name in ("InferenceSession", "Tensor", "env"))
    return f"const ort = await (async () => {{\n{body}\nreturn {{ {given} }};\n}})();"


def _runtime(name: str) -> bytes:
    return resources.files("foveate.export").joinpath("runtime", name).read_bytes()


def _packed(content: bytes) -> Markup:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as stream:
        stream.write(content)
    return Markup(base64.b64encode(buffer.getvalue()).decode())
