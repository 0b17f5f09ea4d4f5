"""Adaptive quantization: every weight takes one of k learned values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, final

import torch
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
    shapes_of,
    total_numel,
    unflatten,
)
from autocompress.compression.codebooks.grouped_kmeans import (
    assign_groups,
    grouped_kmeans,
    look_up_groups,
)
from autocompress.compression.codebooks.levels import look_up
from autocompress.compression.codebooks.optimal_kmeans import assign, optimal_kmeans
from autocompress.compression.codebooks.partition import (
    Group,
    check_group,
    count_of,
    runs_of,
)
from autocompress.compression.dense import DenseCode
from autocompress.compression.estimate import Estimate, Known, dense, indices, integers
from autocompress.compression.streams import Packed, Stream
from autocompress.compression.weighting import Weighting, diagonal
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
        return unflatten(look_up(codebook, self.indices), self.shapes)

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
@dataclass(frozen=True, eq=False)
class GroupedCodebookCode(InnerCode):
    """An index for every weight into its group's codebook.

    Attributes:
        indices: For each of the concatenated weights, the entry of its codebook (integer vector).
        size: Number of entries of each codebook; an index takes ceil(log2 size) bits.
        group: What makes a group; see :mod:`.partition`.
        inner: Holds the codebooks, one tensor (groups, size).
        shapes: Shapes of the weight tensors.
    """

    kind: ClassVar[str] = "codebook-groups"
    indices: Tensor
    size: int
    group: Group
    inner: Code
    shapes: Shapes

    def decode(self) -> Tensors:
        (codebooks,) = self.inner.decode()
        runs = runs_of(self.shapes, self.group)
        return unflatten(look_up_groups(codebooks, self.indices, runs), self.shapes)

    def own_bits(self) -> int:
        return self.indices.numel() * bitpack.width(self.size)

    def tensors(self) -> dict[str, Tensor]:
        return {"indices": bitpack.pack(self.indices, bitpack.width(self.size))}

    def meta(self) -> Meta:
        shapes = [list(shape) for shape in self.shapes]
        return {"shapes": shapes, "size": self.size, "group": self.group}

    @classmethod
    def streams(cls, meta: Meta) -> tuple[Stream, ...]:
        return (Packed("indices", int(meta["size"]), tuple(map(numel, meta["shapes"]))),)

    @classmethod
    def restore(
        cls, meta: Meta, tensors: Mapping[str, Tensor], children: Mapping[str, Code]
    ) -> Self:
        shapes = tuple(tuple(shape) for shape in meta["shapes"])
        size, group = int(meta["size"]), meta["group"]
        check_group(group)
        (codebooks,) = children["inner"].decode()
        indices = bitpack.unpack(tensors["indices"], bitpack.width(size), total_numel(shapes))
        expected = (count_of(runs_of(shapes, group)), size)
        if codebooks.shape != expected or (indices.numel() and int(indices.max()) >= size):
            raise ValueError(f"indices do not fit codebooks of {tuple(codebooks.shape)}")
        indices = indices.to(torch.uint8 if size <= 256 else torch.int32)
        return cls(indices.to(codebooks.device), size, group, children["inner"], shapes)


@final
@dataclass(frozen=True)
class Codebook(Compression):
    """Quantize with adaptive codebooks of k values: one for the task's tensors, or one a group.

    Solves ``min_{c, z} Σᵢ hᵢ (wᵢ − c_{z(i)})²``, which in one dimension is solvable to global
    optimality (Bruce 1965; Carreira-Perpiñán & Idelbayev 2017, arXiv:1707.04319, use Lloyd's
    algorithm, which only finds a local one), with weights h (Fisher-weighted as in Choi et al.
    2017, arXiv:1612.01543) as without. See
    :func:`.optimal_kmeans.optimal_kmeans`. With fewer than k distinct
    weights a single codebook holds just those.

    Args:
        k: Number of codebook entries, at least 1 and at most the number of weights.
        zero: Whether one of the k entries is 0; the others are optimal given that.
        group: Which weights have a codebook of their own: None, all the task's; ``"tensor"``;
            ``"row"``, every output neuron or filter; an integer g, every g consecutive weights.
    """

    name: ClassVar[str] = "codebook"
    stage: ClassVar[int] = ASSIGN
    weightings: ClassVar[frozenset[str]] = frozenset({"diagonal"})
    ranges: ClassVar[Mapping[str, Any]] = {"k": {"low": 2, "high": 64, "log": True}}
    k: int
    zero: bool = False
    group: Group = None

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise SchemeError(f"k = {self.k!r} is not an integer >= 1: the codebook's entries")
        if not isinstance(self.zero, bool):
            raise SchemeError(f"zero = {self.zero!r}: accepted is true or false")
        check_group(self.group)

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> CodebookCode | GroupedCodebookCode:
        del mu, previous  # the optimum is found from scratch: there is nothing to warm-start
        shapes = shapes_of(weights)
        self.check(shapes)
        flat, h = flatten(weights), diagonal(self.name, weighting, weights)
        if self.group is not None:
            runs = runs_of(shapes, self.group)
            codebooks = grouped_kmeans(flat, self.k, runs, h, zero=self.zero)
            indices = assign_groups(flat, codebooks, runs)
            held = DenseCode(codebooks.reshape(-1), (tuple(codebooks.shape),), flat.dtype)
            return GroupedCodebookCode(indices, self.k, self.group, held, shapes)
        # of many tensors this is a copy, which may be sorted in place to save another
        codebook = optimal_kmeans(flat, self.k, h, zero=self.zero, scratch=len(weights) > 1)
        inner = DenseCode(codebook, (tuple(codebook.shape),), flat.dtype)
        del flat
        found = torch.cat([assign(w.reshape(-1), codebook) for w in weights])
        return CodebookCode(found, codebook.numel(), inner, shapes)

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        if self.group is not None:
            return ((count_of(runs_of(shapes, self.group)), self.k),)
        return ((min(self.k, total_numel(shapes)),),)

    def estimate(self, shapes: Shapes) -> Estimate:
        size = self.k if self.group is not None else min(self.k, total_numel(shapes))
        meta: Meta = {"shapes": shapes, "size": size}
        kind, held = "codebook", [size]
        if self.group is not None:
            kind, held = "codebook-groups", [count_of(runs_of(shapes, self.group)), size]
            meta["group"] = self.group
        buffers = (integers("indices", indices(shapes, size)),)
        nonzeros = None if self.zero else Known.exactly(total_numel(shapes))
        return Estimate(kind, meta, buffers, {"inner": dense((tuple(held),))}, nonzeros)

    def fitted(self, shapes: Shapes) -> Compression:
        return replace(self, k=min(self.k, max(self._largest(shapes), 1)))

    def canonical(self, shapes: Shapes) -> Compression:
        # one group is all the weights
        alone = self.group is not None and count_of(runs_of(shapes, self.group)) == 1
        return replace(self, group=None) if alone else self

    def check(self, shapes: Shapes) -> None:
        most = self._largest(shapes)
        if self.k <= most:
            return
        if self.group is None:
            raise SchemeError(
                f"k = {self.k} codebook entries for only {most} weights: accepted is 1 to {most}"
            )
        raise SchemeError(
            f"k = {self.k} codebook entries for groups (group = {self.group!r}) of at most {most} "
            f"weights: accepted is 1 to {most}, or larger groups"
        )

    def _largest(self, shapes: Shapes) -> int:
        return max((size for _, size in runs_of(shapes, self.group)), default=0)
