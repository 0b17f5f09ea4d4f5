import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from autocompress.explore.proposals.moves import smaller_neighbours
from autocompress.explore.proposals.path import Point

DOMAINS = {
    "a.density": FloatDistribution(0.01, 1.0, log=True),
    "b.k": IntDistribution(2, 64),
    "c.bits": CategoricalDistribution((2, 4, 8)),
    "d.scheme": CategoricalDistribution(("prune", "dense")),
    "recipe.lr": FloatDistribution(0.01, 1.0),
}
PARAMS = {"a.density": 0.2, "b.k": 16, "c.bits": 4, "d.scheme": "prune", "recipe.lr": 0.1}


def judge(params):
    if params["b.k"] == 15:
        return None
    size = 1000 * params["a.density"] + 4 * params["b.k"] + 10 * params["c.bits"]
    return Point(params, size, 1 / size)


def test_neighbours_are_slightly_smaller_and_differ_in_few_numbers():
    start = judge(PARAMS)
    found = smaller_neighbours(start, DOMAINS, judge, np.random.default_rng(0), tries=200)
    assert len(found) > 20
    assert len({p.key for p in found}) == len(found)
    for point in found:
        assert 0.75 <= point.size / start.size <= 0.995
        changed = {name for name in PARAMS if point.params[name] != PARAMS[name]}
        assert changed <= {"a.density", "b.k", "c.bits"}
        assert point.params["b.k"] != 15
        assert 2 <= point.params["b.k"] <= 64
        assert point.params["c.bits"] in (2, 4, 8)


def test_they_depend_on_the_seed_alone():
    def draw(seed):
        rng = np.random.default_rng(seed)
        return smaller_neighbours(judge(PARAMS), DOMAINS, judge, rng, tries=20)

    assert draw(1) == draw(1) != draw(2)


def test_without_numbers_there_are_none():
    start = Point({"d.scheme": "prune", "recipe.lr": 0.1}, 10.0, 1.0)
    assert smaller_neighbours(start, DOMAINS, judge, np.random.default_rng(0), tries=5) == []
