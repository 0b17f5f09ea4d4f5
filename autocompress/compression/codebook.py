"""Adaptive quantization: every weight takes one of k learned values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

from torch import Tensor

from autocompress.compression import bitpack
from autocompress.compression.base import (
    ASSIGN,
    Code,
    Compression,
    InnerCode,
    Meta,
    Shapes,
    Tensors,
    flatten,
    numel,
    refuse,
    shapes_of,
    total_numel,
    unflatten,
)
from autocompress.compression.dense import DenseCode
from autocompress.compression.optimal_kmeans import assign, optimal_kmeans
from autocompress.compression.streams import Packed, Stream
from autocompress.compression.weighting import Weighting
from autocompress.errors import SchemeError


@final
@dataclass(frozen=True, eq=False)
class CodebookCode(InnerCode):
    """An index into a codebook for every weight.

    Attributes:
        indices: For each of the concatenated weights, its codebook entry (integer vector).
        size: Number of codebook entries; each index takes ceil(log2 size) bits.
        inner: Holds the codebook, one vector of ``size`` numbers.
        shapes: Shapes of the weight tensors.
    """

    kind: ClassVar[str] = "codebook"
    indices: Tensor
    size: int
    inner: Code
    shapes: Shapes

    def decode(self) -> Tensors:
        (codebook,) = self.inner.decode()
        return unflatten(codebook[self.indices.long()], self.shapes)

    def own_bits(self) -> int:
        return self.indices.numel() * bitpack.width(self.size)

    def tensors(self) -> dict[str, Tensor]:
        return {"indices": bitpack.pack(self.indices, bitpack.width(self.size))}

    def meta(self) -> Meta:
        return {"shapes": [list(shape) for shape in self.shapes], "size": self.size}

    @classmethod
    def streams(cls, meta: Meta) -> tuple[Stream, ...]:
        return (Packed("indices", int(meta["size"]), tuple(map(numel, meta["shapes"]))),)

    @classmethod
    def restore(
        cls, meta: Meta, tensors: Mapping[str, Tensor], children: Mapping[str, Code]
    ) -> Self:
        shapes = tuple(tuple(shape) for shape in meta["shapes"])
        size = int(meta["size"])
        (codebook,) = children["inner"].decode()
        indices = bitpack.unpack(tensors["indices"], bitpack.width(size), total_numel(shapes))
        if codebook.shape != (size,) or (indices.numel() and int(indices.max()) >= size):
            raise ValueError(f"indices do not fit a codebook of {tuple(codebook.shape)}")
        return cls(indices.to(codebook.device), size, children["inner"], shapes)


@final
@dataclass(frozen=True)
class Codebook(Compression):
    """Quantize with an adaptive codebook of k values, shared by the task's tensors.

    Solves ``min_{c, z} Σᵢ (wᵢ − c_{z(i)})²``, which in one dimension is solvable to global
    optimality (Bruce 1965; Carreira-Perpiñán & Idelbayev 2017, arXiv:1707.04319, use Lloyd's
    algorithm, which only finds a local one). See
    :func:`~autocompress.compression.optimal_kmeans.optimal_kmeans`. With fewer than k distinct
    weights the codebook holds just those.

    Args:
        k: Number of codebook entries, at least 1 and at most the number of weights.
    """

    name: ClassVar[str] = "codebook"
    stage: ClassVar[int] = ASSIGN
    ranges: ClassVar[Mapping[str, Any]] = {"k": {"low": 2, "high": 64, "log": True}}
    k: int

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise SchemeError(f"k = {self.k!r} is not an integer >= 1: the codebook's entries")

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> CodebookCode:
        refuse(self.name, weighting)
        del mu, previous  # the optimum is found from scratch: there is nothing to warm-start
        shapes = shapes_of(weights)
        self.check(shapes)
        flat = flatten(weights)
        codebook = optimal_kmeans(flat, self.k)
        inner = DenseCode(codebook, (tuple(codebook.shape),), flat.dtype)
        return CodebookCode(assign(flat, codebook), codebook.numel(), inner, shapes)

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        return ((min(self.k, total_numel(shapes)),),)

    def fitted(self, shapes: Shapes) -> Compression:
        return Codebook(min(self.k, total_numel(shapes)))

    def check(self, shapes: Shapes) -> None:
        if self.k > total_numel(shapes):
            raise SchemeError(
                f"k = {self.k} codebook entries for only {total_numel(shapes)} weights: "
                f"accepted is 1 to {total_numel(shapes)}"
            )
