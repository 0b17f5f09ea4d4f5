import math

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from autocompress.sensitivity.surrogate import Surrogate
from autocompress.sensitivity.table import Row

LOG = FloatDistribution(0.01, 1.0, log=True)


def surrogate(values, domains):
    rows = [Row("fc", "x", params, loss, 0.0, 2.0**i) for i, (params, loss) in enumerate(values)]
    return Surrogate(rows, domains)


def test_between_two_levels_of_a_log_range_it_is_linear_in_the_logarithm():
    found = surrogate([({"a": 0.01}, 4.0), ({"a": 0.1}, 1.0), ({"a": 1.0}, 0.0)], {"a": LOG})
    assert found.loss({"a": 0.01}) == 4
    assert found.loss({"a": 10**-1.5}) == pytest.approx(2.5)
    assert found.loss({"a": 1.0}) == 0
    assert found.bits({"a": 10**-1.5}) == pytest.approx(math.sqrt(2))


def test_two_ranges_are_interpolated_one_after_the_other():
    values = [({"a": a, "k": k}, 10 * (a > 0.5) + k) for a in (0.01, 1.0) for k in (2, 6)]
    found = surrogate(values, {"a": LOG, "k": IntDistribution(2, 6)})
    assert found.loss({"a": 0.1, "k": 3}) == pytest.approx(8.0)


def test_choices_are_told_apart_and_bring_their_own_ranges():
    domains = {"c": CategoricalDistribution(["p", "q"]), "c.p.a": LOG}
    values = [({"c": "p", "c.p.a": 0.01}, 1.0), ({"c": "p", "c.p.a": 1.0}, 0.0), ({"c": "q"}, 7.0)]
    found = surrogate(values, domains)
    assert found.loss({"c": "q", "c.p.a": 0.5}) == 7
    assert found.loss({"c": "p", "c.p.a": 0.1}) == 0.5


def test_an_infinite_level_counts_only_where_it_matters():
    found = surrogate([({"a": 0.01}, math.inf), ({"a": 0.1}, 1.0), ({"a": 1.0}, 0.0)], {"a": LOG})
    assert found.loss({"a": 0.1}) == 1
    assert found.loss({"a": 0.09}) == math.inf
    assert found.loss({"a": 0.001}) == math.inf  # below the range counts as its end
