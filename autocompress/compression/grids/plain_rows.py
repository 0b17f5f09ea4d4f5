"""Uniform levels of float32 rows on a CPU, by NumPy: many short rows at once, long ones in pieces.

The same numbers, bit by bit, as :func:`.rows.nearest_levels` and :func:`.rows.values_of` give.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from autocompress.compression import ranking
from autocompress.compression.base import Tensors, gathered_small, joined, shapes_of
from autocompress.compression.grids.ends import (
    Ends,
    Floats,
    are_moderate,
    grid_of_ends,
    may_exceed,
)
from autocompress.compression.grids.rounding import Quantized, quantized
from autocompress.compression.grids.rows import Layout, bounds, is_plain, merged_layout

Vector: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = NDArray[np.float32]

_CACHED = 1 << 16  # numbers transposed at a time
_SHORT = 128  # numbers of a row up to which columns are reduced
_LONG = 1 << 15  # numbers of a row from which its tails are looked for by themselves


@dataclass(frozen=True)
class Reach:
    """How far the levels of rows go: over the central ``percentile`` per cent of the numbers.

    Of the magnitudes if symmetric; the same as :func:`.scale.percentile_grid`. A row that is
    constant up to there has its whole range. At 100 per cent, what is not finite is in the answer.
    """

    symmetric: bool
    percentile: float

    def of(self, flat: Vector, cut: Layout) -> Ends:
        """Return the ends of each row that a vector is cut into."""
        if self.percentile == 100:
            return _whole(flat, cut, self.symmetric)
        return np.concatenate([self._inner(rows) for rows in _blocks(flat, cut)], axis=1)

    def _inner(self, rows: Rows) -> Ends:
        share = self.percentile / 100
        if self.symmetric:
            high = _upper(rows, share, magnitudes=True)
            low = -high
        else:
            high = _upper(rows, (1 + share) / 2, magnitudes=False)
            low = -_upper(-rows, (1 + share) / 2, magnitudes=False)
        constant = high <= low
        if constant.any():
            some = rows[constant]
            low[constant], high[constant] = _whole(some.reshape(-1), [some.shape], self.symmetric)
        return np.stack([low, high])


def plain_rows(
    weights: Tensors, per: str, group_size: int | None, width: int, part: Reach
) -> Quantized | None:
    """Return levels, grids, and what they decode to.

    Args:
        weights: The tensors.
        per: What has a scale of its own; see :func:`.rows.layout`.
        group_size: Length of a group, or None.
        width: Bits of a level.
        part: How far the levels of rows go.

    Returns:
        None where this is not for the weights: one symmetric bit, other numbers than float32 on the
        CPU, what is not finite, or so large that a level may overflow.
    """
    weights = tuple(w.detach() if w.requires_grad else w for w in weights)
    if (part.symmetric and width == 1) or not all(map(is_plain, weights)):
        return None
    pieces = gathered_small(weights)
    flats = [joined(piece).numpy() for piece in pieces]
    cuts = [merged_layout(shapes_of(piece), per, group_size) for piece in pieces]
    found = [part.of(flat, cut) for flat, cut in zip(flats, cuts, strict=True)]
    ends = np.concatenate(found, axis=1) if len(found) > 1 else found[0]
    reach = np.maximum.reduce(np.abs(ends), axis=0)
    if not are_moderate(reach):
        return None
    grid = grid_of_ends(ends, width, part.symmetric)
    steps = np.where(grid[0] > 0, grid[0], np.float32(1))
    limits = bounds(width, part.symmetric)
    clip = limits if part.percentile < 100 or may_exceed(reach, grid) else None
    # several tensors were copied when they were joined: that copy may be overwritten
    values = flats[0] if len(flats) < len(weights) else None
    blocks = [rows for flat, cut in zip(flats, cuts, strict=True) for rows in _blocks(flat, cut)]
    return quantized(blocks, grid, clip, width, values, steps)


def _blocks(flat: Vector, cut: Layout) -> Iterator[Rows]:
    """Yield the matrices of rows that a vector is cut into."""
    start = 0
    for count, length in cut:
        end = start + count * length
        yield flat[start:end].reshape(count, length)
        start = end


def _whole(flat: Vector, cut: Layout, symmetric: bool) -> Ends:
    """Return the least and the largest number of each row, or opposites that hold them."""
    if any(length <= _SHORT for _, length in cut):
        ends = np.concatenate([_of_block(rows) for rows in _blocks(flat, cut)], axis=1, dtype=float)
    else:
        ends = np.array(_of_rows(flat, cut), np.float64)
    if symmetric:
        ends[1] = np.maximum(-ends[0], ends[1])
        ends[0] = -ends[1]
    return ends


def _of_rows(flat: Vector, cut: Layout) -> list[Vector]:
    lengths = [length for count, length in cut for _ in range(count)]
    starts = [0, *itertools.accumulate(lengths[:-1])]
    return [reduce.reduceat(flat, starts) for reduce in (np.minimum, np.maximum)]


def _of_block(rows: Rows) -> list[Vector]:
    if rows.shape[1] > _SHORT:
        return _of_rows(rows.reshape(-1), [rows.shape])
    found = [np.empty(len(rows), np.float32) for _ in range(2)]
    step = max(1, _CACHED // rows.shape[1])
    for start in range(0, len(rows), step):
        some = slice(start, start + step)
        columns = np.ascontiguousarray(rows[some].T)
        for reduce, into in zip((np.minimum, np.maximum), found, strict=True):
            reduce.reduce(columns, axis=0, out=into[some])
    return found


def _upper(rows: Rows, fraction: float, *, magnitudes: bool) -> Floats:
    """Return an upper quantile of each row, interpolated between order statistics."""
    length = rows.shape[1]
    position = fraction * (length - 1)
    below = math.floor(position)
    count = length - below  # of the numbers from the one below on
    if length >= _LONG:
        tails = np.stack([_tail(row, count, magnitudes) for row in rows])
    else:
        whole = np.abs(rows) if magnitudes else rows
        above = min(below + 1, length - 1)
        tails = np.partition(whole, sorted({below, above}), axis=1)[:, below : above + 1]
    wide: Floats = tails.astype(np.float64)
    first, second = wide[:, 0], wide[:, -1]
    share = position - below
    # from the nearer end, as torch.lerp
    result: Floats = (
        first + share * (second - first) if share < 0.5 else second - (1 - share) * (second - first)
    )
    return result


def _tail(row: Rows, count: int, magnitudes: bool) -> Rows:
    """Return the least two of the ``count`` largest; twice the largest where it is one."""
    read = ranking.Magnitudes(row) if magnitudes else ranking.Numbers(row)
    largest = read[ranking.largest(read, len(row), count)]
    two = np.partition(largest, 1)[:2] if count > 1 else np.repeat(largest, 2)
    return two
