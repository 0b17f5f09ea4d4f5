"""Long clusters that no optimal solution has, and dynamic programming over the others alone.

The least cost F(k) is convex in k, since the cost of a cluster is Monge (Aggarwal, Schieber &
Tokuyama 1994, Discrete Comput. Geom. 12, "Finding a minimum-weight k-link path in graphs with the
concave Monge property"). So splitting a cluster of an optimal solution gains at most
F(k) - F(k+1) <= (F(k-t) - F(k)) / t, for any t; merging t pairs of neighbours of the best known
solution bounds F(k-t). What a split gains grows with the cluster (Monge again), which leaves every
end a range of starts, about two clusters long, whatever is known about the position of either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from autocompress.compression.codebooks.kmeans_moments import NOISE, Cells, moments
from autocompress.compression.codebooks.scalars import Floats, Ints

Parts: TypeAlias = tuple[Floats, Floats, Floats]

_ROWS = 256  # ends whose costs are computed together
_ENDS = 1 << 13  # and whose starts are searched together: stays in cache


def most_gain(weight: Floats, mean: Floats, held: int, excess: float) -> float:
    """Return what splitting a cluster of an optimal solution can gain at most.

    Args:
        weight: Weights of the clusters of a solution, k >= 2 of them.
        mean: Their means.
        held: The cluster whose centre is fixed at 0, or -1.
        excess: Bound on the solution's cost less the least one.
    """
    left, right = weight[:-1], weight[1:]
    loss = left * right / (left + right) * np.square(mean[1:] - mean[:-1])
    if held >= 0:
        for other, j in ((held + 1, held), (held - 1, held - 1)):
            if 0 <= other < len(weight):
                loss[j] = weight[other] * mean[other] ** 2
    found = np.inf
    for first in (0, 1):
        pairs = np.sort(loss[first::2])
        if len(pairs):
            average = (excess + np.cumsum(pairs)) / np.arange(1, len(pairs) + 1)
            found = min(found, float(average.min()))
    return found * (1.0 + 1e-6)


def first_starts(cells: Cells, gain: float, pin: int, *, weighted: bool) -> Ints:
    """Return, for every border, the first border where a cluster that ends there may start.

    A cluster of the dynamic program is an optimal one but for a part of its outermost cells, so
    without those it must not be split with more than `gain`. Starts are searched by bisection,
    with splits in the middle: these may miss gain, which costs time only.

    Args:
        cells: The cells.
        gain: Most that a split of a cluster of an optimal solution gains.
        pin: The cell, at mean 0, whose cluster's centre is fixed at 0; or -1.
        weighted: Whether the cells' weights are other than whole numbers.
    """
    size = len(cells.mean)
    about = 0.0 if pin >= 0 else float(cells.mean[size // 2])
    weight, total = np.zeros(size + 1), np.zeros(size + 1)
    np.cumsum(cells.weight, out=weight[1:])
    np.cumsum(cells.weight * (cells.mean - about), out=total[1:])
    lost = NOISE * weight[-1] if weighted else 0.0
    moved = NOISE * float(np.sum(cells.weight * np.abs(cells.mean - about)))

    def part(start: Ints, end: Ints) -> Parts:
        """Weight, mean and a bound of the mean's error."""
        own = np.maximum(weight[end] - weight[start] - lost, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = (total[end] - total[start]) / own
            error = (moved + 4.0 * lost * np.abs(mean)) / own
        return own, mean, np.where(own > 4.0 * lost, error, np.inf)

    found = [
        _searched(part, np.arange(a, min(a + _ENDS, size + 1)), gain, pin)
        for a in range(0, size + 1, _ENDS)
    ]
    starts: Ints = np.maximum.accumulate(np.concatenate(found))
    return starts


def _searched(part: Callable[[Ints, Ints], Parts], border: Ints, gain: float, pin: int) -> Ints:
    """Return the first starts for some borders, those next to each other not yet in order."""
    end = np.maximum(border - 1, 0)
    low, high = np.full(len(end), -1), end.copy()
    while True:
        open_ = np.flatnonzero(high - low > 1)
        if len(open_) == 0:
            break
        start, stop = (low + high)[open_] // 2, end[open_]
        middle = (start + stop) // 2
        (w, m, e), (v, n, d) = part(start, middle), part(middle, stop)
        apart = np.maximum(np.abs(n - m) - e - d, 0.0)
        with np.errstate(invalid="ignore"):
            split = w * v / (w + v) * apart * apart
        if pin >= 0:
            first, second = (start <= pin) & (pin < middle), (middle <= pin) & (pin < stop)
            split[first] = (v * np.maximum(np.abs(n) - d, 0.0) ** 2)[first]
            split[second] = (w * np.maximum(np.abs(m) - e, 0.0) ** 2)[second]
        good = split > gain  # never with NaN
        low[open_[good]], high[open_[~good]] = start[good], start[~good]
    found: Ints = np.maximum(low, 0)
    return found


class Band:
    """Least costs over a layer, from the costs of all clusters that are not too long.

    These do not depend on the layer; those of 256 ends are kept as long as windows reach them.

    Attributes:
        noise: Bound on the rounding error of any cost in the last layer.
    """

    def __init__(self, cells: Cells, first: Ints, pin: int) -> None:
        """Take the cells, the first start of every end, and the pinned cell or -1."""
        self.cells, self.first, self.pin = cells, first, pin
        self.noise = 0.0
        self._kept: dict[int, tuple[Floats, float]] = {}

    def mirrored(self) -> Band:
        """Return the same seen from the far end: border b is M - b there, starts are ends."""
        size = len(self.cells.mean)
        weight, mean, scatter, taken = (v[::-1] for v in self.cells)
        last = np.searchsorted(self.first, np.arange(size, -1, -1), "right") - 1
        pin = size - 1 - self.pin if self.pin >= 0 else -1
        return Band(Cells(weight, -mean, scatter, taken), size - last, pin)

    def ending(self, starts: tuple[int, int], ends: tuple[int, int], ahead: Floats) -> Floats:
        """Return the least cost up to every end, of `ahead` up to every start; inf for none.

        Args:
            starts: First and last border of the window of starts.
            ends: Of ends.
            ahead: Cost up to each start.
        """
        chunks = range(ends[0] // _ROWS, ends[1] // _ROWS + 1)
        for t in [t for t in self._kept if t not in chunks]:
            del self._kept[t]
        self.noise = 0.0
        least = np.full(ends[1] - ends[0] + 1, np.inf)
        for t in chunks:
            if t not in self._kept:
                self._kept[t] = self._costs(t * _ROWS)
            cost, noise = self._kept[t]
            self.noise = max(self.noise, noise)
            a, b = max(ends[0], t * _ROWS), min(ends[1] + 1, t * _ROWS + cost.shape[1])
            column = a - len(cost) + 1
            low = max(0, starts[0] - column - (b - a) + 1)
            high = min(len(cost), starts[1] - column + 1)
            if low < high:
                near = np.full(high - low + b - a - 1, np.inf)
                c, d = max(column + low, starts[0]), min(column + high + b - a - 2, starts[1])
                near[c - column - low : d + 1 - column - low] = ahead[
                    c - starts[0] : d + 1 - starts[0]
                ]
                total = cost[low:high, a - t * _ROWS : b - t * _ROWS] + _shifted(near, b - a)
                total.min(0, out=least[a - ends[0] : b - ends[0]])
        return least

    def _costs(self, row: int) -> tuple[Floats, float]:
        """Return the costs of the clusters that end at 256 borders from `row` on, and noise.

        Costs of column i are those of end row + i, the last of them empty, the one before one cell
        long, and so on; inf before the first border.
        """
        last = min(row + _ROWS, len(self.first)) - 1
        ends = np.arange(row, last + 1)
        long = int((ends - self.first[row : last + 1]).max())
        column = max(row - long, 0)
        about = 0.0 if column <= self.pin < last else float(self.cells.mean[min(row, last - 1)])
        lo, skip, hi = (np.array([v]) for v in (column, row - column, last))
        end, start, noise = moments(self.cells, lo, skip, hi, np.array([about]), self.pin)
        missing = np.zeros(max(long - row, 0), np.int64)
        index = np.concatenate([missing, np.arange(start.shape[2])])
        weight, moment, cost, *pinned = (
            e - _shifted(s[index], len(ends)) for e, s in zip(end[:, 0], start[:, 0], strict=True)
        )
        if pinned:
            moment[pinned[0] > 0.5] = 0.0  # about 0 already
        moment *= moment
        with np.errstate(divide="ignore", invalid="ignore"):
            moment /= weight
        cost -= moment
        if len(missing):
            cost[_shifted(np.arange(float(len(index))), len(ends)) < len(missing)] = np.inf
        cost[-1] = 0.0
        return cost, float(noise[0])


def _shifted(values: Floats, size: int) -> Floats:
    """Return a view whose rows are `size` values each, from the first on, the second on ..."""
    return np.lib.stride_tricks.sliding_window_view(values, size)
