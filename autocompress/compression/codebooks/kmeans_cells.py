"""Cells of sorted scalars, for :mod:`.kmeans_search`."""

from __future__ import annotations

import numpy as np

from autocompress.compression.codebooks.kmeans_local import fill
from autocompress.compression.codebooks.scalars import CHUNK, Floats, Ints, Mask, Reals, Sums

_CELLS = 16  # cells per cluster at first
_FIRST = 256  # cells at first where clusters are few, but no more than
_MOST = 16  # cells per cluster, which save bounds that few clusters do not need, and at least
_LEAST = 96


def steps(n: int, k: int) -> Ints:
    """Return 1..k, then ranks up to n that grow by 1/k each."""
    growth = np.log1p(1.0 / k)
    far = k * np.exp(growth * np.arange(1, np.log(n / k) / growth))
    return np.append(np.arange(1, k + 1), far.astype(np.int64))


def measure(x: Reals, h: Reals | None, edge: Ints, wanted: Mask) -> tuple[Floats, Floats, Floats]:
    """Return the wanted cells' weights, means relative to their first scalars, and scatters."""
    start, count = edge[:-1][wanted], np.diff(edge)[wanted]
    lead = np.append(0, np.cumsum(count))
    weight, offset, scatter = count.astype(np.float64), np.empty(len(count)), np.empty(len(count))
    a = 0
    while a < len(count):
        b = max(int(np.searchsorted(lead, lead[a] + CHUNK, "right")) - 1, a + 1)
        at, n = lead[a:b] - lead[a], count[a:b]
        total = int(lead[b] - lead[a])
        if start[b - 1] + n[-1] - start[a] == total:
            where: slice | Ints = slice(int(start[a]), int(start[a]) + total)
        else:
            where = np.repeat(start[a:b] - at, n) + np.arange(total)
        part = x[where].astype(np.float64)
        # about the median: the mean is within one standard deviation, so nothing cancels below
        median, first = part[at + n // 2], part[at]
        part -= np.repeat(median, n)
        if h is None:
            mean = np.add.reduceat(part, at) / n
            part *= part
            scatter[a:b] = np.add.reduceat(part, at) - n * mean * mean
        else:
            own = h[where].astype(np.float64)
            weight[a:b] = np.add.reduceat(own, at)
            mean = np.add.reduceat(own * part, at) / weight[a:b]
            part -= np.repeat(mean, n)  # weighted means may be far from the median
            part *= part
            scatter[a:b] = np.add.reduceat(own * part, at)
        offset[a:b] = mean + (median - first)
        a = b
    offset[count == 1] = 0.0
    scatter[count == 1] = 0.0
    return weight, offset, np.maximum(scatter, 0.0)


def merged(
    x: Reals, edge: Ints, at: Ints, weight: Floats, offset: Floats, scatter: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return weights, means relative to the first scalars, and scatters, of cells made one.

    Args:
        x: Ascending scalars.
        edge: The cells' borders.
        at: The first one of those that are to be one, every time.
        weight: Their weights.
        offset: Their means relative to their first scalars.
        scatter: Their scatters.
    """
    many = np.diff(np.append(at, len(weight)))
    away = x[edge[:-1]].astype(np.float64)
    away -= np.repeat(away[at], many)
    away += offset
    total = np.add.reduceat(weight, at)
    mean = np.add.reduceat(weight * away, at) / total
    mean[many == 1] = offset[at[many == 1]]
    away -= np.repeat(mean, many)
    away *= away
    away *= weight
    away += scatter
    return total, mean, np.add.reduceat(away, at)


def cut(start: Ints, count: Ints, parts: int) -> Ints:
    """Return the borders inside cells cut into so many even parts, or into single scalars."""
    pieces = np.minimum(count, parts)
    which = np.repeat(np.arange(len(start)), pieces - 1)
    piece = np.arange(1, len(which) + 1) - np.repeat(np.cumsum(pieces - 1) - pieces + 1, pieces - 1)
    border: Ints = start[which] + count[which] * piece // pieces[which]
    return border


def first_edges(x: Reals, sums: Sums, k: int, pin: int) -> tuple[Ints, Ints]:
    """Return the first cells' borders, and breakpoints to start from, as ranks.

    A quarter of the cells hold equally many scalars; the others have equal density^(1/3)·width,
    which makes them as dense as the best centres are (Panter & Dite 1951). A pinned scalar has a
    cell to itself.
    """
    n, cells = len(x), max(_LEAST, min(_FIRST, _MOST * k), _CELLS * k)
    tail = (1.2 ** np.arange(np.log(n) / np.log(1.2))).astype(np.int64)
    even = np.linspace(0, n - 1, 4 * cells).astype(np.int64)
    probe = np.unique(np.concatenate([even, tail[tail < n], n - 1 - tail[tail < n]]))
    rise = np.diff(x[probe].astype(np.float64))
    share = np.append(0.0, np.cumsum(np.cbrt(np.diff(sums(probe)[0]) * rise * rise)))
    guess = np.interp(np.linspace(0, share[-1], k + 1), share, probe).astype(np.int64)
    guess[0], guess[-1] = 0, n
    guess = fill(x, guess)
    if n <= 2 * cells:
        return np.arange(n + 1), guess
    fine = np.interp(np.linspace(0, share[-1], 3 * cells // 4 + 1), share, probe).astype(np.int64)
    even = np.linspace(0, n, cells // 4 + 1).astype(np.int64)
    alone = np.array([pin, pin + 1] if pin >= 0 else [], np.int64)
    return np.unique(np.concatenate([fine, even, alone])), guess
