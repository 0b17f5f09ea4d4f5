"""The coarse-to-fine search of :mod:`~autocompress.compression.optimal_kmeans`, explained there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from autocompress.compression.kmeans_bounds import Cells, Floats, Ints, Layers, Reals
from autocompress.compression.kmeans_local import fill, gain, polish

Mask = npt.NDArray[np.bool_]

_CELLS = 8  # cells per cluster at first
_FIRST = 256  # cells at first, at least
_WIDE = 4  # windows are wide while together they hold so many times all scalars
_PARTS = 4  # pieces a cell far from every breakpoint is split into
_CHUNK = 1 << 14  # scalars converted to float64 at once: stays in cache
_NOISE = 64 * float(np.finfo(np.float64).eps)


def optimal_centres(x: Reals, k: int) -> Floats:
    """Return the k optimal centres, ascending, of sorted scalars with more than k distinct values.

    Squares of the scalars, summed, must neither overflow nor underflow float64.
    """
    if k == 1:
        edge = np.array([0, len(x)])
        return x[:1].astype(np.float64) + _measure(x, edge, np.ones(1, bool))[0]
    return _Search(x, k).solve()


class _Search:
    """The cells, the window of every breakpoint, and the best solution so far.

    Cell a holds the scalars edge[a]..edge[a+1]-1; its borders are a and a+1. Breakpoint j of 0..k
    (the outer two are fixed) is at a border in lo[j]..hi[j] or inside a cell between them.

    Attributes:
        closed: Cells that no optimal breakpoint is strictly inside of.
        best: The best solution's breakpoints, as ranks.
        upper: Its cost.
    """

    def __init__(self, x: Reals, k: int) -> None:
        self.x, self.k = x, k
        self.middle = float(x[len(x) // 2])
        self.sums = np.empty(len(x) + 1)
        self.sums[0] = 0.0
        np.subtract(x, self.middle, dtype=np.float64, out=self.sums[1:])
        np.cumsum(self.sums[1:], out=self.sums[1:])
        self.edge, guess = _first_edges(x, k)
        whole = np.ones(len(self.edge) - 1, bool)
        self.offset, self.scatter = _measure(x, self.edge, whole)
        self.closed = ~whole
        self.lo = np.array([0] * k + [len(whole)])
        self.hi = np.array([0] + [len(whole)] * k)
        away = x[self.edge[:-1]].astype(np.float64) - self.middle + self.offset
        square = float(np.sum(self.scatter + np.diff(self.edge) * away * away))
        self.blur = _NOISE * len(x) ** 0.5 * square
        self.upper, self.best = np.inf, guess
        self._insert(polish(self.sums, guess))

    def solve(self) -> Floats:
        """Return the optimal centres."""
        while self.upper > 0.0 and self._round():
            pass
        return self._clusters(self.best)[0]

    def _clusters(self, rank: Ints) -> tuple[Floats, float]:
        """Return the centres and the cost of a solution, from differences within clusters only."""
        border = np.searchsorted(self.edge, rank)
        origin, cells = self.x[rank[:-1]].astype(np.float64), np.diff(border)
        near = self.x[self.edge[:-1]] - np.repeat(origin, cells) + self.offset
        mean = np.add.reduceat(self.weight * near, border[:-1]) / np.diff(rank)
        near -= np.repeat(mean, cells)
        return origin + mean, float(np.sum(self.scatter + self.weight * near * near))

    def _insert(self, rank: Ints, extra: Ints | None = None) -> None:
        """Add borders at a solution's breakpoints, and extra ones; keep the solution if best."""
        added = rank if extra is None else np.concatenate([rank, extra])
        edge = np.sort(np.concatenate([self.edge, added]))
        edge = edge[np.append(True, edge[1:] > edge[:-1])]
        where = np.searchsorted(edge, self.edge)
        pieces = np.diff(where)
        parent = np.repeat(np.arange(len(pieces)), pieces)
        fresh = (pieces > 1)[parent]
        self.lo, self.hi, self.edge = where[self.lo], where[self.hi], edge
        self.closed = self.closed[parent]
        self.offset, self.scatter = self.offset[parent], self.scatter[parent]
        self.offset[fresh], self.scatter[fresh] = _measure(self.x, edge, fresh)
        self.weight = np.diff(edge).astype(np.float64)
        self._place()
        self._consider(rank)

    def _place(self) -> None:
        """Set the cells' means `y`, with gaps that no optimal cluster can span shortened.

        A cluster across a gap g costs at least g²/2, here 8 times the best known total.
        """
        first = self.x[self.edge[:-1]].astype(np.float64)
        last = self.x[self.edge[1:] - 1].astype(np.float64)
        gap = np.minimum(first[1:] - last[:-1], 4.0 * np.sqrt(self.upper))
        self.y = self.offset.copy()
        self.y[1:] += np.cumsum((last - first)[:-1] + gap)

    def _consider(self, rank: Ints) -> None:
        cost = self._clusters(rank)[1]
        if cost < self.upper:
            self.upper, self.best = cost, rank
            self._place()

    def _means(self, border: Ints) -> Floats:
        total = np.add.reduceat(self.weight, border[:-1])
        mean: Floats = np.add.reduceat(self.weight * self.y, border[:-1]) / total
        return mean

    def _allow(self, centre: Floats) -> tuple[Floats, Floats]:
        """Return what a breakpoint inside each cell may save: weight off its end, and a constant.

        The scale τ that balances the two is √2 times half the distance of neighbouring centres.
        """
        spread = np.sqrt(self.weight * self.scatter)
        half = np.interp(self.y, (centre[1:] + centre[:-1]) / 2, np.diff(centre) / np.sqrt(2.0))
        scale = np.maximum(half, 4.0 * spread / self.weight)
        spread[self.closed] = 0.0
        inside = spread > 0.0
        taken = np.divide(spread, scale, out=np.zeros_like(spread), where=inside)
        return taken, np.where(inside, spread * scale + self.scatter, 0.0)

    def _round(self) -> bool:
        """Bound, close the cells that cannot hold a breakpoint, split the rest; False when done."""
        before = self.upper * (1.0 - 1e-12)
        centre = self._means(np.searchsorted(self.edge, self.best))
        taken, saved = self._allow(centre)
        pay = np.zeros(len(self.edge))
        pay[1:-1] = np.maximum(saved[1:], saved[:-1])
        cells = Cells(self.weight, self.y, self.scatter, taken)
        layers = Layers(cells, self.lo, self.hi, centre)
        ahead, path = layers.forward(pay)
        full = fill(self.x, self.edge[path])
        if np.array_equal(self.edge[np.searchsorted(self.edge, full)], full):
            self._consider(full)
        if self.upper - ahead[self.k][0] + layers.noise <= 1e-12 * self.upper:
            return False
        rank = polish(self.sums, full)
        gained = gain(self.sums, rank) - gain(self.sums, self.best)
        limit = min(self.upper, self.upper - gained + self.blur) + layers.noise
        live, narrowed = self._close(ahead, layers.backward(pay), limit, path)
        best = rank if gained > 0.0 else self.best
        extra = self._borders(live & (saved > 1e-15 * self.upper), best)
        self._insert(best, np.append(extra, full))
        self._consider(full)
        if len(extra) > 0:
            return True
        # all is exact: again only where that is more precise, sums being about nearer points
        return (narrowed or self.upper < before) and layers.noise > 1e-12 * self.upper

    def _close(
        self, ahead: list[Floats], rest: Iterator[tuple[int, Floats]], limit: float, path: Ints
    ) -> tuple[Mask, bool]:
        """Close cells and narrow windows by the least cost through every border.

        Returns:
            The cells that remain, and whether any window narrowed.
        """
        live, lo, hi = np.zeros(len(self.closed), bool), self.lo.copy(), self.hi.copy()
        for j, behind in rest:
            good = np.flatnonzero(ahead[j] + behind <= limit) + lo[j]
            if len(good) == 0:  # only rounding can do this
                good = path[j : j + 1]
            live[np.maximum(good - 1, 0)] = True
            live[np.minimum(good, len(live) - 1)] = True
            lo[j], hi[j] = max(good[0] - 1, lo[j]), min(good[-1] + 1, hi[j])
        lo, hi = np.maximum.accumulate(lo), np.minimum.accumulate(hi[::-1])[::-1]
        narrowed = int((hi - lo).sum()) < int((self.hi - self.lo).sum())
        self.closed |= ~live
        self.lo, self.hi = lo, hi
        return live, narrowed

    def _borders(self, split: Mask, best: Ints) -> Ints:
        """Return new borders in the cells to split, ever closer towards a solution's breakpoints.

        Cells as wide as 1/k of the distance suffice, as far as the solution is optimal: moving a
        breakpoint by d clusters, and all others so that it costs least, costs about d²/k clusters'
        scatter, and such cells may save about k·(d/k)². Cells that get no border are cut evenly.
        """
        rest, new = split.copy(), np.empty(0, np.int64)
        low, high = self.edge[self.lo[1:-1], None], self.edge[self.hi[1:-1], None]
        if int((high - low).sum()) < _WIDE * len(self.x):
            step = _steps(len(self.x), self.k)
            graded = [best[1:-1, None] + side for side in (step, -step)]
            new = np.concatenate([g[(g > low) & (g < high)] for g in graded])
            cell = np.searchsorted(self.edge, new) - 1
            inside = split[cell] & (self.edge[cell + 1] != new)
            rest[cell[inside]] = False
            new = new[inside]
        count = np.diff(self.edge)[rest, None]
        even = self.edge[:-1][rest, None] + count * np.arange(1, _PARTS) // _PARTS
        return np.concatenate([new, even.ravel()])


