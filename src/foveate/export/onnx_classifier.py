"""An exported network put to use with ONNX Runtime: pictures in, the prediction table out. Without torch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foveate.core.config import parse
from foveate.core.errors import ConfigError, DataError, first_line
from foveate.core.reading import parse_json
from foveate.core.threads import in_threads
from foveate.data.decode import DecodeError
from foveate.data.listing import none_readable, picture_list
from foveate.evaluation.predictions import PredictionTable
from foveate.export.card import INPUT, KEY, ExportCard

BATCH = 16
"""Pictures a call; more is no faster on a processor and takes more memory."""


class OnnxClassifier:
    """An ONNX file that ``foveate export`` wrote, or its bytes.

    Raises:
        ConfigError: ONNX Runtime is not installed.
        DataError: it is no ONNX file, or none of ours.
    """

    def __init__(self, model: Path | str | bytes) -> None:
        self.session = _session(model)
        text = self.session.get_modelmeta().custom_metadata_map.get(KEY)
        if text is None:
            name = "The bytes" if isinstance(model, bytes) else model
            raise DataError(
                f"{name} was not written by foveate export: it has no card that says which classes it knows and how "
                "pictures are prepared."
            )
        self.card = parse(
            ExportCard,
            parse_json(text, dict, "the card of the ONNX file", DataError),
            source="the card",
            error=DataError,
        )

    def answers(self, squares: np.ndarray) -> dict[str, np.ndarray]:
        """(B, 3, size, size) uint8 -> {name: values}, see ``ExportCard.outputs``."""
        return dict(
            zip(self.card.outputs, self.session.run(list(self.card.outputs), {INPUT: squares}), strict=True)
        )

    def logits(self, files: Sequence[Path], faults: dict[int, str] | None = None) -> np.ndarray:
        """Of N files (N, C) float32; arguments as of ``outputs``."""
        return self.outputs(files, ["logits"], faults)["logits"]

    def outputs(
        self, files: Sequence[Path], names: Sequence[str], faults: dict[int, str] | None = None
    ) -> dict[str, np.ndarray]:
        """{name: (N, ...) float32} of some of the card's outputs, of N files.

        Args:
            faults: takes {place: why} of files that cannot be read, whose row is that of a black picture; None: such a
                file is an error.

        Raises:
            DecodeError: see ``faults``.
        """

        def read(place: int) -> np.ndarray:
            try:
                return self.card.square(files[place])
            except DecodeError as error:
                if faults is None:
                    raise
                faults[place] = error.reason or str(error)
                return np.zeros((3, self.card.size, self.card.size), dtype=np.uint8)

        found = map(self.answers, _batches(in_threads(read, range(len(files)))))
        kept = [[answer[name] for name in names] for answer in found]
        return {
            name: np.concatenate(parts) for name, parts in zip(names, zip(*kept, strict=True), strict=True)
        }

    def predict(
        self, paths: Sequence[Path], *, judged: bool = True, distance: bool = True
    ) -> PredictionTable:
        """The table that ``Run.predict`` gives; pictures that cannot be read are listed in ``unreadable``.

        Args:
            judged: say where it is not sure, where the card knows.
            distance: say how far pictures are from the training pictures, where the card knows.

        Raises:
            DataError: there is no picture, or none can be read.
        """
        root, names = picture_list(paths, unreadable=True)
        once = sorted(set(names))
        faults: dict[int, str] = {}
        far = self.card.far if distance else None
        found = self.outputs(
            [root / name for name in once], ["logits", "features"] if far else ["logits"], faults
        )
        unreadable = {once[place]: why for place, why in sorted(faults.items())}
        place_of = {name: place for place, name in enumerate(once)}
        shown = [name for name in names if name not in unreadable]
        if not shown:
            raise none_readable(root, unreadable)
        rows = [place_of[name] for name in shown]
        labels, look = np.full(len(shown), -1), {}
        if far is not None:
            look["distance"] = far.distance(found["features"][rows])
            look["far"] = look["distance"] > far.limit
        table = PredictionTable.from_logits(
            found["logits"][rows], labels, shown, self.card.class_ids, unreadable=unreadable, look=look
        )
        rule = self.card.rule
        return rule.on(table) if judged and rule is not None else table


def _session(model: Path | str | bytes) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise ConfigError("ONNX files need ONNX Runtime: pip install 'foveate[onnx]'.") from None
    if not isinstance(model, bytes) and not Path(model).is_file():
        raise DataError(f"{model} does not exist; foveate export RUN --onnx writes one.")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        given = model if isinstance(model, bytes) else str(model)
        return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  what ONNX Runtime says of a damaged or foreign file
        name = "These bytes are" if isinstance(model, bytes) else f"{model} is"
        raise DataError(f"{name} no ONNX file that can be used: {first_line(error)}.") from None


def _batches(squares: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """(3, size, size) one by one -> (B, 3, size, size)."""
    held: list[np.ndarray] = []
    for square in squares:
        held.append(square)
        if len(held) == BATCH:
            yield np.stack(held)
            held = []
    if held:
        yield np.stack(held)
