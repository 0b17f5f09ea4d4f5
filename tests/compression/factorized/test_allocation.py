from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocompress.compression.factorized.allocation import allocate
from autocompress.errors import SchemeError


def brute_force(values: list[Any], costs: list[Any], budget: int) -> float:
    return max(
        sum(float(v[i]) for v, i in zip(values, picks, strict=True))
        for picks in itertools.product(*(range(len(v)) for v in values))
        if sum(int(c[i]) for c, i in zip(costs, picks, strict=True)) <= budget
    )


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[Any], list[Any], int]:
    """Any options at all: dear and useless ones, ties, huge and tiny values and costs."""
    layers = draw(st.integers(1, 4))
    scale = draw(st.sampled_from([1.0, 1e-60, 1e60]))
    unit = draw(st.sampled_from([1, 7, 10**9]))
    number = st.one_of(st.integers(0, 5).map(float), st.floats(0, 5, allow_subnormal=False))
    values, costs = [], []
    for _ in range(layers):
        options = draw(st.lists(st.tuples(number, st.integers(0, 20)), min_size=1, max_size=5))
        values.append(np.array([v for v, _ in options]) * scale)
        costs.append(np.array([c for _, c in options], dtype=np.int64) * unit)
    least, most = (sum(int(f(c)) for c in costs) for f in (np.min, np.max))
    return values, costs, draw(st.integers(least, max(most, least)))


@given(problems())
def test_no_choice_within_the_budget_is_better(problem: tuple[list[Any], list[Any], int]) -> None:
    values, costs, budget = problem
    chosen = allocate(values, costs, budget)
    assert sum(int(c[i]) for c, i in zip(costs, chosen, strict=True)) <= budget
    found = sum(float(v[i]) for v, i in zip(values, chosen, strict=True))
    assert found == pytest.approx(brute_force(values, costs, budget), rel=1e-9)


def test_the_greedy_choice_is_not_always_the_best() -> None:
    # the best value for its cost leaves no room for the two that are better together
    values = [np.array([0.0, 6.5]), np.array([0.0, 5.0]), np.array([0.0, 5.0])]
    costs = [np.array([0, 6]), np.array([0, 5]), np.array([0, 5])]
    assert allocate(values, costs, 10) == [0, 1, 1]


def test_many_layers_of_many_ranks() -> None:
    """As in a residual network; the bound of the linear relaxation is as good as reached."""
    generator = np.random.default_rng(0)
    values, costs = [], []
    for layer in range(40):
        size = int(generator.integers(8, 128))
        values.append(np.cumsum(np.sort(generator.exponential(size=size) ** 2)[::-1]))
        costs.append(np.arange(1, size + 1) * int(generator.integers(100, 5000)))
        assert len(values) == layer + 1
    budget = sum(int(c[-1]) for c in costs) // 3
    chosen = allocate(values, costs, budget)
    spent = sum(int(c[i]) for c, i in zip(costs, chosen, strict=True))
    assert budget - 100 <= spent <= budget


def test_a_budget_below_the_cheapest_choice_is_refused() -> None:
    with pytest.raises(SchemeError, match="a budget of 4 is below 5, the least possible"):
        allocate([np.array([1.0, 2.0])], [np.array([5, 6])], 4)
