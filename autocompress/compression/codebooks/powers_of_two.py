"""Powers of two: weights whose products are shifts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch

from autocompress.compression.base import (
    CAST,
    GRID,
    Code,
    Compression,
    Shapes,
    Tensors,
    flatten,
    shapes_of,
)
from autocompress.compression.codebooks.grid_scale import best_scales
from autocompress.compression.codebooks.levels import (
    LevelsCode,
    levels_code,
    levels_estimate,
    nearest_levels,
)
from autocompress.compression.codebooks.partition import (
    Group,
    check_group,
    count_of,
    runs_of,
)
from autocompress.compression.estimate import Estimate
from autocompress.compression.weighting import Weighting, diagonal
from autocompress.errors import SchemeError

_MOST = 126  # 255 levels; and all powers are normal float32 numbers


@final
@dataclass(frozen=True)
class PowersOfTwo(Compression):
    """Replace every weight by the nearest of 0, ±1, ±2^-1, ..., ±2^-c.

    The exact solution of ``min Σ hᵢ(wᵢ − θᵢ)²`` over these 2c+3 levels, for any diagonal weighting
    h (Carreira-Perpiñán & Idelbayev 2017, arXiv:1707.04319): 0 below 2^-(c+1), otherwise the
    nearest power, changing at 3/4 of each.

    With ``scale`` the levels are multiplied by a learned s >= 0 for each group, which minimises the
    error over s and the levels together: globally, see
    :mod:`.grid_scale`.

    ceil(log2 (2c+3)) bits a weight, 1.6 for c = 0 and 2.67 for c = 1; one number a group if scaled.

    Args:
        c: The largest exponent taken negative, 0 to 126.
        scale: Whether the levels have a learned scale.
        group: With ``scale``, which weights share one: None, all the task's; ``"tensor"``;
            ``"row"``, every output neuron or filter; an integer g, every g consecutive weights.
    """

    name: ClassVar[str] = "powers-of-two"
    weightings: ClassVar[frozenset[str]] = frozenset({"diagonal"})
    ranges: ClassVar[Mapping[str, Any]] = {"c": {"low": 1, "high": 6}}
    c: int
    scale: bool = False
    group: Group = None

    def __post_init__(self) -> None:
        if isinstance(self.c, bool) or not isinstance(self.c, int) or not 0 <= self.c <= _MOST:
            raise SchemeError(f"c = {self.c!r} is not an integer from 0 to {_MOST}")
        if not isinstance(self.scale, bool):
            raise SchemeError(f"scale = {self.scale!r}: accepted is true or false")
        check_group(self.group)
        if self.group is not None and not self.scale:
            raise SchemeError(f"group = {self.group!r} needs scale = true: scales are per group")

    @property
    def stage(self) -> int:  # type: ignore[override]  # a class constant of plain schemes
        """A grid whose scale may still be cast, or a cast to very narrow floats."""
        return GRID if self.scale else CAST

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> LevelsCode:
        del mu, previous
        flat, shapes = flatten(weights), shapes_of(weights)
        h = diagonal(self.name, weighting, weights)
        levels = self._levels()
        scales = None
        if self.scale:
            runs = runs_of(shapes, self.group)
            scales = best_scales(flat, h, levels[self.c + 1 :], runs).to(flat.device)
            # what is as good by smaller levels of twice the scale; that may be too large a number
            excess = (scales / torch.finfo(flat.dtype).max).clamp(min=1).log2().ceil()
            scales = scales * 2**-excess
        digits = nearest_levels(flat, levels, scales, shapes, self.group)
        return levels_code(digits, levels, scales, flat, self.group, shapes)

    def _levels(self) -> tuple[float, ...]:
        powers = tuple(2.0**-i for i in range(self.c, -1, -1))
        return (*(-p for p in reversed(powers)), 0.0, *powers)

    def estimate(self, shapes: Shapes) -> Estimate:
        return levels_estimate(shapes, self._levels(), scaled=self.scale, group=self.group)

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        return ((count_of(runs_of(shapes, self.group)),),) if self.scale else None
