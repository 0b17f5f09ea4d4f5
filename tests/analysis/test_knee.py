import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocompress.analysis.knee import knee


def test_the_knee_is_farthest_below_the_chord():
    assert knee(np.array([[0.0, 10.0], [1.0, 4.0], [2.0, 1.0], [10.0, 0.0]])) == 2


def test_scaling_an_axis_does_not_move_the_knee():
    points = np.array([[0.0, 10.0], [1.0, 4.0], [2.0, 1.0], [10.0, 0.0]])
    assert knee(points * [1e-6, 1e6] + [3.0, -5.0]) == 2


@pytest.mark.parametrize(
    "points",
    [
        [[0.0, 1.0], [1.0, 0.0]],
        [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]],
        [[0.0, 1.0], [0.9, 0.9], [1.0, 0.0]],
    ],
    ids=["two points", "straight", "bulging outwards"],
)
def test_a_front_with_nothing_below_its_chord_has_no_knee(points):
    assert knee(np.array(points)) is None


def test_a_single_point_is_its_own_knee_and_none_has_none():
    assert knee(np.array([[3.0, 4.0]])) == 0
    assert knee(np.zeros((0, 2))) is None


def test_with_three_objectives_the_knee_is_closest_to_the_ideal_point():
    points = np.array([[0.0, 9.0, 9.0], [9.0, 0.0, 9.0], [9.0, 9.0, 0.0], [2.0, 3.0, 2.0]])
    assert knee(points) == 3


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=20, unique=True))
def test_on_a_convex_front_the_knee_is_where_the_definition_says(inner):
    x = np.array(sorted({0.0, 1.0, *inner}))
    points = np.stack([x, (1 - np.sqrt(x)) ** 2], axis=1)
    distance = (1 - points.sum(axis=1)) / np.sqrt(2)
    assert distance[knee(points)] == pytest.approx(distance.max())
