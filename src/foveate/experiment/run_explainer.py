"""A trained run explains loose pictures: maps of several methods at several layers, with what it predicts.

``Run.explain`` keeps them in memory; ``foveate.explain_pictures`` writes them into a folder.
"""

import difflib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from foveate.core.config import Config, parse
from foveate.core.errors import ConfigError, DataError
from foveate.core.files import sha256_of_file
from foveate.core.manifest import WEIGHTS
from foveate.core.rng import numpy_generator
from foveate.data.cache import DecodedPictures
from foveate.data.catalog import UNLABELLED, Catalog, composed
from foveate.data.decode import open_image, upright_size
from foveate.data.discover import loose_pictures
from foveate.data.square import Fit, unfit
from foveate.evaluation.subject import pick_device
from foveate.experiment.known_pictures import ByBytes
from foveate.experiment.run_folder import RunFolder
from foveate.explanation import explain
from foveate.explanation.explain import Methods, build_explainer, scaled, with_settings
from foveate.explanation.explainer import Explainer
from foveate.explanation.probe import Probe
from foveate.models.modes import untouched

PREDICTED, TRUE = "predicted", "true"
AT_ONCE, AT_ONCE_SLOW = 32, 8
"""Pictures read and explained together: memory does not grow with their number, and a kill loses no more than these."""

Report = Callable[[str, int, int], None]
"""(what is done, steps done, steps in all)."""


class ExplainConfig(Config):
    """What is explained, and how."""

    methods: Methods = (build_explainer("gradcam"),)
    """Names in ``EXPLAINERS``, or their settings with their ``kind``."""
    layers: tuple[str, ...] = ()
    """For methods that work at a feature map: first, second, last, stage:K, early, middle, late, or a module; none
    means last. Methods that explain pixels have no layer and give one map."""
    target: str = PREDICTED
    """The class whose evidence is shown: predicted (each run's own answer), true, or the name or id of a class."""
    evidence: Literal["positive", "absolute"] = "positive"
    """Of signed maps what speaks for the class, or also what speaks against it."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """See ``foveate.explain``."""
    chunk: int | None = Field(default=None, ge=1, le=65_536)
    """Pictures in one pass through the network; None: the method's own."""
    seed: int = 0
    """Of methods that draw at random."""

    _settings = model_validator(mode="before")(with_settings)


def explain_config(
    method: str | Sequence[str], layers: str | Sequence[str], settings: Mapping[str, Any]
) -> ExplainConfig:
    """The configuration of these words.

    Raises:
        ConfigError: a field that does not exist, or a value that is not allowed.
    """
    words = {
        name: [value] if isinstance(value, str) else list(value)
        for name, value in (("methods", method), ("layers", layers))
    }
    return parse(ExplainConfig, {**settings, **words}, source="The explanation")


@dataclass(frozen=True)
class Column:
    """A method at a layer."""

    method: Explainer
    layer: str
    """As it was asked for; "" for a method that explains pixels."""

    @property
    def key(self) -> str:
        """The name of its maps: ``method@layer``, or ``method``."""
        return f"{self.method.kind}@{self.layer}" if self.layer else self.method.kind


@dataclass(frozen=True)
class Frame:
    """How a network's square lies over a picture."""

    width: int
    """Of the upright picture in pixels."""
    height: int
    fit: Fit
    side: int
    """Of the square that the network sees, in pixels."""


@dataclass(frozen=True)
class Explained:
    """One picture as one run sees it."""

    path: str
    """Below the folder that all pictures share."""
    frame: Frame
    label: str | None
    """The true class where it is known."""
    prediction: str
    probability: float
    """Of the predicted class, without test-time augmentation."""
    target: str
    """The class that the maps explain."""
    target_probability: float
    maps: dict[str, np.ndarray]
    """{Column.key: raw values (h, w) float32, at the method's own resolution over the network's square}."""
    columns: tuple[Column, ...]
    evidence: str

    def over(self, key: str, size: tuple[int, int] | None = None) -> np.ndarray:
        """The map of a column laid over the picture; see ``lay_over``.

        Raises:
            ConfigError: there is no such map.
        """
        column = next((column for column in self.columns if column.key == key), None)
        if column is None:
            raise ConfigError(f"There is no map '{key}'; there are {', '.join(self.maps)}.")
        return lay_over(self.maps[key], column, self.frame, self.evidence, size)


