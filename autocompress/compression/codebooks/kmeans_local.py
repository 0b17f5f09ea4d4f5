"""Local improvement of a k-means solution, for :mod:`.kmeans_search`.

Solutions are breakpoints: k+1 ascending ranks, from 0 to the number of scalars.
"""

from __future__ import annotations

import numpy as np

from autocompress.compression.codebooks.scalars import CHUNK, Floats, Ints, Reals, Sums

LEAST = 1e-15  # of the weight of all, that a cell has at least: less would be lost in sums
_REACH = 8  # places tried on either side of a breakpoint
_MOVES = 20  # of all breakpoints together, at most
_CLUSTERS = 16  # whose gains are computed together: stay in cache


def fill(x: Reals, rank: Ints) -> Ints:
    """Return breakpoints that all differ: the widest gaps take the place of repeated ones."""
    distinct = np.unique(rank)
    missing = len(rank) - len(distinct)
    if missing == 0:
        return distinct
    widest, place = np.empty(0), np.empty(0, np.int64)
    for a in range(0, len(x) - 1, CHUNK):
        part = x[a : a + CHUNK + 1].astype(np.float64)
        gap = np.diff(part)
        gap[distinct[(distinct > a) & (distinct < a + len(part))] - a - 1] = -1.0
        widest = np.append(widest, gap)
        place = np.append(place, np.arange(a + 1, a + len(part)))
        if len(widest) > missing:
            most = np.argpartition(widest, -missing)[-missing:]
            widest, place = widest[most], place[most]
    return np.sort(np.append(distinct, place))


def gain(sums: Sums, rank: Ints, pin: int = -1) -> float:
    """Return by how much a solution reduces the scatter about the origin of the sums.

    Args:
        sums: Sums of the scalars; about 0 where a centre is pinned.
        rank: The solution.
        pin: Rank of the scalar whose centre is fixed at 0, or -1.
    """
    weight, total = sums(rank)
    weight, total = np.diff(weight), np.diff(total)
    held = (rank[:-1] <= pin) & (rank[1:] > pin)
    good = ~held & (weight > 0.0)
    return float(np.dot(total[good], total[good] / weight[good]))


def polish(sums: Sums, rank: Ints, pin: int = -1) -> Ints:
    """Improve a solution by moving breakpoints.

    Every move is the best of all combinations of places for each breakpoint, near ones and ever
    fewer distant ones: unlike Lloyd's algorithm, this does not slow down with k.

    Args:
        sums: Sums of the scalars; about 0 where a centre is pinned.
        rank: All different, k >= 2.
        pin: Rank of the scalar whose centre is fixed at 0, or -1.
    """
    for _ in range(_MOVES):
        moved = _best_move(sums, rank, pin)
        if np.array_equal(moved, rank):
            break
        rank = moved
    return rank


def _places(rank: Ints) -> Ints:
    """Return the places each inner breakpoint may move to, ascending: up to a quarter cluster."""
    count = np.diff(rank)
    most = np.maximum(np.minimum(count[1:], count[:-1]) / 4.0, 1.0)
    away = np.rint(most[:, None] ** (np.arange(_REACH + 1) / _REACH)).astype(np.int64)
    away[:, 0] = 0
    place = rank[1:-1, None] + np.concatenate([-away[:, :0:-1], away], 1)
    clipped: Ints = np.clip(place, 1, rank[-1] - 1)
    return clipped


def _best_move(sums: Sums, rank: Ints, pin: int) -> Ints:
    """Return the best of all combinations of places."""
    place = _places(rank)
    weight, total = sums(place)
    all_weight, all_total = (float(v[0]) for v in sums(rank[-1:]))
    lost = LEAST * all_weight if sums.h is not None else 1.0  # clusters of hardly any weight
    value = total[0] ** 2 / np.maximum(weight[0], lost)
    last = (all_total - total[-1]) ** 2 / np.maximum(all_weight - weight[-1], lost)
    if pin >= 0:
        value[place[0] > pin] = 0.0
        last[place[-1] <= pin] = 0.0
    choice = np.empty((len(place) - 1, place.shape[1]), np.uint8)
    for a in range(0, len(choice), _CLUSTERS):
        some = slice(a, a + _CLUSTERS + 1)
        gains = _gains(place[some], weight[some], total[some], lost, pin)
        for j, g in enumerate(gains, a):
            g += value[:, None]
            choice[j] = g.argmax(0)
            value = g.max(0)
    value = value + last
    move = np.empty(len(place), np.int64)
    move[-1] = value.argmax()
    for j in range(len(choice) - 1, -1, -1):
        move[j] = choice[j, move[j + 1]]
    return np.concatenate([rank[:1], place[np.arange(len(place)), move], rank[-1:]])


def _gains(place: Ints, weight: Floats, total: Floats, lost: float, pin: int) -> Floats:
    """Return what clusters gain from each place of a breakpoint to each one of the next.

    Args:
        place: Places of some breakpoints, shape (b, places).
        weight: Weight of the scalars before them.
        total: Their moment.
        lost: Least weight of a cluster.
        pin: Rank of the scalar whose centre is fixed at 0, or -1.

    Returns:
        Shape (b - 1, places, places); -inf where there is no cluster.
    """
    gains: Floats = total[1:, None, :] - total[:-1, :, None]
    gains *= gains
    gains /= np.maximum(weight[1:, None, :] - weight[:-1, :, None], lost)
    if pin >= 0:
        gains[(place[1:, None, :] > pin) & (place[:-1, :, None] <= pin)] = 0.0
    gains[place[1:, None, :] <= place[:-1, :, None]] = -np.inf
    return gains
