"""Explanation methods measured on pictures: localisation, faithfulness and sanity, beside controls.

scores = ExplainerScores(model, "cpu", LookConfig(methods=("gradcam", "occlusion")))
scores.add(batch, paths)
scores.table()
"""

import time
from collections.abc import Mapping
from functools import partial
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
    faithfulness,
    sensitivity_max,
)
from foveate.explanation.localisation import LOCALISATION, LocalisationConfig, chance_levels, localisation
from foveate.explanation.maps import MapScore
from foveate.explanation.probe import Probe
from foveate.explanation.sanity import (
    SANITY,
    Maps,
    all_maps,
    compare_networks,
    fragility,
    input_shift,
    randomised_copies,
)
from foveate.models.modes import untouched

Group = Literal["localisation", "faithfulness", "sanity"]
GROUPS: dict[str, tuple[MapScore, ...]] = {
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
    def scores(self) -> tuple[MapScore, ...]:
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
        self.steps: list[dict[str, dict[str, torch.Tensor]]] = []
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
            if images.device.type == "cuda":
                torch.cuda.synchronize(images.device)
            self.seconds[name] += time.perf_counter() - start
        if not maps:
            reasons = " ".join(f"{name}: {why}" for name, why in self.skipped.items())
            raise ConfigError(f"No method fits this network. {reasons}")
        if self.controls:
            maps |= control_maps(images, names, config.seed)
        groups: list[Mapping[str, Mapping[str, torch.Tensor]]] = [{name: {} for name in maps}]
        if "localisation" in config.metrics:
            groups.append(
                {name: localisation(found, masks, config.localisation) for name, found in maps.items()}
            )
            groups.append({CHANCE: chance_levels(masks, config.localisation)})
        if "faithfulness" in config.metrics:
            groups.append(faithfulness(model, images, targets, maps, config.faithfulness))
        if "sanity" in config.metrics:
            groups.append(self._sanity(images, targets))
        part: dict[str, dict[str, np.ndarray]] = {}
        for group in groups:
            for row, scores in group.items():
                arrays = {name: values.double().cpu().numpy() for name, values in scores.items()}
                part.setdefault(row, {}).update(arrays)
        self.parts.append(part)
        self.shown += names

    def _sanity(self, images: torch.Tensor, targets: torch.Tensor) -> dict[str, dict[str, torch.Tensor]]:
        """{row: {score: (B,)}}; what is random: {row: Spearman (B,)} is added to ``steps``."""
        model, config, settings = self.model, self.config, self.config.sanity
        left = [method for method in config.methods if method.kind not in self.skipped]
        methods = {method.kind: self._maps(method, raw=True) for method in left}
        layers = {method.kind: config.layer or "last" if method.layered else None for method in left}
        if self.controls:
            methods["edges"] = lambda model, images, targets: edge_maps(images)
        before = all_maps(model, images, targets, methods)
        cascade = {
            title: compare_networks(model, network, images, targets, methods, before=before)
            for title, network in self.copies
        }
        *_, last = cascade.values()
        shift = input_shift(model, images, targets, methods, before=before)
        rows = {
            name: {
                "random_spearman": last[name].spearman,
                "random_absolute": last[name].absolute,
                "random_ssim": last[name].ssim,
                "cascade_spearman": torch.stack([step[name].spearman for step in cascade.values()]).mean(dim=0),
                "shift_spearman": shift[name].spearman,
                "sensitivity": sensitivity_max(
                    partial(maps, model), images, targets, radius=settings.radius, draws=settings.draws,
                    seed=config.seed, maps=before[name],
                ),
            }
            for name, maps in methods.items()
        }  # fmt: skip
        assert isinstance(model.std, torch.Tensor)
        try:
            fragile = fragility(
                model, images, targets, methods, epsilon=settings.epsilon / model.std, steps=settings.attack_steps,
                layers=layers, seed=config.seed, before=before,
            )  # fmt: skip
        except ConfigError as error:
            self.skipped["the attack"] = str(error)
        else:
            for name, row in rows.items():
                row["fragile_top_k"] = fragile["attack"][name]["top_k"]
                row["fragile_spearman"] = fragile["attack"][name]["spearman"]
                row["noise_spearman"] = fragile["noise"][name]["spearman"]
        self.steps.append(
            {title: {name: row.spearman for name, row in step.items()} for title, step in cascade.items()}
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
                # NaN where an attack failed in one batch alone.
                column = np.concatenate(
                    [
                        part[row].get(name, np.full(len(next(iter(part[row].values()))), np.nan))
                        for part in self.parts
                    ]
                )
                if name in swept:
                    column, threshold = settle(column)
                    thresholds[row] |= {} if threshold is None else {name: threshold}
                values[row][name] = column
        cascade: dict[str, dict[str, float]] = {}
        for title, step in self.steps[0].items() if self.steps else ():
            means = {name: torch.cat([part[title][name] for part in self.steps]).nanmean() for name in step}
            cascade[title] = {name: float(mean) for name, mean in means.items() if mean.isfinite()}
        kinds = [method.kind for method in self.config.methods]
        methods = tuple(kind for kind in kinds if kind not in self.skipped)
        settings = {m.kind: m.model_dump(mode="json", exclude={"kind"}) for m in self.config.methods}
        return LookTable(
            paths=tuple(self.shown),
            target=self.config.target,
            scores=self.config.scores,
            values=values,
            methods=methods,
            seconds={kind: self.seconds[kind] / max(len(self.shown), 1) for kind in methods},
            skipped=self.skipped,
            thresholds=thresholds,
            cascade=cascade,
            settings={**self.config.model_dump(mode="json"), "methods": kinds, "settings": settings},
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
