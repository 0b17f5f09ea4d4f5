"""Weights as products of two thin matrices: reshaping to a matrix and back, and the code."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, TypeAlias, final

import torch
from torch import Tensor

from autocompress.compression.base import Code, InnerCode, Meta, Shapes, Tensors, numel, shapes_of
from autocompress.compression.dense import DenseCode
from autocompress.compression.tensors import extremes
from autocompress.errors import SchemeError

CONV_RESHAPINGS = ("channel", "spatial")

Pair: TypeAlias = tuple[Tensor, Tensor]
"""``U (m, r)`` and ``V (r, n)``."""


def check_conv(conv: object) -> None:
    """Raise SchemeError unless ``conv`` names a reshaping."""
    if conv not in CONV_RESHAPINGS:
        accepted = " or ".join(map(repr, CONV_RESHAPINGS))
        raise SchemeError(f"conv = {conv!r}: accepted is {accepted}")


def check_matrices(shapes: Shapes, conv: str) -> None:
    """Raise SchemeError unless all weights of these shapes can be reshaped to matrices."""
    for position, shape in enumerate(shapes):
        tensor = f"tensor {position} of shape {shape}"
        if len(shape) < 2:
            raise SchemeError(f"low rank needs a matrix or a filter bank, not {tensor}")
        if len(shape) != 4 and len(shape) > 2 and conv == "spatial":
            raise SchemeError(f"the spatial reshaping needs a 2-D convolution, not {tensor}")


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
    return shape[0], numel(shape[1:])


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


def full_rank(shape: tuple[int, ...], conv: str) -> int:
    """Return the largest rank that the matrix of a weight of this shape can have."""
    return min(matrix_shape(shape, conv))


@final
@dataclass(frozen=True, eq=False)
class LowRankCode(InnerCode):
    """Each weight as a product ``U V`` of two thin matrices, or as it is.

    Attributes:
        inner: Holds the factors in order U₁, V₁, U₂, V₂ …, with ``U`` of shape ``(m, r)`` and
            ``V`` of shape ``(r, n)``; in place of both, the weight itself where it is kept dense.
            A rank of 0 is a weight of zeros.
        shapes: Shapes of the weight tensors.
        conv: How convolutions are reshaped.
        dense: Sorted positions of the weights kept dense.
    """

    kind: ClassVar[str] = "lowrank"
    inner: Code
    shapes: Shapes
    conv: str
    dense: tuple[int, ...] = ()

    def factors(self) -> tuple[Pair | None, ...]:
        """Return ``(U, V)`` of every weight, None where it is kept dense."""
        return tuple(part if isinstance(part, tuple) else None for part in self._parts())

    def ranks(self) -> tuple[int | None, ...]:
        """Return the rank of every weight, None where it is kept dense."""
        return tuple(pair and pair[0].shape[1] for pair in self.factors())

    def decode(self) -> Tensors:
        parts = list(self._parts())
        product = torch.matmul if self._is_moderate(parts) else _careful_product
        return tuple(
            from_matrix(product(*part), shape, self.conv) if isinstance(part, tuple) else part
            for part, shape in zip(parts, self.shapes, strict=True)
        )

    def _is_moderate(self, parts: Sequence[Pair | Tensor]) -> bool:
        """Whether no product overflows, whatever the signs of its terms."""
        pairs = [part for part in parts if isinstance(part, tuple)]
        reals = (self.inner.flat,) if isinstance(self.inner, DenseCode) else itertools.chain(*pairs)
        peak = max((_magnitude(real) for real in reals if real.numel()), default=0.0)
        rank = max((u.shape[1] for u, _ in pairs), default=0)
        return not pairs or peak * peak * rank <= torch.finfo(pairs[0][0].dtype).max

    def _parts(self) -> Iterator[Pair | Tensor]:
        parts = iter(self.inner.decode())
        for position in range(len(self.shapes)):
            yield next(parts) if position in self.dense else (next(parts), next(parts))

    def own_bits(self) -> int:
        return 0

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def meta(self) -> Meta:
        meta: Meta = {"shapes": [list(shape) for shape in self.shapes], "conv": self.conv}
        return meta | {"dense": list(self.dense)} if self.dense else meta

    @classmethod
    def restore(
        cls, meta: Meta, tensors: Mapping[str, Tensor], children: Mapping[str, Code]
    ) -> Self:
        del tensors
        shapes = tuple(tuple(s) for s in meta["shapes"])
        dense = tuple(int(position) for position in meta.get("dense", ()))
        code = cls(children["inner"], shapes, str(meta["conv"]), dense)
        if code.conv not in CONV_RESHAPINGS:
            raise ValueError(f"unknown reshaping {code.conv!r}")
        if list(dense) != sorted(set(dense) & set(range(len(shapes)))):
            raise ValueError(f"{dense} are no positions among {len(shapes)} weights")
        if len(code.inner.decode()) != 2 * len(shapes) - len(dense):
            raise ValueError(f"there are not two factors for each of {len(shapes)} weights")
        for part, shape in zip(code._parts(), shapes, strict=True):
            _check_part(part, shape, code.conv)
        return code


def _careful_product(u: Tensor, v: Tensor) -> Tensor:
    """Return the product; what would overflow is the largest number of the dtype."""
    product = (2.0**-32 * u.double()) @ v.double()
    limit = 2.0**-32 * torch.finfo(u.dtype).max
    return product.clamp_(-limit, limit).mul_(2.0**32).to(u.dtype)


def _magnitude(tensor: Tensor) -> float:
    """Return the largest magnitude of a tensor's numbers."""
    low, high = extremes(tensor)
    return max(-low, high)


def _check_part(part: Pair | Tensor, shape: tuple[int, ...], conv: str) -> None:
    """Raise ValueError unless this is, or gives, a weight of that shape."""
    if isinstance(part, Tensor):
        if tuple(part.shape) != shape:
            raise ValueError(f"a dense weight {tuple(part.shape)} is not one of shape {shape}")
        return
    u, v = part
    if u.dim() != 2 or v.dim() != 2 or u.shape[1] != v.shape[0]:
        raise ValueError(f"{tuple(u.shape)}, {tuple(v.shape)} are no factors of a product")
    if (u.shape[0], v.shape[1]) != matrix_shape(shape, conv):
        raise ValueError(f"factors {tuple(u.shape)}, {tuple(v.shape)} do not give {shape}")


def make_code(weights: Tensors, pairs: Sequence[Pair | None], conv: str) -> LowRankCode:
    """Build a code from the factors of each weight, None where it is to be kept dense."""
    reals: list[Tensor] = []
    for weight, pair in zip(weights, pairs, strict=True):
        reals += [weight.detach()] if pair is None else pair
    flat = torch.cat([real.reshape(-1) for real in reals])  # always a copy
    inner = DenseCode(flat, shapes_of(tuple(reals)), flat.dtype)
    dense = tuple(position for position, pair in enumerate(pairs) if pair is None)
    return LowRankCode(inner, shapes_of(weights), conv, dense)


def factor_shapes(shapes: Shapes, ranks: Sequence[int | None], conv: str) -> Shapes:
    """Return the shapes of the reals of a code with these ranks (None: kept dense)."""
    result: list[tuple[int, ...]] = []
    for shape, rank in zip(shapes, ranks, strict=True):
        rows, columns = matrix_shape(shape, conv)
        result += [shape] if rank is None else [(rows, rank), (rank, columns)]
    return tuple(result)
