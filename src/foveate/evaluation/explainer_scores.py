"""Explanation methods measured on pictures: localisation, faithfulness and sanity, beside controls.

scores = ExplainerScores(model, "cpu", LookConfig(methods=("gradcam", "occlusion")))
scores.add(batch, paths)
scores.table()
"""

import time
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import nn

from foveate.core.config import Config
from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.evaluation.look_table import CHANCE, LookTable, settle
from foveate.explanation.controls import control_maps, edge_maps
from foveate.explanation.explain import Methods, build_explainer, explain, with_settings
from foveate.explanation.explainer import Explainer
from foveate.explanation.faithfulness import (
    FAITHFULNESS,
    FaithfulnessConfig,
    SensitivityMaps,
    faithfulness,
    sensitivity_max,
)
from foveate.explanation.localisation import LOCALISATION, LocalisationConfig, chance_levels, localisation
from foveate.explanation.maps import Score
from foveate.explanation.probe import Probe
from foveate.explanation.sanity import SANITY, Maps, fragility, input_shift, randomised, randomised_copies
from foveate.models.modes import untouched

Group = Literal["localisation", "faithfulness", "sanity"]
GROUPS: dict[str, tuple[Score, ...]] = {
    "localisation": LOCALISATION,
    "faithfulness": FAITHFULNESS,
    "sanity": SANITY,
}
"""{group: its scores}. A new score: one line in the group's table, and its value in the group's function."""


class SanityConfig(Config):
    """Settings of the sanity checks."""

    steps: int = Field(default=4, ge=1, le=1000)
    """Groups of layers that become random one after the other."""
    epsilon: float = Field(default=8 / 255, gt=0)
    """Largest change of a colour value (0 to 1) by the attack and by the noise."""
    attack_steps: int = Field(default=10, ge=1, le=10_000)
    draws: int = Field(default=4, ge=1, le=1000)
    """Small changes of the picture, of which sensitivity-max takes the worst."""
    radius: float = Field(default=0.02, gt=0)
    """Largest of these changes, in units of the normalised picture."""


class LookConfig(Config):
    """What is measured."""

    methods: Methods = (build_explainer("gradcam"),)
    """Names in ``EXPLAINERS``, or their settings with their ``kind``."""
    metrics: tuple[Group, ...] = Field(default=("localisation", "faithfulness"), min_length=1)
    target: Literal["predicted", "true"] = "predicted"
    """The class whose evidence the maps show."""
    layer: str | None = None
    """For methods that work at a feature map; None = the last."""
    localisation: LocalisationConfig = LocalisationConfig()
    faithfulness: FaithfulnessConfig = FaithfulnessConfig()
    sanity: SanityConfig = SanityConfig()
    seed: int = 0

    _settings = model_validator(mode="before")(with_settings)

    @property
    def scores(self) -> tuple[Score, ...]:
        """Of the chosen groups, in the order of tables."""
        return tuple(score for group, scores in GROUPS.items() if group in self.metrics for score in scores)


