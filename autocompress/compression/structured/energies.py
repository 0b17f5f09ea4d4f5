"""The output channels of largest energy, mostly told apart in single precision.

Sums of squares in double precision take several times as long, and are needed for the few channels
near the threshold alone. With ``u = 2⁻²⁴`` and n squares, a sum in single precision is off by at
most ``n u / (1 - n u)`` of itself in whatever order it is taken (Higham, *Accuracy and Stability of
Numerical Algorithms*, 2002, §3.1), so that is known of every channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autocompress.compression.base import Tensors
from autocompress.compression.structured import budget

Row: TypeAlias = Sequence[int]
"""Positions of the tensors whose output channels survive together."""

_ERROR = 2.0**-23  # for each square, twice what it can be
_LEAST = 2.0**-60  # smaller sums may have lost squares that are no normal numbers
_MARGIN = 16.0  # how many errors from the threshold a channel is told by exact sums


def strongest(weights: Tensors, rows: Sequence[Row], count: int) -> tuple[Tensor, ...] | None:
    """Return the channels of largest Σ w², as :func:`.budget.threshold` chooses them.

    Args:
        weights: The task's.
        rows: Tensors that share their channels; a channel's squares are summed over all of them.
        count: How many survive, fewer than there are and more than there are rows.

    Returns:
        For each row the sorted positions of its survivors (int64). None where single precision
        does not say enough, or a weight is not finite.
    """
    tied = [position for row in rows for position in row]
    if any(weights[p].dtype != torch.float32 or weights[p].device.type != "cpu" for p in tied):
        return None
    matrices = {p: _matrix(weights[p]) for p in tied}
    sizes = [len(matrices[row[0]]) for row in rows]
    band = _MARGIN * _ERROR * max(sum([matrices[p].shape[1] for p in row]) for row in rows)
    scores = _single(matrices, rows, sizes)
    if min(sizes) < 1 or band > 0.1 or not np.isfinite(np.add.reduce(scores)):
        return None
    found = _near(scores, sizes, count, band)
    if found is None or 4 * found[0].size > scores.size:
        return None
    near, sure = found
    if near.size == 1:  # no other is about as large as the least survivor
        kept = budget.by_row(np.flatnonzero(sure), sizes)
        return tuple(map(torch.from_numpy, kept))
    scores[near] = _double(matrices, rows, sizes, near)
    return tuple(torch.from_numpy(kept) for kept in budget.threshold(scores, sizes, count))


def _matrix(weight: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = weight.detach().numpy()
    return array.reshape(len(array), -1 if array.size else 0)


def _single(
    matrices: dict[int, NDArray[np.float32]], rows: Sequence[Row], sizes: Sequence[int]
) -> NDArray[np.float64]:
    """Return the energies of all channels, summed in single precision."""
    scores, start = np.zeros(sum(sizes), np.float32), 0
    with np.errstate(over="ignore", invalid="ignore"):
        for row, size in zip(rows, sizes, strict=True):
            into = scores[start : start + size]
            for number, position in enumerate(row):
                matrix = matrices[position]
                if number:
                    into += np.vecdot(matrix, matrix)
                else:
                    np.vecdot(matrix, matrix, out=into)
            start += size
    return scores.astype(np.float64)


def _near(
    scores: NDArray[np.float64], sizes: Sequence[int], count: int, band: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
    """Return the channels whose fate single precision leaves open; None where all of them are.

    Those about as large as the threshold, and where a row's best one may be below it, those about
    as large as that: it survives. And a mask of all that do, by these scores.
    """
    starts = np.cumsum(sizes, dtype=np.int64) - np.array(sizes)
    best = np.maximum.reduceat(scores, starts)
    tops = np.repeat(best, sizes)
    others = np.where(scores == tops, np.inf, scores)  # with ties more than one a row: in the band
    limit = np.partition(others, scores.size - count)[scores.size - count]
    if not np.isfinite(limit) or min(limit, best.min()) < _LEAST:
        return None
    near = np.abs(scores - limit) <= band * limit
    near |= (tops <= limit * (1 + band)) & (scores >= tops * (1 - band))
    return np.flatnonzero(near), others >= limit


def _double(
    matrices: dict[int, NDArray[np.float32]],
    rows: Sequence[Row],
    sizes: Sequence[int],
    channels: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the energies of some channels in double precision."""
    found: list[NDArray[Any]] = []
    start = first = 0
    ends = np.cumsum(sizes).tolist()
    for row, end, last in zip(rows, ends, np.searchsorted(channels, ends).tolist(), strict=True):
        if last > first:
            index = channels[first:last] - start
            some = (matrices[p].take(index, 0).astype(np.float64) for p in row)
            found.append(sum(np.vecdot(m, m) for m in some))
        start, first = end, last
    return np.concatenate(found) if found else np.empty(0)
