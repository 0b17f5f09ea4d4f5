"""Lower bounds of k-means by dynamic programming where clusters have a price, not a number.

The inner part of :mod:`.optimal_kmeans`, which explains the method.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from autocompress.compression.codebooks.scalars import Floats, Ints

Starts: TypeAlias = npt.NDArray[np.int32]

_ENTRIES = 1 << 13  # costs computed at a time, at most: stay in cache
_ROWS = 64  # ends whose costs are, at most
_LATE = np.triu(np.ones((_ROWS, _ROWS), np.bool_))


class Cells(NamedTuple):
    """Cells of consecutive scalars, arrays of shape (M,), and their borders.

    Attributes:
        weight: Number of scalars, or their weights' sum.
        mean: Their mean; ascending, or descending where seen from the far end.
        scatter: Sum of squares about the mean.
        taken: Weight that a cluster need not pay for when this is its first or last cell.
        pay: What a breakpoint at each border may save, shape (M + 1,).
        pin: The cell, at mean 0, whose cluster's centre is fixed at 0; or -1.
    """

    weight: Floats
    mean: Floats
    scatter: Floats
    taken: Floats
    pay: Floats
    pin: int

    def mirrored(self) -> Cells:
        """Return the same seen from the far end: border b is M - b there."""
        pin = len(self.mean) - 1 - self.pin if self.pin >= 0 else -1
        weight, mean, scatter, taken, pay = (v[::-1] for v in self[:5])
        return Cells(weight, mean, scatter, taken, pay, pin)


def cheapest(cells: Cells, price: float, cuts: Ints) -> tuple[Floats, Starts]:
    """Return the least cost of clusters up to every border, and where the last of these starts.

    Costs are Monge, so the best start never moves left from one end to the next. Ends are taken
    some at a time. Of starts before these all is known; those among them are tried again and again
    until no end gains. Sums are taken about the place where the two meet, which is in each cluster
    of the former kind: nothing cancels.

    Args:
        cells: The cells.
        price: What a cluster costs besides.
        cuts: Borders, ascending, from 0 to the last: the breakpoints of a good solution. Ends taken
            together do not reach across, so that rounding stays relative to nearby scalars.
    """
    size = len(cells.mean)
    least, start = np.zeros(size + 1), np.zeros(size + 1, np.int32)
    low = first = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        for cut in cuts[1:].tolist():
            while first < cut:
                last = min(first + _ROWS, cut)
                last = _extend(cells, price, (low, first, last), least, start)
                low, first = int(start[last]), last
    return least, start


def _extend(
    cells: Cells, price: float, where: tuple[int, int, int], least: Floats, start: Starts
) -> int:
    """Find the least costs up to the next borders, and return the last of these.

    Args:
        cells: The cells.
        price: What a cluster costs besides.
        where: Where the last cluster up to the first of these starts at least; the border before
            them; and the last one that may be among them.
        least: Least costs, known up to the border before.
        start: Where the last clusters start.
    """
    low, first, last = where
    end, begin = _moments(cells, where)
    base = least[low : first + 1] - begin[2, : first + 1 - low]
    rows, columns = last - first, first + 1 - low
    while True:  # starts after the best one of the last end are not best for any other
        last = first + rows
        cost = base[:columns] - _saved(
            end[:, rows - 1 : rows], begin[:, :columns], (last, low), cells.pin
        )
        columns = int(cost.argmin()) + 1
        if rows * columns <= _ENTRIES or rows == 1:
            break
        rows //= 2
    end = end[:, :rows]
    own = end[2] + (price - cells.pay[first + 1 : last + 1])
    cost = base[:columns] - _saved(end, begin[:, :columns], (first + 1, low), cells.pin)
    best = cost.argmin(1)
    value = cost[np.arange(rows), best] + own
    if rows > 1:
        inner = begin[:, first + 1 - low : last - low]
        cost = -inner[2] - _saved(end, inner, (first + 1, first + 1), cells.pin)
        np.copyto(cost, np.inf, where=_LATE[:rows, : rows - 1])
        _settle(cost + own[:, None], value, best, first + 1 - low)
    least[first + 1 : last + 1] = value
    start[first + 1 : last + 1] = best + low
    return last


def _settle(cost: Floats, value: Floats, best: Ints, first: int) -> None:
    """Lower the ends' least costs by clusters that start among them, until none gains.

    Args:
        cost: Costs of clusters from all ends but the last (columns) to all.
        value: The ends' least costs.
        best: The starts that these are for, by number.
        first: The number of the first end.
    """
    row = np.arange(len(value))
    while True:
        total = cost + value[:-1]
        pick = total.argmin(1)
        found = total[row, pick]
        better = found < value
        if not better.any():
            break
        np.copyto(value, found, where=better)
        np.copyto(best, pick + first, where=better)


def _saved(end: Floats, begin: Floats, numbers: tuple[int, int], pin: int) -> Floats:
    """Return (Σx)²/weight of the clusters from every start (columns) to every end.

    Args:
        end: Moments up to the ends.
        begin: Moments up to the starts.
        numbers: The borders that the first end and the first start are.
        pin: The pinned cell, whose cluster's moments are about 0 already, or -1.
    """
    saved: Floats = end[1][:, None] - begin[1]
    after, before = (max(pin + 1 - number, 0) for number in numbers)
    saved[after:, :before] = 0.0
    saved *= saved
    saved /= end[0][:, None] - begin[0]
    return saved


def _moments(cells: Cells, where: tuple[int, int, int]) -> tuple[Floats, Floats]:
    """Return (weight, Σx, Σx²) up to the ends and up to the starts; differences are clusters'.

    What need not be paid for is taken off.
    """
    low, first, last = where
    before = first - low
    about = 0.0 if low <= cells.pin < last else float(cells.mean[first])
    away = cells.mean[low:last] - about
    own, off = np.empty((2, 3, last - low))
    own[0], off[0] = cells.weight[low:last], cells.taken[low:last]
    np.multiply(own[0], away, out=own[1])
    np.multiply(own[1], away, out=own[2])
    own[2] += cells.scatter[low:last]
    np.multiply(off[0], away, out=off[1])
    np.multiply(off[1], away, out=off[2])
    running = np.zeros((3, last - low + 1))
    np.cumsum(own[:, before:], 1, out=running[:, before + 1 :])
    left = np.cumsum(own[:, :before][:, ::-1], 1)
    np.negative(left[:, ::-1], out=running[:, :before])
    return running[:, before + 1 :] - off[:, before:], running[:, :-1] + off
