"""One choice for each layer, of most value, within a budget: solved exactly.

A multiple-choice knapsack. Choices that cannot be part of any optimum are left out first, by a
Lagrange bound; what remains, mostly a few choices for a few layers, goes to HiGHS by way of
``scipy.optimize.milp``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from autocompress.errors import SchemeError

Values = NDArray[np.float64]
Costs = NDArray[np.int64]

_ROUNDING = 1e-12
"""Sums of values are told apart down to this, relative to their size."""


def allocate(values: Sequence[Values], costs: Sequence[Costs], budget: int) -> list[int]:
    """Choose one option for each layer such that the sum of values is largest.

    Args:
        values: For each layer the value of each of its options, float64 and finite.
        costs: Their costs, int64 and >= 0.
        budget: Largest sum of costs.

    Returns:
        The option chosen for each layer; up to rounding (1e-12 of the values) no choice within the
        budget is better.

    Raises:
        SchemeError: not even the cheapest options are within the budget.
    """
    least = sum(int(cost.min()) for cost in costs)
    if least > budget:
        raise SchemeError(f"a budget of {budget} is below {least}, the least possible")
    price, found = _price(values, costs, budget)
    # no choice is worth more than this: at that price, whatever is left of the budget is paid for
    reduced = [v - price * c for v, c in zip(values, costs, strict=True)]
    bound = sum(float(r.max()) for r in reduced) + price * budget
    found = _improved(values, costs, budget, found)
    value = sum(float(v[i]) for v, i in zip(values, found, strict=True))
    slack = _ROUNDING * sum(float(np.abs(v).max()) for v in values)
    gap = bound - value + slack
    kept = [np.flatnonzero(r.max() - r <= gap) for r in reduced]
    if gap <= 2 * slack or all(len(k) == 1 for k in kept):
        return found
    few = [v[k] for v, k in zip(values, kept, strict=True)]
    cheap = [c[k] for c, k in zip(costs, kept, strict=True)]
    chosen = _solve(few, cheap, budget, gap)
    return [int(k[i]) for k, i in zip(kept, chosen, strict=True)]


def _price(
    values: Sequence[Values], costs: Sequence[Costs], budget: int
) -> tuple[float, list[int]]:
    """Return the price of a unit of budget at which demand just fits, and that demand."""

    def demand(price: float) -> list[int]:
        # the cheapest of the best
        best = []
        for v, c in zip(values, costs, strict=True):
            worth = v - price * c
            ties = np.flatnonzero(worth >= worth.max())
            best.append(int(ties[c[ties].argmin()]))
        return best

    def fits(chosen: list[int]) -> bool:
        return sum(int(c[i]) for c, i in zip(costs, chosen, strict=True)) <= budget

    if fits(chosen := demand(0.0)):
        return 0.0, chosen
    high = sum(float(np.ptp(v)) for v in values) + 1e-300
    while not fits(chosen := demand(high)):
        high *= 16
    low = 0.0
    for _ in range(200):
        middle = (low + high) / 2 if high < 4 * low else max(high / 16, (low * high) ** 0.5)
        if not low < middle < high:
            break
        if fits(trial := demand(middle)):
            high, chosen = middle, trial
        else:
            low = middle
    return high, chosen


def _improved(
    values: Sequence[Values], costs: Sequence[Costs], budget: int, chosen: list[int]
) -> list[int]:
    """Spend what is left of the budget on the best single changes: a good start, no more."""
    chosen = list(chosen)
    left = budget - sum(int(c[i]) for c, i in zip(costs, chosen, strict=True))
    while True:
        best, change = 0.0, (0, 0)
        for layer, (v, c) in enumerate(zip(values, costs, strict=True)):
            gain = np.where(c - c[chosen[layer]] <= left, v - v[chosen[layer]], -np.inf)
            option = int(gain.argmax())
            if gain[option] > best:
                best, change = float(gain[option]), (layer, option)
        if best <= 0:
            return chosen
        layer, option = change
        left -= int(costs[layer][option] - costs[layer][chosen[layer]])
        chosen[layer] = option


def _solve(
    values: Sequence[Values], costs: Sequence[Costs], budget: int, scale: float
) -> list[int]:
    """Solve by mixed-integer programming; values are divided by ``scale`` beforehand."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    sizes = [len(v) for v in values]
    owner = np.repeat(np.arange(len(values)), sizes)
    # relative to each layer's best, so that no digits go to what is the same in all choices
    worth = np.concatenate([(v - v.max()) / scale for v in values])
    extra = np.concatenate([c - c.min() for c in costs])
    left = budget - sum(int(c.min()) for c in costs)
    one = csr_array((np.ones(len(owner)), (owner, np.arange(len(owner)))))
    constraints = [
        LinearConstraint(one, 1, 1),
        LinearConstraint(csr_array(extra[None] / max(left, 1)), -np.inf, left / max(left, 1)),
    ]
    while True:
        answer = milp(
            -worth,
            integrality=np.ones(len(worth)),
            bounds=Bounds(0, 1),
            constraints=constraints,
            options={"mip_rel_gap": 0.0},
        )
        if answer.x is None:
            raise SchemeError(f"no allocation was found: {answer.message}")
        picked = answer.x > 0.5
        if int(extra[picked].sum()) <= left:
            offsets = np.cumsum([0, *sizes[:-1]])
            return [
                int(i - offset) for i, offset in zip(np.flatnonzero(picked), offsets, strict=True)
            ]
        # over the budget by less than the solver's tolerance: anything but that
        constraints.append(
            LinearConstraint(csr_array(picked[None].astype(float)), -np.inf, len(values) - 1)
        )
