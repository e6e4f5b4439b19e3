"""One run that answers a page: pictures that come in, pictures of its own, maps by any explainer."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import numpy as np
from PIL import Image

from foveate.app.drawn_masks import DrawnMasks
from foveate.app.own_pictures import OwnPictures, joined
from foveate.core.errors import ConfigError, DataError, FoveateError
from foveate.core.registry import first_sentence
from foveate.data.decode import BadFile, open_image, read_image, upright_size
from foveate.evaluation.calibration import scale
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment.familiarity import Familiarity
from foveate.experiment.run import Run
from foveate.experiment.run_explainer import RunExplainer, explain_config, pictures_of
from foveate.explanation import EXPLAINERS
from foveate.reporting.overlays import SPECKS

OWN = "own "
"""Before the name of a map that the network makes by itself, among the explainers."""
PIXELS = "gradient"
"""An explainer that fits every network."""
MAP_SIDE = 512
"""px of the longer side of a map that is sent."""
PATIENCE = 2.0
"""Seconds that a map gets to be finished when the program ends."""


class Session:
    """A run, ready to answer. One picture at a time goes through the network, whoever asks.

    Args:
        folder: for pictures that come in; whoever makes it takes it away.
        level: share of answers that should be right; None: the validation pictures do not tell when it is sure.
        drawn: None: no mask can be drawn.
    """

    def __init__(
        self, run: Run, folder: Path, device: str, level: float | None, familiarity: Familiarity | None,
        drawn: DrawnMasks | None,
    ) -> None:  # fmt: skip
        self.run, self.folder, self.device, self.drawn = run, folder, device, drawn
        self.level, self.familiarity = level, familiarity
        self.lock = Lock()
        self.came: dict[str, tuple[str, PredictionTable]] = {}
        self.own = None if drawn is None else OwnPictures(run, device, self.lock, drawn)
        self.unfit: set[str] = set()
        self.tried = self.ended = False
        self.noise = folder / "noise.png"
        side = run.environment["size"]
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(
            self.noise
        )

    def close(self) -> None:
        """Let work in threads end."""
        self.ended = True
        if self.own is not None:
            self.own.ended = True
        if self.lock.acquire(timeout=PATIENCE):
            self.lock.release()

    # ---- Pictures.

    def take(self, content: bytes, name: str) -> dict[str, Any]:
        """The answer to a picture that comes in, under the key ``u1``, ``u2`` ...

        Raises:
            DataError: it cannot be read.
        """
        with self.lock:
            key = f"u{len(self.came) + 1}"
            file = self.folder / key
            file.write_bytes(content)
            try:
                table = self._predict(file)
            except BadFile as error:
                raise DataError(f"{name} cannot be read: {error.reason}.") from None
            self.came[key] = name, table
        return self._answer(key, table)

    def open(self, key: str) -> dict[str, Any]:
        """The answer to a picture of the run's own, ``r0``, ``r1`` ... by its row in the catalog."""
        file = self.file(key)
        with self.lock:
            table = self._predict(file)
        return self._answer(key, table)

    def file(self, key: str) -> Path:
        """Where a picture lies.

        Raises:
            DataError: there is no such picture.
        """
        if key in self.came:
            return self.folder / key
        return self.run.catalog.file(self.row(key))

    def row(self, key: str) -> int:
        """The catalog row of a picture of the run's own.

        Raises:
            DataError: it is none.
        """
        known = key[:1] == "r" and key[1:].isascii() and key[1:].isdecimal() and len(key) < 10
        if not known or self.drawn is None or int(key[1:]) >= len(self.run.catalog):
            raise DataError(f"There is no picture '{key[:20]}'.")
        return int(key[1:])

    def table(self) -> bytes:
        """What was answered to the pictures that came in, under their own names: CSV as of ``foveate predict``."""
        with self.lock:
            if not self.came:
                raise DataError("No picture has been answered yet.")
            names, tables = zip(*self.came.values(), strict=True)
            file = self.folder / "table.csv"
            replace(joined(list(tables)), path=np.array(names)).to_csv(file)
            return file.read_bytes()

    def _predict(self, file: Path) -> PredictionTable:
        return self.run.predict([file], level=self.level, familiarity=self.familiarity, device=self.device)

    @cached_property
    def _rule(self) -> Any:
        return None if self.level is None else self.run.answer_rule(self.level)

    def _answer(self, key: str, table: PredictionTable) -> dict[str, Any]:
        raw, look = table.probabilities[0], table.look
        shown = raw if self._rule is None else scale(table.probabilities, self._rule.temperature)[0]
        order = np.argsort(-raw, kind="stable")
        possible = [] if table.possible is None else [int(k) for k in order if table.possible[0, k]]
        with open_image(self.file(key)) as image:
            width, height = upright_size(image)
        return {
            "key": key, "raw": raw.tolist(), "shown": shown.tolist(), "order": order.tolist(), "possible": possible,
            "unsure": bool(look.get("not_sure", [0])[0]), "far": bool(look.get("far", [0])[0]),
            "width": width, "height": height,
        }  # fmt: skip

    # ---- Maps.

    def explainers(self) -> dict[str, Any]:
        """Those that fit the network, as far as they were tried, and whether they all were."""
        own = [
            {"name": OWN + name, "title": f"{name}, the network's own map", "about": "", "slow": False}
            for name in self._own_maps
        ]
        known = [
            {"name": name, "title": name, "about": first_sentence(kind.__doc__), "slow": kind.slow}
            for name, kind in EXPLAINERS.items()
            if name not in self.unfit
        ]
        return {"explainers": own + known, "tried": self.tried}

    def map(
        self, key: str, method: str, target: int, wanted: Callable[[], bool] = lambda: True
    ) -> tuple[np.ndarray, list[int]]:
        """(h, w) uint8 levels of a map, and the box in which it lies: left, top, width, height in px of the picture.

        Args:
            wanted: whether somebody still waits, asked when it is this map's turn.

        Raises:
            ConfigError: an unknown explainer or class, or one that means nothing for this network.
        """
        file = self.file(key)
        if not 0 <= target < len(self.run.catalog.classes):
            raise ConfigError(f"There is no class {target}.")
        with open_image(file) as image:
            width, height = upright_size(image)
        factor = max(1.0, max(width, height) / MAP_SIDE)
        size = max(1, round(width / factor)), max(1, round(height / factor))
        with self.lock:
            if not wanted():
                raise DataError("Nobody waits for this map any more.")
            values, specks = self._values(file, method, target, size)
        seen = np.isfinite(values)
        rows, columns = (np.flatnonzero(seen.any(axis)) for axis in (1, 0))
        inner = np.nan_to_num(values[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
        top = (float(np.percentile(inner, SPECKS)) if specks else 1.0) or 1.0
        x, y = width / size[0], height / size[1]
        box = [round(columns[0] * x), round(rows[0] * y), round(len(columns) * x), round(len(rows) * y)]
        return (inner / top * 255).clip(0, 255).round().astype(np.uint8), box

    def _values(self, file: Path, method: str, target: int, size: tuple[int, int]) -> tuple[np.ndarray, bool]:
        """(height, width) of ``size`` in [0, 1], and whether single pixels are far above the others."""
        if method.startswith(OWN):
            own = self._explainer(PIXELS).own_maps(file, size)
            name = method.removeprefix(OWN)
            if name not in own:
                raise ConfigError(f"The network draws no map '{name[:40]}' by itself.")
            return own[name], False
        explainer = self._explainer(method)
        explainer.target = target
        try:
            (found,) = explainer.explain(pictures_of([file]), [0])
        except ConfigError:
            self.unfit.add(method)
            raise
        (column,) = found.columns
        return found.over(column.key, size), not column.layer

    def try_explainers(self) -> None:
        """Find out, in a thread of its own, which explainers mean nothing for this network; slow ones say so themselves
        when they are asked."""

        def work() -> None:
            for name, kind in EXPLAINERS.items():
                if self.ended:
                    return
                try:
                    with self.lock:
                        explainer = self._explainer(name)
                        _ = kind.slow or explainer.explain(pictures_of([self.noise]), [0])
                except FoveateError:
                    self.unfit.add(name)
            self.tried = True

        Thread(target=work, daemon=True).start()

    @cache  # noqa: B019 (a session lives as long as the program)
    def _explainer(self, method: str) -> RunExplainer:
        if method not in EXPLAINERS:
            raise ConfigError(f"There is no explainer '{method[:40]}'; see foveate list explainers.")
        return RunExplainer(self.run, explain_config(method, (), {}), self.device)

    @cached_property
    def _own_maps(self) -> list[str]:
        with self.lock:
            return list(self._explainer(PIXELS).own_maps(self.noise, (1, 1)))


def preview(file: Path, side: int) -> Image.Image:
    """The picture, at most ``side`` px wide and high."""
    picture = read_image(file, at_least=side)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture
