"""The coarse-to-fine search of :mod:`.optimal_kmeans`, explained there."""

from __future__ import annotations

import numpy as np

from autocompress.compression.codebooks.kmeans_bounds import best_bound
from autocompress.compression.codebooks.kmeans_cells import cut, first_edges, measure, merged, steps
from autocompress.compression.codebooks.kmeans_local import LEAST, fill, gain, polish
from autocompress.compression.codebooks.kmeans_priced import Cells, cheapest
from autocompress.compression.codebooks.scalars import Floats, Ints, Mask, Reals, Sums

_FEW = 32  # clusters up to which borders are closest at the best known breakpoints
_PARTS = 4  # pieces a cell is split into
_CELLS = 1 << 14  # cells up to which it is, and scalars up to which all are cells
_SLACK = 0.2  # of the gap, that a greater bound is not worth another try
_CLUSTERS = 32  # whose cost is computed at a time
_TOGETHER = 1 << 11  # cells measured, or cut, at a time
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
    """The cells, and the best solution so far.

    Cell a holds the scalars edge[a]..edge[a+1]-1; its borders are a and a+1. Optimal breakpoints
    are at borders or inside cells that are not closed.

    Attributes:
        closed: Cells that no optimal breakpoint is strictly inside of.
        best: The best solution's breakpoints, as ranks.
        upper: Its cost.
        price: What a cluster cost last.
    """

    def __init__(self, x: Reals, k: int, h: Reals | None, pin: int) -> None:
        self.x, self.k, self.h, self.pin = x, k, h, pin
        middle = float(x[len(x) // 2]) if pin < 0 else 0.0
        self.sums = Sums(x, h, middle)
        self.least = LEAST * float(self.sums(np.array([len(x)]))[0][0]) if h is not None else 0.0
        self.edge, guess = first_edges(x, self.sums, k, pin)
        whole = np.ones(len(self.edge) - 1, bool)
        self.weight, self.offset, self.scatter = measure(x, h, self.edge, whole)
        np.maximum(self.weight, self.least, out=self.weight)
        self.closed = ~whole
        away = x[self.edge[:-1]].astype(np.float64) - middle + self.offset
        square = float(np.sum(self.scatter + self.weight * away * away))
        self.blur = _NOISE * len(x) ** 0.5 * square
        self.upper, self.best = np.inf, polish(self.sums, guess, pin)
        self._insert(self.best)
        self._consider(self.best)
        self.price = 2.0 * self.upper / k

    def solve(self) -> Floats:
        """Return the optimal centres."""
        while self.upper > 0.0 and self._round():
            pass
        return self._clusters(self.best)[0]

    def _round(self) -> bool:
        """Bound, close the cells that cannot hold a breakpoint, split the rest; False when done."""
        before = self.upper
        cuts = np.searchsorted(self.edge, self.best)
        cells, split = self._cells(cuts)
        slack = _SLACK if split.any() else 0.0
        bound, least, path = best_bound(cells, self.k, self.price, cuts, self.upper, slack)
        self.price = bound.price
        noise = self._noise(cells, cuts)
        full = self.best
        if len(path) <= self.k + 1:  # of fewer where scalars next to each other cannot be told
            repeated = np.repeat(self.edge[path[:1]], self.k + 1 - len(path))
            full = fill(self.x, np.concatenate([repeated, self.edge[path]]))
        if len(path) == self.k + 1:
            self._consider(full)
        if self.upper - bound.of(self.k) + noise <= 1e-12 * self.upper:
            return False
        rank = polish(self.sums, full, self.pin)
        gained = gain(self.sums, rank, self.pin) - gain(self.sums, self.best, self.pin)
        limit = min(self.upper, self.upper - gained + self.blur) + noise
        good = self._good(cells, least, cuts, limit)
        del cells, least  # memory: more cells come now
        live = good[1:] | good[:-1]
        self.closed |= ~live
        split &= live
        best = rank if gained > 0.0 else self.best
        extra = self._borders(split, best)
        good[np.searchsorted(self.edge, self.best)] = True
        del live, split
        self._merge(good)
        self._insert(np.concatenate([best, full, extra]))
        self._consider(best)
        self._consider(full)
        return len(extra) > 0 or self.upper < before * (1.0 - 1e-12)

    def _cells(self, cuts: Ints) -> tuple[Cells, Mask]:
        """Return the cells, and those that a breakpoint inside may save anything in."""
        y = self._placed()
        total = np.add.reduceat(self.weight, cuts[:-1])
        centre = np.add.reduceat(self.weight * y, cuts[:-1]) / total
        pin = -1
        if self.pin >= 0:
            pin = int(np.searchsorted(self.edge, self.pin))  # has a cell to itself
            centre[np.searchsorted(cuts, pin, "right") - 1] = 0.0
        taken, pay, split = np.empty(len(y)), np.zeros(len(y) + 1), np.empty(len(y), bool)
        for a in range(0, len(y), _TOGETHER):
            some = slice(a, a + _TOGETHER)
            taken[some], saved = self._allow(some, y[some], centre)
            split[some] = saved > 1e-15 * self.upper
            for side in (pay[:-1][some], pay[1:][some]):
                np.maximum(side, saved, out=side)
        pay[[0, -1]] = 0.0
        return Cells(self.weight, y, self.scatter, taken, pay, pin), split

    def _placed(self) -> Floats:
        """Return the cells' means, with gaps that no optimal cluster can span shortened.

        A cluster across a gap g costs at least g²/2 times the least weight, here 8 times the best
        known total. With a pinned centre, 0 stays where it is.
        """
        lightest = 1.0 if self.h is None else float(self.weight.min())
        with np.errstate(over="ignore", divide="ignore"):
            widest = 4.0 * np.sqrt(self.upper / lightest)
        y = np.zeros(len(self.weight))
        rise, last = y[1:], self.x[self.edge[1:-1] - 1].astype(np.float64)
        np.subtract(self.x[self.edge[1:-1]], last, out=rise)
        np.minimum(rise, widest, out=rise)
        last -= self.x[self.edge[:-2]]
        rise += last
        np.cumsum(rise, out=rise)
        y += self.offset
        if self.pin >= 0:
            y -= y[np.searchsorted(self.edge, self.pin)]
        return y

    def _allow(self, some: slice, y: Floats, centre: Floats) -> tuple[Floats, Floats]:
        """Return what a breakpoint inside some cells may save: weight off its end, and a constant.

        The scale τ that balances the two is √2 times half the distance of neighbouring centres.
        """
        weight, scatter = self.weight[some], self.scatter[some]
        spread = np.sqrt(weight * scatter)
        spread[self.closed[some]] = 0.0
        half = np.interp(y, (centre[1:] + centre[:-1]) / 2, np.diff(centre) / np.sqrt(2.0))
        scale = np.maximum(half, 4.0 * spread / weight)
        inside = spread > 0.0
        taken = np.divide(spread, scale, out=np.zeros_like(spread), where=inside)
        return taken, np.where(inside, spread * scale + scatter, 0.0)

    def _noise(self, cells: Cells, cuts: Ints) -> float:
        """Return a bound of the rounding error of the bounds of about the best solution.

        Squares are of distances from within the cluster, or from 0.
        """
        count = np.diff(cuts)
        first, last = cells.mean[cuts[:-1]], cells.mean[cuts[1:] - 1]
        span = last - first
        if cells.pin >= 0:
            held = int(np.searchsorted(cuts, cells.pin, "right")) - 1
            near = slice(max(held - 1, 0), held + 2)
            span[near] = np.maximum(np.abs(first[near]), np.abs(last[near]))
        squares = float(np.dot(self.weight, np.repeat(span * span, count)) + self.scatter.sum())
        return _NOISE * (squares + self.upper + self.price * self.k)

    def _good(self, cells: Cells, least: Floats, cuts: Ints, limit: float) -> Mask:
        """Return the borders that a solution within the limit may have, at or next to them."""
        through = cheapest(cells.mirrored(), self.price, len(least) - 1 - cuts[::-1])[0][::-1]
        through += least
        through += cells.pay
        good: Mask = through <= limit + self.price * self.k
        return good

    def _merge(self, kept: Mask) -> None:
        """Make one cell of all those between borders to keep, and those of cells not closed."""
        kept[1:] |= ~self.closed
        kept[:-1] |= ~self.closed
        kept[[0, -1]] = True
        if self.pin >= 0:
            pin = int(np.searchsorted(self.edge, self.pin))
            kept[pin : pin + 2] = True
        if kept.all():
            return
        at = np.flatnonzero(kept)
        cells = merged(self.x, self.edge, at[:-1], self.weight, self.offset, self.scatter)
        self.weight, self.offset, self.scatter = cells
        self.closed, self.edge = self.closed[at[:-1]], self.edge[at]

    def _insert(self, added: Ints) -> None:
        """Add borders."""
        edge = np.concatenate([self.edge, added])
        edge.sort()
        edge = edge[np.append(True, edge[1:] > edge[:-1])]
        pieces = np.diff(np.searchsorted(edge, self.edge))
        fresh = np.repeat(pieces > 1, pieces)
        self.closed = np.repeat(self.closed, pieces)
        self.weight = np.repeat(self.weight, pieces)
        self.offset = np.repeat(self.offset, pieces)
        self.scatter = np.repeat(self.scatter, pieces)
        self.edge = edge
        for a in range(0, len(fresh), _TOGETHER):
            some = slice(a, a + _TOGETHER)
            new = fresh[some]
            found = measure(self.x, self.h, edge[a : a + _TOGETHER + 1], new)
            for own, part in zip((self.weight, self.offset, self.scatter), found, strict=True):
                own[some][new] = part
        np.maximum(self.weight, self.least, out=self.weight)

    def _consider(self, rank: Ints) -> None:
        """Keep a solution, with borders at its breakpoints, if it is the best."""
        cost = self._clusters(rank)[1]
        if cost < self.upper:
            self.upper, self.best = cost, rank

    def _clusters(self, rank: Ints) -> tuple[Floats, float]:
        """Return the centres and the cost of a solution, from differences within clusters only."""
        border = np.searchsorted(self.edge, rank)
        centre, cost = np.empty(self.k), 0.0
        for a in range(0, self.k, _CLUSTERS):
            some, origin = border[a : a + _CLUSTERS + 1], self.x[rank[a:-1][:_CLUSTERS]]
            cells, count = slice(some[0], some[-1]), np.diff(some)
            near = self.x[self.edge[:-1][cells]].astype(np.float64)
            near -= np.repeat(origin, count)
            near += self.offset[cells]
            weight, first = self.weight[cells], some[:-1] - some[0]
            mean = np.add.reduceat(weight * near, first) / np.add.reduceat(weight, first)
            if rank[a] <= self.pin < rank[a + len(mean)]:
                held = np.searchsorted(rank, self.pin, "right") - 1 - a
                mean[held] = -origin[held]
            near -= np.repeat(mean, count)
            near *= near
            cost += float(np.dot(near, weight) + self.scatter[cells].sum())
            centre[a : a + len(mean)] = origin + mean
        return centre, cost

    def _borders(self, split: Mask, best: Ints) -> Ints:
        """Return new borders in the cells to split.

        Of many clusters the cells are cut into even parts. Of few, borders are ever closer towards
        a solution's breakpoints: cells as wide as 1/k of the distance suffice, as far as it is
        optimal, since moving a breakpoint by d clusters, and all others so that it costs least,
        costs about d²/k clusters' scatter, and such cells may save about k·(d/k)².
        """
        rest, new = split.copy(), np.empty(0, np.int64)
        if self.k <= _FEW:
            low, high = best[:-2, None], best[2:, None]
            step = steps(len(self.x), self.k)
            graded = [best[1:-1, None] + side for side in (step, -step)]
            new = np.concatenate([g[(g > low) & (g < high)] for g in graded])
            cell = np.searchsorted(self.edge, new) - 1
            within = split[cell] & (self.edge[cell + 1] != new)
            rest[cell[within]] = False
            new = new[within]
        start, count = self.edge[:-1][rest], np.diff(self.edge)[rest]
        parts = _PARTS if _PARTS * len(start) <= _CELLS else 2
        if self.k > _FEW and int(count.sum()) <= _CELLS:
            parts = len(self.x)
        found = [
            cut(start[a : a + _TOGETHER], count[a : a + _TOGETHER], parts)
            for a in range(0, len(start), _TOGETHER)
        ]
        return np.concatenate([new, *found])
