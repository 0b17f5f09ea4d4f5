import itertools
import math

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from autocompress.explore.proposals.path import STEP, Path, Point, front, key_of, thinned

DOMAINS = {
    "a.density": FloatDistribution(0.01, 1.0, log=True),
    "b.k": IntDistribution(2, 16),
    "c.scheme": CategoricalDistribution(("prune", "codebook")),
}


def point(size, loss, density=0.1, k=2, scheme="prune"):
    return Point({"a.density": density, "b.k": k, "c.scheme": scheme}, size, loss)


def test_a_path_is_in_order_and_leaves_out_what_cannot_be_placed():
    points = [
        point(300, 1, 0.3),
        point(100, 3),
        point(100, 2, 0.2),
        point(200, math.inf),
        point(0, 1),
    ]
    path = Path.make(points, {})
    assert [(p.size, p.loss) for p in path.points] == [(100, 2), (300, 1)]


def test_gaps_between_points_that_differ_in_numbers_are_filled():
    path = Path.make([point(100, 3, 0.1), point(200, 1, 0.4)], DOMAINS)
    sizes = [p.size for p in path.points]
    assert sizes == sorted(sizes)
    assert all(b / a <= STEP + 1e-9 for a, b in itertools.pairwise(sizes))
    middle = min(path.points, key=lambda p: abs(p.size - 100 * math.sqrt(2)))
    assert middle.params["a.density"] == pytest.approx(0.2, rel=0.02)  # the range is a log one
    assert 1 < middle.loss < 3


def test_integers_between_are_each_taken_once():
    path = Path.make([point(100, 3, k=2), point(200, 1, k=5)], DOMAINS)
    assert [p.params["b.k"] for p in path.points] == [2, 3, 4, 5]


def test_between_other_choices_there_is_nothing():
    path = Path.make([point(100, 3), point(200, 1, scheme="codebook")], DOMAINS)
    assert len(path.points) == 2


def test_a_loss_has_its_place_on_the_path():
    path = Path.make([point(100, 4.0), point(200, 2.0), point(400, 3.0), point(800, 1.0)], {})
    assert path.where(2.0) == pytest.approx(math.log(400))  # as large as it takes to be sure
    assert math.log(100) < path.where(3.0) < math.log(200)
    assert path.where(9.0) == pytest.approx(math.log(100))
    assert path.where(0.0) == pytest.approx(math.log(800))


def test_the_front_of_some_points():
    points = [point(1, 9), point(2, 5), point(3, 7), point(4, 5), point(5, 1)]
    assert [(p.size, p.loss) for p in front(points)] == [(1, 9), (2, 5), (5, 1)]


def test_thinning_keeps_both_ends():
    points = [point(1.1**i, -i) for i in range(50)]
    few = thinned(points, 7)
    assert len(few) == 7
    assert (few[0], few[-1]) == (points[0], points[-1])
    assert thinned(points, 60) == points


def test_keys_do_not_depend_on_the_order():
    assert key_of({"a": 1, "b": 0.5}) == key_of({"b": 0.5, "a": 1})
