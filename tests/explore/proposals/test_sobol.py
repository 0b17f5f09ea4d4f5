import numpy as np

from autocompress.explore.proposals.sobol import Sobol


def test_schemes_and_numbers_are_spread_evenly(breeder):
    sobol = Sobol(breeder, seed=0)
    found = [sobol.propose(number, []).params for number in range(64)]
    schemes = [params["0.scheme"] for params in found]
    assert all(20 <= schemes.count(name) <= 23 for name in ("dense", "prune", "codebook"))
    scales = np.log(sorted(params["recipe.mu.scale"] for params in found))
    even = np.linspace(np.log(0.3), np.log(3.0), 64)
    assert np.abs(scales - even).max() < 0.08


def test_a_number_always_gives_the_same(breeder):
    one, other = Sobol(breeder, seed=3), Sobol(breeder, seed=3)
    assert [one.propose(n, []) for n in (5, 2)] == [other.propose(n, []) for n in (5, 2)]
    assert Sobol(breeder, seed=4).propose(5, []) != one.propose(5, [])
