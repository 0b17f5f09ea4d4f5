"""A weight seen as magnitudes and directions: of its elements, of groups, or as a matrix.

Every view has magnitudes ``v >= 0``; a penalty f of them has the gradient "direction times slope",
and its proximal operator changes the magnitudes and keeps the directions (for singular values:
Lewis 1995; Cai, Candès & Shen 2010).
"""

from __future__ import annotations

from typing import Protocol, final

import torch
from torch import Tensor

from autocompress.compression.factorized.factors import from_matrix, to_matrix

_NOISE = 1e-7
"""Singular values below this share of the largest are taken as 0: their directions are noise."""


class View(Protocol):
    """Magnitudes of a weight, and the weight with other ones."""

    magnitudes: Tensor

    def scaled(self, values: Tensor) -> Tensor:
        """Return ``Σ value · direction``, of the weight's shape; no direction where all is 0."""


@final
class Elements:
    """``|w|``, as rows for a penalty of each row.

    Args:
        weight: The weight.
        rows: Dimension whose members are the rows; None for one row.
    """

    def __init__(self, weight: Tensor, rows: int | None = None) -> None:
        self._weight = weight
        self._rows = rows
        moved = weight if rows is None else weight.movedim(rows, 0)
        self._shape = moved.shape
        self.magnitudes = moved.abs().reshape(-1 if rows is None else (len(moved), -1))

    def scaled(self, values: Tensor) -> Tensor:
        """See :meth:`View.scaled`."""
        back = values.reshape(self._shape)
        return self._weight.sign() * (back if self._rows is None else back.movedim(0, self._rows))


@final
class Groups:
    """Lengths ``‖w_g‖₂`` of the slices of a weight along one dimension.

    Args:
        weight: The weight.
        axis: 0: weights of an output; 1: of an input.
    """

    def __init__(self, weight: Tensor, axis: int) -> None:
        self._weight = weight
        others = [d for d in range(weight.dim()) if d != axis]
        self._length = torch.linalg.vector_norm(weight, dim=others, keepdim=True)
        self.magnitudes = self._length.reshape(-1)

    def scaled(self, values: Tensor) -> Tensor:
        """See :meth:`View.scaled`."""
        share = values.reshape(self._length.shape) / self._length
        live = self._length > torch.finfo(self._length.dtype).tiny
        return self._weight * torch.where(live, share, torch.zeros_like(share))


@final
class Singular:
    """Singular values of a weight as a matrix.

    From the eigenvectors of the smaller Gram matrix in double precision, which is several times
    quicker than a singular value decomposition and as good down to ``1e-7`` of the largest value.

    Args:
        weight: The weight, a matrix or filter bank.
        conv: How a convolution becomes a matrix: ``"channel"`` or ``"spatial"``.
    """

    def __init__(self, weight: Tensor, conv: str) -> None:
        self._shape, self._conv = weight.shape, conv
        matrix = to_matrix(weight, conv)
        self._tall = matrix.shape[0] > matrix.shape[1]
        self._wide = (matrix.T if self._tall else matrix).to(torch.float64)
        squares, self._u = torch.linalg.eigh(self._wide @ self._wide.T)
        values = squares.clamp(min=0).sqrt()
        self._live = values > _NOISE * values.amax()
        self._dtype = weight.dtype
        self.magnitudes = torch.where(self._live, values, torch.zeros_like(values))

    def scaled(self, values: Tensor) -> Tensor:
        """See :meth:`View.scaled`."""
        share = torch.where(self._live, values / self.magnitudes, torch.zeros_like(values))
        wide = (self._u * share) @ (self._u.T @ self._wide)
        matrix = (wide.T if self._tall else wide).to(self._dtype)
        return from_matrix(matrix, tuple(self._shape), self._conv)
