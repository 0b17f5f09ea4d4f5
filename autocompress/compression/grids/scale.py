"""Where uniform grids come from: the range, percentiles of it, or its entropy calibration.

A *grid* is a scale and an offset for each row of a matrix: see
:func:`.rows.nearest_levels`. Least squares have a module of their
own, :mod:`.mse`.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autocompress.compression.grids.rows import bounds, extremes
from autocompress.compression.tensors import PLAIN

Grid: TypeAlias = tuple[Tensor, Tensor | None]
"""Scales and, unless symmetric, offsets (the values of level 0): vectors of one number a row."""

BINS = 2048
Floats = NDArray[np.float64]


def storable(grid: Grid, rows: Tensor, bits: int) -> Grid:
    """Return a grid in the rows' dtype, a little finer where a level in use would overflow."""
    offset = None if grid[1] is None else grid[1].to(rows.dtype)
    scale = grid[0].to(rows.dtype)
    fits = _fits(scale, offset, rows, bits)
    if bool(fits.all()):
        return scale, offset
    bottom = bounds(bits, offset is None)[0]
    # a number less than the largest, by the roundings of the product and the sum
    most = torch.finfo(rows.dtype).max * (1 - 4 * torch.finfo(rows.dtype).eps)
    room = torch.full_like(grid[0], most)
    if grid[1] is not None:
        # levels that stand for numbers are others: those of an offset that is not too large
        steps = ((grid[1].abs() - most) / grid[0]).ceil()
        steps = torch.where(grid[1].to(rows.dtype).isfinite(), 0, steps)
        offset = (grid[1] - grid[1].sign() * steps * grid[0]).to(rows.dtype)
        room = room - offset.double().abs()
    for reach in (torch.full_like(room, most), room.clamp(min=0)):
        finer = torch.minimum(grid[0].double(), reach / -bottom).to(rows.dtype)
        scale = torch.where(fits, scale, finer)
        fits = _fits(scale, offset, rows, bits)
    return scale, offset


def _fits(scale: Tensor, offset: Tensor | None, rows: Tensor, bits: int) -> Tensor:
    """Say of each row whether its numbers, at their nearest levels, decode to finite ones."""
    bottom, top = bounds(bits, offset is None)
    zero = torch.zeros_like(scale) if offset is None else offset
    step = torch.where(scale > 0, scale, 1).double()
    finite = scale.isfinite()
    for extreme in extremes(rows):
        level = ((extreme.double() - zero.double()) / step).round().clamp(bottom, top)
        finite &= (scale * level.to(scale.dtype) + zero).isfinite()
    return finite


def grid_over(low: Tensor, high: Tensor, bits: int, symmetric: bool) -> Grid:
    """Return the grid whose extreme levels are ``low`` and ``high``, float64 vectors."""
    bottom, top = bounds(bits, symmetric)
    if symmetric:
        return high / top, None
    # divided first: the difference of the largest numbers of a dtype overflows
    scale = high / (top - bottom) - low / (top - bottom)
    return scale, low * (top / (top - bottom)) + high * (-bottom / (top - bottom))


def minmax_grid(rows: Tensor, bits: int, symmetric: bool) -> Grid:
    """Return the grid over the exact range of each row (of its magnitudes if symmetric)."""
    low, high = (e.double() for e in extremes(rows))
    if symmetric:
        high = torch.maximum(-low, high)
    return grid_over(low, high, bits, symmetric)


def percentile_grid(rows: Tensor, bits: int, symmetric: bool, percentile: float) -> Grid:
    """Return the grid over the central ``percentile`` per cent of each row.

    Symmetric: up to that percentile of the magnitudes. Else between the percentiles that leave half
    of the rest on either side. Percentiles are interpolated linearly, as NumPy's. A row that is
    constant up to there (mostly zeros) takes its whole range instead.
    """
    if symmetric:
        (high,) = _quantiles(rows.abs(), [percentile / 100])
        low = -high
    else:
        tail = (1 - percentile / 100) / 2
        low, high = _quantiles(rows, [tail, 1 - tail])
    whole = minmax_grid(rows, bits, symmetric)
    inner = grid_over(low, high, bits, symmetric)
    flat = inner[0] <= 0
    scale = torch.where(flat, whole[0], inner[0])
    if inner[1] is None or whole[1] is None:
        return scale, None
    return scale, torch.where(flat, whole[1], inner[1])


def _quantiles(rows: Tensor, fractions: list[float]) -> list[Tensor]:
    """Return each row's quantiles, float64; linear interpolation between order statistics."""
    last = rows.shape[1] - 1
    positions = [fraction * last for fraction in fractions]
    kth = sorted({k for p in positions for k in (math.floor(p), min(math.floor(p) + 1, last))})
    if rows.device.type == "cpu" and rows.dtype in PLAIN:
        # NumPy selects in linear time; torch would sort
        ordered = torch.from_numpy(np.partition(rows.detach().numpy(), kth, axis=1))
    else:
        ordered = torch.sort(rows, dim=1).values
    found = {k: ordered[:, k].double() for k in kth}
    result = []
    for position in positions:
        below = math.floor(position)
        above = found[min(below + 1, last)]
        result.append(torch.lerp(found[below], above, position - below))
    return result


