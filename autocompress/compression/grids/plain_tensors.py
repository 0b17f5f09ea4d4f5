"""Uniform levels of float32 tensors on a CPU, one grid a tensor, by NumPy: few calls for each.

The same numbers, bit by bit, as :func:`.rows.nearest_levels` and :func:`.rows.values_of` give.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from autocompress.compression.base import Tensors
from autocompress.compression.grids.ends import (
    LEAST,
    MOST,
    Ends,
    are_moderate,
    grid_of_ends,
    may_exceed,
)
from autocompress.compression.grids.rounding import Quantized, quantized
from autocompress.compression.grids.rows import bounds, is_plain

Vector: TypeAlias = NDArray[np.float32]

_SMALL = 2**12  # numbers of a tensor that take less time than calls do


def ranged_tensors(weights: Tensors, bits: int, symmetric: bool) -> Quantized | None:
    """Return the levels over the exact range of each tensor.

    None where :func:`.plain_rows` or torch has to: as there, and of constant tensors and numbers
    that are tiny, or near each other but not to zero.
    """
    rows = _vectors(weights)
    if rows is None or (symmetric and bits == 1):
        return None
    values = None
    if len(rows) > 1 and sum(map(len, rows)) <= _SMALL * len(rows):
        rows, values, ends = side_by_side(rows)
    else:
        least, most = np.minimum.reduce, np.maximum.reduce
        ends = np.array([[least(row) for row in rows], [most(row) for row in rows]], np.float64)
    reach = np.maximum.reduce(np.abs(ends))
    if symmetric:
        ends[1] = reach
    if not are_moderate(reach):
        return None
    grid = grid_of_ends(ends, bits, symmetric)
    if may_exceed(reach, grid):
        return None
    return quantized(rows, grid, None, bits, values)


def side_by_side(rows: list[Vector]) -> tuple[list[Vector], Vector, Ends]:
    """Return copies of vectors, what they are parts of, and each one's least and largest number.

    Of many short ones two calls find these.
    """
    flat = np.concatenate(rows)
    stops = list(itertools.accumulate(map(len, rows)))
    starts = [0, *stops[:-1]]
    ends = np.empty((2, len(rows)))
    ends[0] = np.minimum.reduceat(flat, starts)
    ends[1] = np.maximum.reduceat(flat, starts)
    return [flat[start:stop] for start, stop in zip(starts, stops, strict=True)], flat, ends


def plain_tensors(
    weights: Tensors, bits: int, find: Callable[[Vector, int], float | None]
) -> Quantized | None:
    """Return symmetric levels of each tensor.

    Args:
        weights: The tensors.
        bits: Bits of a level.
        find: Takes a tensor's weights, and which one it is, and returns a scale.

    Returns:
        None where that is not all there is to do: no scale is found; one bit; other numbers than
        finite float32 on the CPU; scales that are not normal numbers, or so large that a level may
        overflow.
    """
    rows = _vectors(weights)
    if bits == 1 or rows is None:
        return None
    limits = bounds(bits, symmetric=True)
    least, most = LEAST, MOST / (2 * limits[1])
    scales = []
    for index, row in enumerate(rows):
        lowest, highest = float(np.minimum.reduce(row)), float(np.maximum.reduce(row))
        if not max(highest, -lowest) / limits[1] <= most or lowest != lowest:
            return None
        scale = find(row, index)
        if scale is None or not (least <= scale <= most or highest == lowest == 0):
            return None
        scales.append(scale)
    grid = np.array([scales], dtype=np.float32)
    steps = np.where(grid[0] > 0, grid[0], np.float32(1))
    return quantized(rows, grid, limits, bits, steps=steps)


def _vectors(weights: Tensors) -> list[Vector] | None:
    """Return the tensors that have any numbers as vectors; None if NumPy cannot take them."""
    plain = [w.detach() if w.requires_grad else w for w in weights]
    if not all(map(is_plain, plain)):
        return None
    return [row for w in plain if len(row := w.numpy().reshape(-1))]
