"""Uniform quantization: equally spaced levels, with a scale for each tensor, channel or group."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from autocompress.compression.base import (
    GRID,
    Code,
    Compression,
    Shapes,
    Tensors,
    flatten,
    refuse,
    require_finite,
    shapes_of,
    total_numel,
    unflatten,
)
from autocompress.compression.dense import DenseCode
from autocompress.compression.estimate import Estimate, Known, dense, integers
from autocompress.compression.grids.code import BITS, UniformCode
from autocompress.compression.grids.mse import least_squares_grid, least_squares_scale
from autocompress.compression.grids.plain_rows import Reach, plain_rows
from autocompress.compression.grids.plain_tensors import plain_tensors, ranged_tensors
from autocompress.compression.grids.rounding import Quantized
from autocompress.compression.grids.rows import (
    PER,
    Layout,
    layout,
    merged_layout,
    nearest_levels,
    per_block,
    row_count,
    views,
)
from autocompress.compression.grids.scale import (
    Grid,
    entropy_grid,
    minmax_grid,
    percentile_grid,
    storable,
)
from autocompress.compression.weighting import Diagonal, Weighting
from autocompress.errors import SchemeError

SCALES = ("mse", "minmax", "percentile", "entropy")
PERCENTILE = 99.9


@final
@dataclass(frozen=True)
class Uniform(Compression):
    """Quantize to equally spaced levels: ``w ≈ scale · level + offset``, levels of b bits.

    *Symmetric*: no offset, ``level ∈ {-(2^(b-1) - 1), …, 2^(b-1) - 1}``; -2^(b-1) is left out, so
    that the levels of w and -w are opposite, and zero is a level. One bit has the levels -1 and 1,
    without zero. *Asymmetric*: 2^b levels and a real offset. It is not rounded to a multiple of the
    scale (an integer zero point), which would only add error: zero is in general not a level.

    Weights take the nearest level. ``scale`` says how the grid is placed:

    - ``"mse"``: minimises ``Σᵢ hᵢ (wᵢ - scale · levelᵢ - offset)²`` over scale, offset and levels
      (h = 1, or a diagonal weighting). How near to the optimum it comes is said in
      :mod:`.mse`: symmetric grids of up to 8192
      ``weights · (2^(b-1) - 1)`` a tensor, and one bit, are globally optimal, larger
      ones nearly; never worse than ``"minmax"`` or than the previous solution.
    - ``"minmax"``: the extreme levels are the extreme weights (largest magnitude if symmetric).
    - ``"percentile"``: the same with ``100 - percentile`` per cent of the weights outside, half on
      either side if asymmetric.
    - ``"entropy"``: clips where the Kullback–Leibler divergence from the histogram of magnitudes to
      its quantized version is least (Migacz, *8-bit inference with TensorRT*, GTC 2017).

    Args:
        bits: Bits of a level: 1 to 8, or 16.
        symmetric: Whether levels are symmetric around zero.
        per: What has a scale of its own: each ``"tensor"``; each ``"channel"``, that is each index
            of a tensor's first dimension (a vector or scalar is one); or each ``"group"`` of
            ``group_size`` consecutive weights of a tensor in row-major order, along the input
            dimension. A tensor's last group may be shorter.
        group_size: Length of a group; given if and only if ``per="group"``.
        scale: ``"mse"``, ``"minmax"``, ``"percentile"`` or ``"entropy"``.
        percentile: Share of weights inside, in per cent, in (50, 100]; given only for
            ``scale="percentile"``, where it is 99.9 by default.
    """

    name: ClassVar[str] = "uniform"
    stage: ClassVar[int] = GRID
    ranges: ClassVar[Mapping[str, Any]] = {"bits": {"low": 2, "high": 8}}
    bits: int
    symmetric: bool = True
    per: str = "tensor"
    group_size: int | None = None
    scale: str = "mse"
    percentile: float | None = None

    def __post_init__(self) -> None:
        if type(self.bits) is not int or self.bits not in BITS:
            raise SchemeError(f"bits = {self.bits!r}: accepted is an integer from 1 to 8, or 16")
        if not isinstance(self.symmetric, bool):
            raise SchemeError(f"symmetric = {self.symmetric!r}: accepted is true or false")
        for field, known in (("per", PER), ("scale", SCALES)):
            if getattr(self, field) not in known:
                raise SchemeError(
                    f"{field} = {getattr(self, field)!r}: accepted is {', '.join(known)}"
                )
        if self.scale == "entropy" and self.bits == 1:
            raise SchemeError("scale = 'entropy' has no meaning for bits = 1: use 'mse'")
        self._check_group_size()
        self._check_percentile()

    def _check_group_size(self) -> None:
        size = self.group_size
        if self.per != "group":
            if size is not None:
                raise SchemeError(f"group_size = {size!r} needs per = 'group', not {self.per!r}")
        elif isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise SchemeError(
                f"group_size = {size!r} is not an integer >= 1: per = 'group' has one"
            )

    def _check_percentile(self) -> None:
        share = self.percentile
        if self.scale != "percentile":
            if share is not None:
                raise SchemeError(
                    f"percentile = {share!r} needs scale = 'percentile', not {self.scale!r}"
                )
            return
        if share is None:
            object.__setattr__(self, "percentile", PERCENTILE)
        elif isinstance(share, bool) or not isinstance(share, int | float) or not 50 < share <= 100:
            raise SchemeError(f"percentile = {share!r} is not in (50, 100]: the per cent inside")

    @property
    def weightings(self) -> frozenset[str]:  # type: ignore[override]  # a constant of other schemes
        """Only least squares know a weighting."""
        return frozenset({"diagonal"} if self.scale == "mse" else ())

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> UniformCode:
        del mu
        shapes = shapes_of(weights)
        self.check(shapes)
        if self.scale != "mse" or not isinstance(weighting, Diagonal):
            refuse(f"uniform with scale = {self.scale!r}", weighting)
            importance = None
        else:
            weighting.check(shapes)
            importance = weighting
        plain = self._plain(weights, previous, importance)
        if plain is not None:
            levels, grid, values = plain
            return self._code(levels, grid, shapes).holding(unflatten(values, shapes))
        flat = flatten(weights)
        cut = (layout if self.scale == "mse" else merged_layout)(shapes, self.per, self.group_size)
        rows = views(flat, cut)
        grids = [
            storable(grid, block, self.bits)
            for grid, block in zip(self._grids(rows, cut, previous, importance), rows, strict=True)
        ]
        parts = [
            nearest_levels(block, scale, offset, self.bits).view(-1)
            for block, (scale, offset) in zip(rows, grids, strict=True)
        ]
        scales = torch.cat([scale for scale, _ in grids])
        offsets = [offset for _, offset in grids if offset is not None]
        grid = torch.stack([scales, torch.cat(offsets)] if offsets else [scales])
        return self._code(torch.cat(parts), grid, shapes)

    def _code(self, levels: Tensor, grid: Tensor, shapes: Shapes) -> UniformCode:
        """Return the code of levels and ``(1 or 2, rows)`` scales and offsets."""
        count, rows = grid.shape
        inner = DenseCode(grid.reshape(-1), ((rows,),) * count, grid.dtype)
        return UniformCode(
            levels, self.bits, self.symmetric, self.per, self.group_size, inner, shapes
        )

    def _plain(
        self, weights: Tensors, previous: Code | None, importance: Diagonal | None
    ) -> Quantized | None:
        """Return what NumPy makes of plain numbers in less time; None where it does not."""
        if importance is not None:
            return None
        if self.scale == "mse":
            return self._plain_least_squares(weights, previous)
        if self.scale == "entropy":
            return None
        share = 100.0
        if self.scale == "minmax" and self.per == "tensor":
            done = ranged_tensors(weights, self.bits, self.symmetric)
            if done is not None:
                return done
        if self.scale == "percentile":
            share = self.percentile or PERCENTILE
            for weight in weights:
                require_finite(weight)
        reach = Reach(self.symmetric, share)
        return plain_rows(weights, self.per, self.group_size, self.bits, reach)

    def _plain_least_squares(self, weights: Tensors, previous: Code | None) -> Quantized | None:
        if not self.symmetric or self.per != "tensor" or not 1 < self.bits <= 8:
            return None
        cut = layout(shapes_of(weights), self.per, self.group_size)
        before = [g and float(g[0].detach()) for g in self._before(previous, cut)]
        return plain_tensors(
            weights, self.bits, lambda row, i: least_squares_scale(row, self.bits, before[i])
        )

    def _grids(
        self, rows: list[Tensor], cut: Layout, previous: Code | None, weighting: Diagonal | None
    ) -> list[Grid]:
        """Return the grid of each matrix of rows."""
        if self.scale == "minmax":
            return [minmax_grid(block, self.bits, self.symmetric) for block in rows]
        if self.scale == "percentile":
            share = self.percentile or PERCENTILE
            return [percentile_grid(block, self.bits, self.symmetric, share) for block in rows]
        if self.scale == "entropy":
            return [entropy_grid(block, self.bits, self.symmetric) for block in rows]
        before = self._before(previous, cut)
        importance = [None] * len(cut) if weighting is None else views(weighting.vector, cut)
        return [
            least_squares_grid(block, self.bits, self.symmetric, h, old)
            for block, h, old in zip(rows, importance, before, strict=True)
        ]

    def _before(self, previous: Code | None, cut: Layout) -> list[Grid | None]:
        """Return the previous solution's grids, where it is of the same form."""
        mine = (self.bits, self.symmetric)
        if (
            not isinstance(previous, UniformCode)
            or (previous.width, previous.symmetric) != mine
            or previous.layout() != cut
        ):
            return [None] * len(cut)
        scale, offset = previous.grids()
        scales = per_block(scale, cut)
        offsets = per_block(offset, cut) if offset is not None else [None] * len(cut)
        return list(zip(scales, offsets, strict=True))

    def check(self, shapes: Shapes) -> None:
        if not total_numel(shapes):
            raise SchemeError("uniform needs at least one weight")

    def canonical(self, shapes: Shapes) -> Compression:
        cut = layout(shapes, self.per, self.group_size)
        for per in ("tensor", "channel"):
            if layout(shapes, per, None) == cut:
                return self._simplified(per=per, group_size=None)
        return self._simplified()

    def _simplified(self, **changes: Any) -> Compression:
        if self.percentile == 100:
            changes |= {"scale": "minmax", "percentile": None}
        return dataclasses.replace(self, **changes)

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        count = row_count(layout(shapes, self.per, self.group_size))
        return ((count,),) * (1 if self.symmetric else 2)

    def estimate(self, shapes: Shapes) -> Estimate:
        size, count = total_numel(shapes), row_count(layout(shapes, self.per, self.group_size))
        meta = {
            "shapes": shapes,
            "width": self.bits,
            "symmetric": self.symmetric,
            "per": self.per,
            "group_size": self.group_size,
        }
        inner = dense(((count,),) * (1 if self.symmetric else 2))
        # zero is one of the symmetric levels of two bits and more
        nonzeros = None if self.symmetric and self.bits > 1 else Known.exactly(size)
        buffers = (integers("levels", size * self.bits),)
        return Estimate("uniform", meta, buffers, {"inner": inner}, nonzeros)
