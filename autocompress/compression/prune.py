"""Magnitude pruning under an l0 constraint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

import numpy as np
import torch
from torch import Tensor

from autocompress.compression import bitpack
from autocompress.compression.base import (
    Code,
    Compression,
    InnerCode,
    Meta,
    Shapes,
    Tensors,
    flatten,
    shapes_of,
    total_numel,
    unflatten,
)
from autocompress.compression.dense import Dense, DenseCode
from autocompress.compression.weighting import Diagonal, Weighting
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

    def decode(self) -> Tensors:
        (values,) = self.inner.decode()
        flat = values.new_zeros(total_numel(self.shapes))
        flat[self.index] = values
        return unflatten(flat, self.shapes)

    def reals_weighting(self, weighting: Weighting) -> Weighting | None:
        return (
            Diagonal((weighting.flat()[self.index],)) if isinstance(weighting, Diagonal) else None
        )

    def own_bits(self) -> int:
        return bitpack.pattern_bits(self.index, total_numel(self.shapes))

    def tensors(self) -> dict[str, Tensor]:
        return bitpack.pack_pattern(self.index, total_numel(self.shapes))[0]

    def meta(self) -> Meta:
        numbers = bitpack.pack_pattern(self.index, total_numel(self.shapes))[1]
        return {"shapes": [list(shape) for shape in self.shapes], **numbers}

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
        flat = flatten(weights)
        index = largest(
            saliency(flat, weighting, shapes_of(weights)),
            max(1, round(self.density * flat.numel())),
        )
        values = flat[index]
        inner = DenseCode(values, (tuple(values.shape),), values.dtype)
        return SparseCode(index, inner, shapes_of(weights))

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        return ((max(1, round(self.density * total_numel(shapes))),),)

    def canonical(self, shapes: Shapes) -> Compression:
        size = total_numel(shapes)
        return Dense() if round(self.density * size) >= size else self


def saliency(flat: Tensor, weighting: Weighting | None, shapes: Shapes) -> Tensor:
    """Return scores that order weights as ``hᵢ wᵢ²`` does: what zeroing each one costs.

    Raises:
        SchemeError: a norm that is not diagonal, or does not fit.
    """
    if weighting is None:
        return flat.abs()
    if not isinstance(weighting, Diagonal):
        raise SchemeError("elementwise pruning takes a diagonal weighting, not a covariance")
    weighting.check(shapes)
    return flat.to(torch.float64).square() * weighting.flat()


def check_density(density: float) -> None:
    """Raise SchemeError unless ``density`` is a number in (0, 1]."""
    if isinstance(density, bool) or not isinstance(density, (int, float)) or not 0 < density <= 1:
        raise SchemeError(f"density = {density!r} is not in (0, 1]: it is the fraction kept")


def largest(scores: Tensor, count: int) -> Tensor:
    """Return the sorted positions (int64) of the ``count`` largest scores of a vector.

    Ties go to the earlier position. Linear time: one selection of the threshold, one comparison.
    """
    size = scores.numel()
    if count >= size:
        return torch.arange(size, device=scores.device)
    if scores.device.type == "cpu" and scores.dtype in (torch.float32, torch.float64):
        # NumPy's quickselect is vectorised (AVX-512/AVX2) and much faster than torch's on a CPU
        values = scores.detach().numpy()
        threshold = np.partition(values, size - count)[size - count]
        above = np.flatnonzero(values > threshold)
        ties = np.flatnonzero(values == threshold)[: count - above.size]
        merged = np.concatenate([above, ties])
        return torch.from_numpy(np.sort(merged) if ties.size else merged)
    threshold_t = torch.kthvalue(scores, size - count + 1).values
    keep = scores > threshold_t
    missing = count - int(keep.sum())
    ties_t = torch.nonzero(scores == threshold_t).flatten()[:missing]
    keep[ties_t] = True
    return torch.nonzero(keep).flatten()
