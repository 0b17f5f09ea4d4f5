"""Pruning by a penalty: every surviving weight has a price, on its presence or its magnitude."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor

from autocompress.compression.base import (
    Code,
    Compression,
    Shapes,
    Tensors,
    flatten,
    joined,
    require_finite,
    shapes_of,
    total_numel,
)
from autocompress.compression.dense import Dense
from autocompress.compression.pruning.prune import SparseCode
from autocompress.compression.selection import Scores, take, wide
from autocompress.compression.weighting import Weighting, diagonal
from autocompress.errors import SchemeError


@final
@dataclass(frozen=True)
class L0Penalty(Compression):
    """Charge every surviving weight the same: the loss decides how many survive.

    Solves ``min α‖θ‖₀ + mu/2 ‖w − θ‖²_H`` exactly: weights with ``hᵢ wᵢ² > 2α/mu`` survive
    unchanged, the others become zero (hard thresholding; Carreira-Perpiñán & Idelbayev, CVPR 2018,
    l0-penalty form). At equality both cost the same, and the weight becomes zero. No weight may
    survive.

    Args:
        alpha: What a weight must save of the training loss to survive, >= 0. Useful values are
            around the loss over the number of weights.
    """

    name: ClassVar[str] = "l0-penalty"
    penalized: ClassVar[bool] = True
    weightings: ClassVar[frozenset[str]] = frozenset({"diagonal"})
    ranges: ClassVar[Mapping[str, Any]] = {"alpha": {"low": 1e-6, "high": 3e-4, "log": True}}
    alpha: float

    def __post_init__(self) -> None:
        _check_alpha(self.alpha)

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> SparseCode:
        del previous
        norm = diagonal(self.name, weighting, weights)
        square = 2 * _price(self.alpha, mu)
        threshold = math.sqrt(square) if norm is None else square
        index, values = _survivors(weights, norm, threshold, power=2)
        return SparseCode.of(index, values, shapes_of(weights))

    def penalty(self, code: Code) -> float:
        assert isinstance(code, SparseCode)
        return self.alpha * code.index.numel()

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        return ((total_numel(shapes),),)

    def canonical(self, shapes: Shapes) -> Compression:
        return Dense() if self.alpha == 0 else self


@final
@dataclass(frozen=True)
class L1Penalty(Compression):
    """Charge every weight its magnitude: all shrink, and the small ones become zero.

    Solves ``min α‖θ‖₁ + mu/2 ‖w − θ‖²_H`` exactly: ``θᵢ = sign(wᵢ) max(|wᵢ| − α/(mu hᵢ), 0)`` (soft
    thresholding, as in the lasso; Carreira-Perpiñán & Idelbayev, CVPR 2018, l1-penalty form). No
    weight may survive.

    Args:
        alpha: Price of a magnitude of 1, in the unit of the training loss, >= 0.
    """

    name: ClassVar[str] = "l1-penalty"
    penalized: ClassVar[bool] = True
    weightings: ClassVar[frozenset[str]] = frozenset({"diagonal"})
    ranges: ClassVar[Mapping[str, Any]] = {"alpha": {"low": 1e-5, "high": 1e-3, "log": True}}
    alpha: float

    def __post_init__(self) -> None:
        _check_alpha(self.alpha)

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> SparseCode:
        del previous
        norm = diagonal(self.name, weighting, weights)
        threshold = _price(self.alpha, mu)
        index, values = _survivors(weights, norm, threshold, power=1)
        if threshold > 0 and norm is None:
            # each is beyond the threshold, which clipping turns into the threshold with its sign
            shrunk = wide(values)
            clipped = np.minimum(shrunk, threshold)
            shrunk -= np.maximum(clipped, -threshold, out=clipped)
            values = torch.from_numpy(shrunk).to(values.device, values.dtype)
        elif threshold > 0 and norm is not None:
            shrunk = np.abs(wide(values))
            shrunk -= threshold / wide(take(norm, index))
            magnitudes = torch.from_numpy(shrunk).to(values.device, values.dtype)
            # a product above the threshold may round to a quotient just below zero
            values = magnitudes.clamp_(min=0.0).copysign_(values)
        return SparseCode.of(index, values, shapes_of(weights))

    def penalty(self, code: Code) -> float:
        assert isinstance(code, SparseCode)
        return self.alpha * sum(float(np.abs(wide(v)).sum()) for v in code.inner.decode())

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        return ((total_numel(shapes),),)

    def canonical(self, shapes: Shapes) -> Compression:
        return Dense() if self.alpha == 0 else self


def _survivors(
    weights: Tensors, norm: Tensor | None, threshold: float, power: int
) -> tuple[Tensor, Tensor]:
    """Return positions and values of the weights whose score is above the threshold."""
    # what is not finite survives, so that there is no need to look through all weights for it
    flat = joined(weights) if math.isfinite(threshold) else flatten(weights)
    index = Scores(flat, norm, power).above(threshold)
    values = take(flat, index)
    require_finite(values)
    return index, values


def _check_alpha(alpha: float) -> None:
    number = isinstance(alpha, (int, float)) and not isinstance(alpha, bool)
    if not number or not 0 <= alpha < math.inf:
        raise SchemeError(f"alpha = {alpha!r} is not a number >= 0: it is what weights are charged")


def _price(alpha: float, mu: float) -> float:
    """Return α/mu, in the limit where mu is 0."""
    if mu > 0:
        return alpha / mu
    return math.inf if alpha > 0 else 0.0
