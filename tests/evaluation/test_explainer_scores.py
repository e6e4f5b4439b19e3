"""The table of explainers: values are those of its parts, whatever the batches; the network is left alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from foveate.core.errors import ConfigError
from foveate.data.batch import Batch
from foveate.data.catalog import Catalog
from foveate.evaluation.evaluators.explainers import Explainers
from foveate.evaluation.explainer_scores import ExplainerScores, LookConfig
from foveate.evaluation.look_table import LookTable
from foveate.evaluation.subject import Subject
from foveate.explanation import explain
from foveate.explanation.faithfulness import FaithfulnessConfig
from foveate.explanation.localisation import energy_in_mask

from .conftest import TinyNetwork, make_batches

PATHS = {row: f"{row}.png" for row in range(100, 110)}


class Plain(TinyNetwork):
    """With a module to explain at."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.nn.Identity()

    def forward(self, images: torch.Tensor, taps: tuple[str, ...] = ()) -> torch.Tensor:  # type: ignore[override]
        early = torch.relu(self.norm(self.first(images)))
        return self.head(self.drop(self.last(torch.relu(self.second(early))).mean((2, 3))))


def known(batches: list[Batch]) -> list[Batch]:
    return [batch.replace(targets=batch.targets.clamp(min=0)) for batch in batches]


def config(*metrics: str, **changes: object) -> LookConfig:
    return LookConfig.model_validate({"methods": ("gradcam", "eigencam"), "metrics": metrics, **changes})


def measured(net: torch.nn.Module, batches: list[Batch], settings: LookConfig) -> LookTable:
    scores = ExplainerScores(net, "cpu", settings)
    for batch in batches:
        scores.add(batch, [PATHS[row] for row in batch.index.tolist()])
    return scores.table()


def test_rows_and_values(batches: list[Batch]) -> None:
    net = Plain().train()
    table = measured(net, known(batches), config("localisation", target="true"))
    assert list(table.values) == [
        "gradcam", "eigencam", "random map", "centred Gaussian", "edges", "graph saliency", "whitening saliency",
        "chance",
    ]  # fmt: skip
    assert table.methods == ("gradcam", "eigencam")
    assert table.paths == tuple(PATHS.values())
    assert net.training
    assert all(np.isnan(table.values[row]["energy"][-1]) for row in table.values)  # no mask
    one = known(batches)[1].prepare("cpu", net.mean, net.std)
    maps = explain(net, one.images, one.targets, "gradcam")
    np.testing.assert_allclose(
        table.values["gradcam"]["energy"][4:8], energy_in_mask(maps, one.masks).numpy(), atol=1e-5
    )
    cells = table.cells()
    assert cells["chance"]["energy"].mean == pytest.approx(56 / 256, abs=1e-6)
    assert cells["chance"]["energy"].n == 9
    assert cells["gradcam"]["iou_best"].threshold == table.thresholds["gradcam"]["iou_best"]
    assert set(table.seconds) == {"gradcam", "eigencam"}


def test_batches_do_not_matter() -> None:
    net, settings = (
        Plain(),
        config(
            "localisation", "faithfulness", faithfulness=FaithfulnessConfig(steps=3, road=(0.5,), holes=3)
        ),
    )
    one, other = (measured(net, known(make_batches(batch=size)), settings) for size in (4, 10))
    for row, columns in one.values.items():
        for name, values in columns.items():
            np.testing.assert_allclose(values, other.values[row][name], atol=2e-3, err_msg=f"{row} {name}")


def test_sanity(batches: list[Batch]) -> None:
    settings = config("sanity", sanity={"steps": 2, "attack_steps": 2, "draws": 2})
    table = measured(Plain(), known(batches), settings)
    assert {score.name for score in table.scores} == set(table.values["gradcam"])
    assert (table.values["edges"]["random_spearman"] == 1).all()
    assert "chance" not in table.values
    assert len(table.cascade) == 2
    last = list(table.cascade.values())[-1]["gradcam"]
    assert last == pytest.approx(np.nanmean(table.values["gradcam"]["random_spearman"]), abs=1e-6)


def test_predicted_and_true_classes(batches: list[Batch]) -> None:
    net, settings = Plain(), config("faithfulness", faithfulness={"scores": ("insertion",)})
    predicted = measured(net, batches, settings)
    assert len(predicted.paths) == 10
    with pytest.raises(ConfigError, match="no known class"):
        measured(net, batches, settings.model_copy(update={"target": "true"}))


def test_what_does_not_fit_is_named(batches: list[Batch]) -> None:
    with pytest.raises(ConfigError, match="no explanation method 'gradcan'"):
        measured(Plain(), batches, config("localisation", methods=("gradcan",)))
    with pytest.raises(ConfigError, match="No method fits this network"):
        measured(Plain(), batches, config("localisation", layer="nowhere"))


def test_columns_for_predictions(batches: list[Batch]) -> None:
    subject = Subject(Plain(), Catalog(Path(), (), ()), torch.device("cpu"), 16)
    evaluator = Explainers(Explainers.Config(methods=("gradcam",)), subject)
    for batch in batches:
        evaluator.see(batch)
    found = evaluator.columns()
    assert "gradcam_pointing" in found
    assert all(len(values) == 10 for values in found.values())
    assert np.isnan(found["gradcam_energy"][-2])  # no label
    assert np.isnan(found["gradcam_energy"][-1])  # no mask
    assert np.isfinite(found["gradcam_auc"]).sum() >= 3
