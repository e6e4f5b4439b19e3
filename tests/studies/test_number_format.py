"""Digits: two significant ones of the spread, never a negative zero, the same error everywhere."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveate.studies.number_format import Digits, decimals, digits, fixed, p_text
from foveate.studies.results import Metric
from study_helpers import analysed


@pytest.mark.parametrize(
    ("spreads", "places"),
    [
        ([3.6], 1),
        ([0.036], 3),
        ([7.72, 7.57, 3.2, 6.42, 5.74], 1),
        ([0.0996], 2),  # 0.10: rounding up gives it a digit
        ([12.0], 0),
        ([1234.0], 0),
        ([0.04, 0.15, 0.13, 0.15, 0.22], 2),
        ([], 3),
        ([0.0, 0.0], 3),
        ([1e-15], 3),  # rounding of equal values
        ([math.inf, 0.5], 2),
    ],
)
def test_two_digits_of_the_typical_spread(spreads: list[float], places: int) -> None:
    assert decimals(spreads, largest=70.0) == places


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=9))
def test_the_median_spread_has_two_significant_digits(spreads: list[float]) -> None:
    places = decimals(spreads, largest=1.0)
    middle = sorted(spreads)[len(spreads) // 2]
    if len(spreads) % 2 and 1e-4 < middle < 9.5:
        digits_shown = fixed(middle, places).replace(".", "").lstrip("0")
        assert len(digits_shown) in (2, 3)  # 0.0996 is shown as 0.10, 0.996 as 1.00
        assert abs(float(fixed(middle, places)) - middle) <= 0.051 * middle


@given(st.floats(-1e6, 1e6), st.integers(0, 6))
def test_fixed_is_nearest_and_has_no_negative_zero(value: float, places: int) -> None:
    text = fixed(value, places)
    assert abs(float(text) - value) <= 0.5000001 * 10.0**-places
    assert float(text) != 0 or not text.startswith("-")
    assert len(text.partition(".")[2]) == places


def test_signs_and_intervals() -> None:
    form = Digits(percent=True, means=1, differences=2)
    assert form.mean(0.71504) == "71.5"
    assert form.difference(0.0123, sign=True) == "+1.23"
    assert form.difference(-0.00001, sign=True) == "0.00"
    assert form.difference(-0.02) == "-2.00"
    assert form.interval(-0.01, 0.025) == "-1.00 to 2.50"
    assert form.plus_minus(0.5, None) == "50.0"
    assert form.plus_minus(0.5, 0.01) == "50.0 ± 1.0"
    assert form.mean(None) is None
    assert form.interval(None, 1.0) is None


def test_p() -> None:
    assert p_text(None) is None
    assert p_text(0.0002) == "<0.001"
    assert p_text(0.0171) == "0.017"
    assert p_text(1.0) == "1"


def test_differences_may_have_more_digits_than_means() -> None:
    results, analysis = analysed(2, metrics=5)
    for metric in results.metrics:
        form = digits(analysis, metric)
        assert form.means <= form.differences <= form.means + 2
    assert digits(analysis, Metric("nothing", "Nothing", percent=True)) == Digits(True, 1, 1)
