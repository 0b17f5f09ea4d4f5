"""Optimal 1-D k-means of many rows of one size at once, by array operations over all of them.

Solutions are breakpoints: k+1 ranks b₀ = 0 < b₁ < … < b_k = n for each row of n sorted scalars.

**Windows.** In an optimal solution every breakpoint is between the scalars below and above the
midpoint of its two centres (Lloyd 1982). Centres, being means of intervals, never fall when
breakpoints rise, so Lloyd's step T, from breakpoints to the ranks of the midpoints, is monotone:
l <= b* implies T(l) <= T(b*) = b*. Steps up from the lowest breakpoints there can be, and down from
the highest, therefore enclose all fixed points of T (Knaster & Tarski), the optimum among them.

**Dynamic programming** over the ranks within the windows then is exact. Costs are Monge, so the
best start of the last cluster never falls with its end: the ends are halved again and again, and
each looks for its start between those of its neighbours, O((starts + ends)·log ends) a cluster.

Sums are of doubles about one place in each row. A difference of these, divided by a weight, is off
by about 1e-16 of all the row's weight times its largest square; rows that lose hardly more than
that are not solved here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from autocompress.compression.codebooks.scalars import Floats, Ints, Mask, Reals
from autocompress.errors import SchemeError

_STEPS = 200  # of Lloyd's, at most
_SLOW = 0.98  # of the windows' widths that a step leaves: another one is not worth it
_SHORT = 6
_LOST = 1e-6  # of a row's weight times its largest square, that it loses at least
_LIGHT = 1e-15  # of a row's weight, that a scalar has at least
_ROUNDING = 1e-14  # of a row's weight times its largest scalar: what moments may be off by


@dataclass(frozen=True)
class Rows:
    """Sorted rows, and sums of each one's first 0..n scalars. Places are row·(n + 1) + rank.

    Attributes:
        x: The scalars, ascending, less what sums are about, then infinity; shape (rows, n + 1).
        moment: Sums of the scalars times their weights, shape (rows, n + 1).
        weight: Sums of the weights, which are > 0; None for ones.
        pin: Rank of the scalar, 0, in each row whose cluster's centre is fixed at 0; or None.
    """

    x: Floats
    moment: Floats
    weight: Floats | None
    pin: Ints | None

    def base(self) -> Ints:
        """Return the places where rows start."""
        place: Ints = np.arange(len(self.x)) * self.x.shape[1]
        return place

    def weights(self, place: Ints) -> Floats:
        """Return the weight of the scalars before places, plus what is constant in a row."""
        if self.weight is None:
            return place.astype(np.float64)
        found: Floats = self.weight.reshape(-1)[place]
        return found

    def largest(self) -> Floats:
        """Return the largest absolute value of each row."""
        found: Floats = np.maximum(np.abs(self.x[:, 0]), np.abs(self.x[:, -2]))
        return found

    def reach(self) -> Floats:
        """Return each row's weight times its largest absolute value."""
        total = self.x.shape[1] - 1.0 if self.weight is None else self.weight[:, -1]
        found: Floats = total * self.largest()
        return found


def row_codebooks(x: Reals, h: Floats | None, k: int, zero: bool) -> tuple[Floats, Mask]:
    """Return the optimal codebook of every row, (rows, k), and which of them are sure to be.

    The others lose so little that sums of doubles do not tell.

    Args:
        x: The scalars, float32, shape (rows, n), n > k.
        h: Their weights, of which the largest of a row is 1, or None.
        k: Number of centres.
        zero: Whether one of the centres is to be 0.
    """
    rows, origin = sorted_rows(x, h, zero)
    path, saved = breakpoints(rows, k)
    place = path + rows.base()[:, None]
    centre = np.diff(rows.moment.reshape(-1)[place]) / np.diff(rows.weights(place)) + origin
    if rows.pin is not None:
        pin = rows.pin[:, None]
        centre[(path[:, :-1] <= pin) & (path[:, 1:] > pin)] = 0.0
    square = np.square(rows.x[:, :-1])
    if rows.weight is not None:
        square *= np.diff(rows.weight)
    return centre, square.sum(1) - saved > _LOST * rows.reach() * rows.largest()


