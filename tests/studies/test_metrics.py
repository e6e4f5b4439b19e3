"""Names of metrics (the table's, places in result.json, explainers' scores) and F1 of a class, against scikit-learn."""

import pytest
from sklearn.metrics import f1_score

from foveate.core.errors import ConfigError
from foveate.experiment import Run
from foveate.studies.metrics import METRICS, choose_metrics, measure


def test_scores_of_explainers_have_titles_and_directions() -> None:
    found = choose_metrics(
        (
            "test.look.gradcam++_pointing.mean",
            "val.look.gradcam_deletion.mean",
            "test.look.gradcam_iou_mean.mean",
        )
    )
    assert [metric.title for metric in found] == [
        "pointing game (gradcam++, test)",
        "deletion AUC (gradcam, val)",
        "IoU at mean (gradcam, test)",
    ]
    assert [metric.better for metric in found] == ["higher", "lower", "higher"]


def test_other_names() -> None:
    assert choose_metrics(()) == tuple(METRICS.values())
    (place,) = choose_metrics(("test.look.energy_in_mask_late.mean",))
    assert place.title == "test.look.energy_in_mask_late.mean"
    with pytest.raises(ConfigError, match="no metric 'gradcam_pointing'"):
        choose_metrics(("gradcam_pointing",))


def test_f1_of_every_class_is_scikit_learns(finished: Run) -> None:
    ids = tuple(finished.environment["class_ids"])
    metrics = choose_metrics(["test.accuracy", "test.f1.*", "test.macro_f1"], ids)
    assert [m.name for m in metrics] == ["test.accuracy", *(f"test.f1.{c}" for c in ids), "test.macro_f1"]
    found = measure(finished, metrics)
    rows = finished.predictions.of_split("test")
    expected = f1_score(rows.label, rows.prediction, labels=range(len(ids)), average=None, zero_division=0)
    for class_id, value in zip(ids, expected, strict=True):
        if f"test.f1.{class_id}" in found:  # absent where the class neither occurs nor is predicted
            assert found[f"test.f1.{class_id}"] == pytest.approx(value)
    assert len(found) >= 4


def test_one_class_can_be_named_alone() -> None:
    (metric,) = choose_metrics(["val.f1.a class. with dots"])
    assert metric.title == "Val F1, a class. with dots"
    assert choose_metrics(["test.f1.*"]) == ()
    with pytest.raises(ConfigError, match=r"test\.f1\.\* for the F1 of every class"):
        choose_metrics(["f1"])
