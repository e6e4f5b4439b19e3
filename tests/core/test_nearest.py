"""Distances to neighbours are scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from foveate.core.nearest import distance_to_nth, unit


@given(st.integers(0, 1000), st.integers(1, 7), st.integers(1, 20))
def test_distances_are_those_of_a_library(seed: int, n: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    known, features = (rng.normal(size=(count, width)) for count in (30, 9))
    truth = NearestNeighbors(n_neighbors=n).fit(known).kneighbors(features)[0][:, -1]
    np.testing.assert_allclose(distance_to_nth(known, features, n), truth, atol=1e-6)
    np.testing.assert_allclose(unit(known), normalize(known), atol=1e-12)


def test_a_row_of_zeros_stays_and_the_given_rows_too() -> None:
    rows = np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(unit(rows), [[0.6, 0.8], [0, 0]])
    assert rows.tolist() == [[3, 4], [0, 0]]


def test_a_known_row_is_at_distance_zero() -> None:
    rows = unit(np.random.default_rng(0).normal(size=(5, 400)))
    assert distance_to_nth(rows, rows, 1) == pytest.approx(0, abs=1e-6)
