"""Costs of clusters of consecutive cells, for many ranges of starts and ends at a time.

Weight, Σx and Σx² of a cluster are differences of running sums. These are taken about a point
nearby, so that rounding stays relative to nearby scalars.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from autocompress.compression.codebooks.scalars import Floats, Ints

NOISE = 64 * float(np.finfo(np.float64).eps)


class Cells(NamedTuple):
    """Cells of consecutive scalars; all arrays have shape (M,).

    Attributes:
        weight: Number of scalars, or their weights' sum.
        mean: Their mean, ascending.
        scatter: Sum of squares about the mean.
        taken: Weight that a cluster need not pay for when this is its first or last cell.
    """

    weight: Floats
    mean: Floats
    scatter: Floats
    taken: Floats


def moments(
    cells: Cells, lo: Ints, skip: Ints, hi: Ints, centre: Floats, pin: int
) -> tuple[Floats, Floats, Floats]:
    """Return (weight, Σx, Σx²) up to the ends and up to the starts in B ranges of borders.

    What need not be paid for is taken off, so that the difference of an end and a start holds the
    moments of the cluster between them. With a pinned cell there is a fourth row: 1 after it, 0
    before.

    Args:
        cells: The cells.
        lo: First border of each range, shape (B,): its first start.
        skip: How many borders later its first end is.
        hi: Its last border.
        centre: What its sums are about.
        pin: The pinned cell, or -1.

    Returns:
        Ends, shape (3 or 4, B, most ends), starts, shape (3 or 4, B, most borders), both padded,
        and a bound of the rounding error of a difference, shape (B,).
    """
    length = hi - lo
    index = np.minimum(lo[:, None] + np.arange(length.max()), len(cells.mean) - 1)
    x = cells.mean[index]
    x -= centre[:, None]
    term = cells.weight[index]
    start = np.zeros((3 + (pin >= 0), len(lo), index.shape[1] + 1))
    np.cumsum(term, axis=1, out=start[0, :, 1:])
    term *= x
    np.cumsum(term, axis=1, out=start[1, :, 1:])
    term *= x
    term += cells.scatter[index]
    np.cumsum(term, axis=1, out=start[2, :, 1:])
    if pin >= 0:
        start[3] = lo[:, None] + np.arange(start.shape[2]) > pin
    noise = NOISE * start[2, np.arange(len(lo)), length]
    rows = int((length - skip).max()) + 1
    where = np.minimum(skip[:, None] + np.arange(rows), index.shape[1])
    end = start[:, np.arange(len(lo))[:, None], where]
    off = cells.taken[index]
    before = np.maximum(where - 1, 0)
    for power in range(3):
        less = np.take_along_axis(off, before, 1)
        less[where == 0] = 0.0
        end[power] -= less
        start[power, :, :-1] += off
        off *= x
    return end, start, noise


def costs(end: Floats, start: Floats, after: int) -> Floats:
    """Return the cost of the cluster from every start (columns) to every end; inf if not after it.

    An end less a start, for all pairs, is a product of matrices: far faster than broadcasting.
    End r is after start c where c < r + `after`.
    """
    left, right = np.ones((*end.shape, 2)), np.ones((len(start), 2, start.shape[1]))
    left[..., 0] = end
    np.negative(start, out=right[:, 1])
    cost: Floats
    weight, moment, cost, *pinned = (a @ b for a, b in zip(left, right, strict=True))
    if pinned:
        moment[pinned[0] > 0.5] = 0.0  # about 0 already
    moment *= moment
    with np.errstate(divide="ignore", invalid="ignore"):
        moment /= weight
    cost -= moment
    rows = min(max(start.shape[1] - after, 0), end.shape[1])  # ends with a start not before them
    columns = min(max(after, 0), start.shape[1])
    corner = cost[:rows, columns:]
    late = np.arange(columns, start.shape[1]) >= np.arange(rows)[:, None] + after
    corner[late] = np.inf
    return cost


def ending_at(cells: Cells, first: int, last: int, border: int, pin: int) -> Floats:
    """Return the costs of the clusters from borders first..last to one border; 0 if empty."""
    many = border - first
    some = slice(first, border)
    x = cells.mean[some][::-1] - (0.0 if first <= pin < border else cells.mean[border - 1])
    weight, taken = cells.weight[some][::-1], cells.taken[some][::-1]
    total = [np.cumsum(weight), np.cumsum(weight * x)]
    total.append(np.cumsum(weight * x * x + cells.scatter[some][::-1]))
    for power, sums in enumerate(total):
        sums -= taken * x**power + taken[0] * x[0] ** power if many else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        saved = total[1] ** 2 / total[0]
    if first <= pin < border:
        saved[border - pin - 1 :] = 0.0
    cost = np.append((total[2] - saved)[::-1], 0.0)
    return cost[: last - first + 1]
