"""Ternarization: {-1, 0, 1}, and {-c, 0, c} with the optimal c."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from autocompress.compression.base import Code, Tensors, flatten, shapes_of
from autocompress.compression.codebooks.fixed import FixedLevels, ScaledLevels
from autocompress.compression.codebooks.grid_scale import best_scales
from autocompress.compression.codebooks.levels import LevelsCode, levels_code, nearest_levels
from autocompress.compression.codebooks.partition import Group, runs_of
from autocompress.compression.weighting import Weighting, diagonal

TRITS = (-1.0, 0.0, 1.0)


@final
@dataclass(frozen=True)
class Ternary(FixedLevels):
    """Replace every weight by the nearest of -1, 0 and 1.

    The exact solution of ``min Σ hᵢ(wᵢ − θᵢ)², θᵢ ∈ {−1, 0, 1}`` for any diagonal weighting h: the
    sign of weights beyond 1/2, and 0 (Carreira-Perpiñán & Idelbayev 2017, arXiv:1707.04319). Five
    weights to a byte, 1.6 bits each.
    """

    name: ClassVar[str] = "ternary"
    levels: ClassVar[tuple[float, ...]] = TRITS


@final
@dataclass(frozen=True)
class TernaryScale(ScaledLevels):
    """Replace every weight by -c, 0 or c, with a learned c >= 0 for each group.

    The exact solution of ``min Σ hᵢ(wᵢ − c·tᵢ)²`` over c and t ∈ {−1, 0, 1}: with magnitudes in
    descending order, the j largest take ±c and the others 0, where j maximises
    ``(Σ_{i≤j} hᵢ|wᵢ|)² / Σ_{i≤j} hᵢ`` and c is those weights' mean magnitude (Carreira-Perpiñán &
    Idelbayev 2017, arXiv:1707.04319). Unlike ternary weight networks (Li & Liu 2016,
    arXiv:1605.04711) this assumes no distribution. 1.6 bits a weight and one number a group.

    Args:
        group: Which weights share a scale: None, all the task's; ``"tensor"``; ``"row"``, every
            output neuron or filter; an integer g, every g consecutive weights.
    """

    name: ClassVar[str] = "ternary-scale"
    levels: ClassVar[tuple[float, ...]] = TRITS
    group: Group = None

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
        scales = best_scales(flat, h, (0.0, 1.0), runs_of(shapes, self.group)).to(flat.device)
        digits = nearest_levels(flat, TRITS, scales, shapes, self.group)
        return levels_code(digits, TRITS, scales, flat, self.group, shapes)
