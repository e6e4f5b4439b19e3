"""Run: a run folder whose network can be put to use.

run = Run.open("runs/first")
run.predict("new pictures").to_csv("predictions.csv")
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from foveate.core.config import parse
from foveate.core.errors import DataError
from foveate.data.cache import CacheConfig, open_pictures
from foveate.data.catalog import Catalog, Sample
from foveate.data.discover import LayoutConfig, discover, picture_list
from foveate.data.loader import in_order
from foveate.evaluation.backgrounds import BackgroundTests
from foveate.evaluation.explainers import LookConfig, measure_explainers
from foveate.evaluation.look_table import LookTable
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment.explaining import Explained, RunExplainer, explain_config, in_chunks, pictures_of
from foveate.experiment.inference import (
    background_tests,
    judged_split,
    measured,
    pick_device,
    predict_catalog,
    shown_to,
    unseen,
)
from foveate.experiment.run_folder import RunFolder

LOOK_BATCH = 16
"""Pictures a batch; a method divides it further where its own passes are larger."""


class Run(RunFolder):
    """One finished or unfinished run. Open it with ``Run.open(path)``."""

    def predict(
        self,
        paths: Path | str | Sequence[Path | str],
        *,
        tta: str | None = None,
        device: str = "auto",
        workers: int = 0,
        quarantine: bool = False,
    ) -> PredictionTable:
        """Predict pictures: files in the order given, also twice, and folders, each sorted by path.

        Args:
            quarantine: leave out pictures that cannot be read and list them in the table's ``unreadable``, instead of
                refusing; pictures are then read in this process.

        Raises:
            DataError: nothing to predict, no picture can be read, or one cannot (its name is in the message).
        """
        several = [paths] if isinstance(paths, str | Path) else paths
        root, names = picture_list([Path(path) for path in several], unreadable=True)
        samples = tuple(Sample(name) for name in sorted(set(names)))
        catalog = Catalog(root, self.catalog.classes, samples, self.catalog.class_ids)
        faults: dict[int, str] = {}
        table = predict_catalog(
            self.model, catalog, np.arange(len(catalog)), self.experiment, size=self.environment["size"],
            tta=tta or self.experiment.evaluation.tta, device=pick_device(device),
            workers=0 if quarantine else workers, look=False, ask=False, faults=faults if quarantine else None,
        )  # fmt: skip
        unreadable = {samples[row].path: why for row, why in sorted(faults.items())}
        if len(unreadable) == len(samples):
            path, why = next(iter(unreadable.items()))
            more = f" Nor can the other {len(samples) - 1} be read." if len(samples) > 1 else ""
            raise DataError(f"{root / path} cannot be read: {why}.{more}")
        row_of = {str(path): row for row, path in enumerate(table.path)}
        rows = np.array([row_of[name] for name in names if name not in unreadable], dtype=np.int64)
        return replace(table.subset(rows), unreadable=unreadable)

    def explain(
        self,
        paths: Path | str | Sequence[Path | str],
        method: str | Sequence[str] = "gradcam",
        layers: str | Sequence[str] = (),
        *,
        device: str = "auto",
        **settings: Any,
    ) -> Iterator[Explained]:
        """Explain pictures or folders of pictures: one by one, in sorted order of the paths, in bounded memory.

        for item in run.explain("new", "gradcam", ["first", "last"]):
            item.prediction, item.probability, item.over("gradcam@last")  # (height, width) of the picture

        ``foveate.explain_pictures`` writes overlays, raw maps and a sheet instead.

        Args:
            method: one or several names in ``EXPLAINERS``.
            layers: of methods that work at a feature map: first, second, last, ...; none means last.
            settings: fields of ``ExplainConfig``: target, evidence, precision, chunk, seed, settings.

        Raises:
            ConfigError: an unknown method, layer, setting or class.
            DataError: nothing to explain, or a picture cannot be read (its name is in the message).
        """
        explainer = RunExplainer(self, explain_config(method, layers, settings), device)
        catalog = pictures_of([paths] if isinstance(paths, str | Path) else paths)
        explainer.check(catalog)
        chunks = in_chunks(range(len(catalog)), explainer.at_once)
        return (item for rows in chunks for item in explainer.explain(catalog, rows))

    def evaluate(
        self,
        data: Path | str | None = None,
        *,
        tta: str | None = None,
        device: str = "auto",
        workers: int = 0,
        layout: LayoutConfig | None = None,
        told: Callable[[str], None] = lambda text: None,
    ) -> PredictionTable:
        """Predict the run's own validation and test pictures again, or those of another labelled data set.

        Pictures of ``data`` that the network was trained on, recognised by their bytes, are left out.

        Args:
            layout: how ``data`` is read; None: as the run's own pictures were.
            told: gets a sentence on what was left out, or could not be recognised.

        Raises:
            DataError: ``data`` has a class that the run does not know, or no picture that it has not learnt from.
        """
        catalog = shown_to(self, data, layout, told)
        rows = np.concatenate(
            [catalog.indices("val", labelled=False), catalog.indices("test", labelled=False)]
        )
        if not len(rows):
            raise DataError(f"There is nothing to evaluate in {data or self.folder}.")
        return predict_catalog(
            self.model, catalog, rows, self.experiment, size=self.environment["size"],
            tta=tta or self.experiment.evaluation.tta, device=pick_device(device), workers=workers,
        )  # fmt: skip

    def evaluate_backgrounds(
        self,
        data: Path | str | None = None,
        *,
        tta: str | None = None,
        device: str = "auto",
        workers: int = 0,
        layout: LayoutConfig | None = None,
    ) -> BackgroundTests | None:
        """Measure again with other backgrounds and without the object, on the run's own test pictures (validation
        pictures where there are none) or on another labelled data set.

        ``layout`` as in ``evaluate``.

        None where no picture has a mask, and when the experiment has ``evaluation.background_tests`` off.

        Raises:
            DataError: ``data`` has a class that the run does not know.
        """
        return background_tests(
            self.model, shown_to(self, data, layout), self.experiment, size=self.environment["size"],
            tta=tta or self.experiment.evaluation.tta, device=pick_device(device), workers=workers,
        )  # fmt: skip

    def look(
        self,
        data: Path | str | None = None,
        methods: Sequence[str] = ("gradcam",),
        metrics: Sequence[str] | None = None,
        *,
        masks: Path | str | None = None,
        layout: LayoutConfig | None = None,
        limit: int | None = None,
        device: str = "auto",
        workers: int = 0,
        progress: Callable[[int, int], None] | None = None,
        told: Callable[[str], None] = lambda text: None,
        **settings: Any,
    ) -> LookTable:
        """Are the maps right: explanation methods x scores, beside controls (see docs/look.md).

        Args:
            data: another labelled data set; None: the run's own test pictures (validation pictures without a test).
            methods: names in ``foveate.explanation.EXPLAINERS``.
            metrics: of "localisation", "faithfulness", "sanity"; None: the first two, or faithfulness alone where no
                picture has a mask.
            masks: a folder of other masks than those that are found by themselves.
            layout: how ``data`` is read; None: as the run's own pictures were.
            limit: only so many pictures, spread evenly.
            told: as in ``evaluate``.
            settings: further fields of ``foveate.evaluation.explainers.LookConfig``, as target="true".

        Raises:
            DataError: there is no picture, or no mask where localisation is asked for.
            ConfigError: an unknown method or setting.
        """
        layout = layout or self.experiment.data.layout
        if masks is not None:
            layout = layout.model_copy(update={"masks": Path(masks).absolute()})
        if data is not None:
            catalog = unseen(self, Path(data), layout, told)
        else:
            catalog = measured(self.catalog, self.experiment)
            if masks is not None:
                catalog = _remasked(catalog, discover(Path(self.environment["data"]), layout).catalog)
        split, wanted = judged_split(catalog), settings.get("target") == "true"
        rows = catalog.indices(split, labelled=wanted)
        if limit is not None and limit < len(rows):
            rows = rows[np.linspace(0, len(rows) - 1, limit).round().astype(int)]
        if not len(rows):
            raise DataError(
                f"There is no {'labelled ' if wanted else ''}picture to look at in {catalog.root}."
            )
        masked = sum(bool(catalog.samples[row].mask) for row in rows)
        if metrics is None:
            metrics = ("localisation", "faithfulness") if masked else ("faithfulness",)
        elif "localisation" in metrics and not masked:
            raise DataError(
                f"No picture of {catalog.root} that is measured has a mask, which localisation needs; name their "
                "folder (--masks), or ask for faithfulness alone."
            )
        values = {"methods": tuple(methods), "metrics": tuple(metrics), **settings}
        config = parse(LookConfig, values, source="what to look at")
        size, experiment, place = self.environment["size"], self.experiment, pick_device(device)
        pictures = open_pictures(catalog, size, experiment.data.fit, CacheConfig(enabled=False))
        loader = in_order(pictures, catalog.labels, rows, size, LOOK_BATCH, workers)
        table = measure_explainers(
            self.model.to(place), loader.epoch(0), {row: s.path for row, s in enumerate(catalog.samples)}, device=place,
            config=config, progress=None if progress is None else lambda done, _: progress(done, len(rows)),
        )  # fmt: skip
        about = {"run": str(self.folder), "data": str(catalog.root), "split": split, "masked": masked}
        about |= {} if masks is None else {"masks": str(masks)}
        return replace(table, settings={**about, **table.settings})


def _remasked(catalog: Catalog, found: Catalog) -> Catalog:
    """The same pictures with the masks that ``found`` has for them."""
    known = {sample.path: sample.mask for sample in found.samples}
    samples = tuple(replace(sample, mask=known.get(sample.path, "")) for sample in catalog.samples)
    return replace(catalog, samples=samples)
