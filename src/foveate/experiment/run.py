"""Run: a folder that training writes and everything else reads."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.core import manifest
from foveate.core.config import Config, parse
from foveate.core.errors import RunError
from foveate.core.reading import read_json, read_yaml
from foveate.data.catalog import Catalog
from foveate.data.discover import LayoutConfig
from foveate.evaluation.predictions import PredictionTable
from foveate.experiment.records import Environment, Result, read_history
from foveate.experiment.specification import Experiment

if TYPE_CHECKING:
    from foveate.evaluation.backgrounds import BackgroundTests
    from foveate.evaluation.look_table import LookTable
    from foveate.experiment.explaining import Explained
    from foveate.models.classifier import Classifier


class Run:
    """One finished or unfinished run. Open it with ``Run.open(path)``.

    Reading a file of a finished run raises RunError where it is not as it was written (``experiment.manifest``).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    @classmethod
    def open(cls, folder: Path | str) -> "Run":
        """Open a run folder.

        Raises:
            RunError: the folder is not a run.
        """
        folder = Path(folder)
        if not (folder / "experiment.yaml").is_file():
            raise RunError(f"{folder} is not a run folder: it has no experiment.yaml.")
        return cls(folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @property
    def finished(self) -> bool:
        """Whether training and the final evaluation are done."""
        return (self.folder / "result.json").is_file()

    @cached_property
    def experiment(self) -> Experiment:
        """What was run."""
        file = self._file("experiment.yaml")
        return Experiment.from_dict(read_yaml(file, RunError), source=str(file))

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, machine, data root, classes, automatic decisions, quarantined files."""
        return self._json("environment.json", Environment)

    @cached_property
    def result(self) -> dict[str, Any]:
        """Metrics of every split, hashes, seconds."""
        if not self.finished:
            raise RunError(f"{self.folder} is not finished; run the same train command again to go on.")
        return self._json("result.json", Result)

    @cached_property
    def catalog(self) -> Catalog:
        """The pictures of the run, with their splits."""
        e = self.environment
        return Catalog.from_csv(self._file("catalog.csv"), Path(e["data_root"]), e["classes"], e["class_ids"])

    @property
    def predictions(self) -> PredictionTable:
        """One row for every validation and test picture."""
        return PredictionTable.from_csv(self._file("predictions.csv"))

    @property
    def history(self) -> list[dict[str, Any]]:
        """Rows of history.csv: epoch and phase_epoch int, phase text, everything else float or None."""
        return read_history(self._file("history.csv"))

    @cached_property
    def model(self) -> "Classifier":
        """The trained network, in eval mode, on the CPU."""
        from foveate.models.store import WEIGHTS_FILE, load_model

        if not self.finished and not (self.folder / WEIGHTS_FILE).exists():
            raise RunError(
                f"The training in {self.folder} is unfinished; run the same train command again to go on."
            )
        return load_model(self.folder).eval()

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
        from foveate.experiment.inference import predict_paths

        several = [paths] if isinstance(paths, str | Path) else list(paths)
        return predict_paths(
            self, [Path(p) for p in several], tta=tta, device=device, workers=workers, quarantine=quarantine
        )

    def explain(
        self,
        paths: Path | str | Sequence[Path | str],
        method: str | Sequence[str] = "gradcam",
        layers: str | Sequence[str] = (),
        *,
        device: str = "auto",
        **settings: Any,
    ) -> "Iterator[Explained]":
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
        from foveate.experiment.explaining import RunExplainer, explain_config, in_chunks, pictures_of

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
        from foveate.experiment.inference import evaluate_run

        return evaluate_run(
            self,
            Path(data) if data is not None else None,
            tta=tta,
            device=device,
            workers=workers,
            layout=layout,
            told=told,
        )

    def evaluate_backgrounds(
        self,
        data: Path | str | None = None,
        *,
        tta: str | None = None,
        device: str = "auto",
        workers: int = 0,
        layout: LayoutConfig | None = None,
    ) -> "BackgroundTests | None":
        """Measure again with other backgrounds and without the object, on the run's own test pictures (validation
        pictures where there are none) or on another labelled data set.

        ``layout`` as in ``evaluate``.

        None where no picture has a mask, and when the experiment has ``evaluation.background_tests`` off.

        Raises:
            DataError: ``data`` has a class that the run does not know.
        """
        from foveate.experiment.inference import evaluate_backgrounds_of_run

        return evaluate_backgrounds_of_run(
            self,
            Path(data) if data is not None else None,
            tta=tta,
            device=device,
            workers=workers,
            layout=layout,
        )

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
    ) -> "LookTable":
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
        from foveate.experiment.look import look_at_run

        return look_at_run(
            self, Path(data) if data is not None else None, methods, metrics,
            masks=Path(masks) if masks is not None else None, layout=layout, limit=limit, device=device,
            workers=workers, progress=progress, told=told, settings=settings,
        )  # fmt: skip

    @cached_property
    def notes(self) -> list[str]:
        """What to tell before a finished run is used: nothing can be checked, or what changed of its records."""
        old = manifest.unchecked(self.folder)
        changed = manifest.differences(self.folder, manifest.RECORDS)
        return [
            *([old] if old else []),
            *([f"Since the run in {self.folder} finished, {', '.join(changed)}."] if changed else []),
        ]

    def _file(self, name: str) -> Path:
        """A file's path; what it belongs to is as it was written."""
        manifest.check(self.folder, manifest.SPECIFICATION if name in manifest.SPECIFICATION else (name,))
        return self.folder / name

    def _json(self, name: str, shape: type[Config]) -> dict[str, Any]:
        path = self._file(name)
        if not path.is_file():
            raise RunError(f"{self.folder} has no {name}; run the same train command again to go on.")
        content = read_json(path, dict)
        parse(shape, content, source=str(path), error=RunError)
        return content
