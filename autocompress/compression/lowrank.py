"""Low-rank factorization of linear and convolutional layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from torch import Tensor

from autocompress.compression.base import (
    Code,
    Compression,
    InnerCode,
    Meta,
    Shapes,
    Tensors,
    refuse,
    require_finite,
    shapes_of,
)
from autocompress.compression.dense import Dense, DenseCode
from autocompress.compression.weighting import Weighting
from autocompress.errors import SchemeError

CONV_RESHAPINGS = ("channel", "spatial")


def matrix_shape(shape: tuple[int, ...], conv: str) -> tuple[int, int]:
    """Return the shape of the matrix that a weight is reshaped to.

    Args:
        shape: ``(out, in)`` of a linear layer or ``(out, in, kh, kw)`` of a convolution.
        conv: ``"channel"`` gives ``(out, in·kh·kw)``, realized as a kh×kw convolution to r
            channels and a 1×1 one; ``"spatial"`` gives ``(out·kw, in·kh)``, realized as a kh×1 and
            a 1×kw convolution (Jaderberg et al. 2014).
    """
    if len(shape) == 4 and conv == "spatial":
        out, inputs, height, width = shape
        return out * width, inputs * height
    rows = shape[0]
    columns = 1
    for size in shape[1:]:
        columns *= size
    return rows, columns


def to_matrix(weight: Tensor, conv: str) -> Tensor:
    """Reshape a weight to its matrix; see :func:`matrix_shape`."""
    rows, columns = matrix_shape(tuple(weight.shape), conv)
    if weight.dim() == 4 and conv == "spatial":
        return weight.permute(0, 3, 1, 2).reshape(rows, columns)
    return weight.reshape(rows, columns)


def from_matrix(matrix: Tensor, shape: tuple[int, ...], conv: str) -> Tensor:
    """Inverse of :func:`to_matrix`."""
    if len(shape) == 4 and conv == "spatial":
        out, inputs, height, width = shape
        return matrix.reshape(out, width, inputs, height).permute(0, 2, 3, 1).contiguous()
    return matrix.reshape(shape)


@final
@dataclass(frozen=True, eq=False)
class LowRankCode(InnerCode):
    """Each weight as a product ``U V`` of two thin matrices.

    Attributes:
        inner: Holds the factors in order U₁, V₁, U₂, V₂ …, with ``U`` of shape ``(m, r)`` and
            ``V`` of shape ``(r, n)``.
        shapes: Shapes of the weight tensors.
        conv: How convolutions are reshaped.
    """

    kind: ClassVar[str] = "lowrank"
    inner: Code
    shapes: Shapes
    conv: str

    def factors(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Return ``(U, V)`` of every weight."""
        parts = self.inner.decode()
        return tuple(zip(parts[::2], parts[1::2], strict=True))

    def decode(self) -> Tensors:
        pairs = zip(self.factors(), self.shapes, strict=True)
        return tuple(from_matrix(u @ v, shape, self.conv) for (u, v), shape in pairs)

    def own_bits(self) -> int:
        return 0

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def meta(self) -> Meta:
        return {"shapes": [list(shape) for shape in self.shapes], "conv": self.conv}

    @classmethod
    def restore(
        cls, meta: Meta, tensors: Mapping[str, Tensor], children: Mapping[str, Code]
    ) -> Self:
        del tensors
        code = cls(children["inner"], tuple(tuple(s) for s in meta["shapes"]), str(meta["conv"]))
        if code.conv not in CONV_RESHAPINGS:
            raise ValueError(f"unknown reshaping {code.conv!r}")
        for (u, v), shape in zip(code.factors(), code.shapes, strict=True):
            if u.dim() != 2 or v.dim() != 2 or u.shape[1] != v.shape[0]:
                raise ValueError(f"{tuple(u.shape)}, {tuple(v.shape)} are no factors of a product")
            if (u.shape[0], v.shape[1]) != matrix_shape(shape, code.conv):
                raise ValueError(f"factors {tuple(u.shape)}, {tuple(v.shape)} do not give {shape}")
        return code


@final
@dataclass(frozen=True)
class LowRank(Compression):
    """Replace each weight matrix by its best approximation of a given rank.

    Solves ``min ‖W − UV‖²_F s.t. rank ≤ r`` by the truncated singular value decomposition, which
    is optimal (Eckart & Young 1936); each factor takes the square root of the singular values.
    Every tensor of a task is factorized by itself, at the same rank.

    Args:
        rank: The rank r >= 1. A layer whose full rank it reaches is stored as factors all the same,
            which is exact up to rounding and takes more room than the layer;
            :meth:`canonical` is dense where it reaches that of all layers.
        conv: How a convolution becomes a matrix: ``"channel"`` or ``"spatial"``, see
            :func:`matrix_shape`.
    """

    name: ClassVar[str] = "low-rank"
    smooth: ClassVar[bool] = True
    rank: int
    conv: str = "channel"

    def __post_init__(self) -> None:
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 1:
            raise SchemeError(f"rank = {self.rank!r} is not an integer >= 1")
        if self.conv not in CONV_RESHAPINGS:
            accepted = " or ".join(map(repr, CONV_RESHAPINGS))
            raise SchemeError(f"conv = {self.conv!r}: accepted is {accepted}")

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> LowRankCode:
        refuse(self.name, weighting)
        del mu, previous
        self.check(shapes_of(weights))
        factors: list[Tensor] = []
        for weight in weights:
            require_finite(weight.detach())
            factors.extend(truncated_svd(to_matrix(weight.detach(), self.conv), self.rank))
        flat = torch.cat([f.reshape(-1) for f in factors])
        inner = DenseCode(flat, shapes_of(tuple(factors)), flat.dtype)
        return LowRankCode(inner, shapes_of(weights), self.conv)

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        factors: list[tuple[int, ...]] = []
        for shape in shapes:
            rows, columns = matrix_shape(shape, self.conv)
            rank = min(self.rank, rows, columns)
            factors += [(rows, rank), (rank, columns)]
        return tuple(factors)

    def check(self, shapes: Shapes) -> None:
        for shape in shapes:
            if len(shape) < 2:
                raise SchemeError(f"low rank needs a matrix or a filter bank, not shape {shape}")
            if len(shape) != 4 and len(shape) > 2 and self.conv == "spatial":
                raise SchemeError(f"the spatial reshaping needs a 2-D convolution, not {shape}")

    def canonical(self, shapes: Shapes) -> Compression:
        full = all(self.rank >= min(matrix_shape(s, self.conv)) for s in shapes if len(s) >= 2)
        if full:
            return Dense()
        # without a 2-D convolution both reshapings are the same
        return LowRank(self.rank) if all(len(s) != 4 for s in shapes) else self


def truncated_svd(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return U ``(m, r)`` and V ``(r, n)`` whose product is the best rank-r approximation."""
    # there is no decomposition in half precision
    wide = matrix if matrix.dtype == torch.float64 else matrix.to(torch.float32)
    u, s, vh = torch.linalg.svd(wide, full_matrices=False)
    root = s[:rank].sqrt()
    return (u[:, :rank] * root).to(matrix.dtype), (root[:, None] * vh[:rank]).to(matrix.dtype)
