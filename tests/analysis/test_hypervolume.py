import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocompress.analysis.hypervolume import hypervolume, nondominated


@st.composite
def points(draw, most=12, dimensions=(1, 2, 3, 4)):
    """Points on a coarse grid, so that ties and duplicates are common."""
    width = draw(st.sampled_from(dimensions))
    rows = draw(st.lists(st.tuples(*[st.integers(0, 5)] * width), min_size=1, max_size=most))
    return np.asarray(rows, dtype=np.float64)


def naive_nondominated(rows):
    """O(n²): kept unless another is nowhere worse and somewhere better, or equal and earlier."""

    def beats(i, j):
        nowhere_worse = all(a <= b for a, b in zip(rows[i], rows[j], strict=True))
        return nowhere_worse and (tuple(rows[i]) != tuple(rows[j]) or i < j)

    return [not any(beats(i, j) for i in range(len(rows)) if i != j) for j in range(len(rows))]


def inclusion_exclusion(rows, bound):
    total = 0.0
    for size in range(1, len(rows) + 1):
        for chosen in itertools.combinations(rows, size):
            corner = np.max(chosen, axis=0)
            total -= (-1) ** size * math.prod(np.maximum(bound - corner, 0.0))
    return total


@given(points())
def test_nondominated_is_what_the_definition_says(rows):
    assert nondominated(rows).tolist() == naive_nondominated(rows)


@given(points(most=7))
def test_hypervolume_is_inclusion_exclusion_also_with_points_outside_the_bound(rows):
    bound = np.full(rows.shape[1], 4.0)
    assert hypervolume(rows, tuple(bound)) == pytest.approx(inclusion_exclusion(rows, bound))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40))
def test_hypervolume_in_the_plane_is_the_area_under_the_staircase(rows):
    area, lowest = 0.0, 1.0
    for x, y in sorted(rows):
        if y < lowest:
            area += (1.0 - x) * (lowest - y)
            lowest = y
    assert hypervolume(np.asarray(rows), (1.0, 1.0)) == pytest.approx(area, abs=1e-12)


def test_no_points_have_no_volume():
    assert hypervolume(np.zeros((0, 3)), (1.0, 1.0, 1.0)) == 0.0
    assert nondominated(np.zeros((0, 3))).shape == (0,)


def test_points_on_or_beyond_the_bound_contribute_nothing():
    inside = np.array([[0.5, 0.5]])
    outside = np.array([[0.5, 0.5], [1.0, 0.0], [-3.0, 1.5]])
    assert hypervolume(outside, (1.0, 1.0)) == hypervolume(inside, (1.0, 1.0)) == 0.25
