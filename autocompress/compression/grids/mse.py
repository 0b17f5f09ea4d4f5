"""Uniform grids of least squares: ``min Σᵢ hᵢ (wᵢ - scale · qᵢ - offset)²`` for each row.

Given the levels q the best grid is a weighted regression; given the grid each weight takes its
nearest level. What is hard is that the two depend on each other.

*Symmetric, exact.* As the scale decreases from infinity, the level of wᵢ goes from k to k+1 where
the scale passes ``|wᵢ| / (k + ½)``. Between two such points the error is ``A - 2 s B + s² C`` with
constant ``B = Σ h |w| q`` and ``C = Σ h q²``, so that the least error is ``A - max B²/C`` over all
points, and all are visited: sorted, with running sums of B and C. That takes one sort of
``weights · (2^(b-1) - 1)`` numbers and is done for up to :data:`SWEEP` of them in a matrix of rows.
Long rows without weights on the CPU, of more than :data:`LONG` such numbers, are left to
:mod:`.bracket`, which is much faster, and optimal or very near.
One symmetric bit is solved in closed form, ``scale = Σ h |w| / Σ h``.

*Otherwise*, a search: candidate clips in geometric progression between the row's range and the
least clip that can be optimal (clipping m to c costs ``h (m - c)²`` at least, which must not exceed
an error already found), the regression for each, finer candidates around the best, and a few
alternations of regression and assignment. An asymmetric grid clips either side by an amount of its
own. The range itself and the previous solution are among the candidates. Nothing is proved about
what is found; next to the sweep, on rows of 300 and of 7200 numbers of several distributions, its
error is within 1 % for up to 6 bits, and within 10 % where 8 bits meet short rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autocompress.compression.grids.bracket import bracket
from autocompress.compression.grids.fit import Rows
from autocompress.compression.grids.rows import bounds, compute_dtype, extremes, pieces, sort_rows
from autocompress.compression.grids.scale import Grid
from autocompress.compression.grids.search import search

SWEEP = 2**21
"""Most breakpoints of a matrix of rows for which the exact method is taken."""

LONG = 2**13
"""Most breakpoints of a row for which it is, on the CPU and without weights."""

_BLOCK = 2**16
_CACHED = 3 << 14  # breakpoints looked at together, or weights


def least_squares_grid(
    rows: Tensor, bits: int, symmetric: bool, importance: Tensor | None, previous: Grid | None
) -> Grid:
    """Return the grid of least squares of each row; see the module for how good it is.

    Args:
        rows: Weights ``(rows, length)``, finite.
        bits: Bits of a level.
        symmetric: Whether to leave the offset out.
        importance: h >= 0 of the shape of ``rows``, or None for ones.
        previous: A grid to be no worse than, or None.
    """
    if importance is not None and bool(importance.min() == importance.max()):
        importance = None
    top = bounds(bits, symmetric)[1]
    sweep = symmetric and (bits == 1 or (bits < 16 and rows.numel() * top <= SWEEP))
    sweep = sweep and not _bracketed(rows, bits, symmetric, importance)
    each = rows.shape[1] * (top if sweep else 1)
    step = max(1, (_CACHED if rows.device.type == "cpu" else 2**23) // each)
    parts = []
    for start in range(0, len(rows), step):
        cut = slice(start, start + step)
        h = None if importance is None else importance[cut]
        old = previous and (previous[0][cut], None if previous[1] is None else previous[1][cut])
        parts.append(_solve(_Task(rows[cut], bits, symmetric, h, old, rows.numel()), sweep))
    offsets = [offset for _, offset in parts if offset is not None]
    return torch.cat([scale for scale, _ in parts]), torch.cat(offsets) if offsets else None


def _running(ordered: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the sums of the first 0, 1, … numbers, in blocks: no float64 copy of them all."""
    below = np.zeros(len(ordered) + 1)
    for start in range(0, len(ordered), _BLOCK):
        block = ordered[start : start + _BLOCK]
        into = below[start + 1 : start + 1 + len(block)]
        np.cumsum(block, dtype=np.float64, out=into)
        into += below[start]
    return below


def least_squares_scale(
    row: NDArray[np.float32], bits: int, previous: float | None
) -> float | None:
    """Return the symmetric scale of least squares of one row, or None where a search is needed."""
    top = bounds(bits, True)[1]
    x = np.abs(row)
    if len(x) >= 32 * top and len(x) * top > LONG:
        x.sort()
        return bracket(x, _running(x), top, previous)
    if len(x) * top > SWEEP:
        return None
    return float(_sweep(torch.from_numpy(x.astype(np.float64))[None], None, top))


def _bracketed(rows: Tensor, bits: int, symmetric: bool, importance: Tensor | None) -> bool:
    """Whether rows are long enough, for their levels, to look for intervals of scales."""
    top = bounds(bits, symmetric)[1]
    return (
        symmetric
        and 1 < bits <= 8
        and importance is None
        and rows.device.type == "cpu"
        and rows.shape[1] >= 32 * top
        and rows.shape[1] * top > LONG
    )


@dataclass(frozen=True, eq=False)
class _Task:
    """Some rows of a matrix that has ``size`` weights in all; see :func:`least_squares_grid`."""

    rows: Tensor
    bits: int
    symmetric: bool
    importance: Tensor | None
    previous: Grid | None
    size: int


