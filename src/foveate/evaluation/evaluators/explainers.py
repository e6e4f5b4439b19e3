"""Scores of explanation methods for every picture, in columns ``<method>_<score>`` of predictions.csv."""

from typing import Literal

import numpy as np
from pydantic import Field

from foveate.core import config
from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.evaluation.evaluators.evaluator import Evaluator
from foveate.evaluation.explainer_scores import ExplainerScores, LookConfig
from foveate.evaluation.subject import Subject


class Explainers(Evaluator):
    """Whether the maps of explanation methods, of the true class, are right."""

    class Config(config.Config):
        kind: Literal["explainers"] = "explainers"
        methods: tuple[str, ...] = ()
        """Names of methods (``foveate list explainers``)."""
        metrics: tuple[Literal["localisation", "faithfulness"], ...] = Field(
            default=("localisation",), min_length=1
        )
        """Which scores (docs/maps.md); localisation is empty where there are no masks."""

    def __init__(self, config: Config, subject: Subject) -> None:
        super().__init__(config, subject)
        self.known: list[np.ndarray] = []
        if config.methods:
            settings = LookConfig.model_validate(
                {"methods": config.methods, "metrics": config.metrics, "target": "true"}
            )
            self.scores = ExplainerScores(subject.model, subject.device, settings, controls=False)

    def wants(self, rows: np.ndarray) -> bool:
        return bool(self.config.methods)

    def see(self, batch: Batch) -> None:
        self.known.append((batch.targets >= 0).numpy())
        # Any class will do where none is known: the column says NaN there.
        self.scores.add(
            batch.replace(targets=batch.targets.clamp(min=0)), [str(i) for i in batch.index.tolist()]
        )

    def columns(self) -> dict[str, np.ndarray]:
        """Raises ConfigError: a method means nothing for this network."""
        if not self.known:
            return {}
        table = self.scores.table()
        if table.skipped:
            name, why = next(iter(table.skipped.items()))
            raise ConfigError(f"evaluation.look_methods: {name} does not fit this network. {why}")
        known = np.concatenate(self.known)
        return {
            f"{method}_{score}": np.where(known, column, np.nan).astype(np.float32)
            for method in table.methods
            for score, column in table.values[method].items()
        }
