import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autocompress.analysis.hypervolume import hypervolume, nondominated
from autocompress.explore.proposals.improvement import expected_improvement

BOUND = (1.0, 1.0)


def brute_force(front, point, bound=BOUND):
    before = hypervolume(front, bound)
    return hypervolume(np.vstack([front, point[None]]), bound) - before


@given(st.integers(0, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_without_doubt_it_is_the_improvement_itself(members, seed):
    rng = np.random.default_rng(seed)
    front = rng.uniform(-0.2, 1.2, (members, 2))
    front = front[nondominated(front)] if members else front
    mean = rng.uniform(-0.2, 1.2, (7, 2))
    found = expected_improvement(front, mean, np.zeros_like(mean), BOUND, rng)
    assert found == pytest.approx([brute_force(front, point) for point in mean], abs=1e-12)


def test_three_objectives():
    rng = np.random.default_rng(0)
    front, mean = rng.random((5, 3)), rng.random((4, 3))
    front = front[nondominated(front)]
    bound = (1.0, 1.0, 1.0)
    found = expected_improvement(front, mean, np.zeros_like(mean), bound, rng)
    assert found == pytest.approx([brute_force(front, p, bound) for p in mean])


def test_doubt_makes_a_dominated_candidate_worth_trying():
    front = np.array([[0.5, 0.5]])
    mean = np.array([[0.55, 0.55], [0.55, 0.55]])
    std = np.array([[0.0, 0.0], [0.2, 0.2]])
    certain, doubtful = expected_improvement(front, mean, std, BOUND, np.random.default_rng(0))
    assert certain == 0.0
    assert doubtful > 0.0


def test_it_is_the_mean_over_the_distribution():
    front = np.array([[0.3, 0.7], [0.7, 0.3]])
    mean, std = np.array([[0.5, 0.4]]), np.array([[0.1, 0.05]])
    rng = np.random.default_rng(0)
    draws = mean + std * rng.standard_normal((20000, 2))
    plain = np.mean([brute_force(front, draw) for draw in draws[:4000]])
    found = np.mean(
        [expected_improvement(front, mean, std, BOUND, np.random.default_rng(i)) for i in range(50)]
    )
    assert found == pytest.approx(plain, rel=0.05)
