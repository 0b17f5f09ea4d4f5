"""Regression of rows of weights on the levels that a grid assigns to them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from autocompress.compression.grids.rows import pieces


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of numbers to be put on a grid ``offset + scale · {0, …, top}``.

    Attributes:
        x: The numbers ``(rows, length)``, at most about 1 in magnitude. Magnitudes if symmetric.
        h: Their weights in the sum of squares, or None for ones.
        top: The highest level.
        symmetric: Whether the offset stays zero.
        ordered: Whether each row of x is in ascending order; h is then None.
    """

    x: Tensor
    h: Tensor | None
    top: int
    symmetric: bool
    ordered: bool

    @cached_property
    def mass(self) -> Tensor:
        """Sum of the weights of each row, float64 ``(rows, 1)``."""
        if self.h is None:
            return self.x.new_full((len(self.x), 1), self.x.shape[1], dtype=torch.float64)
        return self.h.sum(1, keepdim=True, dtype=torch.float64)

    @cached_property
    def mean(self) -> Tensor:
        """Weighted mean of each row, float64 ``(rows, 1)``."""
        total = torch.zeros_like(self.mass)
        for r, c in pieces(self.x):
            part = self.x[r, c] if self.h is None else self.x[r, c] * self.h[r, c]
            total[r] += part.sum(1, keepdim=True, dtype=torch.float64)
        return total / self.mass

    @cached_property
    def prefix(self) -> Tensor:
        """Sums of the first 0, 1, … of each row, float64 ``(rows, length + 1)``."""
        count, length = self.x.shape
        sums = self.x.new_zeros((count, length + 1), dtype=torch.float64)
        sums[:, 1:] = self.x
        return sums.cumsum_(1)  # in place: there may be as much as memory allows

    @cached_property
    def energy(self) -> Tensor:
        """Sum of the squares of each row, float64 ``(rows, 1)``; float32 would not be enough."""
        total = self.x.new_zeros((len(self.x), 1), dtype=torch.float64)
        for r, c in pieces(self.x):
            total[r] += self.x[r, c].to(torch.float64).square().sum(1, keepdim=True)
        return total


@dataclass(frozen=True, eq=False)
class Fit:
    """Grids and their squared errors, float64 ``(rows, candidates)``."""

    error: Tensor
    offset: Tensor
    scale: Tensor


@dataclass(frozen=True, eq=False)
class _Sums:
    """Weighted sums over a row, of residuals r and levels q: float64 ``(rows, candidates)``."""

    rr: Tensor
    r: Tensor
    rq: Tensor
    q: Tensor
    qq: Tensor


def fit(rows: Rows, offset: Tensor, scale: Tensor) -> Fit:
    """Assign levels by each grid, and return the grid that is best for those levels.

    Its error is at most that of the grid given; taking nearest levels again can only lower it.

    Args:
        rows: The rows.
        offset: Value of level 0, float64 ``(rows, candidates)``.
        scale: Step, likewise, > 0.
    """
    offset, scale = (t.to(rows.x.dtype).to(torch.float64) for t in (offset, scale))
    sums = (_by_order if rows.ordered else _by_level)(rows, offset, scale)
    error, rq, qq = sums.rr, sums.rq, sums.qq
    if not rows.symmetric:
        error = error - sums.r.square() / rows.mass
        rq = rq - sums.r * sums.q / rows.mass
        qq = qq - sums.q.square() / rows.mass
    change = torch.where(qq > 0, rq / torch.where(qq > 0, qq, 1), 0)
    # the slope of levels that rise with x is positive, but for rounding
    change = torch.where(scale + change > 0, change, 0)
    error = (error - change * rq).clamp_min(0)
    if not rows.symmetric:
        offset = offset + (sums.r - change * sums.q) / rows.mass
    return Fit(error, offset, scale + change)


def _by_order(rows: Rows, offset: Tensor, scale: Tensor) -> _Sums:
    """Count what lies above each threshold of an ordered row: no pass over the weights."""
    count, length = rows.x.shape
    steps = torch.arange(rows.top, device=rows.x.device, dtype=torch.float64) + 0.5
    thresholds = offset[..., None] + scale[..., None] * steps
    below = _positions(rows.x, thresholds.view(count, -1).to(rows.x.dtype)).view_as(thresholds)
    total = rows.prefix[:, -1:]
    sums_below = rows.prefix.gather(1, below.view(count, -1)).view_as(thresholds)
    above = (length - below).to(torch.float64)
    q, qq = above.sum(-1), 2 * (above * steps).sum(-1)
    xq = (total[..., None] - sums_below).sum(-1)
    r = total - offset * rows.mass - scale * q
    rr = rows.energy - 2 * offset * total + offset.square() * rows.mass
    rr = rr - 2 * scale * (xq - offset * q) + scale.square() * qq
    return _Sums(rr, r, xq - offset * q - scale * qq, q, qq)


def _positions(ordered: Tensor, values: Tensor) -> Tensor:
    """Return how many numbers of each ordered row lie below each value of the same row."""
    if ordered.device.type != "cpu":
        return torch.searchsorted(ordered, values)
    found = np.empty(values.shape, dtype=np.int64)
    for row, (x, v) in enumerate(zip(ordered.numpy(), values.numpy(), strict=True)):
        found[row] = np.searchsorted(x, v)
    return torch.from_numpy(found)


def _by_level(rows: Rows, offset: Tensor, scale: Tensor) -> _Sums:
    """Assign a level to every weight; residuals are small, so float32 is precise enough."""
    sums = scale.new_zeros((5, *scale.shape))
    for r, c in pieces(rows.x):
        x = rows.x[r, None, c]
        h = rows.h[r, None, c] if rows.h is not None else None
        batch = max(1, 2**17 // x.numel())
        for start in range(0, scale.shape[1], batch):
            j = slice(start, start + batch)
            o, s = (t[r, j, None].to(x.dtype) for t in (offset, scale))
            residual = x if rows.symmetric else x - o
            q = (residual / s).round_().clamp_(0, rows.top)
            residual = torch.addcmul(residual, q, s, value=-1)
            hr, hq = (residual, q) if h is None else (residual * h, q * h)
            parts = [hr * residual, hr * q, hq * q] + ([] if rows.symmetric else [hr, hq])
            for k, part in enumerate(parts):
                sums[k, r, j] += part.sum(-1)
    rr, rq, qq, res, q = sums
    return _Sums(rr, res, rq, q, qq)
