"""N:M pruning: n of every m consecutive weights survive, a pattern hardware can skip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import comb
from typing import Any, ClassVar, Self, final

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
    numel,
    require_finite,
    shapes_of,
    total_numel,
)
from autocompress.compression.dense import Dense, DenseCode
from autocompress.compression.estimate import Estimate, dense, held, integers
from autocompress.compression.pruning.patterns import best, rank, unrank
from autocompress.compression.selection import positions, put, take
from autocompress.compression.streams import Packed, Stream
from autocompress.compression.weighting import Diagonal, Weighting, diagonals
from autocompress.errors import SchemeError, unknown

AXES = {"input": 1, "output": 0}
MOST = 64
"""Largest m: a pattern's rank then fits 64 bits."""


@final
@dataclass(frozen=True, eq=False)
class NMCode(InnerCode):
    """n survivors in every group of m weights; all the others are zero.

    Weights are read with the pruned dimension last, so a group is m neighbours along it: in a
    convolution m channels at one position of the kernel.

    Attributes:
        mask: Which weights of each group survive, bool ``(groups, m)``, n in every row; tensors
            one after the other.
        inner: Holds the survivors' values group by group, one vector.
        shapes: Shapes of the weight tensors.
        axis: The dimension groups run along: 1, or 0.
    """

    kind: ClassVar[str] = "n-m"
    mask: Tensor
    inner: Code
    shapes: Shapes
    axis: int

    @property
    def n(self) -> int:
        """Survivors of a group."""
        return int(self.mask[0].sum()) if len(self.mask) else 0

    def decode(self) -> Tensors:
        (values,) = self.inner.decode()
        flat = put(positions(self.mask), values, (self.mask.numel(),))
        pieces = flat.split([numel(shape) for shape in self.shapes])
        return tuple(_natural(p, s, self.axis) for p, s in zip(pieces, self.shapes, strict=True))

    def reals_weighting(self, weighting: Weighting) -> Weighting | None:
        if not isinstance(weighting, Diagonal):
            return None
        return Diagonal((take(_grouped(weighting.values, self.axis), positions(self.mask)),))

    def own_bits(self) -> int:
        groups, m = self.mask.shape
        return groups * bitpack.width(comb(m, self.n))

    def tensors(self) -> dict[str, Tensor]:
        m = self.mask.shape[1]
        ranks = torch.from_numpy(rank(self.mask.cpu().numpy()))
        return {"ranks": bitpack.pack(ranks, bitpack.width(comb(m, self.n)))}

    def meta(self) -> Meta:
        shapes = [list(shape) for shape in self.shapes]
        return {"shapes": shapes, "axis": self.axis, "n": self.n, "m": self.mask.shape[1]}

    @classmethod
    def streams(cls, meta: Meta) -> tuple[Stream, ...]:
        n, m = int(meta["n"]), int(meta["m"])
        if not 0 < n < m <= MOST:  # a forged file could ask for any binomial coefficient
            raise ValueError(f"no pattern of {n} in {m} weights")
        if comb(m, n) > 1 << 32:  # nothing to gain: hardly any pattern occurs twice
            return ()
        runs = tuple(numel(shape) // m for shape in meta["shapes"])
        return (Packed("ranks", comb(m, n), runs),)

    @classmethod
    def restore(
        cls, meta: Meta, tensors: Mapping[str, Tensor], children: Mapping[str, Code]
    ) -> Self:
        shapes = tuple(tuple(shape) for shape in meta["shapes"])
        n, m, axis = int(meta["n"]), int(meta["m"]), int(meta["axis"])
        if not 0 < n < m <= MOST or axis not in AXES.values():
            raise ValueError(f"no pattern of {n} in {m} weights along dimension {axis}")
        if any(len(shape) < 2 or shape[axis] % m for shape in shapes):
            raise ValueError(f"{shapes} has no groups of {m} along dimension {axis}")
        groups = total_numel(shapes) // m
        ranks = bitpack.unpack(tensors["ranks"], bitpack.width(comb(m, n)), groups)
        (values,) = children["inner"].decode()
        if values.shape != (groups * n,):
            raise ValueError(f"{values.numel()} values for {groups} groups of {n}")
        mask = torch.from_numpy(unrank(ranks.numpy(), n, m)).to(values.device)
        return cls(mask, children["inner"], shapes, axis)


@final
@dataclass(frozen=True)
class NMPrune(Compression):
    """Keep the n largest of every m consecutive weights, such as 2:4 or 4:8; the rest become zero.

    Solves ``min ‖w − θ‖²_H`` with at most n of each group not zero, exactly: in every group the n
    largest ``hᵢ wᵢ²`` survive unchanged, ties going to the earlier weight (Zhou et al., ICLR 2021,
    arXiv:2102.04010; Mishra et al. 2021, arXiv:2104.08378, for 2:4). Groups are m neighbours along
    the input dimension, in a convolution m input channels at the same position of the kernel: the
    layout of NVIDIA's sparse tensor cores. The density is n / m in every layer.

    Args:
        n: Survivors of a group, at least 1.
        m: Size of a group, more than n and at most 64; it must divide the dimension.
        axis: ``"input"``, or ``"output"`` for groups of output channels.
    """

    name: ClassVar[str] = "n-m"
    weightings: ClassVar[frozenset[str]] = frozenset({"diagonal"})
    ranges: ClassVar[Mapping[str, Any]] = {"n": {"choice": [1, 2]}, "m": {"choice": [4, 8]}}
    n: int
    m: int
    axis: str = "input"

    def __post_init__(self) -> None:
        for key in ("n", "m"):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SchemeError(f"{key} = {value!r} is not an integer >= 1")
        if not self.n < self.m <= MOST:
            raise SchemeError(
                f"n = {self.n} of m = {self.m}: accepted is an m from 2 to {MOST} and an n below it"
            )
        if not isinstance(self.axis, str) or self.axis not in AXES:
            raise unknown("axis of n-m", self.axis, AXES)

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> NMCode:
        del mu, previous
        shapes, axis = shapes_of(weights), AXES[self.axis]
        self.check(shapes)
        for weight in weights:
            require_finite(weight)
        groups = _grouped(weights, axis).view(-1, self.m)
        norms = diagonals(self.name, weighting, weights)
        norm = None if norms is None else _grouped(norms, axis).view(-1, self.m)
        mask = best(groups, norm, self.n)
        values = take(groups.view(-1), positions(mask))
        inner = DenseCode(values, (tuple(values.shape),), values.dtype)
        return NMCode(mask, inner, shapes, axis)

    def check(self, shapes: Shapes) -> None:
        for position, shape in enumerate(shapes):
            if len(shape) < 2:
                raise SchemeError(
                    f"n-m on tensor {position} of shape {shape}: accepted are weights of linear "
                    f"and convolutional layers, with an {self.axis} dimension; leave biases out"
                )
            width = shape[AXES[self.axis]]
            if width % self.m:
                raise SchemeError(
                    f"n-m with m = {self.m} on tensor {position} of shape {shape}: its {self.axis} "
                    f"width {width} is not divisible by {self.m}; accepted is an m that divides it"
                    f"{_divisors(width)}"
                )

    def fitted(self, shapes: Shapes) -> Compression:
        """Dense where m divides no tensor's width, such as a first convolution's 3 channels."""
        axis = AXES[self.axis]
        apt = (len(shape) > 1 and shape[axis] % self.m == 0 for shape in shapes)
        return self if any(apt) else Dense()

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        return ((total_numel(shapes) // self.m * self.n,),)

    def estimate(self, shapes: Shapes) -> Estimate:
        groups, width = total_numel(shapes) // self.m, bitpack.width(comb(self.m, self.n))
        meta = {"shapes": shapes, "axis": AXES[self.axis], "n": self.n, "m": self.m}
        inner = dense(((groups * self.n,),))
        return held("n-m", meta, [integers("ranks", groups * width)], inner)


def _divisors(width: int) -> str:
    found = [m for m in range(2, min(width, MOST) + 1) if width % m == 0]
    return f": {', '.join(map(str, found))}" if found else ", which no m from 2 to 64 does"


def _grouped(weights: Tensors, axis: int) -> Tensor:
    """Return the weights as one vector, each tensor read with ``axis`` last."""
    parts = [weight.detach().movedim(axis, -1).reshape(-1) for weight in weights]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _natural(piece: Tensor, shape: tuple[int, ...], axis: int) -> Tensor:
    """Return a tensor that `_grouped` read, in its own shape."""
    others = shape[:axis] + shape[axis + 1 :]
    return piece.view(*others, shape[axis]).movedim(-1, axis).contiguous()
