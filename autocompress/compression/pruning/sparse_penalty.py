"""Pruning by a penalty: every surviving weight has a price, on its presence or its magnitude."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softshrink

from autocompress.compression import ranking
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
    unflatten,
)
from autocompress.compression.dense import Dense
from autocompress.compression.pruning.prune import SparseCode
from autocompress.compression.selection import Scores, fast, take, wide
from autocompress.compression.weighting import Weighting, diagonal
from autocompress.errors import SchemeError


class _Priced(Compression):
    """A scheme that charges weights alpha; its dataclass declares the field. All may survive."""

    penalized: ClassVar[bool] = True
    weightings: ClassVar[frozenset[str]] = frozenset({"diagonal"})
    alpha: float

    def __post_init__(self) -> None:
        alpha = self.alpha
        number = isinstance(alpha, (int, float)) and not isinstance(alpha, bool)
        if not number or not 0 <= alpha < math.inf:
            raise SchemeError(
                f"alpha = {alpha!r} is not a number >= 0: it is what weights are charged"
            )

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        return ((total_numel(shapes),),)

    def canonical(self, shapes: Shapes) -> Compression:
        return Dense() if self.alpha == 0 else self


@final
@dataclass(frozen=True)
class L0Penalty(_Priced):
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
    ranges: ClassVar[Mapping[str, Any]] = {"alpha": {"low": 1e-6, "high": 3e-4, "log": True}}
    alpha: float

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
        index, values, whole = _survivors(weights, norm, threshold, soft=False)
        return _code(index, values, whole, shapes_of(weights))

    def penalty(self, code: Code) -> float:
        assert isinstance(code, SparseCode)
        return self.alpha * code.index.numel()


@final
@dataclass(frozen=True)
class L1Penalty(_Priced):
    """Charge every weight its magnitude: all shrink, and the small ones become zero.

    Solves ``min α‖θ‖₁ + mu/2 ‖w − θ‖²_H`` exactly: ``θᵢ = sign(wᵢ) max(|wᵢ| − α/(mu hᵢ), 0)`` (soft
    thresholding, as in the lasso; Carreira-Perpiñán & Idelbayev, CVPR 2018, l1-penalty form). No
    weight may survive.

    Args:
        alpha: Price of a magnitude of 1, in the unit of the training loss, >= 0.
    """

    name: ClassVar[str] = "l1-penalty"
    ranges: ClassVar[Mapping[str, Any]] = {"alpha": {"low": 1e-5, "high": 1e-3, "log": True}}
    alpha: float

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
        index, values, whole = _survivors(weights, norm, threshold, soft=True)
        if whole is None and threshold > 0:
            shrunk = np.abs(wide(values))
            shrunk -= threshold if norm is None else threshold / wide(take(norm, index))
            magnitudes = torch.from_numpy(shrunk).to(values.device, values.dtype)
            # a product above the threshold may round to a quotient just below zero
            values = magnitudes.clamp_(min=0.0).copysign_(values)
        return _code(index, values, whole, shapes_of(weights))

    def penalty(self, code: Code) -> float:
        assert isinstance(code, SparseCode)
        return self.alpha * sum(float(np.abs(wide(v)).sum()) for v in code.inner.decode())


def _survivors(
    weights: Tensors, norm: Tensor | None, threshold: float, *, soft: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return positions and values of the weights that are above the threshold.

    And all the weights, with zeros for the others, in one vector, where that is the quick way to
    find them: up to a size from which memory counts. There, ``soft`` values are shrunk already.
    """
    # what is not finite survives, so that there is no need to look through all weights for it
    flat = joined(weights) if math.isfinite(threshold) else flatten(weights)
    if norm is not None or flat.numel() > ranking.FEW or not fast(flat) or flat.itemsize < 4:
        index = Scores(flat, norm, power=1 if soft else 2).above(threshold)
        values = take(flat, index)
        require_finite(values)
        return index, values, None
    if soft:
        whole = softshrink(flat, min(threshold, torch.finfo(flat.dtype).max))
        whole += 0.0  # there may be zeros below zero, which decoding would not make
    else:
        limit = ranking.floor(threshold, flat.itemsize)
        # several weights were copied when they were joined: that copy may be overwritten
        whole = torch.hardshrink(flat, limit, **({"out": flat} if len(weights) > 1 else {}))
    numbers = whole.numpy()
    found = ranking.positions(numbers != 0)
    values = torch.from_numpy(numbers.take(found))
    if not math.isfinite(values.dot(values)):
        require_finite(values)
    return torch.from_numpy(found), values, whole


def _code(index: Tensor, values: Tensor, whole: Tensor | None, shapes: Shapes) -> SparseCode:
    code = SparseCode.of(index, values, shapes)
    return code if whole is None else code.holding(unflatten(whole, shapes))


def _price(alpha: float, mu: float) -> float:
    """Return α/mu, in the limit where mu is 0."""
    if mu > 0:
        return alpha / mu
    return math.inf if alpha > 0 else 0.0
