"""Rounding of float32 rows to whole levels by NumPy, several short ones at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats32: TypeAlias = NDArray[np.float32]
Quantized: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Levels (int8 or int16, a vector); scales, and unless symmetric offsets; values, a vector."""

_CACHED = 2**18  # numbers at a time


def quantized(
    blocks: Sequence[Floats32],
    grid: Floats32,
    limits: tuple[int, int] | None,
    width: int,
    values: Floats32 | None = None,
    steps: Floats32 | None = None,
) -> Quantized:
    """Return the nearest levels, of ``width`` bits, of rows one after the other.

    The other arguments are those of :func:`round_rows`, but ``values`` are made where there are
    none; the blocks may be parts of them, in their order.
    """
    size = sum(block.size for block in blocks)
    levels = np.empty(size, np.int16 if width > 8 else np.int8)
    values = np.empty(size, np.float32) if values is None else values
    round_rows(blocks, grid, limits, levels, values, steps)
    return torch.from_numpy(levels), torch.from_numpy(grid), torch.from_numpy(values)


def round_rows(
    blocks: Sequence[Floats32],
    grid: Floats32,
    limits: tuple[int, int] | None,
    out: NDArray[Any],
    values: Floats32 | None = None,
    steps: Floats32 | None = None,
) -> None:
    """Write the nearest levels of rows one after the other, ties to even.

    Args:
        blocks: Matrices of rows, or single rows.
        grid: The scale, and the offset if there is any, of each row: (1 or 2, rows).
        limits: The lowest and the highest level; None if scales are such that none is beyond them.
        out: Takes the levels, int8 or int16, a vector.
        values: Takes ``scale · level + offset``, as it is decoded, to the sign of zero; or None.
        steps: The scales, with one in place of zero; None if there is no zero.
    """
    buffer = np.empty(min(_CACHED, len(out)), np.float32) if values is None else values
    scales, offsets = grid[0], grid[1] if len(grid) > 1 else None
    waiting: list[_Part] = []
    filled = written = 0
    for some, row in _pieces(blocks):
        end = filled + some.size
        if end > _CACHED:
            _round(buffer[:filled], limits, out[written : written + filled], waiting)
            written, filled, end = written + filled, 0, some.size
            buffer = buffer if values is None else values[written:]
            waiting = []
        part = buffer[filled:end]
        if some.ndim > 1:
            part = part.reshape(some.shape)
        scale, offset = scales[row], None
        if offsets is not None:
            offset = offsets[row]
            some = np.subtract(some, offset, part)
        np.divide(some, scale if steps is None else steps[row], part)
        if values is not None:
            waiting.append((part, scale, offset))
        filled = end
    _round(buffer[:filled], limits, out[written:], waiting)


_Part: TypeAlias = tuple[Floats32, Floats32, Floats32 | None]
"""Some of the numbers that are rounded, their scale and their offset."""


def _pieces(blocks: Sequence[Floats32]) -> Iterator[tuple[Floats32, tuple[Any, ...]]]:
    """Yield parts of blocks that are not too large, and an index for what there is one a row of."""
    first = 0  # numbers without a dimension take less time than those with one
    for block in blocks:
        if block.ndim == 1:
            if len(block) <= _CACHED:
                yield block, (first, ...)
            else:
                yield from ((some, (first, ...)) for some in _cut(block))
            first += 1
            continue
        count, length = block.shape
        if count > 1 and length <= _CACHED:
            step = max(1, _CACHED // length)
            for row in range(0, count, step):
                some = block[row : row + step]
                yield some, (slice(first + row, first + row + len(some)), None)
        else:
            for row, numbers in enumerate(block, first):
                yield from ((some, (row, ...)) for some in _cut(numbers))
        first += count


def _cut(row: Floats32) -> Iterator[Floats32]:
    return (row[start : start + _CACHED] for start in range(0, len(row), _CACHED))


def _round(
    numbers: Floats32, limits: tuple[int, int] | None, out: NDArray[Any], parts: Sequence[_Part]
) -> None:
    """Round numbers in place, write them as integers, and decode parts of them in place."""
    np.rint(numbers, numbers)
    if limits is not None:
        np.clip(numbers, *limits, out=numbers)
    out[...] = numbers
    if parts and parts[0][2] is None:
        np.add(numbers, 0.0, numbers)  # integers have no negative zero
    for part, scale, offset in parts:
        np.multiply(part, scale, part)
        if offset is not None:
            np.add(part, offset, part)