def _solve(task: _Task, sweep: bool) -> Grid:
    """Bring rows to magnitudes of about 1, which can be squared, and solve them there."""
    low, high = extremes(task.rows)
    wide = compute_dtype(task.rows.dtype)
    low, high = low.to(wide), high.to(wide)
    middle = torch.zeros_like(low) if task.symmetric else low / 2 + high / 2
    largest = torch.maximum(high - middle, middle - low)
    limits = torch.finfo(wide)
    exponent = torch.frexp(largest).exponent.clamp(
        *(math.frexp(x)[1] - 1 for x in (limits.tiny, limits.max))
    )
    unit = torch.ldexp(torch.ones_like(largest), exponent)
    x = _normal(task.rows, middle, unit, task.symmetric)
    h = None if task.importance is None else _relative(task.importance, wide)
    bottom, top = bounds(task.bits, task.symmetric)
    if sweep:
        scale = _one_bit(x, h) if task.bits == 1 else _sweep(x.double(), h, top)
        return scale * unit, None
    ordered = h is None and task.bits <= 8 and x.shape[1] >= 32 * top
    x = sort_rows(x) if ordered else x
    rows = Rows(x, h, top if task.symmetric else top - bottom, task.symmetric, ordered)
    old = None
    if task.previous is not None:
        scale = task.previous[0].double() / unit
        offset = task.previous[1]
        zero = (
            torch.zeros_like(scale)
            if offset is None
            else (offset.double() - middle) / unit + bottom * scale
        )
        old = zero, scale
    if _bracketed(task.rows, task.bits, task.symmetric, h):
        before = [None] * len(x) if old is None else old[1].tolist()
        sums = rows.prefix.numpy()
        found = [bracket(row, sums[i], top, before[i]) for i, row in enumerate(x.detach().numpy())]
        return torch.tensor(found, dtype=torch.float64) * unit, None
    offset, scale = search(rows, old, _candidates(rows, task))
    scale = torch.where(largest > 0, scale, 0)
    # in this order, or the largest numbers overflow
    zero_level = (offset - bottom * scale + middle / unit) * unit
    scale = scale * unit
    return scale, None if task.symmetric else zero_level


def _normal(rows: Tensor, middle: Tensor, unit: Tensor, symmetric: bool) -> Tensor:
    """Return ``(rows - middle) / unit``, magnitudes if symmetric: one copy."""
    x = torch.empty(rows.shape, dtype=middle.dtype, device=rows.device)
    for r, c in pieces(rows):
        part = rows[r, c].to(x.dtype) - middle[r, None]
        x[r, c] = (part.abs_() if symmetric else part).div_(unit[r, None])
    return x


def _relative(importance: Tensor, dtype: torch.dtype) -> Tensor:
    """Return each row's weights relative to their largest; ones where all are zero."""
    largest = importance.amax(1, keepdim=True)
    return torch.where(largest > 0, importance / torch.where(largest > 0, largest, 1), 1).to(dtype)


def _one_bit(x: Tensor, h: Tensor | None) -> Tensor:
    if h is None:
        return x.mean(1, dtype=torch.float64)
    return (x * h).sum(1, dtype=torch.float64) / h.sum(1, dtype=torch.float64)


def _sweep(x: Tensor, h: Tensor | None, top: int) -> Tensor:
    """Return the scale of least error of each row of magnitudes (float64), by all breakpoints."""
    count, length = x.shape
    level = torch.arange(top, device=x.device)
    keys = (x[:, :, None] / (level + 0.5)).view(count, -1).view(torch.int64)
    # which breakpoint each one is goes to its last bits: sorting numbers is much faster than
    # sorting with a permutation, and these bits change the order of near ties alone
    shift = (top - 1).bit_length()
    bits = (length - 1).bit_length() + shift
    which = torch.arange(length, device=x.device)[:, None] << shift | level
    keys &= -(1 << bits)
    keys |= which.view(-1)
    which = sort_rows(keys).flip(1)
    del keys
    which &= (1 << bits) - 1
    place = which >> shift
    second = which.bitwise_and_((1 << shift) - 1).mul_(2).add_(1).to(x.dtype)
    del which
    first = (x if h is None else x * h).gather(1, place).cumsum_(1)
    if h is not None:
        second *= h.to(x.dtype).gather(1, place)
    del place
    second.cumsum_(1)
    gain = first.square().div_(second)  # 0 / 0 where none of the weights counts
    best = gain.nan_to_num_(0.0, posinf=0.0).argmax(1, keepdim=True)
    scale = first.gather(1, best) / second.gather(1, best)
    return torch.where(gain.gather(1, best) > 0, scale, 0)[:, 0]


def _candidates(rows: Rows, task: _Task) -> int:
    """Return how many clips of each side to try: as many as do not take long."""
    if task.bits == 16:
        return 2
    if rows.ordered:
        affordable, least, most = 2**16 // (len(rows.x) * rows.top), 12, 96
    else:
        affordable, least, most = 2**21 // task.size, 6, 24
    if rows.symmetric:
        return min(max(affordable, least), most)
    return min(max(math.isqrt(affordable), least // 2), math.isqrt(4 * most))