class ExplainerScores:
    """Explains pictures by every method and scores the maps, a batch at a time."""

    def __init__(
        self, model: nn.Module, device: torch.device | str, config: LookConfig, *, controls: bool = True,
        references: torch.Tensor | None = None,
    ) -> None:  # fmt: skip
        """``model``: with ``mean`` and ``std``, already on ``device``; it is left as it was found. ``controls``: also
        measure maps that know nothing of the network. ``references``: see ``explain``."""
        self.model, self.device, self.config, self.controls = model, device, config, controls
        self.references = references
        self.skipped: dict[str, str] = {}
        self.seconds = {method.kind: 0.0 for method in config.methods}
        self.parts: list[dict[str, dict[str, np.ndarray]]] = []
        self.steps: list[dict[str, dict[str, np.ndarray]]] = []
        self.shown: list[str] = []
        self.copies = (
            randomised_copies(model, steps=config.sanity.steps, seed=config.seed)
            if "sanity" in config.metrics else []
        )  # fmt: skip

    def add(self, batch: Batch, names: list[str]) -> None:
        """The next batch (bytes) of pictures of these names; those without a mask have no localisation.

        Raises:
            ConfigError: no method fits this network, or a picture of unknown class where the true class is wanted.
        """
        model, config = self.model, self.config
        prepared = batch.prepare(self.device, model.mean, model.std)  # type: ignore[arg-type]
        images = prepared.images
        masks = prepared.masks * prepared.has_mask.view(-1, 1, 1, 1)
        targets = _targets(model, images, prepared.targets, config.target)
        maps: dict[str, torch.Tensor] = {}
        for method in config.methods:
            name, start = method.kind, time.perf_counter()
            if name in self.skipped:
                continue
            try:
                maps[name] = self._maps(method)(model, images, targets)
            except ConfigError as error:
                if self.shown:
                    raise
                self.skipped[name] = str(error)
                continue
            _wait(images)
            self.seconds[name] += time.perf_counter() - start
        if not maps:
            reasons = " ".join(f"{name}: {why}" for name, why in self.skipped.items())
            raise ConfigError(f"No method fits this network. {reasons}")
        if self.controls:
            maps |= control_maps(images, names, config.seed)
        found: dict[str, dict[str, torch.Tensor]] = {name: {} for name in maps}
        if "localisation" in config.metrics:
            for name, values in maps.items():
                found[name] |= localisation(values, masks, config.localisation)
            found[CHANCE] = chance_levels(masks, config.localisation)
        if "faithfulness" in config.metrics:
            for name, scores in faithfulness(model, images, targets, maps, config.faithfulness).items():
                found[name] |= scores
        if "sanity" in config.metrics:
            for name, scores in self._sanity(images, targets).items():
                found[name] |= scores
        self.parts.append(
            {row: {n: v.double().cpu().numpy() for n, v in scores.items()} for row, scores in found.items()}
        )
        self.shown += names

    def _sanity(self, images: torch.Tensor, targets: torch.Tensor) -> dict[str, dict[str, torch.Tensor]]:
        """{row: {score: (B,)}}; what is random: {row: Spearman (B,)} is added to ``steps``."""
        model, config, settings = self.model, self.config, self.config.sanity
        left = [method for method in config.methods if method.kind not in self.skipped]
        methods = {method.kind: self._maps(method, raw=True) for method in left}
        layers = {method.kind: config.layer or "last" if method.layered else None for method in left}
        if self.controls:
            methods["edges"] = lambda network, shown, classes: edge_maps(shown)
        before = {name: maps(model, images, targets) for name, maps in methods.items()}
        cascade = randomised(model, images, targets, methods, copies=self.copies, before=before)
        shift = input_shift(model, images, targets, methods, before=before)
        assert isinstance(model.std, torch.Tensor)
        epsilon = settings.epsilon / model.std
        try:
            fragile = fragility(
                model, images, targets, methods, epsilon=epsilon, steps=settings.attack_steps, layers=layers,
                seed=config.seed, before=before,
            )  # fmt: skip
        except ConfigError as error:
            fragile, self.skipped["the attack"] = None, str(error)
        rows = {}
        for name, maps in methods.items():
            last = list(cascade.values())[-1][name]
            rows[name] = {
                "random_spearman": last.spearman,
                "random_absolute": last.absolute,
                "random_ssim": last.ssim,
                "cascade_spearman": torch.stack([step[name].spearman for step in cascade.values()]).mean(dim=0),
                "shift_spearman": shift[name].spearman,
                "sensitivity": sensitivity_max(
                    _of_pictures(maps, model, targets), images, radius=settings.radius, draws=settings.draws,
                    seed=config.seed, maps=before[name],
                ),
            }  # fmt: skip
            if fragile is not None:
                rows[name] |= {
                    "fragile_top_k": fragile["attack"][name]["top_k"],
                    "fragile_spearman": fragile["attack"][name]["spearman"],
                    "noise_spearman": fragile["noise"][name]["spearman"],
                }
        self.steps.append(
            {
                title: {name: row.spearman.cpu().numpy() for name, row in step.items()}
                for title, step in cascade.items()
            }
        )
        return rows

    def _maps(self, method: Explainer, raw: bool = False) -> Maps:
        layer = self.config.layer if method.layered else None
        return lambda model, images, targets: explain(
            model, images, targets, method, layer, raw=raw, seed=self.config.seed, references=self.references
        )

    def table(self) -> LookTable:
        """All that was added."""
        values: dict[str, dict[str, np.ndarray]] = {}
        thresholds: dict[str, dict[str, float]] = {}
        swept = {score.name for score in self.config.scores if score.swept}
        for row in self.parts[0] if self.parts else ():
            values[row], thresholds[row] = {}, {}
            for name in dict.fromkeys(name for part in self.parts for name in part[row]):
                column = np.concatenate([_column(part[row], name) for part in self.parts])
                if name in swept:
                    column, threshold = settle(column)
                    if threshold is not None:
                        thresholds[row][name] = threshold
                values[row][name] = column
        cascade = {
            title: {
                name: float(np.nanmean(np.concatenate([step[title][name] for step in self.steps])))
                for name in self.steps[0][title]
                if np.isfinite(np.concatenate([step[title][name] for step in self.steps])).any()
            }
            for title in (self.steps[0] if self.steps else ())
        }
        return LookTable(
            paths=tuple(self.shown),
            target=self.config.target,
            scores=self.config.scores,
            values=values,
            methods=tuple(method.kind for method in self.config.methods if method.kind not in self.skipped),
            seconds={
                name: total / max(len(self.shown), 1)
                for name, total in self.seconds.items()
                if name not in self.skipped
            },
            skipped=self.skipped,
            thresholds=thresholds,
            cascade=cascade,
            settings={
                **self.config.model_dump(mode="json"),
                "methods": [method.kind for method in self.config.methods],
                "settings": {
                    m.kind: m.model_dump(mode="json", exclude={"kind"}) for m in self.config.methods
                },
            },
        )


def _targets(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, which: str) -> torch.Tensor:
    if which == "true":
        if bool((labels < 0).any()):
            raise ConfigError(
                "Some pictures have no known class; explain the predicted one (--target predicted)."
            )
        return labels
    with untouched(model), torch.no_grad():
        return Probe(model).logits(images).argmax(dim=1)


def _wait(images: torch.Tensor) -> None:
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)


def _of_pictures(maps: Maps, model: nn.Module, targets: torch.Tensor) -> SensitivityMaps:
    return lambda images: maps(model, images, targets)


def _column(scores: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """NaN where an attack failed in this batch alone."""
    return scores[name] if name in scores else np.full(len(next(iter(scores.values()))), np.nan)
