"""Uniform levels of float32 rows on a CPU, by NumPy: many short rows at once, long ones in pieces.

The same numbers, bit by bit, as :func:`.rows.nearest_levels` and :func:`.rows.values_of` give.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autocompress.compression import ranking
from autocompress.compression.base import Tensors, gathered_small, joined, shapes_of
from autocompress.compression.grids.rows import Layout, bounds, is_plain, layout, merged

Rows: TypeAlias = NDArray[np.float32]
Floats: TypeAlias = NDArray[np.float64]
Ends: TypeAlias = tuple[Floats, Floats]
"""The least and the largest number that levels reach, for each row; opposite if symmetric."""

_MOST = float(np.finfo(np.float32).max)
_CACHED = 1 << 16  # numbers at a time
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

    def of(self, rows: Rows) -> Ends:
        """Return the ends of each row."""
        symmetric, share = self.symmetric, self.percentile / 100
        if share == 1:
            return _whole(rows, symmetric)
        if symmetric:
            high = _upper(rows, share, magnitudes=True)
            low = -high
        else:
            high = _upper(rows, (1 + share) / 2, magnitudes=False)
            low = -_upper(-rows, (1 + share) / 2, magnitudes=False)
        constant = high <= low
        if constant.any():
            low[constant], high[constant] = _whole(rows[constant], symmetric)
        return low, high


def plain_rows(
    weights: Tensors, per: str, group_size: int | None, width: int, reach: Reach
) -> tuple[Tensor, list[Tensor], Tensor] | None:
    """Return levels, grids, and what they decode to.

    Args:
        weights: The tensors.
        per: What has a scale of its own; see :func:`.rows.layout`.
        group_size: Length of a group, or None.
        width: Bits of a level.
        reach: How far the levels of rows go.

    Returns:
        Levels (int8 or int16, a vector); scales, and unless symmetric offsets; values, a vector.
        None where this is not for the weights: one symmetric bit, other numbers than float32 on the
        CPU, what is not finite, or so large that a level may overflow.
    """
    if (reach.symmetric and width == 1) or not all(map(is_plain, weights)):
        return None
    size = sum(w.numel() for w in weights)
    pieces = gathered_small(weights)
    flats = [joined(piece).numpy() for piece in pieces]
    blocks = [
        rows
        for flat, piece in zip(flats, pieces, strict=True)
        for rows in _blocks(flat, merged(layout(shapes_of(piece), per, group_size)))
    ]
    found = [reach.of(rows) for rows in blocks]
    ends = found[0]
    if len(found) > 1:
        low, high = zip(*found, strict=True)
        ends = np.concatenate(low), np.concatenate(high)
    with np.errstate(over="ignore", invalid="ignore"):
        # no negative zeros
        grid = [n.astype(np.float32) + np.float32(0) for n in _grid(ends, width, reach.symmetric)]
    if not _is_moderate(grid, width):
        return None
    limits = bounds(width, reach.symmetric)
    clip = limits if reach.percentile < 100 or _is_beyond(ends, grid, limits) else None
    # several tensors were copied when they were joined: that copy may be overwritten
    values = flats[0] if len(flats) < len(weights) else np.empty(size, np.float32)
    levels = np.empty(size, np.int16 if width > 8 else np.int8)
    step = np.where(grid[0] > 0, grid[0], np.float32(1))
    first = start = 0
    for rows in blocks:
        own, some = slice(first, first + len(rows)), slice(start, start + rows.size)
        out = levels[some].reshape(rows.shape), values[some].reshape(rows.shape)
        _quantize(rows, step[own], [numbers[own] for numbers in grid], clip, *out)
        first, start = own.stop, some.stop
    return torch.from_numpy(levels), list(map(torch.from_numpy, grid)), torch.from_numpy(values)


def _blocks(flat: Rows, cut: Layout) -> Iterator[Rows]:
    """Yield the matrices of rows that a vector is cut into."""
    start = 0
    for count, length in cut:
        end = start + count * length
        yield flat[start:end].reshape(count, length)
        start = end


def _grid(ends: Ends, width: int, symmetric: bool) -> list[Floats]:
    """Return scales, and unless symmetric offsets, as :func:`.scale.grid_over` does."""
    low, high = ends
    bottom, top = bounds(width, symmetric)
    if symmetric:
        return [high / top]
    steps = top - bottom
    return [high / steps - low / steps, low * (top / steps) + high * (-bottom / steps)]


def _is_moderate(grid: list[Rows], width: int) -> bool:
    """Whether no level can overflow."""
    reach = float(grid[0].max()) * 2.0**width
    return reach + (float(np.abs(grid[1]).max()) if len(grid) > 1 else 0.0) < _MOST / 4


def _is_beyond(ends: Ends, grid: list[Rows], limits: tuple[int, int]) -> bool:
    """Whether rounding takes the end of a range to a level that is none."""
    bottom, top = limits
    step = np.where(grid[0] > 0, grid[0], np.float32(1))
    low, high = (end.astype(np.float32) for end in ends)
    if len(grid) > 1:
        low, high = low - grid[1], high - grid[1]
    # subtraction, division and rounding keep order: what is between the ends stays there
    return bool((np.rint(low / step) < bottom).any() or (np.rint(high / step) > top).any())


def _quantize(
    rows: Rows,
    step: Rows,
    grid: list[Rows],
    clip: tuple[int, int] | None,
    levels: NDArray[Any],
    values: Rows,
) -> None:
    """Write the nearest levels, and what they stand for."""
    step = step[:, None]
    scale, *offset = (numbers[:, None] for numbers in grid)
    for r, c in _pieces(*rows.shape):
        part = values[r, c]
        if offset:
            np.subtract(rows[r, c], offset[0][r], out=part)
            np.divide(part, step[r], out=part)
        else:
            np.divide(rows[r, c], step[r], out=part)
        np.rint(part, out=part)
        if clip is not None:
            np.clip(part, *clip, out=part)
        levels[r, c] = part
        if offset:
            part *= scale[r]
            part += offset[0][r]
        else:
            part += 0.0  # integers have no negative zero
            part *= scale[r]


def _pieces(count: int, length: int) -> Iterator[tuple[slice, slice]]:
    step, width = max(1, _CACHED // length), min(length, _CACHED)
    for row in range(0, count, step):
        for column in range(0, length, width):
            yield slice(row, row + step), slice(column, column + width)


def _whole(rows: Rows, symmetric: bool) -> Ends:
    length = rows.shape[1]
    if length <= _SHORT:  # an operation a column takes less time than one a row
        found = [np.empty(len(rows), np.float32) for _ in range(2)]
        for some, _ in _pieces(*rows.shape):
            columns = np.ascontiguousarray(rows[some].T)
            for reduce, into in zip((np.minimum, np.maximum), found, strict=True):
                reduce.reduce(columns, axis=0, out=into[some])
    else:
        flat, starts = rows.reshape(-1), np.arange(0, rows.size, length)
        found = [reduce.reduceat(flat, starts) for reduce in (np.minimum, np.maximum)]
    low, high = (end.astype(np.float64) for end in found)
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    return low, high


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
