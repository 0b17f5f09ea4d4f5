"""Lower bounds of k-means by dynamic programming over windows of cell borders.

The inner part of :mod:`.optimal_kmeans`, which explains the method.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from autocompress.compression.codebooks.kmeans_band import Band
from autocompress.compression.codebooks.kmeans_moments import Cells, costs, ending_at, moments
from autocompress.compression.codebooks.scalars import Floats, Ints, Mask

_STRIDE = 8  # ends skipped between two rounds of the monotone search
_TOP = 32  # ends searched in full in its first round
_TABLE = 1 << 17  # entries up to which a layer's bounds are tabulated
_TABLES = 1 << 18  # and those of all layers together
_MOMENTS = 1 << 15  # borders whose layers' moments are computed at once
_LONG = 450  # starts up to which all of an end's are tried


class Layers:
    """Bounds of the cost of cluster j, 1..k, from all starts in window j-1 to all ends in window j.

    Windows are ranges of cell borders, lo[j]..hi[j] for breakpoint j of 0..k. Sums are taken layer
    by layer, about the layer's own centre, so that rounding stays relative to nearby scalars.

    Attributes:
        noise: Bound on the rounding error of a sum over all layers; set by :meth:`forward`.
    """

    def __init__(
        self,
        cells: Cells,
        lo: Ints,
        hi: Ints,
        centre: Floats,
        pin: int = -1,
        first: Ints | None = None,
    ) -> None:
        """Prepare the layers.

        Args:
            cells: The cells.
            lo: First border of every window, 0..k.
            hi: Last border of every window.
            centre: A solution's centres, shape (k,).
            pin: The cell, at mean 0, whose cluster's centre is fixed at 0; or -1.
            first: First start of clusters that end at each border; None for no such limit.
        """
        self.cells, self.lo, self.hi, self.centre, self.pin = cells, lo, hi, centre, pin
        if pin >= 0:  # moments of clusters that may hold the pinned cell are about 0
            self.centre = np.where((lo[:-1] <= pin) & (hi[1:] > pin), 0.0, centre)
        self.k = len(lo) - 1
        self.noise = 0.0
        nothing = np.empty(0)
        self._batch: tuple[int, int, Floats, Floats, Floats] = (1, 0, nothing, nothing, nothing)
        self._tables: list[Floats] = []
        entries = (hi - lo + 1)[1:] * (hi - lo + 1)[:-1]
        repeated = [self._repeats(j) for j in range(1, self.k + 1)]
        fresh = int(entries[~np.array(repeated)].sum())
        self._band = None
        if fresh <= _TABLES and int(entries.max()) <= _TABLE:
            self._scratch = np.empty(int(entries.max()))
            for j in range(1, self.k + 1):
                self._tables.append(self._tables[-1] if repeated[j - 1] else self._table(j))
        elif first is not None and self._faster(first):
            self._band = Band(cells, first, pin)

    def _faster(self, first: Ints) -> bool:
        """Say whether trying all clusters within reach takes less time than the monotone search.

        By measured nanoseconds: to try a cluster, to compute its cost, and for an end's search.
        """
        many, ends = float(np.mean(np.arange(len(first)) - first)), int((self.hi - self.lo).sum())
        return many * (1.5 * ends + 8 * len(first)) < 900 * ends

    def forward(self, pay: Floats) -> tuple[list[Floats], Ints]:
        """Return the least cost up to every border of every window, and the best path's borders.

        Args:
            pay: What a breakpoint at each border may save, shape (M + 1,).
        """
        ahead = [np.zeros(1)]
        self.noise = 0.0
        for j in range(1, self.k + 1):
            ahead.append(self._ending(j, ahead[-1]) - pay[self.lo[j] : self.hi[j] + 1])
        path = self.hi.copy()
        for j in range(self.k, 0, -1):
            first, last = int(self.lo[j - 1]), int(self.hi[j - 1])
            cost = ending_at(self.cells, first, last, int(path[j]), self.pin)
            cost += ahead[j - 1][: len(cost)]
            path[j - 1] = first + cost.argmin()
        return ahead, path

    def backward(self, pay: Floats) -> Iterator[tuple[int, Floats]]:
        """Yield (j, least cost from every border of window j to the end) for j = k-1..1."""
        behind = np.zeros(1)
        if self._band is not None:
            self._band = self._band.mirrored()
        for j in range(self.k - 1, 0, -1):
            cost = self._starting(j + 1, behind)
            yield j, cost
            behind = cost - pay[self.lo[j] : self.hi[j] + 1]

    def _ending(self, j: int, ahead: Floats) -> Floats:
        if self._band is not None:
            least = self._band.ending(self._window(j - 1), self._window(j), ahead)
            self.noise += self._band.noise
            return least
        end, start, noise = self._layer(j)
        self.noise += noise
        if self._tables:
            total = self._add(j, ahead)
            best: Floats = total[np.arange(len(total)), total.argmin(1)]
            return best
        cost = _monotone_minima(end, start, ahead, self._after(j))
        n = self._shared(j)
        cost[:n] = np.minimum(cost[:n], ahead[len(ahead) - n :])
        return cost

    def _starting(self, j: int, behind: Floats) -> Floats:
        if self._band is not None:
            size = len(self.cells.mean)
            starts, ends = ((size - b, size - a) for a, b in (self._window(j), self._window(j - 1)))
            return self._band.ending(starts, ends, behind[::-1])[::-1]
        if self._tables:
            least: Floats = self._add(j, behind[:, None]).min(0)
            return least
        end, start, _ = self._layer(j)
        # seen from the far end: starts become ends
        after = self._after(j) + end.shape[1] - start.shape[1]
        cost = _monotone_minima(-start[:, ::-1], -end[:, ::-1], behind[::-1], after)[::-1]
        n = self._shared(j)
        cost[len(cost) - n :] = np.minimum(cost[len(cost) - n :], behind[:n])
        return cost

    def _window(self, j: int) -> tuple[int, int]:
        return int(self.lo[j]), int(self.hi[j])

    def _add(self, j: int, other: Floats) -> Floats:
        table = self._tables[j - 1]
        return np.add(table, other, out=self._scratch[: table.size].reshape(table.shape))

    def _after(self, j: int) -> int:
        """Return by how many places the ends of layer j are numbered after its starts."""
        return int(self.lo[j] - self.lo[j - 1])

    def _shared(self, j: int) -> int:
        """Return how many borders end window j-1 and begin window j: there, clusters are empty."""
        return max(int(self.hi[j - 1] - self.lo[j]) + 1, 0)

    def _repeats(self, j: int) -> bool:
        """Say whether layer j has the windows of the one before: at first, all are whole."""
        lo, hi = self.lo[j - 2 : j + 1], self.hi[j - 2 : j + 1]
        return j >= 2 and bool(np.all(lo == lo[0]) and np.all(hi == hi[0]))

    def _table(self, j: int) -> Floats:
        end, start, _ = self._layer(j)
        cost = costs(end, start, self._after(j))
        n = self._shared(j)
        np.fill_diagonal(cost[:n, cost.shape[1] - n :], 0.0)
        return cost

    def _layer(self, j: int) -> tuple[Floats, Floats, float]:
        """Return layer j's moments up to its ends and its starts, (3, borders) each, and noise.

        They are computed for as many layers at once as fit, on the side that comes from next.
        """
        first, last, end, start, noise = self._batch
        if not first <= j <= last:
            length = self.hi[1:] - self.lo[:-1] + 1
            near = length[j - 1 :] if j > last else length[j - 1 :: -1]
            size = np.maximum.accumulate(near) * np.arange(1, len(near) + 1)
            many = max(int(np.searchsorted(size, _MOMENTS, "right")), 1)
            first, last = (j, j + many - 1) if j > last else (j - many + 1, j)
            lo = self.lo[first - 1 : last]
            skip, hi = self.lo[first : last + 1] - lo, self.hi[first : last + 1]
            centre = self.centre[first - 1 : last]
            end, start, noise = moments(self.cells, lo, skip, hi, centre, self.pin)
            self._batch = first, last, end, start, noise
        rows, columns = self.hi[j] - self.lo[j] + 1, self.hi[j - 1] - self.lo[j - 1] + 1
        return end[:, j - first, :rows], start[:, j - first, :columns], float(noise[j - first])


def _monotone_minima(end: Floats, start: Floats, base: Floats, after: int) -> Floats:
    """Return, for every end, the least base + cost of the clusters that start before it.

    The cost is Monge, so the best start never moves left from one end to the next: ends in between
    are searched only between their neighbours' best starts.

    Args:
        end: (weight, Σx, Σx²) up to each end, shape (3, R), or 4 with a pinned cell.
        start: The same up to each start, shape (3, C).
        base: Cost up to each start, shape (C,).
        after: End r is after start c where c < r + after.
    """
    rows, columns = end.shape[1], start.shape[1]
    stride = 1
    while rows > _TOP * stride:
        stride *= _STRIDE
    value, arg = np.empty(rows), np.empty(rows, np.int64)
    top = _top(end, start, stride, after) + base
    arg[::stride] = top.argmin(1)
    value[::stride] = top[np.arange(len(top)), arg[::stride]]
    base = base - start[2]
    while stride > 1:
        head = np.arange(0, rows, stride)
        here, there = arg[head], np.append(arg[head[1:]], columns - 1)
        low, width = np.minimum(here, there), np.abs(there - here) + 1  # equal but for rounding
        stride //= _STRIDE
        inner = np.arange(stride, stride * _STRIDE, stride)
        group = np.zeros(len(width), np.int64)
        if int(width.max()) * len(width) > 4 * int(width.sum()) + 64:
            group = np.frexp(width)[1].astype(np.int64)  # very uneven: similar widths together
        for g in set(group.tolist()):
            some = np.flatnonzero(group == g)
            r = np.minimum(head[some] + inner[:, None], rows - 1)
            c = np.minimum(low[some] + np.arange(width[some].max())[:, None], columns - 1)
            late = None
            if int(c.max()) >= int(r.min()) + after:
                late = c >= r[:, None] + after
            cost = _block(end[:, r], start[:, c], base[c], late)
            value[r] = cost.min(1) + end[2, r]
            if stride > 1:
                arg[r] = np.minimum(cost.argmin(1) + low[some], columns - 1)
    return value


def _top(end: Floats, start: Floats, stride: int, after: int) -> Floats:
    """Return the costs of every stride-th end."""
    cost = costs(end[:, ::stride], start, start.shape[1])
    r = np.arange(0, end.shape[1], stride)
    cost[np.arange(start.shape[1]) >= r[:, None] + after] = np.inf
    return cost


def _block(end: Floats, start: Floats, base: Floats, late: Mask | None) -> Floats:
    """Return base[c, b] - Δ²/Δ of ends (3, r, b) and starts (3, c, b), as (r, c, b)."""
    weight = end[0][:, None] - start[0]
    cost: Floats = end[1][:, None] - start[1]
    if len(end) == 4:
        cost[end[3][:, None] - start[3] > 0.5] = 0.0
    cost *= cost
    with np.errstate(divide="ignore", invalid="ignore"):
        cost /= weight
    np.subtract(base, cost, out=cost)
    if late is not None:
        cost[late] = np.inf
    return cost
