"""Search for the clips of least error of uniform grids; see ``uniform_mse`` for the problem."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from autocompress.compression.grids.fit import Fit, Rows, fit
from autocompress.compression.grids.rows import extremes

_ZOOMS = 3
"""How often the distance between candidates is halved around the best one."""

_ALTERNATIONS = 3

_LEAST = 2.0**-12
"""Smallest clip tried, relative to the range."""


def search(
    rows: Rows, previous: tuple[Tensor, Tensor] | None, candidates: int
) -> tuple[Tensor, Tensor]:
    """Return a good grid for each row, no worse than its range's and than the previous one.

    Args:
        rows: The rows.
        previous: Offsets (values of level 0) and scales, float64 ``(rows,)``, or None.
        candidates: Clips to try on each side in the first pass, at least 2.

    Returns:
        Offsets and scales, float64 ``(rows,)``.
    """
    sides = 1 if rows.symmetric else 2
    clips = _Clips(rows)
    nothing = rows.x.new_zeros((len(rows.x), 1, sides), dtype=torch.float64)
    best = _Best(fit(rows, *clips.grid(nothing)), nothing)
    clips.limit(best.error)
    if previous is not None:
        offset, scale = (p[:, None] for p in previous)
        best.offer(fit(rows, offset, torch.where(scale > 0, scale, best.scale)), nothing)
    coarser = min(rows.top - 1, candidates - (6 if sides == 1 else 3))
    if coarser > 0:
        best.offer(fit(rows, *clips.coarser(coarser)), nothing)
    step = 1 / (candidates - 1)
    axes = [[step * i for i in range(candidates)]] * sides
    first = [e for e in itertools.product(*axes) if any(e)]
    best.offer(*_tried(rows, clips, nothing + nothing.new_tensor(first)))
    near = nothing.new_tensor([(1,), (-1,)] if sides == 1 else [(1, 0), (-1, 0), (0, 1), (0, -1)])
    for _ in range(_ZOOMS if candidates > 2 else 1):
        step /= 2
        best.offer(*_tried(rows, clips, (best.clip + step * near).clamp_(0, 1)))
    for _ in range(_ALTERNATIONS):
        best.offer(fit(rows, best.offset, best.scale), best.clip)
    return best.offset[:, 0], best.scale[:, 0]


def _tried(rows: Rows, clips: _Clips, e: Tensor) -> tuple[Fit, Tensor]:
    return fit(rows, *clips.grid(e)), e


class _Clips:
    """Grids by how much they clip: 0 nothing, 1 as much as can be optimal; geometric between."""

    def __init__(self, rows: Rows) -> None:
        low, high = (e[:, None] for e in extremes(rows.x))
        self.rows, self.centre = rows, torch.zeros_like(rows.mass)
        if not rows.symmetric:
            self.centre = (rows.mean).clamp(low.double(), high.double())
        self.ends = torch.cat([self.centre - low, high - self.centre], dim=1)
        self.ends = self.ends[:, 1:] if rows.symmetric else self.ends
        self.least = torch.full_like(self.ends, _LEAST)

    def limit(self, error: Tensor) -> None:
        """Rule out clips that cost more than ``error`` ``(rows, 1)`` at the extreme weight."""
        rows = self.rows
        cost = torch.ones_like(self.ends)
        if rows.h is not None:
            extremes = [rows.x.argmin(1, keepdim=True), rows.x.argmax(1, keepdim=True)]
            cost = torch.cat(
                [rows.h.gather(1, i) for i in extremes[-self.ends.shape[1] :]], 1
            ).double()
        farthest = (error / cost.clamp_min(1e-300)).sqrt() / self.ends.clamp_min(1e-300)
        self.least = (1 - farthest).clamp(_LEAST, 1)

    def grid(self, e: Tensor) -> tuple[Tensor, Tensor]:
        """Return offsets and scales ``(rows, m)`` of clips ``(rows, m, sides)``."""
        kept = self.least[:, None] ** e * self.ends[:, None]
        if self.rows.symmetric:
            offset, width = torch.zeros_like(kept[..., 0]), kept[..., 0]
        else:
            offset, width = self.centre - kept[..., 0], kept.sum(-1)
        scale = width / self.rows.top
        return offset, torch.where(scale > 0, scale, 1)

    def coarser(self, count: int) -> tuple[Tensor, Tensor]:
        """Return ``count`` grids that clip nothing and leave 1, 2, … levels at the top unused.

        They are of no use but to numbers that lie on such a grid.
        """
        offset, scale = self.grid(torch.zeros_like(self.ends)[:, None])
        top = self.rows.top
        used = torch.arange(top - 1, top - 1 - count, -1, device=scale.device)
        return offset.expand(-1, count), scale * top / used


class _Best:
    """The best grid of each row so far, and the clips it came from."""

    def __init__(self, found: Fit, clip: Tensor) -> None:
        self.error, self.offset, self.scale, self.clip = (
            found.error,
            found.offset,
            found.scale,
            clip,
        )

    def offer(self, found: Fit, clip: Tensor) -> None:
        error, at = found.error.min(1, keepdim=True)
        better = error < self.error
        clip = clip.expand(-1, found.error.shape[1], -1)
        clip = clip.gather(1, at[..., None].expand(-1, 1, clip.shape[-1]))
        self.error = torch.where(better, error, self.error)
        self.offset = torch.where(better, found.offset.gather(1, at), self.offset)
        self.scale = torch.where(better, found.scale.gather(1, at), self.scale)
        self.clip = torch.where(better[..., None], clip, self.clip)
