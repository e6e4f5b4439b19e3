"""A run -> one HTML page that classifies pictures by itself: offline, from a file, on a phone too."""

import base64
import gzip
import io
import lzma
import re
from importlib import resources
from pathlib import Path

from markupsafe import Markup

from foveate.core.files import write_text
from foveate.core.threads import in_threads
from foveate.data.decode import read_image
from foveate.experiment.run import Run
from foveate.export.card import ExportCard
from foveate.export.graph import subject_for_export
from foveate.export.page import page_of, part
from foveate.export.program import TRIED, answers_of, compared_with, onnx_of
from foveate.reporting.pictures import data_uri

RUNTIME = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm.xz"
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
    near = compared_with(run.catalog) if nearest and card.far else ()
    files = [run.catalog.file(row) for row in near]
    known = {
        "thumbnails": list(in_threads(_thumbnail, files)),
        "labels": [int(run.catalog.labels[row]) for row in near],
    }
    page = page_of(
        run, card, "offline.html.j2", (_runtime_script(), part("page.js"), part("offline.js")), known,
        far=card.far,
        nearest=bool(files),
        network=_packed(content),
        wasm=_packed(lzma.decompress(_runtime(RUNTIME[1]))),
    )  # fmt: skip
    write_text(file, page)
    return card


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