def lay_over(
    raw: np.ndarray, column: Column, frame: Frame, evidence: str, size: tuple[int, int] | None = None
) -> np.ndarray:
    """A raw map (h, w) over the original picture: (height, width) float32 in [0, 1], scaled as by ``foveate.explain``.

    Args:
        size: (width, height) of the result, the picture's shape at any scale; None: the picture's own.

    What the network did not see (fit="crop") is NaN.
    """
    square = scaled(torch.from_numpy(raw)[None], (frame.side, frame.side), evidence, column.method.signed)[0]
    picture = frame.width, frame.height
    return unfit(square.numpy(), picture, frame.fit, size or picture, side=frame.side)


class RunExplainer:
    """A run, ready to explain. The network is loaded once."""

    def __init__(self, run: RunFolder, config: ExplainConfig, device: str = "auto") -> None:
        """Check methods, layers, settings and target.

        Raises:
            ConfigError: an unknown method, layer, setting or class; layers where every method explains pixels.
        """
        if not run.finished:
            raise ConfigError(f"{run.folder} is not finished; run its train command again first.")
        self.run, self.config = run, config
        layers = tuple(dict.fromkeys(config.layers))
        if layers and not any(method.layered for method in config.methods):
            several = "explain pixels and have" if len(config.methods) > 1 else "explains pixels and has"
            names = ", ".join(method.kind for method in config.methods)
            raise ConfigError(f"{names} {several} no layer; leave the layers out.")
        self.columns = tuple(
            Column(method, layer)
            for method in config.methods
            for layer in ((layers or ("last",)) if method.layered else ("",))
        )
        self.classes = run.catalog.classes
        self.size: int = run.environment["size"]
        self.fit: Fit = run.experiment.data.fit
        self.at_once = AT_ONCE_SLOW if any(method.slow for method in config.methods) else AT_ONCE
        self.target = None if config.target in (PREDICTED, TRUE) else self._class_of(config.target)
        self.device = pick_device(device)
        self.model = run.model.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.paths = self._resolve()

    def _class_of(self, name: str) -> int:
        for known in (self.classes, self.run.catalog.class_ids):
            names = [composed(word) for word in known]
            if composed(name) in names:
                return names.index(composed(name))
        close = difflib.get_close_matches(name, self.classes, n=3) or self.classes[:10]
        raise ConfigError(
            f"target is '{name}', which is no class of {self.run.folder}; use predicted, true, or a class as "
            f"{', '.join(close)}."
        )

    def _resolve(self) -> dict[str, str]:
        """{layer: module path}."""
        with untouched(self.model):
            probe = Probe(self.model)
            picture = probe.place(torch.zeros(1, 3, self.size, self.size))
            names = dict.fromkeys(column.layer for column in self.columns if column.layer)
            return {name: probe.resolve(name, picture) for name in names}

    @cached_property
    def references(self) -> torch.Tensor | None:
        """What methods compare with that want other pictures."""
        if not any(method.compares for method in self.config.methods):
            return None
        return reference_pictures(self.run, self.config.seed)

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 of the run's weights file."""
        return sha256_of_file(self.run.folder / WEIGHTS)

    @cached_property
    def _known(self) -> dict[str, int]:
        catalog = self.run.catalog
        return {
            os.path.realpath(catalog.file(row)): sample.label for row, sample in enumerate(catalog.samples)
        }

    @cached_property
    def _by_bytes(self) -> ByBytes:
        catalog = self.run.catalog
        return ByBytes(catalog.file(row) for row in range(len(catalog)))

    def label_of(self, file: Path) -> int:
        """The true class: the run's own picture or a copy of it, else a folder of the path that is named like a class;
        -1 unknown."""
        place = os.path.realpath(file)
        if place in self._known:
            return self._known[place]
        copies = {self._known[os.path.realpath(own)] for own in self._by_bytes.same(file)}
        if len(copies) == 1:
            return copies.pop()
        folders = [composed(name) for name in reversed(Path(os.path.abspath(file)).parts[:-1])]
        classes = self.run.catalog.class_words
        return next((classes[name] for name in folders if name in classes), UNLABELLED)

    def check(self, catalog: Catalog) -> None:
        """Look for the true class of every picture, where that is the target, before the work begins.

        Raises:
            DataError: the class of one is not known.
        """
        if self.config.target == TRUE:
            unknown = [row for row in range(len(catalog)) if self.label_of(catalog.file(row)) == UNLABELLED]
            if unknown:
                raise DataError(
                    f"The true class of {catalog.file(unknown[0])} is not known ({len(unknown)} of {len(catalog)} "
                    "pictures): it is no picture of the run and lies in no folder named like a class; put it into "
                    "one, or explain another target."
                )

    def explain(self, catalog: Catalog, rows: Sequence[int], report: Report | None = None) -> list[Explained]:
        """Explain some pictures at once.

        Raises:
            DecodeError: a picture cannot be read; the message names it.
            ConfigError: a method means nothing for this network.
        """
        placed = _placed(self.run, catalog, rows, self.device)
        frames = [self._frame(catalog.file(row)) for row in rows]
        with untouched(self.model), torch.no_grad():
            p = self.model(placed).logits.float().cpu().double().softmax(dim=1)  # (B, C)
        predicted = p.argmax(dim=1)
        labels = torch.tensor([self.label_of(catalog.file(row)) for row in rows])
        targets = predicted if self.config.target == PREDICTED else labels
        if self.target is not None:
            targets = torch.full_like(predicted, self.target)
        maps = self._maps(placed, targets, report)
        names = (*self.classes, None)  # of an unknown class, -1, the last
        return [
            Explained(
                path=catalog.samples[row].path,
                frame=frames[i],
                label=names[labels[i]],
                prediction=self.classes[predicted[i]],
                probability=float(p[i, predicted[i]]),
                target=self.classes[targets[i]],
                target_probability=float(p[i, targets[i]]),
                maps={key: values[i] for key, values in maps.items()},
                columns=self.columns,
                evidence=self.config.evidence,
            )
            for i, row in enumerate(rows)
        ]

    def _maps(
        self, images: torch.Tensor, targets: torch.Tensor, report: Report | None
    ) -> dict[str, np.ndarray]:
        """{Column.key: (B, h, w) float32}."""
        found: dict[str, np.ndarray] = {}
        for method in self.config.methods:
            columns = [column for column in self.columns if column.method == method]
            layers = [column.layer for column in columns] if method.layered else None
            told = None if report is None or not method.slow else partial(report, method.kind)
            maps: Any = explain(
                self.model, images, targets.to(self.device), method, layers, raw=True, chunk=self.config.chunk,
                precision=self.config.precision, seed=self.config.seed, progress=told, references=self.references,
            )  # fmt: skip
            for column in columns:
                values = maps[column.layer] if method.layered else maps
                found[column.key] = values.float().cpu().numpy()
        return found

    def own_maps(self, file: Path, size: tuple[int, int]) -> dict[str, np.ndarray]:
        """What the network itself draws on a picture, laid over it: {name: (height, width) in [0, 1]}; NaN as in
        ``lay_over``; ``size``: (width, height) of the result."""
        frame, placed = self._frame(file), _placed(self.run, pictures_of([file]), [0], self.device)
        with untouched(self.model):
            drawn = {
                name: maps[0].float().cpu().numpy() for name, maps in self.model.drawings(placed).items()
            }
        picture = frame.width, frame.height
        return {name: unfit(maps, picture, frame.fit, size, side=frame.side) for name, maps in drawn.items()}

    def _frame(self, file: Path) -> Frame:
        with open_image(file) as image:
            return Frame(*upright_size(image), self.fit, self.size)


