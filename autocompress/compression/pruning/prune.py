"""Magnitude pruning under an l0 constraint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

from torch import Tensor

from autocompress.compression import bitpack
from autocompress.compression.base import (
    Code,
    Compression,
    InnerCode,
    Meta,
    Shapes,
    Tensors,
    joined,
    shapes_of,
    total_numel,
    unflatten,
)
from autocompress.compression.dense import Dense, DenseCode, vector_of
from autocompress.compression.estimate import Estimate, dense, held, positions
from autocompress.compression.selection import Scores, put, take
from autocompress.compression.selection import largest as largest
from autocompress.compression.streams import Positions, Stream
from autocompress.compression.weighting import Diagonal, Weighting, diagonal
from autocompress.errors import SchemeError


@final
@dataclass(frozen=True, eq=False)
class SparseCode(InnerCode):
    """A few weights at known positions; all the others are zero.

    Attributes:
        index: Sorted positions of the survivors in the concatenated weights (int64).
        inner: Holds the survivors' values, one vector.
        shapes: Shapes of the weight tensors.
    """

    kind: ClassVar[str] = "sparse"
    index: Tensor
    inner: Code
    shapes: Shapes

    @classmethod
    def of(cls, index: Tensor, values: Tensor, shapes: Shapes) -> Self:
        """Return the code of survivors given by position and value."""
        return cls(index, DenseCode(values, (tuple(values.shape),), values.dtype), shapes)

    def decode(self) -> Tensors:
        ready = self.given()
        if ready is not None:
            return ready
        values = vector_of(self.inner)
        return unflatten(put(self.index, values, (total_numel(self.shapes),)), self.shapes)

    def reals_weighting(self, weighting: Weighting) -> Weighting | None:
        if not isinstance(weighting, Diagonal):
            return None
        return Diagonal((take(weighting.vector.to(self.index.device), self.index),))

    def own_bits(self) -> int:
        return bitpack.pattern_bits(self.index, total_numel(self.shapes))

    def tensors(self) -> dict[str, Tensor]:
        return bitpack.pack_pattern(self.index, total_numel(self.shapes))[0]

    def meta(self) -> Meta:
        numbers = bitpack.pack_pattern(self.index, total_numel(self.shapes))[1]
        return {"shapes": [list(shape) for shape in self.shapes], **numbers}

    @classmethod
    def streams(cls, meta: Meta) -> tuple[Stream, ...]:
        return (Positions(tuple(tuple(shape) for shape in meta["shapes"]), meta),)

    @classmethod
    def restore(
        cls, meta: Meta, tensors: Mapping[str, Tensor], children: Mapping[str, Code]
    ) -> Self:
        shapes = tuple(tuple(shape) for shape in meta["shapes"])
        index = bitpack.unpack_pattern(dict(tensors), meta, total_numel(shapes))
        (values,) = children["inner"].decode()
        if values.shape != index.shape:
            raise ValueError(f"{values.numel()} values for {index.numel()} positions")
        return cls(index.to(values.device), children["inner"], shapes)


@final
@dataclass(frozen=True)
class Prune(Compression):
    """Keep the largest weights of a task, jointly over its tensors; the rest become zero.

    Solves ``min ‖w − θ‖² s.t. ‖θ‖₀ ≤ κ`` with ``κ = max(1, round(density · n))`` exactly: the κ
    largest magnitudes, under a diagonal weighting the largest ``hᵢ wᵢ²``, survive unchanged
    (Carreira-Perpiñán & Idelbayev, CVPR 2018, l0-constraint form). Ties at the threshold are
    broken by position, the earlier weight surviving.

    Args:
        density: Fraction of weights that survive, in (0, 1].
    """

    name: ClassVar[str] = "prune"
    weightings: ClassVar[frozenset[str]] = frozenset({"diagonal"})
    ranges: ClassVar[Mapping[str, Any]] = {"density": {"low": 0.02, "high": 0.5, "log": True}}
    density: float

    def __post_init__(self) -> None:
        check_density(self.density)

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> SparseCode:
        del mu, previous
        flat, shapes = joined(weights), shapes_of(weights)
        norm = diagonal(self.name, weighting, weights)
        most = weighting.largest if isinstance(weighting, Diagonal) else None
        scores = Scores(flat, norm, power=2, most=most)
        index = scores.largest(max(1, round(self.density * flat.numel())))
        return SparseCode.of(index, take(flat, index), shapes)

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        return ((max(1, round(self.density * total_numel(shapes))),),)

    def estimate(self, shapes: Shapes) -> Estimate:
        size = total_numel(shapes)
        count = max(1, round(self.density * size))
        meta, buffers = positions(count, size)
        return held("sparse", {"shapes": shapes, **meta}, buffers, dense(((count,),)))

    def canonical(self, shapes: Shapes) -> Compression:
        size = total_numel(shapes)
        return Dense() if round(self.density * size) >= size else self


def check_density(density: float) -> None:
    """Raise SchemeError unless ``density`` is a number in (0, 1]."""
    if isinstance(density, bool) or not isinstance(density, (int, float)) or not 0 < density <= 1:
        raise SchemeError(f"density = {density!r} is not in (0, 1]: it is the fraction kept")
