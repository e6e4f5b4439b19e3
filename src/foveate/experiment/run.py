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
from foveate.data.cache import Progress
from foveate.data.catalog import Catalog, Sample
from foveate.data.decode import open_image
from foveate.data.discover import discover
from foveate.data.layout_settings import LayoutConfig
from foveate.data.listing import none_readable, picture_list
from foveate.evaluation.answer_rule import AnswerRule
from foveate.evaluation.answering import LEVEL, answer_rule
from foveate.evaluation.evaluators import Backgrounds, Evaluator
from foveate.evaluation.evaluators.backgrounds import BackgroundTests, measure_backgrounds
from foveate.evaluation.explainer_scores import ExplainerScores, LookConfig
from foveate.evaluation.look_table import LookTable
from foveate.evaluation.measure import measure, predict
from foveate.evaluation.predictions import PredictionTable
from foveate.evaluation.subject import Subject, judged_split, quiet
from foveate.experiment.familiarity import Familiarity
from foveate.experiment.run_explainer import (
    Explained,
    RunExplainer,
    explain_config,
    in_chunks,
    pictures_of,
    reference_pictures,
)
from foveate.experiment.run_folder import RunFolder
from foveate.experiment.subjects import (
    evaluators_of,
    measured,
    measured_rows,
    shown_to,
    subject_of_run,
    unseen,
)

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
        level: float | None = None,
        familiarity: Familiarity | None = None,
    ) -> PredictionTable:
        """Predict pictures: files in the order given, also twice, and folders, each sorted by path.

        Args:
            level: share of answers that should be right, such as 0.95: adds the columns ``calibrated`` (confidence
                after temperature scaling) and ``not_sure`` (0 or 1), and ``possible`` classes (see ``answer_rule``).
            familiarity: of ``Run.familiarity``: adds the columns ``distance`` and ``far``.
            quarantine: leave out pictures that cannot be read and list them in the table's ``unreadable``, instead of
                refusing; pictures are then read in this process.

        Raises:
            DataError: nothing to predict, no picture can be read, or one cannot (its name is in the message); what
                ``answer_rule`` raises.
        """
        several = [paths] if isinstance(paths, str | Path) else paths
        root, names = picture_list([Path(path) for path in several], unreadable=True)
        table = self.predict_below(
            root, names, tta=tta, device=device, workers=workers, quarantine=quarantine, level=level,
            familiarity=familiarity,
        )  # fmt: skip
        if not len(table):
            raise none_readable(root, table.unreadable)
        return table

    def predict_below(
        self, root: Path, names: Sequence[str], *, tta: str | None = None, device: str = "auto", workers: int = 0,
        quarantine: bool = False, level: float | None = None, familiarity: Familiarity | None = None,
    ) -> PredictionTable:  # fmt: skip
        """``predict``, of these files below ``root``; there may be no row where none can be read."""
        rule = None if level is None else self.answer_rule(level, tta)
        samples = tuple(Sample(name) for name in sorted(set(names)))
        catalog = Catalog(root, self.catalog.classes, samples, self.catalog.class_ids)
        faults: dict[int, str] = {}
        workers = 0 if quarantine else workers
        subject = subject_of_run(self, catalog, device, tta=tta, workers=workers, asker=None)
        evaluators = [] if familiarity is None else [familiarity.of(subject)]
        table = predict(subject, np.arange(len(catalog)), evaluators, faults=faults if quarantine else None)
        unreadable = {samples[row].path: why for row, why in sorted(faults.items())}
        row_of = {str(path): row for row, path in enumerate(table.path)}
        rows = np.array([row_of[name] for name in names if name not in unreadable], dtype=np.int64)
        table = replace(table.subset(rows), unreadable=unreadable)
        return table if rule is None else rule.on(table)

    def answer_rule(self, level: float = LEVEL, tta: str | None = None) -> AnswerRule:
        """Temperature and thresholds of the run's validation pictures: which pictures the network should answer.

        Args:
            level: share of answers that should be right.
            tta: the test-time augmentation that answers are made with; None: that of the run.

        Raises:
            DataError: the validation pictures cannot tell, for whatever reason.
        """
        return answer_rule(self.judging(tta), level)

    def judging(self, tta: str | None = None) -> PredictionTable:
        """The predictions whose validation pictures tell when the network is sure; arguments as of ``answer_rule``.

        Raises:
            DataError: they cannot tell, for whatever reason.
        """
        last = self.experiment.last_layer
        for wrong, why in (
            (self.experiment.task is not None, "it answers questions of a pretext task"),
            (last is not None and last.pictures == "validation", "its last layer was fitted on them"),
            (
                tta not in (None, self.experiment.evaluation.tta),
                "they were measured with other views than these",
            ),
            ("val" not in self.predictions.splits, "there are none with labels among its predictions"),
        ):
            if wrong:
                raise DataError(
                    f"The validation pictures of {self.folder} do not tell when it is sure: {why}."
                )
        return self.predictions

    def familiarity(self, device: str = "auto", progress: Progress = quiet) -> Familiarity:
        """How far pictures are from those that the run was trained on; these are read once, and what the network makes
        of them is kept in the cache folder.

        Raises:
            DataError: the run's pictures are gone, or too few.
        """
        return Familiarity.of_run(self, device, progress)

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
        for row in range(len(catalog)):
            open_image(catalog.file(row)).close()  # before the work begins
        chunks = in_chunks(range(len(catalog)), explainer.at_once)
        return (item for rows in chunks for item in explainer.explain(catalog, rows))

    def evaluate(self, data: Path | str | None = None, **how: Any) -> PredictionTable:
        """Predict the run's own validation and test pictures again, or those of another labelled data set; the same
        arguments as ``measure``, of which this is the table."""
        subject, rows, evaluators = self._measured(data, **how)
        return predict(subject, rows, evaluators)

    def evaluate_backgrounds(self, data: Path | str | None = None, **how: Any) -> BackgroundTests | None:
        """Measure again with other backgrounds and without the object, on the run's own test pictures (validation
        pictures where there are none) or on another labelled data set; the same arguments as ``measure``.

        None where no picture has a mask, and when the experiment has ``evaluation.background_tests`` off.
        """
        subject, _, evaluators = self._measured(data, **how)
        wanted = any(isinstance(evaluator, Backgrounds) for evaluator in evaluators)
        return measure_backgrounds(subject) if wanted else None

    def measure(
        self, data: Path | str | None = None, **how: Any
    ) -> tuple[PredictionTable, dict[str, dict[str, Any]]]:
        """Everything again that the experiment measures, on the run's own pictures or another labelled data set: the
        prediction table, and {split: metrics} as in ``result``.

        Pictures of ``data`` that the network was trained on, recognised by their bytes, are left out.

        Args:
            how: tta, device, workers; layout: how ``data`` is read (None: as the run's own pictures were); measures:
                further evaluators, by name or as settings with their ``kind``; told: gets a sentence on what was left
                out, or could not be recognised.

        Raises:
            ConfigError: an unknown evaluator.
            DataError: ``data`` has a class that the run does not know, or no picture that it has not learnt from; or a
                further evaluator needs masks and there are none.
        """
        return measure(*self._measured(data, **how))

    def _measured(
        self, data: Path | str | None, *, tta: str | None = None, device: str = "auto", workers: int = 0,
        layout: LayoutConfig | None = None, measures: Sequence[str | dict[str, Any]] = (),
        told: Callable[[str], None] = lambda text: None,
    ) -> tuple[Subject, np.ndarray, list[Evaluator]]:  # fmt: skip
        catalog = shown_to(self, data, layout, told)
        rows = measured_rows(self.experiment, catalog)
        if not len(rows):
            raise DataError(f"There is nothing to evaluate in {data or self.folder}.")
        own = self.catalog if data is None and self.experiment.task is not None else None
        subject = subject_of_run(self, catalog, device, tta=tta, workers=workers, own=own)
        return subject, rows, evaluators_of(self.experiment, subject, measures)

    def look(
        self,
        data: Path | str | None = None,
        methods: Sequence[str] = ("gradcam",),
        metrics: Sequence[str] | None = None,
        *,
        masks: Path | str | Sequence[Path | str] = (),
        layout: LayoutConfig | None = None,
        limit: int | None = None,
        device: str = "auto",
        workers: int = 0,
        progress: Callable[[int, int], None] | None = None,
        told: Callable[[str], None] = lambda text: None,
        **settings: Any,
    ) -> LookTable:
        """Are the maps right: explanation methods x scores, beside controls (see docs/maps.md).

        Args:
            data: another labelled data set; None: the run's own test pictures (validation pictures without a test).
            methods: names in ``foveate.explanation.EXPLAINERS``.
            metrics: of "localisation", "faithfulness", "sanity"; None: the first two, or faithfulness alone where no
                picture has a mask.
            masks: one or several folders or files of other masks than those that are found by themselves.
            layout: how ``data`` is read; None: as the run's own pictures were.
            limit: only so many pictures, spread evenly.
            told: as in ``evaluate``.
            settings: further fields of ``foveate.evaluation.explainer_scores.LookConfig``, as target="true".

        Raises:
            DataError: there is no picture, or no mask where localisation is asked for.
            ConfigError: an unknown method or setting.
        """
        layout = layout or self.experiment.data.layout
        others = tuple(map(Path, [masks] if isinstance(masks, str | Path) else masks))
        if others:
            layout = layout.model_copy(update={"masks": others}).below(Path.cwd())
        if data is not None:
            catalog = unseen(self, Path(data), layout, told)
        else:
            catalog = measured(self.catalog, self.experiment)
            if others:
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
        subject = subject_of_run(self, catalog, device, workers=workers, asker=None, batch_size=LOOK_BATCH)
        compares = any(method.compares for method in config.methods)
        references = reference_pictures(self, config.seed) if compares else None
        scores = ExplainerScores(subject.model, subject.device, config, references=references)
        for batch in subject.batches(rows, "looking"):
            scores.add(batch, [catalog.samples[row].path for row in batch.index.tolist()])
            if progress is not None:
                progress(len(scores.shown), len(rows))
        table = scores.table()
        about = {"run": str(self.folder), "data": str(catalog.root), "split": split, "masked": masked}
        about |= {"masks": ", ".join(map(str, others))} if others else {}
        return replace(table, settings={**about, **table.settings})


def _remasked(catalog: Catalog, found: Catalog) -> Catalog:
    """The same pictures with the masks that ``found`` has for them."""
    known = {sample.path: sample.mask for sample in found.samples}
    samples = tuple(replace(sample, mask=known.get(sample.path, "")) for sample in catalog.samples)
    return replace(catalog, samples=samples)