# Entropy calibration ----------------------------------------------------------------------------


def entropy_grid(rows: Tensor, bits: int, symmetric: bool) -> Grid:
    """Return the grid that clips each row where its histogram loses least information.

    Magnitudes are counted in 2048 bins. For every i >= ``2^(bits-1)``, what lies beyond the first i
    bins is added to the last of them (P), the i bins themselves are merged into ``2^(bits-1)``
    almost equal pieces and spread evenly again over those that are not empty (Q); the i with the
    least ``KL(P‖Q)`` is the clip, the largest such i if there are several.

    Two things are not in the source. Rows of fewer than 8192 weights have fewer bins, a power of
    two of at most a quarter of the weights: a histogram of empty bins says nothing, and would clip
    almost everything. And for asymmetric grids magnitudes are distances from the middle of the
    range. With no more bins than ``2^(bits-1)`` nothing is clipped.
    """
    low, high = (e.double() for e in extremes(rows))
    middle = torch.zeros_like(low) if symmetric else low / 2 + high / 2
    largest = torch.maximum(high - middle, middle - low)
    levels, bins = 2 ** (bits - 1), _bins(rows.shape[1])
    share = torch.ones_like(largest)
    if levels < bins:
        step = max(1, 2**19 // bins)
        for start in range(0, rows.shape[0], step):
            cut = slice(start, start + step)
            counts = _histograms(rows[cut], middle[cut], largest[cut], bins)
            share[cut] = torch.from_numpy(_clips(counts, levels)).to(share) / bins
    return grid_over(middle - share * largest, middle + share * largest, bits, symmetric)


def _bins(length: int) -> int:
    return BINS if length >= 4 * BINS else 2 ** max(length // 4, 1).bit_length() // 2


def _histograms(rows: Tensor, middle: Tensor, largest: Tensor, bins: int) -> NDArray[np.int64]:
    """Count the distances from the middle of each row in bins up to the largest: (rows, bins)."""
    count = rows.shape[0]
    unit = torch.where(largest > 0, largest, 1)[:, None]
    first = torch.arange(count, device=rows.device)[:, None] * bins
    total = np.zeros(count * bins, dtype=np.int64)
    width = max(1, 2**15 // count)
    for start in range(0, rows.shape[1], width):
        part = rows[:, start : start + width].to(torch.float64)
        at = (part - middle[:, None]).abs_().div_(unit).mul_(bins).long().clamp_(max=bins - 1)
        total += np.bincount((at + first).view(-1).cpu().numpy(), minlength=count * bins)
    return total.reshape(count, bins)


def _clips(counts: NDArray[np.int64], levels: int) -> NDArray[np.int64]:
    """Return for each histogram the number of bins to keep.

    KL(P‖Q) needs only sums over pieces, which are differences of cumulative sums. A last bin that
    is empty in Q but not in P makes it infinite: such i are not looked at.
    """
    c = counts.astype(np.float64)
    bins = counts.shape[1]
    zero = np.zeros((len(c), 1))
    tables = np.stack([np.cumsum(c, axis=1), np.cumsum(c > 0, axis=1)], axis=-1)
    tables = np.concatenate([np.zeros((len(c), 1, 2)), tables], axis=1)
    entropy = np.concatenate([zero, np.cumsum(_xlogx(c), axis=1)], axis=1)
    row, last = np.nonzero(counts[:, levels - 1 :])
    kept = last + levels
    total, inside = tables[row, bins, 0], tables[row, kept, 0]
    outside = total - inside
    own = c[row, kept - 1]
    divergence = entropy[row, kept] - _xlogx(own) + _xlogx(own + outside)
    divergence += total * (np.log(inside) - np.log(total))
    before = tables[row, 0]
    for piece in range(1, levels + 1):
        after = tables[row, -(-piece * kept // levels)]
        mass, filled = (after - before).T
        p_mass = mass + outside if piece == levels else mass
        divergence -= p_mass * np.log(np.where(mass > 0, mass / np.maximum(filled, 1), 1))
        before = after
    table = np.full((len(c), bins + 1), np.inf)
    table[row, kept] = divergence / total
    least = table.min(axis=1, keepdims=True)
    # the largest of equals, up to rounding
    clips: NDArray[np.int64] = bins - np.argmax((table <= least + 1e-12)[:, ::-1], axis=1)
    return clips


def _xlogx(x: Floats) -> Floats:
    result: Floats = x * np.log(np.where(x > 0, x, 1))
    return result
