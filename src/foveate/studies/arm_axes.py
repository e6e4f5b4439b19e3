"""Arms that are the product of axes, read along one axis: a metric over the training size, or over a weight."""

import itertools

from foveate.studies.results import StudyResults
from foveate.studies.specification import Study

Line = list[tuple[float, str]]
"""(value of the axis, arm), values ascending."""


def axis_values(study: Study) -> dict[str, dict[str, str | float]]:
    """{arm: {axis: value}} of a study whose arms are the product of axes; empty without axes."""
    if not study.axes:
        return {}
    choices: list[list[tuple[str, str | float]]] = (
        [[("arm", arm) for arm in study.arms]] if study.arms else []
    )
    choices += [[(axis, _plain(value)) for value in values] for axis, values in study.axes.items()]
    return dict(zip(study.arm_changes(), map(dict, itertools.product(*choices)), strict=True))


def numeric_axes(results: StudyResults) -> tuple[str, ...]:
    """Axes whose values are numbers and along which some arms differ in nothing else."""
    names = dict.fromkeys(axis for arm in results.arms for axis in results.axes.get(arm, {}))
    return tuple(name for name in names if any(len(line) > 1 for line in along(results, name).values()))


def along(results: StudyResults, axis: str) -> dict[str, Line]:
    """{method: its arms along ``axis``}. The method's name is the values of the other axes; "" without any.

    Arms without a number on this axis are left out.
    """
    lines: dict[str, Line] = {}
    for arm in results.arms:
        place = results.axes.get(arm, {})
        value = place.get(axis)
        if isinstance(value, int | float) and not isinstance(value, bool):
            method = " · ".join(_text(v) for name, v in place.items() if name != axis)
            lines.setdefault(method, []).append((float(value), arm))
    return {method: sorted(line) for method, line in lines.items()}


def _plain(value: object) -> str | float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"
