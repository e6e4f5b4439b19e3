"""Arms read along one axis."""

from foveate.studies.arm_axes import along, axis_values, numeric_axes
from foveate.studies.results import StudyResults
from foveate.studies.specification import Study


def study() -> Study:
    axes = {
        "objective.spatial.weight": [0.5, 0, 5],
        "guide": {"late": {"objective.spatial.tap": "late"}, "early": {}},
    }
    return Study.from_dict({"name": "s", "axes": axes})


def results(values: dict[str, dict[str, str | float]]) -> StudyResults:
    arms = tuple(values)
    return StudyResults("s", arms, arms[0], (1,), (), {}, axes=values)


def test_values_of_a_product() -> None:
    assert axis_values(study())["weight 5, early"] == {"objective.spatial.weight": 5, "guide": "early"}
    assert tuple(axis_values(study())) == tuple(study().arm_changes())
    assert axis_values(Study.from_dict({"name": "s", "arms": {"a": {}}})) == {}


def test_lines_ascend_and_are_named_by_the_other_axes() -> None:
    measured = results(axis_values(study()))
    assert numeric_axes(measured) == ("objective.spatial.weight",)
    lines = along(measured, "objective.spatial.weight")
    assert lines == {
        name: [(0.0, f"weight 0, {name}"), (0.5, f"weight 0.5, {name}"), (5.0, f"weight 5, {name}")]
        for name in ("late", "early")
    }


def test_no_axis_without_two_places() -> None:
    assert numeric_axes(results({"a": {"x": 1.0, "m": "p"}, "b": {"x": 2.0, "m": "q"}})) == ()
    assert numeric_axes(results({"a": {"x": True}, "b": {"x": "two"}})) == ()
