"""Local improvement of a k-means solution, for :mod:`~autocompress.compression.kmeans_search`.

Solutions are breakpoints: k+1 ascending ranks, from 0 to the number of scalars.
"""

from __future__ import annotations

import numpy as np

from autocompress.compression.kmeans_bounds import Floats, Ints, Reals

_REACH = 4  # places tried on either side of a breakpoint


def fill(x: Reals, rank: Ints) -> Ints:
    """Return breakpoints that all differ: the widest gaps take the place of repeated ones."""
    distinct = np.unique(rank)
    missing = len(rank) - len(distinct)
    if missing == 0:
        return distinct
    with np.errstate(over="ignore"):
        gap = np.diff(x)
    gap[distinct[1:-1] - 1] = -1.0
    added = np.argpartition(gap, -missing)[-missing:] + 1
    return np.sort(np.append(distinct, added))


def gain(sums: Floats, rank: Ints) -> float:
    """Return by how much a solution reduces the scatter about the origin of the sums."""
    total = np.diff(sums[rank])
    return float(np.dot(total, total / np.diff(rank)))


def polish(sums: Floats, rank: Ints) -> Ints:
    """Improve a solution by moving breakpoints, at ever smaller steps.

    Every move is the best of all combinations of nine places for each breakpoint: unlike Lloyd's
    algorithm, this does not slow down with k.

    Args:
        sums: Sums of the first 0..n scalars, shape (n + 1,).
        rank: All different, k >= 2.
    """
    n, shrink = rank[-1], 4 * _REACH
    for _ in range(60):
        count = np.diff(rank)
        step = np.maximum(np.minimum(count[1:], count[:-1]) // shrink, 1)
        move = _best_move(sums, rank, step)
        rank = np.concatenate([[0], np.clip(rank[1:-1] + move * step, 1, n - 1), [n]])
        if np.abs(move).max() < _REACH:
            if step.max() == 1:
                break
            shrink *= 4
    return rank


def _best_move(sums: Floats, rank: Ints, step: Ints) -> Ints:
    """Return the steps, from -4 to 4, by which to move the inner ranks."""
    n, way = rank[-1], np.arange(-_REACH, _REACH + 1)
    place = np.clip(rank[1:-1, None] + step[:, None] * way, 1, n - 1)
    total = sums[place]
    count = place[1:, None, :] - place[:-1, :, None]
    gains = total[1:, None, :] - total[:-1, :, None]
    gains *= gains
    gains /= np.maximum(count, 1)
    gains[count <= 0] = -np.inf
    value = total[0] ** 2 / place[0]
    choice = np.empty((len(gains), len(way)), np.int64)
    for j, g in enumerate(gains):
        g += value[:, None]
        g.argmax(0, out=choice[j])
        value = g.max(0)
    value = value + (sums[-1] - total[-1]) ** 2 / (n - place[-1])
    move = np.empty(len(place), np.int64)
    move[-1] = value.argmax()
    for j in range(len(gains) - 1, -1, -1):
        move[j] = choice[j, move[j + 1]]
    return move - _REACH