def sorted_rows(x: Reals, h: Floats | None, zero: bool) -> tuple[Rows, Floats]:
    """Return the rows, and what their scalars are given less of, (rows, 1)."""
    count = len(x)
    if h is not None:  # where there is no weight, any value will do that has some
        heaviest = np.take_along_axis(x, h.argmax(1)[:, None], 1)
        x = np.where(h > 0.0, x, heaviest)
        h = np.maximum(h, _LIGHT * h.sum(1, keepdims=True))
    if zero:  # a scalar at a distance of 0 makes every solution have that cluster
        x = np.append(x, np.zeros((count, 1), x.dtype), 1)
        h = None if h is None else np.append(h, np.ones((count, 1)), 1)
    if h is None:
        x = np.sort(x, 1)
    else:
        order = np.argsort(x, 1)
        x, h = np.take_along_axis(x, order, 1), np.take_along_axis(h, order, 1)
    if not np.isfinite(x[:, [0, -1]]).all():  # NaN comes last
        raise SchemeError("a codebook needs finite values: found NaN or infinity")
    n = x.shape[1]
    away = np.full((count, n + 1), np.inf)
    away[:, :n] = x
    origin = np.zeros((count, 1)) if zero else away[:, n // 2, None].copy()
    away -= origin
    moment = np.zeros((count, n + 1))
    terms = away[:, :n] if h is None else away[:, :n] * h
    np.cumsum(terms, 1, out=moment[:, 1:])
    weight = None if h is None else np.zeros((count, n + 1))
    if h is not None and weight is not None:
        np.cumsum(h, 1, out=weight[:, 1:])
    pin = np.argmax(away >= 0.0, 1) if zero else None
    return Rows(away, moment, weight, pin), origin


def breakpoints(rows: Rows, k: int) -> tuple[Ints, Floats]:
    """Return every row's best breakpoints, (rows, k + 1), and the squares they save, (rows,).

    What is saved is Σ(Σhx)²/Σh over the clusters, but the pinned one; NaN where rounding lost them.
    """
    low, high = windows(rows, k)
    crossed = (low > high).any(0)
    high = np.maximum(low, high)
    saved, layers = np.zeros(rows.x.size), []
    for j in range(1, k + 1):
        saved, starts, lead = _layer(rows, (low[j - 1], high[j - 1], low[j], high[j]), saved)
        layers.append((starts, lead - low[j]))
    path = high.T.copy()
    for j in range(k, 1, -1):
        starts, lead = layers[j - 1]
        path[:, j - 1] = starts[lead + path[:, j]]
    return path - rows.base()[:, None], np.where(crossed, np.nan, saved[high[k]])


def windows(rows: Rows, k: int) -> tuple[Ints, Ints]:
    """Return bounds of the places of all optimal breakpoints, (rows, k + 1) each."""
    n = rows.x.shape[1] - 1
    order = np.arange(k + 1)[:, None, None]
    bounds = np.concatenate([order, order + n - k], 1) + rows.base()
    bounds[0, 1], bounds[k, 0] = bounds[0, 0], bounds[k, 1]
    error = (_ROUNDING * rows.reach() + np.finfo(np.float64).tiny) * [[-1.0], [1.0]]
    near, width = bounds, np.inf
    for step in range(_STEPS if k > 1 else 0):
        near = _narrowed(rows, near, error)
        before, width = width, float((near[:, 1] - near[:, 0]).sum())
        if width == before or (step > 2 * k and width > _SLOW * before):
            break
    low, high = near[:, 0] - order[:, 0], near[::-1, 1] + order[:, 0]
    low = np.maximum.accumulate(low) + order[:, 0]  # no cluster is empty
    high = (np.minimum.accumulate(high) - order[:, 0])[::-1]
    return low, high


def _narrowed(rows: Rows, bounds: Ints, error: Floats) -> Ints:
    """Move lower and upper bounds of breakpoints, (k + 1, 2, rows), by a step of Lloyd's."""
    moment = rows.moment.reshape(-1)[bounds]
    weight = rows.weights(bounds)
    centre = moment[1:] - moment[:-1]
    centre += error
    with np.errstate(divide="ignore"):
        centre /= weight[1:] - weight[:-1]
    if rows.pin is not None:
        pin = rows.base() + rows.pin
        centre[(bounds[:-1] <= pin) & (bounds[1:] > pin)] = 0.0
    middle = centre[1:] + centre[:-1]
    middle *= 0.5
    sought = np.ascontiguousarray(middle.reshape(-1, len(rows.x)).T)
    ranks = torch.searchsorted(torch.from_numpy(rows.x), torch.from_numpy(sought)).numpy()
    found = np.ascontiguousarray(ranks.T).reshape(middle.shape)
    found += rows.base()
    near = bounds.copy()
    np.maximum(bounds[1:-1, 0], found[:, 0], out=near[1:-1, 0])
    np.minimum(bounds[1:-1, 1], found[:, 1], out=near[1:-1, 1])
    return near


def _layer(
    rows: Rows, window: tuple[Ints, Ints, Ints, Ints], before: Floats
) -> tuple[Floats, Ints, Ints]:
    """Add a cluster: find its best start for every end.

    Args:
        rows: The rows.
        window: The first and the last place it may start at, and it may end at, (rows,) each.
        before: What the clusters before save, at the places where they may end.

    Returns:
        What the clusters save with it, like `before`; the starts, concatenated, those of a row
        between its first and its last one; and where the start for a row's first end is.
    """
    first, last, low, high = window
    count = high - low + 1
    lead = np.cumsum(count + 2) - count - 1
    starts = np.empty(int((count + 2).sum()), np.int64)
    starts[lead - 1], starts[lead + count] = first, last
    after = np.empty_like(before)
    single = bool((first == last).all())
    step = 1 if single else 1 << int(count.max()).bit_length() - 1
    while step:
        many = count if single else (count // step + 1) // 2  # odd multiples of the step
        row = np.repeat(np.arange(len(count)), many)
        nth = np.arange(1, len(row) + 1) - np.repeat(np.cumsum(many) - many, many)
        if not single:
            nth = (2 * nth - 1) * step
        at, end = nth + (lead - 1)[row], nth + (low - 1)[row]
        ends = _Ends(rows, row, end, before)
        if single:
            after[end], starts[at] = ends.saved(slice(None), first[row]), first[row]
            break
        right = starts[at + np.minimum(step, count[row] + 1 - nth)]
        after[end], starts[at] = ends.best(starts[at - step], np.minimum(right, end - 1))
        step //= 2
    return after, starts, lead


class _Ends:
    """Ends of clusters that look for the best starts.

    Args:
        rows: The rows.
        row: Their rows, shape (ends,).
        end: Their places.
        before: What the clusters before save, at places.
    """

    def __init__(self, rows: Rows, row: Ints, end: Ints, before: Floats) -> None:
        self.rows, self.end, self.before = rows, end, before
        self.moments = rows.moment.reshape(-1)
        self.moment, self.weight = self.moments[end], rows.weights(end)
        self.pin = None if rows.pin is None else (rows.base() + rows.pin)[row]

    def best(self, first: Ints, last: Ints) -> tuple[Floats, Ints]:
        """Return the most that is saved up to the ends, and the starts, first <= start <= last."""
        best, start = np.empty(len(first)), np.empty(len(first), np.int64)
        short = last - first < _SHORT
        if 2 * np.count_nonzero(short) < len(short):
            return self._many(slice(None), first, last)
        for search, which in ((self._few, short), (self._many, ~short)):
            some = np.flatnonzero(which)
            if len(some):
                best[some], start[some] = search(some, first[some], last[some])
        return best, start

    def _few(self, some: Ints, first: Ints, last: Ints) -> tuple[Floats, Ints]:
        """Try one start of every end after the other."""
        best, chosen = self.saved(some, first), first.copy()
        left = np.flatnonzero(last > first)
        start = first[left]
        while len(left):
            start += 1
            found = self.saved(some[left], start)
            better = found > best[left]
            better_ones = left[better]
            best[better_ones], chosen[better_ones] = found[better], start[better]
            more = last[left] > start
            left, start = left[more], start[more]
        return best, chosen

    def _many(self, some: Ints | slice, first: Ints, last: Ints) -> tuple[Floats, Ints]:
        """Try all starts of all ends at once, in one array."""
        many = last - first + 1
        lead = np.cumsum(many) - many
        start = np.arange(int(many.sum()))
        start += np.repeat(first - lead, many)
        saved = np.repeat(self.moment[some], many)
        saved -= self.moments[start]
        saved *= saved
        saved /= np.repeat(self.weight[some], many) - self.rows.weights(start)
        if self.pin is not None:
            held = np.where(self.end[some] > self.pin[some], self.pin[some], -1)
            saved[start <= np.repeat(held, many)] = 0.0
        saved += self.before[start]
        best = np.maximum.reduceat(saved, lead)
        hit = np.flatnonzero(saved == np.repeat(best, many))
        return best, start[hit[np.searchsorted(hit, lead)]]

    def saved(self, some: Ints | slice, start: Ints) -> Floats:
        """Return what is saved up to some ends with a start of each."""
        saved: Floats = self.moment[some] - self.moments[start]
        saved *= saved
        saved /= self.weight[some] - self.rows.weights(start)
        if self.pin is not None:
            saved[(start <= self.pin[some]) & (self.end[some] > self.pin[some])] = 0.0
        saved += self.before[start]
        return saved
