"""The coarse-to-fine search of :mod:`.optimal_kmeans`, explained there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from autocompress.compression.codebooks.kmeans_band import first_starts, most_gain
from autocompress.compression.codebooks.kmeans_bounds import Layers
from autocompress.compression.codebooks.kmeans_cells import first_edges, measure, steps
from autocompress.compression.codebooks.kmeans_local import LEAST, fill, gain, polish
from autocompress.compression.codebooks.kmeans_moments import Cells
from autocompress.compression.codebooks.scalars import Floats, Ints, Mask, Reals, Sums

_FEW = 32  # clusters up to which borders are closest at the best known breakpoints
_WIDE = 4  # if the windows together hold at most so many times all scalars
_PARTS = 4  # pieces a cell is split into
_SINGLES = 20_000  # scalars left in all windows from which all are cells of their own
_NOISE = 64 * float(np.finfo(np.float64).eps)


def optimal_centres(x: Reals, k: int, h: Reals | None = None, pin: int = -1) -> Floats:
    """Return the k optimal centres, ascending, of sorted scalars with more than k distinct values.

    Squares of the scalars, summed, must neither overflow nor underflow float64.

    Args:
        x: Ascending scalars.
        k: Number of centres.
        h: Their weights, > 0; None for ones.
        pin: Rank of a scalar that is 0 and whose cluster's centre is fixed at 0; -1 for none.
    """
    if k == 1 and pin >= 0:
        return np.zeros(1)
    if k == 1:
        return x[:1].astype(np.float64) + measure(x, h, np.array([0, len(x)]), np.ones(1, bool))[1]
    return _Search(x, k, h, pin).solve()


class _Search:
    """The cells, the window of every breakpoint, and the best solution so far.

    Cell a holds the scalars edge[a]..edge[a+1]-1; its borders are a and a+1. Breakpoint j of 0..k
    (the outer two are fixed) is at a border in lo[j]..hi[j] or inside a cell between them.

    Attributes:
        closed: Cells that no optimal breakpoint is strictly inside of.
        best: The best solution's breakpoints, as ranks.
        upper: Its cost.
    """

    def __init__(self, x: Reals, k: int, h: Reals | None, pin: int) -> None:
        self.x, self.k, self.h, self.pin = x, k, h, pin
        self.middle = float(x[len(x) // 2]) if pin < 0 else 0.0
        self.sums = Sums(x, h, self.middle)
        self.least = LEAST * float(self.sums(np.array([len(x)]))[0][0]) if h is not None else 0.0
        self.edge, guess = first_edges(x, self.sums, k, pin)
        whole = np.ones(len(self.edge) - 1, bool)
        self.weight, self.offset, self.scatter = measure(x, h, self.edge, whole)
        np.maximum(self.weight, self.least, out=self.weight)
        self.closed = ~whole
        self.lo = np.array([0] * k + [len(whole)])
        self.hi = np.array([0] + [len(whole)] * k)
        away = x[self.edge[:-1]].astype(np.float64) - self.middle + self.offset
        square = float(np.sum(self.scatter + self.weight * away * away))
        self.blur = _NOISE * len(x) ** 0.5 * square
        self.upper, self.lower, self.best = np.inf, 0.0, guess
        self._insert(polish(self.sums, guess, pin))

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
        mean = np.add.reduceat(self.weight * near, border[:-1])
        mean /= np.add.reduceat(self.weight, border[:-1])
        if self.pin >= 0:
            held = np.searchsorted(rank, self.pin, "right") - 1
            mean[held] = -origin[held]
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
        cells = (v[parent] for v in (self.weight, self.offset, self.scatter))
        self.weight, self.offset, self.scatter = cells
        weight, self.offset[fresh], self.scatter[fresh] = measure(self.x, self.h, edge, fresh)
        self.weight[fresh] = np.maximum(weight, self.least)
        self._place()
        self._consider(rank)

    def _place(self) -> None:
        """Set the cells' means `y`, with gaps that no optimal cluster can span shortened.

        A cluster across a gap g costs at least g²/2 times the least weight, here 8 times the best
        known total. With a pinned centre, 0 stays where it is.
        """
        first = self.x[self.edge[:-1]].astype(np.float64)
        last = self.x[self.edge[1:] - 1].astype(np.float64)
        lightest = 1.0 if self.h is None else float(self.weight.min())
        with np.errstate(over="ignore", divide="ignore"):
            widest = 4.0 * np.sqrt(self.upper / lightest)
        gap = np.minimum(first[1:] - last[:-1], widest)
        self.y = self.offset.copy()
        self.y[1:] += np.cumsum((last - first)[:-1] + gap)
        if self.pin >= 0:
            self.y -= self.y[self._pinned()]

    def _consider(self, rank: Ints) -> None:
        cost = self._clusters(rank)[1]
        if cost < self.upper:
            self.upper, self.best = cost, rank
            self._place()

    def _pinned(self) -> int:
        """Return the cell of the pinned scalar, which it has to itself; -1 without one."""
        return int(np.searchsorted(self.edge, self.pin)) if self.pin >= 0 else -1

    def _means(self, border: Ints) -> Floats:
        total = np.add.reduceat(self.weight, border[:-1])
        mean: Floats = np.add.reduceat(self.weight * self.y, border[:-1]) / total
        if self.pin >= 0:
            mean[np.searchsorted(border, self._pinned(), "right") - 1] = 0.0
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
        first = self._reach(cells) if self.k > 2 else None
        layers = Layers(cells, self.lo, self.hi, centre, self._pinned(), first)
        ahead, path = layers.forward(pay)
        full = fill(self.x, self.edge[path])
        if np.array_equal(self.edge[np.searchsorted(self.edge, full)], full):
            self._consider(full)
        if self.upper - ahead[self.k][0] + layers.noise <= 1e-12 * self.upper:
            return False
        self.lower = max(self.lower, ahead[self.k][0] - layers.noise)
        rank = polish(self.sums, full, self.pin)
        gained = gain(self.sums, rank, self.pin) - gain(self.sums, self.best, self.pin)
        limit = min(self.upper, self.upper - gained + self.blur) + layers.noise
        live, narrowed = self._close(ahead, layers.backward(pay), limit, path)
        noise = layers.noise
        best = rank if gained > 0.0 else self.best
        extra = self._borders(live & (saved > 1e-15 * self.upper), best)
        del layers, cells, first, taken, saved, pay  # memory: more cells come now
        self._insert(best, np.append(extra, full))
        self._consider(full)
        if len(extra) > 0:
            return True
        # all is exact: again only where that is more precise, sums being about nearer points
        return (narrowed or self.upper < before) and noise > 1e-12 * self.upper

    def _reach(self, cells: Cells) -> Ints:
        """Return the first start of clusters that end at each border, and narrow the windows."""
        border = np.searchsorted(self.edge, self.best)
        weight = np.add.reduceat(self.weight, border[:-1])
        pin = self._pinned()
        held = int(np.searchsorted(border, pin, "right")) - 1 if pin >= 0 else -1
        excess = self.upper * (1.0 + 1e-9) - self.lower
        gain = most_gain(weight, self._means(border), held, excess)
        first = first_starts(cells, gain, pin, weighted=self.h is not None)
        last = np.searchsorted(first, np.arange(len(first)), "right") - 1
        for j in range(1, self.k):
            self.hi[j] = min(self.hi[j], last[self.hi[j - 1]])
        for j in range(self.k - 1, 0, -1):
            self.lo[j] = max(self.lo[j], first[self.lo[j + 1]])
        return first

    def _close(
        self, ahead: list[Floats], rest: Iterator[tuple[int, Floats]], limit: float, path: Ints
    ) -> tuple[Mask, bool]:
        """Close cells and narrow windows by the least cost through every border.

        Returns:
            The cells that remain, and whether any window narrowed.
        """
        live, lo, hi = np.zeros(len(self.closed), bool), self.lo.copy(), self.hi.copy()
        for j, behind in rest:
            del ahead[j + 1 :]  # memory
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
        """Return new borders in the cells to split.

        Of many clusters the cells are cut into even parts. Of few, borders are ever closer towards
        a solution's breakpoints: cells as wide as 1/k of the distance suffice, as far as it is
        optimal, since moving a breakpoint by d clusters, and all others so that it costs least,
        costs about d²/k clusters' scatter, and such cells may save about k·(d/k)².
        """
        inside = int((self.edge[self.hi] - self.edge[self.lo]).sum())
        rest, new = split.copy(), np.empty(0, np.int64)
        if self.k <= _FEW and inside < _WIDE * len(self.x):
            low, high = self.edge[self.lo[1:-1], None], self.edge[self.hi[1:-1], None]
            step = steps(len(self.x), self.k)
            graded = [best[1:-1, None] + side for side in (step, -step)]
            new = np.concatenate([g[(g > low) & (g < high)] for g in graded])
            cell = np.searchsorted(self.edge, new) - 1
            within = split[cell] & (self.edge[cell + 1] != new)
            rest[cell[within]] = False
            new = new[within]
        parts = len(self.x) if self.k > _FEW and inside <= _SINGLES else _PARTS
        start, count = self.edge[:-1][rest], np.diff(self.edge)[rest]
        pieces = np.minimum(count, parts)
        which = np.repeat(np.arange(len(start)), pieces)
        piece = np.arange(len(which)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        return np.concatenate([new, start[which] + count[which] * piece // pieces[which]])
