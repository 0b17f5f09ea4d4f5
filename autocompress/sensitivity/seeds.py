"""Candidates to try first: along the frontier that sensitivities foretell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autocompress.explore.choosers import Fixed
from autocompress.explore.rules import Layers
from autocompress.explore.seeding import Seed, dense_seed, uniform_seeds, usable
from autocompress.explore.sensible import Sensible, sensible_recipe
from autocompress.explore.space import SearchSpace
from autocompress.plan import Plan
from autocompress.recipe import Candidate
from autocompress.sensitivity.knapsack import Frontier, Items, solve
from autocompress.sensitivity.table import Row, Sensitivity

KNAPSACK = 4
"""One in so many trials may be a solution of the knapsack."""
MOST = 10
"""Solutions of the knapsack at most: from then on, results tell more."""
OTHERS = 12
"""One in so many trials may be uniform, and one in so many with learned ranks."""
FEW = 2
RANKS = "rank-selection"

HOPELESS = 0.5
"""Share of the way from the reference's loss to that of a guess at random."""
HARMLESS = 0.01
"""The same: what costs less is likely to be won back."""
ROOM = 2.0
"""Times the size of the first harmless solution: no more bits than these are tried at first.

Some room is needed, since training does not always win back what direct compression loses.
"""


def sensitivity_seeds(space: SearchSpace, layers: Layers, table: Sensitivity, n: int) -> list[Seed]:
    """Return solutions of the knapsack along the frontier, as candidates with a sensible recipe.

    Args:
        space: The space.
        layers: The model's layers.
        table: The sensitivities of this space for this model.
        n: How many at most.

    Returns:
        Seeds of the origin ``"knapsack"``, the two ends and then the middle first.
    """
    frontier = solve_table(table)
    recipe, given = sensible_recipe(space)
    groups = space.groups(layers)

    def found() -> Iterator[Seed]:
        # where constraints may take some away, there are more to take their place
        for picks in frontier.picks[spread(frontier, 4 * n if space.constraints else n, table)]:
            params = params_of(table, picks.tolist())
            tasks = [task for group in groups for task in group.sample(Fixed(params, Sensible()))]
            yield Seed("knapsack", {**params, **given}, Candidate(Plan(tasks), recipe))

    return usable(found(), space.checker(layers), n)


def make_seeds(space: SearchSpace, layers: Layers, table: Sensitivity, trials: int) -> list[Seed]:
    """Return the candidates to try first where sensitivities are known.

    The uncompressed model, where the space has it; then up to a quarter of the trials (10 at most)
    along the frontier of the knapsack, a few with the same compression of all layers, and a few
    with learned ranks, where the space offers those.

    Args:
        space: The space.
        layers: The model's layers.
        table: The sensitivities of this space for this model.
        trials: How many trials are planned.
    """
    few = min(FEW, trials // OTHERS)
    checker = space.checker(layers)
    return [
        *usable(dense_seed(space, layers), checker, trials // KNAPSACK),
        *sensitivity_seeds(space, layers, table, min(MOST, trials // KNAPSACK)),
        *usable(uniform_seeds(space, layers, but=RANKS), checker, few),
        *usable(uniform_seeds(space, layers, only=RANKS, origin=RANKS), checker, few),
    ]


def solve_table(table: Sensitivity) -> Frontier:
    """Return the frontier of a table; its picks are indices into each group's rows."""
    return solve([_items(table.of(group)) for group in table.groups])


def params_of(table: Sensitivity, picks: Sequence[int]) -> dict[str, Any]:
    """Return the parameters of one row of each group."""
    rows = (table.of(group)[i] for group, i in zip(table.groups, picks, strict=True))
    return {name: value for row in rows for name, value in row.params.items()}


def spread(frontier: Frontier, n: int, table: Sensitivity) -> NDArray[np.intp]:
    """Choose solutions evenly in the logarithm of their bytes, the ends and the middle first.

    Left out are those that are foretold to lose more than half of what there is to lose (down to a
    guess at random), and those more than twice as large as the first that loses no more than a
    hundredth of it. Should all lose too much, the largest remains.

    Args:
        frontier: The frontier.
        n: How many at most.
        table: What it is of.

    Returns:
        Indices of different solutions.
    """
    first, last = 0, len(frontier) - 1
    if table.chance > 0:  # else the reference itself is no better than a guess
        first = _at_most(frontier, HOPELESS * table.chance)
        harmless = _at_most(frontier, HARMLESS * table.chance)
        most = ROOM * (frontier.bits[harmless] + table.rest_bits)
        last = frontier.at(most - table.rest_bits) or first
    size = np.log(np.maximum(frontier.bits[first : last + 1] + table.rest_bits, 1.0))
    n = min(n, len(size))
    free = np.ones(len(size), dtype=bool)
    chosen: list[int] = []
    for position in _coarse_to_fine(n):
        distance = np.abs(size - (size[0] + position * (size[-1] - size[0])))
        best = int(np.where(free, distance, np.inf).argmin())
        free[best] = False
        chosen.append(first + best)
    return np.array(chosen, dtype=np.intp)


def _at_most(frontier: Frontier, loss: float) -> int:
    """Return the smallest solution that loses no more than this; the largest if all do."""
    good = frontier.losses <= loss
    return int(np.argmax(good)) if good.any() else len(frontier) - 1


def _coarse_to_fine(n: int) -> list[float]:
    """Return n even positions from 0 to 1: the ends, the middle, then what halves the gaps."""
    last = max(n - 1, 1)
    depth = last.bit_length() + 1
    halves = [i / 2**level for level in range(1, depth + 1) for i in range(1, 2**level, 2)]
    order = dict.fromkeys(round(position * last) for position in (0.0, 1.0, *halves))
    return [index / last for index in list(order)[:n]]


def _items(rows: Sequence[Row]) -> Items:
    return Items(np.array([row.bits for row in rows]), np.array([row.cost for row in rows]))
