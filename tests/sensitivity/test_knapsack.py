import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from autocompress.errors import ConfigError
from autocompress.sensitivity.knapsack import Items, hull, solve

NUMBER = st.integers(0, 40)
LOSS = st.one_of(st.integers(-3, 40).map(float), st.just(float("inf")))
GROUP = st.lists(st.tuples(NUMBER, LOSS), min_size=1, max_size=6).filter(
    lambda items: any(np.isfinite(loss) for _, loss in items)
)
GROUPS = st.lists(GROUP, min_size=1, max_size=4)


def items(groups):
    return [Items([b for b, _ in group], [x for _, x in group]) for group in groups]


def brute_force(groups):
    """All sizes and losses of one item of each group that no others are as good as."""
    sums = {
        (sum(b for b, _ in chosen), sum(x for _, x in chosen))
        for chosen in itertools.product(*groups)
        if np.isfinite(sum(x for _, x in chosen))
    }
    return sorted(
        (b, x) for b, x in sums if not any(c <= b and y <= x and (c, y) != (b, x) for c, y in sums)
    )


@given(GROUPS)
@settings(max_examples=150)
def test_the_frontier_is_what_brute_force_finds(groups):
    found = solve(items(groups))
    assert found.exact
    assert list(zip(found.bits, found.losses, strict=True)) == brute_force(groups)
    for bits, loss, picks in zip(found.bits, found.losses, found.picks, strict=True):
        chosen = [group[i] for group, i in zip(groups, picks, strict=True)]
        assert (sum(b for b, _ in chosen), sum(x for _, x in chosen)) == (bits, loss)


@given(GROUPS)
@settings(max_examples=150)
def test_the_hull_is_a_part_of_the_frontier_with_both_ends(groups):
    found = hull(items(groups))
    points = list(zip(found.bits, found.losses, strict=True))
    whole = brute_force(groups)
    assert set(points) <= set(whole)
    assert points[0] == whole[0]
    assert points[-1] == whole[-1]
    for a, b, c in zip(points, points[1:], points[2:], strict=False):
        assert (a[1] - b[1]) * (c[0] - b[0]) >= (b[1] - c[1]) * (b[0] - a[0])  # convex


def test_it_agrees_with_an_integer_program_where_brute_force_takes_too_long():
    rng = np.random.default_rng(0)
    groups = [Items(rng.integers(1, 500, 12), rng.random(12)) for _ in range(7)]
    frontier = solve(groups)
    bits = np.concatenate([g.bits for g in groups])
    losses = np.concatenate([g.losses for g in groups])
    one_each = np.kron(np.eye(7), np.ones(12))
    for budget in (200, 700, 1500):
        rows = [LinearConstraint(one_each, 1, 1), LinearConstraint(bits, -np.inf, budget)]
        answer = milp(losses, integrality=1, bounds=Bounds(0, 1), constraints=rows)
        found = frontier.at(budget)
        if not answer.success:
            assert found is None
        else:
            assert frontier.losses[found] == pytest.approx(answer.fun)


def test_a_frontier_of_too_many_points_becomes_its_hull():
    rng = np.random.default_rng(0)
    groups = [Items(rng.random(8), rng.random(8)) for _ in range(8)]
    whole, part = solve(groups), solve(groups, most=50)
    assert not part.exact
    assert len(part) < len(whole)
    for bits, loss in zip(part.bits, part.losses, strict=True):
        assert np.min(np.hypot(whole.bits - bits, whole.losses - loss)) < 1e-12


def test_the_best_within_a_budget():
    found = solve([Items([10, 4, 2], [0.0, 1.0, 5.0])])
    assert [found.at(budget) for budget in (1, 2, 3.9, 4, 100)] == [None, 0, 0, 1, 2]


def test_a_group_needs_a_choice():
    with pytest.raises(ConfigError, match="no choice of finite size and loss"):
        Items([1.0, 2.0], [float("inf"), float("nan")])
    with pytest.raises(ConfigError, match="there is no group"):
        solve([])
