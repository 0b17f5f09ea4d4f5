"""Which groups survive: a budget of groups dealt out over layers.

Every function takes the scores of the groups of each *row*: a layer, or several layers whose
channels are tied and survive together. At least one group of each row survives.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autocompress.compression.pruning.prune import largest

Counts = list[int]
Row = NDArray[np.float64]
Index = NDArray[np.int64]


def positions(scores: Tensor, sizes: Sequence[int], density: float, *, joint: bool) -> Tensor:
    """Choose groups as :func:`select` does, of rows whose scores are one vector.

    Returns:
        Sorted positions (int64) in that vector, on its device.
    """
    count = contested(tuple(sizes), density) if joint else None
    if count is not None:
        best = threshold(scores.detach().cpu().numpy(), sizes, count)
        return torch.from_numpy(best).to(scores.device)
    kept = select(scores.split(list(sizes)), density, joint=joint, align=1)
    firsts = itertools.accumulate(sizes, initial=0)
    return torch.cat([row + first for row, first in zip(kept, firsts, strict=False)])


def fixed_counts(sizes: Sequence[int], density: float, *, joint: bool, align: int) -> Counts | None:
    """Return how many groups of each row survive, where that does not depend on their scores.

    Under ``scope="layer"`` these are ``round(density · size)``, at least 1; with ``align`` the
    largest multiple of it not above that, at least one multiple; never more than all.
    """
    if density_keeps_all(sizes, density, joint=joint):
        return list(sizes)
    if joint and len(sizes) > 1:
        floors = [min(align, size) for size in sizes]
        return floors if allowed(sizes, density, align) == sum(floors) else None
    return [_aligned(max(1, round(density * size)), size, align) for size in sizes]


def density_keeps_all(sizes: Sequence[int], density: float, *, joint: bool) -> bool:
    """Whether so many groups may survive that all do."""
    if joint:
        return round(density * sum(sizes)) >= sum(sizes)
    return all(round(density * size) >= size for size in sizes)


def least_counts(
    sizes: Sequence[int], costs: Sequence[int], density: float, *, joint: bool, align: int
) -> Counts:
    """Return survivors of each row, a possible choice that keeps the fewest weights.

    Args:
        sizes: Groups of each row.
        costs: Weights in a group of each row.
        density: Fraction of groups that survive.
        joint: Whether rows compete.
        align: Counts are multiples of it, or all. Above 1, rows that compete are given the least
            there can be, which may be less than any scores lead to.
    """
    fixed = fixed_counts(sizes, density, joint=joint, align=align)
    if fixed is not None:
        return fixed
    counts = [min(align, size) for size in sizes]
    spare = 0 if align > 1 else allowed(sizes, density, align) - sum(counts)
    for row in sorted(range(len(sizes)), key=lambda row: costs[row]):
        more = min(spare, sizes[row] - counts[row])
        counts[row] += more
        spare -= more
    return counts


def count_bounds(
    sizes: Sequence[int], density: float, *, joint: bool, align: int
) -> list[tuple[float, int, int]]:
    """Return how many groups of each row survive: an expected number, the least and the most.

    Expected is the same share of all rows, where the scores decide.
    """
    fixed = fixed_counts(sizes, density, joint=joint, align=align)
    if fixed is not None:
        return [(count, count, count) for count in fixed]
    least = [min(align, size) for size in sizes]
    budget = allowed(sizes, density, align)
    spare = budget - sum(least)
    share = spare / max(1, sum(sizes) - sum(least))
    return [
        (low + share * (size - low), low, min(size, low + spare))
        for low, size in zip(least, sizes, strict=True)
    ]


def select(
    scores: Sequence[Tensor], density: float, *, joint: bool, align: int
) -> tuple[Tensor, ...]:
    """Choose the groups of largest total score.

    Jointly, at most ``round(density · groups)`` of all rows' groups survive, exactly the best ones
    that leave at least one in each row (which may take more). With ``align`` a row keeps a
    multiple of it or all; how many each keeps is the exact optimum of the total score under the
    same limit. Ties go to earlier rows and groups.

    Args:
        scores: For each row a float64 vector, one score a group, none below 0.
        density: Fraction of groups that survive, in (0, 1].
        joint: One budget for all rows, or one for each.
        align: What the number of survivors of a row is a multiple of.

    Returns:
        For each row the sorted positions of its survivors, int64, on the scores' device.
    """
    sizes = [row.numel() for row in scores]
    counts = fixed_counts(sizes, density, joint=joint, align=align)
    rows = [row.detach().cpu().numpy() for row in scores]  # few numbers, wherever the weights are
    if counts is None and align == 1:
        best = threshold(np.concatenate(rows), sizes, allowed(sizes, density, 1))
        kept = by_row(best, sizes)
    else:
        counts = counts or _deal(rows, allowed(sizes, density, align), align)
        kept = [_largest(row, count) for row, count in zip(rows, counts, strict=True)]
    return tuple(
        torch.from_numpy(index).to(row.device) for index, row in zip(kept, scores, strict=True)
    )


@functools.lru_cache(maxsize=64)
def contested(sizes: tuple[int, ...], density: float) -> int | None:
    """Return how many groups survive jointly, None where that says how many of each row."""
    count = allowed(sizes, density, 1)
    if len(sizes) == 1:
        return count if count < sizes[0] else None
    fixed = fixed_counts(sizes, density, joint=True, align=1)
    return count if fixed is None else None


def allowed(sizes: Sequence[int], density: float, align: int) -> int:
    """Return how many groups of all rows may survive: at least ``align``, or all, of each row."""
    least = sum(min(align, size) for size in sizes)
    return max(least, round(density * sum(sizes)))


def _aligned(count: int, size: int, align: int) -> int:
    return size if count >= size else min(size, max(align, count - count % align))


def _largest(row: Row, count: int) -> Index:
    return largest(torch.from_numpy(row), count).numpy()


def threshold(scores: Row, sizes: Sequence[int], budget: int) -> Index:
    """Keep the best group of each row, then the largest of the rest under one threshold.

    Returns sorted positions in all rows together.

    Args:
        scores: Those of all rows, one after the other.
        sizes: Groups of each row.
        budget: How many survive, at least one a row.
    """
    flat = scores.copy()
    ends = np.cumsum(sizes, dtype=np.int64)
    starts = ends - np.array(sizes)
    tops = np.repeat(np.maximum.reduceat(flat, starts), sizes)
    best = np.flatnonzero(flat == tops)  # with ties: the first of each row is taken
    flat[best[np.searchsorted(best, starts)]] = np.inf
    return _largest(flat, budget)


def by_row(kept: Index, sizes: Sequence[int]) -> list[Index]:
    """Return the groups kept in each row, given their sorted positions in all rows together."""
    ends = list(itertools.accumulate(sizes))
    starts = [0, *ends[:-1]]
    cuts = kept.searchsorted(ends).tolist()
    firsts = [0, *cuts[:-1]]
    return [kept[a:b] - start for a, b, start in zip(firsts, cuts, starts, strict=True)]


def _deal(rows: Sequence[Row], budget: int, align: int) -> Counts:
    """Return the best aligned counts of each row with at most ``budget`` in all."""
    ordered = [np.sort(row)[::-1] for row in rows]
    sizes = [row.size for row in ordered]
    if all(size % align == 0 for size in sizes):
        # equal steps of falling gain: the best steps are the first ones of each row
        steps = [row.reshape(-1, align).sum(1) for row in ordered]
        counts = [step.size for step in steps]
        best = threshold(np.concatenate(steps), counts, budget // align)
        return [align * part.size for part in by_row(best, counts)]
    return _knapsack(ordered, budget, align)


def _knapsack(ordered: Sequence[Row], budget: int, align: int) -> Counts:
    """Solve the multiple-choice knapsack by dynamic programming over the budget.

    Rows whose last step is shorter than the others have no falling gain per group, so taking the
    best step first may miss the optimum.
    """
    options = [sorted({*range(min(align, row.size), row.size, align), row.size}) for row in ordered]
    spare = budget - sum(counts[0] for counts in options)
    value = np.zeros(spare + 1)  # the best total with at most that many groups beyond the least
    taken: list[NDArray[np.int32]] = []
    for row, counts in zip(ordered, options, strict=True):
        totals = np.cumsum(row)
        best = value + totals[counts[0] - 1]
        choice = np.zeros(spare + 1, dtype=np.int32)
        for number, count in enumerate(counts[1:], start=1):
            more = count - counts[0]
            if more > spare:
                break
            candidate = value[: spare + 1 - more] + totals[count - 1]
            better = candidate > best[more:]
            best[more:][better] = candidate[better]
            choice[more:][better] = number
        value = best
        taken.append(choice)
    result: Counts = []
    for counts, choice in zip(reversed(options), reversed(taken), strict=True):
        count = counts[choice[spare]]
        result.append(count)
        spare -= count - counts[0]
    return result[::-1]
