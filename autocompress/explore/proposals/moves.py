"""Candidates slightly smaller than another one, which differ from it in a few numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from autocompress.explore.choosers import position
from autocompress.explore.proposals.path import Judge, Point, moved

_REACH = 0.15
"""Standard deviation of a move, as a share of the range."""
_SMALLEST, _LARGEST = 0.75, 0.995
"""Sizes that count as slightly smaller."""


def smaller_neighbours(
    point: Point,
    domains: Mapping[str, BaseDistribution],
    judge: Judge,
    rng: np.random.Generator,
    *,
    tries: int,
) -> list[Point]:
    """Return candidates that are 0.5 to 25 % smaller than one.

    One, two or three of its numbers are moved at random, or taken from a choice of numbers next to
    them: some layers become smaller, others perhaps larger. Choices of schemes and the recipe stay.

    Args:
        point: The candidate; its size is what counts, its loss is not read.
        domains: What each parameter may be.
        judge: Works out size and loss.
        rng: Where the randomness comes from.
        tries: How many are drawn; those of other sizes are left out.
    """
    names = [
        name
        for name in point.params
        if not name.startswith("recipe.") and _movable(domains.get(name))
    ]
    if not names:
        return []
    found: dict[str, Point] = {}
    for _ in range(tries):
        count = min(len(names), int(rng.integers(1, 4)))
        params = dict(point.params)
        for name in rng.choice(np.array(names, dtype=object), count, replace=False):
            params[name] = _move(params[name], domains[name], rng)
        other = judge(params)
        if other is not None and _SMALLEST <= other.size / point.size <= _LARGEST:
            found.setdefault(other.key, other)
    return list(found.values())


def _movable(domain: BaseDistribution | None) -> bool:
    if isinstance(domain, CategoricalDistribution):
        numbers = all(isinstance(x, int | float) for x in domain.choices)
        return numbers and len(domain.choices) > 1
    return isinstance(domain, FloatDistribution | IntDistribution) and not domain.single()


def _move(value: float, domain: BaseDistribution, rng: np.random.Generator) -> float:
    if isinstance(domain, CategoricalDistribution):
        choices = domain.choices
        row = choices.index(value) + int(rng.choice([-1, 1]))
        return choices[min(max(row, 0), len(choices) - 1)]  # type: ignore[return-value]
    assert isinstance(domain, FloatDistribution | IntDistribution)
    step = _REACH * float(rng.standard_normal())
    result = moved(position(value, domain) + step, domain)
    if isinstance(domain, IntDistribution) and result == value:  # too short a step for an integer
        result = value + (domain.step if step > 0 else -domain.step)
        result = int(min(max(result, domain.low), domain.high))
    return result