REFERENCES = 64
"""Training pictures that others are compared with."""


def reference_pictures(run: RunFolder, seed: int) -> torch.Tensor:
    """Some of the run's training pictures, drawn at random, (R, 3, S, S) normalised on the CPU.

    Raises:
        DataError: one cannot be read.
    """
    rows = run.catalog.indices("train", labelled=False)
    chosen = numpy_generator(seed, "reference pictures").permutation(rows)[:REFERENCES]
    return _placed(run, run.catalog, sorted(map(int, chosen)), torch.device("cpu"))


def _placed(run: RunFolder, catalog: Catalog, rows: Sequence[int], device: torch.device) -> torch.Tensor:
    """(B, 3, S, S) as the run's network takes them."""
    reader = DecodedPictures(catalog, run.environment["size"], run.experiment.data.fit)
    mean, std = (values.view(1, 3, 1, 1).to(device) for values in (run.model.mean, run.model.std))
    floats = reader.read_many(rows)[0].to(device).float().div_(255).sub_(mean).div_(std)
    return floats.contiguous(memory_format=torch.channels_last)


def pictures_of(paths: Sequence[Path | str]) -> Catalog:
    """The pictures in these files and folders, sorted.

    Raises:
        DataError: a path does not exist, or there is no picture.
    """
    return loose_pictures([Path(path) for path in paths])


def in_chunks(rows: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """``rows`` in parts of at most ``size``."""
    return (rows[start : start + size] for start in range(0, len(rows), size))
