"""Schemes whose levels are given: as they are, or up to a scale that is learned."""

from __future__ import annotations

from typing import ClassVar

from autocompress.compression.base import (
    CAST,
    GRID,
    Code,
    Compression,
    Shapes,
    Tensors,
    flatten,
    shapes_of,
    unflatten,
)
from autocompress.compression.codebooks.levels import (
    LevelsCode,
    levels_code,
    levels_estimate,
    nearest_levels,
    nearest_trits,
)
from autocompress.compression.codebooks.partition import Group, check_group, count_of, runs_of
from autocompress.compression.estimate import Estimate
from autocompress.compression.weighting import Weighting, diagonal


class FixedLevels(Compression):
    """A scheme that replaces every weight by the nearest of its levels.

    That is the solution for any diagonal weighting: each weight is by itself.
    """

    stage: ClassVar[int] = CAST
    weightings: ClassVar[frozenset[str]] = frozenset({"diagonal"})
    levels: ClassVar[tuple[float, ...]]
    """In ascending order."""

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> LevelsCode:
        del mu, previous
        shapes = shapes_of(weights)
        diagonal(self.name, weighting, weights)
        trits = nearest_trits(weights) if self.levels == (-1.0, 0.0, 1.0) else None
        if trits is not None:
            code = levels_code(trits[0], self.levels, None, weights[0], None, shapes)
            return code.holding(unflatten(trits[1], shapes))
        flat = flatten(weights)
        digits = nearest_levels(flat, self.levels, None, shapes, None)
        return levels_code(digits, self.levels, None, flat, None, shapes)

    def estimate(self, shapes: Shapes) -> Estimate:
        return levels_estimate(shapes, self.levels, scaled=False, group=None)


class ScaledLevels(Compression):
    """A scheme whose levels are multiplied with a scale for each group of weights.

    Its dataclass declares the field.
    """

    stage: ClassVar[int] = GRID
    weightings: ClassVar[frozenset[str]] = frozenset({"diagonal"})
    levels: ClassVar[tuple[float, ...]]
    """In ascending order."""
    group: Group

    def __post_init__(self) -> None:
        check_group(self.group)

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        return ((count_of(runs_of(shapes, self.group)),),)

    def estimate(self, shapes: Shapes) -> Estimate:
        return levels_estimate(shapes, self.levels, scaled=True, group=self.group)
