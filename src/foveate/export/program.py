"""A run -> what other programs run: an ONNX file or a torch program, compared with the run before it is written."""

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from foveate.core.errors import ConfigError, FoveateError, RunError, first_line
from foveate.core.files import write_bytes
from foveate.data.catalog import Catalog
from foveate.evaluation.subject import Subject
from foveate.experiment.familiarity import NEIGHBOURS, limit_of, some
from foveate.experiment.run import Run
from foveate.export.card import INPUT, KEY, Answers, ExportCard, Parity
from foveate.export.far import Far
from foveate.export.graph import Graph, answers_of, card_of, subject_for_export, tried_rows
from foveate.export.onnx_classifier import OnnxClassifier

AGREEMENT = 0.999
"""Least share of pictures for which the exported network must have the run's own first class."""
TRIED = 1000
"""Pictures that an export is tried on, at most."""
KNOWN = 500
"""Training pictures that a picture is compared with, drawn at random where there are more."""
MEASURED = 500
"""Validation pictures that say from which distance on a picture is far, at most."""
LARGEST = 2**31 - 1
"""Bytes of an ONNX file in one piece."""

Logits = Callable[[Sequence[Path]], np.ndarray]
"""N files -> (N, C)."""


def export_onnx(run: Run, file: Path, *, limit: int = TRIED) -> ExportCard:
    """Write the run's network as ONNX: bytes of squares in; logits, class maps and features out; any batch.

    The file holds normalisation, test-time views, and a card (``ExportCard``) with class names and how pictures are
    resized. Before it is written it is compared with the run's network on the run's own pictures, from their files on.

    Raises:
        RunError: a pretext run, a network that cannot be exported, or one that agrees on less than ``AGREEMENT``.
    """
    content, card = onnx_of(subject_for_export(run), run.folder, limit, answers_of(run))
    write_bytes(file, content)
    return card


def export_torch(run: Run, file: Path, *, limit: int = TRIED) -> ExportCard:
    """Write the same graph as torch.export does (``torch.export.load(FILE).module()``), the card beside it in the file.

    Raises:
        RunError: as ``export_onnx``.
    """
    subject = subject_for_export(run)
    graph = Graph(subject)
    card, program = card_of(subject, graph, answers_of(run)), _traced(graph, subject, run.folder)
    module = program.module()

    def logits(files: Sequence[Path]) -> np.ndarray:
        with torch.no_grad():
            given = [module(torch.from_numpy(card.square(file))[None])[0].numpy() for file in files]
        return np.concatenate(given)

    card = tried(subject, card, logits, run.folder, limit)
    buffer = io.BytesIO()
    with _quiet():
        torch.export.save(program, buffer, extra_files={KEY: card.model_dump_json()})
    write_bytes(file, buffer.getvalue())
    return card


def onnx_of(
    subject: Subject, folder: Path, limit: int = TRIED, answers: Answers | None = None
) -> tuple[bytes, ExportCard]:
    """What ``export_onnx`` writes of the network of the run in ``folder``, and its card."""
    try:
        import onnxscript  # noqa: F401  (what torch writes ONNX with)
    except ImportError:
        raise ConfigError("Writing ONNX needs three packages more: pip install 'foveate[onnx]'.") from None
    graph = Graph(subject)
    card, program = card_of(subject, graph, answers), _traced(graph, subject, folder)
    with _quiet():
        made = torch.onnx.export(program, input_names=[INPUT], output_names=list(card.outputs), verbose=False)
    assert made is not None
    proto = made.model_proto
    if proto.ByteSize() > LARGEST:
        raise RunError(
            f"The network of {folder} takes more than 2 GB, which no ONNX file holds in one piece."
        )

    def content(card: ExportCard) -> bytes:
        del proto.metadata_props[:]
        proto.metadata_props.add(key=KEY, value=card.model_dump_json())
        return proto.SerializeToString()

    classifier = OnnxClassifier(content(card))
    card = tried(subject, card, classifier.logits, folder, limit)
    card = card.model_copy(update={"far": _far(subject.catalog, classifier)})
    return content(card), card


def compared_with(catalog: Catalog) -> np.ndarray:
    """Catalog rows of the training pictures that others are compared with."""
    return some(catalog.indices("train", labelled=False), KNOWN, "web", "train")


def _far(catalog: Catalog, classifier: OnnxClassifier) -> Far | None:
    train, val = compared_with(catalog), some(catalog.indices("val", labelled=False), MEASURED, "web", "val")
    if "features" not in classifier.card.outputs or len(train) < NEIGHBOURS or not len(val):
        return None
    files = [[catalog.file(row) for row in rows] for rows in (train, val)]
    if not all(
        file.is_file() for part in files for file in part
    ):  # gone, which keeps no network from leaving
        return None
    known, others = (classifier.outputs(part, ["features"])["features"] for part in files)
    far = Far.of(known, NEIGHBOURS)
    limit, rate = limit_of(far.distance(others))
    return far.model_copy(update={"limit": limit, "rate": rate, "n": len(val)})


def _traced(graph: Graph, subject: Subject, folder: Path) -> torch.export.ExportedProgram:
    """The graph as torch.export writes it, for any number of pictures.

    Raises:
        RunError: torch cannot trace the network.
    """
    pictures = torch.zeros((2, 3, subject.side, subject.side), dtype=torch.uint8)
    count = torch.export.Dim("pictures", min=1, max=4096)
    try:
        with torch.no_grad(), _quiet():
            return torch.export.export(graph, (pictures,), dynamic_shapes=({0: count},), strict=False)
    except FoveateError:
        raise
    except Exception as error:  # whatever torch says of a network that it cannot trace
        card = subject.model.card
        raise RunError(
            f"The network '{card.network['kind']}' of {folder} on {card.architecture} cannot be exported: torch "
            f"says '{first_line(error)}'."
        ) from error


def tried(subject: Subject, card: ExportCard, logits: Logits, folder: Path, limit: int) -> ExportCard:
    """The card with the parity, where that suffices."""
    rows = tried_rows(subject, limit)
    index, logs = subject.predict(subject.batches(rows, "predicting", side=subject.side))
    found = parity(np.exp(logs), logits([subject.catalog.file(row) for row in index]))
    if found.agreement < AGREEMENT:
        raise RunError(
            f"The exported network agrees with the one in {folder} on {found.agreement:.2%} of {found.pictures} "
            f"pictures, less than {AGREEMENT:.1%} (largest difference of a probability {found.difference:.2g}), so "
            "nothing was written."
        )
    return card.model_copy(update={"parity": found})


def parity(probabilities: np.ndarray, logits: np.ndarray) -> Parity:
    """Probabilities (N, C) of the run's network beside logits (N, C) of the exported one."""
    own = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    own /= own.sum(axis=1, keepdims=True)
    return Parity(
        pictures=len(own),
        agreement=float((own.argmax(axis=1) == probabilities.argmax(axis=1)).mean()),
        difference=min(1.0, float(np.abs(own - probabilities).max())),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """What torch says while it exports is for torch's own developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
