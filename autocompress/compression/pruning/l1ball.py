"""Pruning by an l1 constraint: projection on the l1 ball."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias, TypeVar, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autocompress.compression.base import (
    Code,
    Compression,
    Shapes,
    Tensors,
    flatten,
    shapes_of,
    total_numel,
)
from autocompress.compression.pruning.prune import SparseCode
from autocompress.compression.selection import Scores, magnitudes, take, wide
from autocompress.compression.weighting import Weighting, diagonal
from autocompress.errors import SchemeError

Vector: TypeAlias = NDArray[np.float64]
Number = TypeVar("Number", np.float64, np.int64)

ROUNDS = 32
"""After so many rounds of filtering candidates are sorted, which no input makes slow."""
EXACT, ENOUGH = 1e-15, 1e-12
"""Relative error of ‖θ‖₁ that ends the rounds: at once, and after two that removed nothing."""


@final
@dataclass(frozen=True)
class L1Ball(Compression):
    """Project the weights of a task, jointly over its tensors, on an l1 ball.

    Solves ``min ‖w − θ‖²_H s.t. ‖θ‖₁ ≤ κ`` with ``κ = radius · n`` exactly. Weights that are not in
    the ball already are shrunk, ``θᵢ = sign(wᵢ) max(|wᵢ| − τ/hᵢ, 0)``, by the one τ that puts θ on
    its surface; τ follows from the breakpoints hᵢ|wᵢ| (Duchi, Shalev-Shwartz, Singer & Chandra,
    ICML 2008, for h = 1; Carreira-Perpiñán & Idelbayev, CVPR 2018, as a C step). The set is convex,
    the solution unique. Weights with hᵢ = 0 become zero, unless all of them are.

    Args:
        radius: Mean magnitude |θ| over all weights of the task that the constraint allows, in the
            weights' own unit: ``κ / n``. The constraint set must stay the same while the weights
            move, so it is not relative to them; a tenth of the reference's mean magnitude is a
            strong constraint, the mean magnitude itself is none.
    """

    name: ClassVar[str] = "l1-ball"
    weightings: ClassVar[frozenset[str]] = frozenset({"diagonal"})
    ranges: ClassVar[Mapping[str, Any]] = {"radius": {"low": 3e-4, "high": 3e-2, "log": True}}
    radius: float

    def __post_init__(self) -> None:
        number = isinstance(self.radius, (int, float)) and not isinstance(self.radius, bool)
        if not number or not 0 < self.radius < math.inf:
            raise SchemeError(
                f"radius = {self.radius!r} is not a number above 0: it is the mean magnitude that "
                f"the l1 ball allows"
            )

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> SparseCode:
        del mu, previous
        flat, shapes = flatten(weights), shapes_of(weights)
        norm = _scaled(diagonal(self.name, weighting, weights))
        index, values = _project(Scores(flat, norm), self.radius * flat.numel())
        return SparseCode.of(index, values, shapes)

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        return ((total_numel(shapes),),)


def _scaled(norm: Tensor | None) -> Tensor | None:
    """Return a norm with its largest weight about 1, in float64: 1/h then does not overflow.

    Weights too small for that become 0; None where all are.
    """
    if norm is None or not norm.numel() or not bool((top := norm.max()) > 0):
        return None
    # a power of two rounds nothing
    scaled = norm.to(torch.float64) * 2.0 ** -math.frexp(float(top))[1]
    return scaled.masked_fill_(scaled < 1e-290, 0.0)


def _project(scores: Scores, radius: float) -> tuple[Tensor, Tensor]:
    """Return positions and values of the survivors."""
    for guess in _guesses(scores, radius):
        index = scores.above(guess)
        gaps, inverse = _breakpoints(
            magnitudes(take(scores.flat, index)),
            None if scores.norm is None else wide(take(scores.norm, index)),
        )
        gaps -= guess
        if guess <= 0 or _norm(gaps, inverse) >= radius:
            break  # the threshold is not below the guess: all survivors are among these
    if _norm(gaps, inverse) <= radius:
        return index, take(scores.flat, index)
    kept, sizes = _shrink(gaps, inverse, radius)
    index = index if kept is None else take(index, torch.from_numpy(kept).to(index.device))
    values = torch.from_numpy(sizes).to(scores.flat.device, scores.flat.dtype)
    return index, values.copysign_(take(scores.flat, index))


def _guesses(scores: Scores, radius: float) -> Iterator[float]:
    """Yield thresholds that are probably a little below the one sought, then 0."""
    sample = scores.sample()
    if sample is not None:
        share = radius * sample[0].size / scores.flat.numel()
        found = _threshold(*_breakpoints(*sample), share, scratch=True)
        del sample
        if found > 0:
            yield 0.97 * found
            yield 0.8 * found
    yield 0.0


def _breakpoints(magnitudes: Vector, norm: Vector | None) -> tuple[Vector, Vector | None]:
    """Return the τ at which each weight vanishes, and 1/h (0 where h is: such never survive)."""
    if norm is None:
        return magnitudes, None
    points = np.multiply(magnitudes, norm, out=magnitudes)
    return points, np.divide(1.0, norm, out=norm, where=norm > 0)


def _norm(gaps: Vector, inverse: Vector | None) -> float:
    """Return ‖θ‖₁ of breakpoints that are so much above the threshold."""
    return float(gaps.sum() if inverse is None else gaps @ inverse)


def _shrink(
    gaps: Vector, inverse: Vector | None, radius: float
) -> tuple[NDArray[np.int64] | None, Vector]:
    """Return which of some candidates survive (None: all) and the magnitudes they get.

    Candidates that the threshold of all of them removes do not survive; what is left has a higher
    threshold, and so on until none is removed (Michelot 1986). Where the candidates are a few per
    cent more than the survivors, these are two or three rounds. Each round measures anew from the
    threshold found, so rounding errors shrink with it: they are relative to the radius in the end,
    and not to weights that may be much larger.

    Args:
        gaps: How far each breakpoint is above a lower bound of the threshold. Overwritten.
        inverse: 1/h of each. Overwritten.
        radius: Their ‖θ‖₁, less than that of the gaps.
    """
    kept: NDArray[np.int64] | None = None
    settled = 0
    for rounds in range(2 * ROUNDS):
        if rounds == ROUNDS:
            step = _threshold(gaps, inverse, radius)
        else:
            excess = _norm(gaps, inverse) - radius
            if abs(excess) <= (ENOUGH if settled > 1 else EXACT) * radius:
                break
            step = excess / (gaps.size if inverse is None else float(inverse.sum()))
        # the largest breakpoint is above the threshold, though rounding may say otherwise
        gaps -= min(step, float(np.nextafter(gaps.max(), 0.0)))
        inside = gaps > 0
        settled += 1
        if not inside.all():
            settled = 0
            kept = np.flatnonzero(inside) if kept is None else _only(kept, inside)
            gaps = _only(gaps, inside)
            inverse = None if inverse is None else _only(inverse, inside)
    return kept, gaps if inverse is None else np.multiply(gaps, inverse, out=gaps)


def _only(values: NDArray[Number], inside: NDArray[np.bool_]) -> NDArray[Number]:
    """Return some of an array's values, moved to its front: the caller holds no second array."""
    found = values[inside]
    values[: found.size] = found
    return values[: found.size]


def _threshold(
    points: Vector, inverse: Vector | None, radius: float, *, scratch: bool = False
) -> float:
    """Return the τ >= 0 that ``Σ (pᵢ − τ)₊ / hᵢ = radius`` holds for, by sorting (Duchi et al.).

    The points may be overwritten if they are `scratch`.
    """
    if inverse is None:
        points = points if scratch else points.copy()
        points.sort()
        points = points[::-1]
        levels = np.cumsum(points)
        levels -= radius
        levels /= np.arange(1, points.size + 1)
    else:
        order = np.argsort(points)[::-1]
        points, rates = points[order], inverse[order]
        total = np.cumsum(rates)
        total[total == 0] = 1.0  # weights that do not count, all at the end
        rates *= points
        levels = np.cumsum(rates, out=rates)
        levels -= radius
        levels /= total
    active = np.flatnonzero(points > levels)
    return max(0.0, float(levels[active[-1]])) if active.size else 0.0
