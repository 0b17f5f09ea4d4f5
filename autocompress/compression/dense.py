"""Weights stored as they are: `Dense`, and `Cast` to a narrower floating point."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

import torch
from torch import Tensor

from autocompress.compression.base import (
    CAST,
    Code,
    Compression,
    Meta,
    Shapes,
    Tensors,
    flatten,
    gathered_small,
    joined,
    refuse,
    shapes_of,
    total_numel,
    unflatten,
)
from autocompress.compression.estimate import NARROW, Estimate
from autocompress.compression.estimate import dense as outline
from autocompress.compression.weighting import Diagonal, Weighting
from autocompress.errors import SchemeError, unknown

CASTS = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float8_e4m3fn": torch.float8_e4m3fn,
    "float8_e5m2": torch.float8_e5m2,
}
DTYPES = CASTS | {"float32": torch.float32, "float64": torch.float64}


def dtype_name(dtype: torch.dtype) -> str:
    """Return the short name of a dtype, such as ``float16``."""
    return str(dtype).removeprefix("torch.")


@final
@dataclass(frozen=True, eq=False)
class DenseCode(Code):
    """Real numbers, one after the other.

    Attributes:
        flat: All the numbers as one vector, in the dtype they are stored in.
        shapes: Shapes of the tensors they are cut into.
        dtype: The dtype they are decoded to.
    """

    kind: ClassVar[str] = "dense"
    flat: Tensor
    shapes: Shapes
    dtype: torch.dtype

    def reals_weighting(self, weighting: Weighting) -> Weighting | None:
        return weighting

    def decode(self) -> Tensors:
        return unflatten(self.flat.to(self.dtype, copy=True), self.shapes)

    def own_bits(self) -> int:
        return self.flat.numel() * self.flat.element_size() * 8

    def tensors(self) -> dict[str, Tensor]:
        return {"flat": self.flat}

    def meta(self) -> Meta:
        shapes = [list(shape) for shape in self.shapes]
        return {"shapes": shapes, "dtype": dtype_name(self.dtype)}

    @classmethod
    def restore(
        cls, meta: Meta, tensors: Mapping[str, Tensor], children: Mapping[str, Code]
    ) -> Self:
        del children
        shapes = tuple(tuple(shape) for shape in meta["shapes"])
        flat = tensors["flat"]
        if flat.numel() != total_numel(shapes) or flat.dtype not in DTYPES.values():
            raise ValueError(f"{flat.numel()} {flat.dtype} numbers do not fill {shapes}")
        return cls(flat, shapes, DTYPES[meta["dtype"]])

    def reals(self) -> Tensors:
        return self.decode()

    def with_reals(self, inner: Code) -> Code:
        return inner


def vector_of(inner: Code) -> Tensor:
    """Return the one vector that a code holds, to be read only: not copied where it need not be."""
    if isinstance(inner, DenseCode) and inner.flat.dtype == inner.dtype and len(inner.shapes) == 1:
        return inner.flat
    (values,) = inner.decode()
    return values


@final
@dataclass(frozen=True)
class Dense(Compression):
    """No compression: weights are kept as they are. Exact, with zero error."""

    name: ClassVar[str] = "dense"
    smooth: ClassVar[bool] = True
    weightings: ClassVar[frozenset[str]] = frozenset({"diagonal", "covariance"})

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> DenseCode:
        del mu, previous, weighting
        flat = flatten(weights)
        # one tensor is flattened to a view: the caller's weights go on changing, the code must not
        flat = flat.clone() if len(weights) == 1 else flat
        return DenseCode(flat, shapes_of(weights), flat.dtype)

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        return shapes

    def estimate(self, shapes: Shapes) -> Estimate:
        return outline(shapes)


@final
@dataclass(frozen=True)
class Cast(Compression):
    """Round every weight to a floating point number of 16 or 8 bits.

    The nearest representable number, ties to even (IEEE 754); a magnitude beyond the format's
    largest finite number takes that number, which is the nearest one. Exact.

    ================= ============= ============== ============== ===============
    dtype             exponent bits mantissa bits  largest        smallest normal
    ================= ============= ============== ============== ===============
    ``float16``       5             10             65504          6.1e-5
    ``bfloat16``      8             7              3.4e38         1.2e-38
    ``float8_e4m3fn`` 4             3              448            0.016
    ``float8_e5m2``   5             2              57344          6.1e-5
    ================= ============= ============== ============== ===============

    Below the smallest normal number all formats have subnormal ones, equally spaced down to zero.
    There is no scale: weights much below 0.01 lose digits in ``float8_e4m3fn``. The two formats of
    8 bits are those of Micikevicius et al. (2022, arXiv:2209.05433).

    Args:
        dtype: ``"float16"``, ``"bfloat16"``, ``"float8_e4m3fn"`` or ``"float8_e5m2"``.
    """

    name: ClassVar[str] = "cast"
    smooth: ClassVar[bool] = True
    stage: ClassVar[int] = CAST
    weightings: ClassVar[frozenset[str]] = frozenset({"diagonal"})
    ranges: ClassVar[Mapping[str, Any]] = {"dtype": {"choice": list(CASTS)}}
    dtype: str

    def __post_init__(self) -> None:
        if not isinstance(self.dtype, str) or self.dtype not in CASTS:
            raise unknown("dtype of cast", self.dtype, CASTS)

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> DenseCode:
        del mu, previous
        if weighting is not None and not isinstance(weighting, Diagonal):
            refuse(self.name, weighting)
        narrow = _all_inside(weights, CASTS[self.dtype])
        if narrow is not None:
            return DenseCode(narrow, shapes_of(weights), torch.float32)
        flat = flatten(weights)
        return DenseCode(nearest(flat, CASTS[self.dtype]), shapes_of(weights), flat.dtype)

    def estimate(self, shapes: Shapes) -> Estimate:
        return outline(shapes, NARROW[self.dtype])

    def check(self, shapes: Shapes) -> None:
        if not shapes:
            raise SchemeError("cast needs at least one weight tensor")


def _all_inside(weights: Tensors, dtype: torch.dtype) -> Tensor | None:
    """Return float32 weights in 16 bits; None if one is beyond what these can hold, or not finite.

    Large tensors are not copied before they are rounded.
    """
    if not weights or dtype.itemsize < 2 or any(w.dtype != torch.float32 for w in weights):
        return None
    pieces = [joined(piece) for piece in gathered_small(weights)]
    sizes = [piece.numel() for piece in pieces]
    narrow = torch.empty(sum(sizes), dtype=dtype, device=weights[0].device)
    for part, piece in zip(narrow.split(sizes), pieces, strict=True):
        part.copy_(piece)
    # infinity stands for what is beyond; a sum that overflows takes the slow way, no more
    return narrow if math.isfinite(float(narrow.sum())) else None


def nearest(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the nearest finite numbers of a dtype of :data:`CASTS`, in it, ties to even."""
    # narrow formats cannot hold each other's largest number
    wide = values if values.dtype == torch.float64 else values.to(torch.float32)
    largest = torch.finfo(dtype).max
    if values.dtype == torch.float16 and dtype == torch.bfloat16:
        largest = 65280.0  # the next one is beyond float16
    inside = wide.clamp(-largest, largest)
    return (_round_to_odd(inside) if inside.dtype == torch.float64 else inside).to(dtype)


def _round_to_odd(values: Tensor) -> Tensor:
    """Convert float64 to float32 such that rounding once more is as good as rounding once.

    torch goes from float64 to less by way of float32, where a number a little off the middle of
    two narrow ones may become the middle itself. Rounding towards zero, with the last bit set where
    anything was lost, keeps the side it was on (Boldo & Melquiond 2008).
    """
    rounded = values.to(torch.float32)
    away = (rounded.to(torch.float64).abs() > values.abs()).to(torch.int32)
    towards_zero = rounded.view(torch.int32) - away
    lost = (towards_zero.view(torch.float32).to(torch.float64) != values).to(torch.int32)
    return (towards_zero | lost).view(torch.float32)