def _steps(n: int, k: int) -> Ints:
    """Return 1..k, then ranks up to n that grow by 1/k each."""
    growth = np.log1p(1.0 / k)
    far = k * np.exp(growth * np.arange(1, np.log(n / k) / growth))
    return np.append(np.arange(1, k + 1), far.astype(np.int64))


def _measure(x: Reals, edge: Ints, wanted: Mask) -> tuple[Floats, Floats]:
    """Return the wanted cells' means, relative to their first scalars, and scatters."""
    start, count = edge[:-1][wanted], np.diff(edge)[wanted]
    lead = np.append(0, np.cumsum(count))
    offset, scatter = np.empty(len(count)), np.empty(len(count))
    a = 0
    while a < len(count):
        b = max(int(np.searchsorted(lead, lead[a] + _CHUNK, "right")) - 1, a + 1)
        at, n = lead[a:b] - lead[a], count[a:b]
        total = int(lead[b] - lead[a])
        if start[b - 1] + n[-1] - start[a] == total:
            part = x[start[a] : start[a] + total].astype(np.float64)
        else:
            part = x[np.repeat(start[a:b] - at, n) + np.arange(total)].astype(np.float64)
        # about the median: the mean is within one standard deviation, so nothing cancels below
        median, first = part[at + n // 2], part[at]
        part -= np.repeat(median, n)
        mean = np.add.reduceat(part, at) / n
        part *= part
        scatter[a:b] = np.add.reduceat(part, at) - n * mean * mean
        offset[a:b] = mean + (median - first)
        a = b
    offset[count == 1] = 0.0
    scatter[count == 1] = 0.0
    return offset, np.maximum(scatter, 0.0)


def _first_edges(x: Reals, k: int) -> tuple[Ints, Ints]:
    """Return the first cells' borders, and breakpoints to start from, as ranks.

    Half of the cells hold equally many scalars; the others have equal density^(1/3)·width, which
    makes them as dense as the best centres are (Panter & Dite 1951).
    """
    n, cells = len(x), max(_FIRST, _CELLS * k)
    tail = (1.2 ** np.arange(np.log(n) / np.log(1.2))).astype(np.int64)
    even = np.linspace(0, n - 1, 4 * cells).astype(np.int64)
    probe = np.unique(np.concatenate([even, tail[tail < n], n - 1 - tail[tail < n]]))
    rise = np.diff(x[probe].astype(np.float64))
    share = np.append(0.0, np.cumsum(np.cbrt(np.diff(probe) * rise * rise)))
    guess = np.interp(np.linspace(0, share[-1], k + 1), share, probe).astype(np.int64)
    guess[0], guess[-1] = 0, n
    guess = fill(x, guess)
    if n <= 2 * cells:
        return np.arange(n + 1), guess
    fine = np.interp(np.linspace(0, share[-1], cells // 2 + 1), share, probe).astype(np.int64)
    even = np.linspace(0, n, cells // 2 + 1).astype(np.int64)
    return np.unique(np.concatenate([fine, even])), guess
