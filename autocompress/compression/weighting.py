"""The norm in which a C step measures distance: identity, diagonal, or input covariance.

``project`` solves ``min penalty(Θ) + mu/2 ‖w − Δ(Θ)‖²_H``. With H the identity that is the plain
C step. A diagonal H makes saliency pruning the same C step under another norm: squared gradients
give the Fisher (Taylor) criterion ``½ F w²`` (LeCun et al. 1990; Molchanov et al. 2019,
arXiv:1906.10771), second moments of the inputs that of Wanda (Sun et al. 2023, arXiv:2306.11695).
The full input covariance makes low rank activation-aware (SVD-LLM, Wang et al. 2024,
arXiv:2403.07378). Where the numbers come from is not decided here: see
:mod:`autocompress.calibration`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor

from autocompress.compression.base import Shapes, Tensors, numel, shapes_of
from autocompress.compression.tensors import extremes, joined
from autocompress.errors import SchemeError


@dataclass(frozen=True, eq=False)
class Diagonal:
    """``‖e‖² = Σᵢ hᵢ eᵢ²`` with one weight hᵢ >= 0 for every element.

    Attributes:
        values: For each weight tensor of the task the weights h, of its shape and device; any
            floating dtype. Not to be changed afterwards.
    """

    values: Tensors

    def check(self, shapes: Shapes) -> None:
        """Raise SchemeError unless the weights are finite, >= 0 and of these shapes."""
        if self._shapes != shapes:
            raise SchemeError(f"weighting of shapes {self._shapes} for weights {shapes}")
        if self._refused:
            tensors = ", ".join(map(str, self._refused))
            raise SchemeError(f"the weighting of tensor {tensors} has NaN or negative numbers")

    @cached_property
    def _shapes(self) -> Shapes:
        return shapes_of(self.values)

    @cached_property
    def _refused(self) -> tuple[int, ...]:
        """Positions of the tensors that are no norm."""
        return tuple(
            i for i, (low, high) in enumerate(self._ends) if not 0 <= low <= high < math.inf
        )

    @cached_property
    def _ends(self) -> tuple[tuple[float, float], ...]:
        """The least and the largest weight of each tensor: looked for once, not in every C step.

        Both are NaN if one weight is.
        """
        return tuple(extremes(value) if value.numel() else (0.0, 0.0) for value in self.values)

    @cached_property
    def largest(self) -> float:
        """The largest weight of all; 0 if there is none."""
        return max((high for _, high in self._ends), default=0.0)

    @cached_property
    def vector(self) -> Tensor:
        """All the weights as one vector, in their own dtype and the order of ``flatten``; kept."""
        return joined(self.values)


@dataclass(frozen=True, eq=False)
class Covariance:
    """``‖E‖² = tr(E C Eᵀ)`` for each weight as a matrix E ``(out, in·kh·kw)``.

    That is the mean squared change of a layer's outputs when C is the second moment of its inputs
    (the patches, for a convolution).

    Attributes:
        matrices: For each weight tensor of the task, C ``(in·kh·kw, in·kh·kw)``, symmetric positive
            semidefinite, or None for the identity (biases). Not to be changed afterwards.
    """

    matrices: tuple[Tensor | None, ...]

    def check(self, shapes: Shapes) -> None:
        """Raise SchemeError unless the matrices are finite and fit weights of these shapes."""
        if len(self.matrices) != len(shapes):
            raise SchemeError(f"{len(self.matrices)} covariances for {len(shapes)} weights")
        for position, (matrix, shape) in enumerate(zip(self.matrices, shapes, strict=True)):
            if matrix is None:
                continue
            width = numel(shape[1:])
            if tuple(matrix.shape) != (width, width):
                raise SchemeError(
                    f"covariance {tuple(matrix.shape)} of tensor {position}: a weight of shape "
                    f"{shape} needs ({width}, {width})"
                )
            if not self._finite[position]:
                raise SchemeError(f"the covariance of tensor {position} has NaN or infinity")

    @cached_property
    def _finite(self) -> tuple[bool, ...]:
        """Which of the matrices are finite: looked for once, not in every C step."""
        return tuple(m is None or math.isfinite(sum(map(abs, extremes(m)))) for m in self.matrices)

    @cached_property
    def definite(self) -> tuple[bool, ...]:
        """Which of the matrices :func:`is_definite`; the identity is."""
        return tuple(m is None or is_definite(m) for m in self.matrices)


def unseen_share(matrix: Tensor) -> float:
    """Return the share of a covariance's largest eigenvalue up to which others are taken for 0.

    That is its own rounding.
    """
    size = matrix.shape[0]
    return max(4 * torch.finfo(matrix.dtype).eps, size * torch.finfo(torch.float64).eps)


def is_definite(matrix: Tensor) -> bool:
    """Whether no eigenvalue of a covariance is taken for zero; now and then one that is is missed.

    By Cholesky's decomposition, which takes a tenth of the time that eigenvalues take.
    """
    shifted = matrix.to(torch.float64, copy=True)
    largest = float(torch.linalg.matrix_norm(shifted, torch.inf))  # or less
    shifted.diagonal().sub_(2 * largest * unseen_share(matrix))
    return largest > 0 and int(torch.linalg.cholesky_ex(shifted).info) == 0


Weighting: TypeAlias = Diagonal | Covariance

_BLOCK = 1 << 15  # elements summed at a time


def kind_of(weighting: Weighting | None) -> str:
    """Return ``"diagonal"``, ``"covariance"``, or ``"identity"`` for None."""
    return "identity" if weighting is None else type(weighting).__name__.lower()


def diagonals(name: str, weighting: Weighting | None, weights: Tensors) -> Tensors | None:
    """Return the diagonal norm of each weight tensor, on its device; None for the identity.

    Args:
        name: The scheme's, for errors.
        weighting: The norm a scheme was given that knows these two.
        weights: The task's.

    Raises:
        SchemeError: a norm that is not diagonal, or does not fit.
    """
    norm = _fitting(name, weighting, weights)
    if norm is None:
        return None
    return tuple(v.detach().to(w.device) for v, w in zip(norm.values, weights, strict=True))


def diagonal(name: str, weighting: Weighting | None, weights: Tensors) -> Tensor | None:
    """Return :func:`diagonals` as one vector in their own dtype; None for the identity."""
    norm = _fitting(name, weighting, weights)
    return None if norm is None else norm.vector.to(weights[0].device)


def _fitting(name: str, weighting: Weighting | None, weights: Tensors) -> Diagonal | None:
    if weighting is None:
        return None
    if not isinstance(weighting, Diagonal):
        raise SchemeError(f"{name} takes a diagonal weighting, not a {kind_of(weighting)}")
    weighting.check(shapes_of(weights))
    return weighting


def energy(errors: Tensors, weighting: Weighting | None) -> float:
    """Return ``‖e‖²_H`` of the task's errors, in double precision."""
    if weighting is None:
        return sum(_square(e.detach().reshape(-1)) for e in errors)
    wide = [e.detach().to(torch.float64) for e in errors]
    if isinstance(weighting, Diagonal):
        pairs = zip(wide, weighting.values, strict=True)
        return sum(float((e.square() * h).sum()) for e, h in pairs)
    total = 0.0
    for e, c in zip(wide, weighting.matrices, strict=True):
        rows = e.reshape(e.shape[0], -1)
        total += float(((rows @ c.to(torch.float64) if c is not None else rows) * rows).sum())
    return total


def _square(flat: Tensor) -> float:
    """Return Σ e² of a vector in double precision, a block at a time to stay in cache."""
    blocks = flat.split(_BLOCK)
    return sum(float(torch.dot(wide, wide)) for wide in (b.to(torch.float64) for b in blocks))
