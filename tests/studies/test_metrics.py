"""Names of metrics: the table's, places in result.json, and scores of explainers."""

import pytest

from foveate.core.errors import ConfigError
from foveate.studies.metrics import METRICS, choose_metrics


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
    assert choose_metrics(()) == tuple(row.metric for row in METRICS.values())
    (place,) = choose_metrics(("test.look.energy_in_mask_late.mean",))
    assert place.title == "test.look.energy_in_mask_late.mean"
    with pytest.raises(ConfigError, match="no metric 'gradcam_pointing'"):
        choose_metrics(("gradcam_pointing",))
