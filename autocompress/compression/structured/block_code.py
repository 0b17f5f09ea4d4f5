"""The code of block pruning: which blocks survive, and their weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from torch import Tensor

from autocompress.compression import bitpack
from autocompress.compression.base import (
    Code,
    InnerCode,
    Meta,
    Shapes,
    Tensors,
    total_numel,
    unflatten,
)
from autocompress.compression.dense import vector_of
from autocompress.compression.selection import positions, put, take
from autocompress.compression.streams import Positions, Stream
from autocompress.compression.structured import grouping
from autocompress.compression.weighting import Diagonal, Weighting

Block = tuple[int, ...]


def grid(shape: Block, block: Block) -> Block:
    """Return how many blocks a tensor has in each dimension, those cut off included."""
    return tuple(-(-size // side) for size, side in zip(shape, block, strict=True))


def sizes_of(shape: Block, block: Block) -> Tensor:
    """Return the number of elements (int64) of every block, as a vector."""
    return grouping.block_sizes(shape, block).reshape(-1)


def mask_of(index: Tensor, shapes: Shapes, blocks: Shapes) -> Tensor:
    """Return which of the concatenated weights are in the blocks at these positions (bool)."""
    parts = grouping.block_parts(shapes, blocks)
    flags = torch.zeros(sum(part.count for part in parts), dtype=torch.bool, device=index.device)
    flags[index] = True
    mask = torch.empty(total_numel(shapes), dtype=torch.bool, device=index.device)
    each = zip(
        parts,
        flags.split([part.count for part in parts]),
        mask.split([math.prod(part.sizes) for part in parts]),
        strict=True,
    )
    for part, some, out in each:
        _spread(some, part, out)
    return mask


def _spread(flags: Tensor, part: grouping.Part, out: Tensor) -> None:
    """Write each element of a grid to all of its block; blocks at the edges may be cut off."""
    flags = flags.view(part.grid)
    for dim in range(len(part.sizes) - 1, 0, -1):
        flags = _repeated(flags, part.sides[dim], dim).narrow(dim, 0, part.sizes[dim])
    side, size = part.sides[0], part.sizes[0]
    rows, cut = size - size % side, flags.reshape(len(flags), -1)
    whole = out.view(size, -1)
    whole[:rows].view(rows // side, side, -1).copy_(cut[: rows // side, None])
    if rows < size:
        whole[rows:] = cut[-1]


def _repeated(flags: Tensor, count: int, dim: int) -> Tensor:
    if count == 1 or flags.device.type != "cpu":
        return flags.repeat_interleave(count, dim)
    return torch.from_numpy(flags.numpy().repeat(count, dim))


def gather(flat: Tensor, mask: Tensor) -> Tensor:
    """Return the numbers of a vector under a mask."""
    return take(flat, positions(mask))


@final
@dataclass(frozen=True, eq=False)
class BlockCode(InnerCode):
    """Blocks of weights at known positions; all the other weights are zero.

    Attributes:
        index: Sorted positions of the surviving blocks (int64): those of the first tensor in
            row-major order of its grid of blocks, then those of the next.
        inner: Holds the survivors' values as one vector, each tensor's in its own row-major order.
        shapes: Shapes of the weight tensors.
        blocks: The block's size in each dimension of each tensor.
    """

    kind: ClassVar[str] = "block"
    index: Tensor
    inner: Code
    shapes: Shapes
    blocks: Shapes

    def mask(self) -> Tensor:
        """Return which of the concatenated weights survive (bool)."""
        return mask_of(self.index, self.shapes, self.blocks)

    def decode(self) -> Tensors:
        ready = self.given()
        if ready is not None:
            return ready
        values = vector_of(self.inner)
        flat = put(positions(self.mask()), values, (total_numel(self.shapes),))
        return unflatten(flat, self.shapes)

    def reals_weighting(self, weighting: Weighting) -> Weighting | None:
        if not isinstance(weighting, Diagonal):
            return None
        values = gather(weighting.vector, self.mask().to(weighting.vector.device))
        return self.inner.reals_weighting(Diagonal((values,)))

    def _count(self) -> int:
        return sum(math.prod(grid(s, b)) for s, b in zip(self.shapes, self.blocks, strict=True))

    def own_bits(self) -> int:
        return bitpack.pattern_bits(self.index, self._count())

    def tensors(self) -> dict[str, Tensor]:
        return bitpack.pack_pattern(self.index, self._count())[0]

    def meta(self) -> Meta:
        return {
            "shapes": [list(shape) for shape in self.shapes],
            "blocks": [list(block) for block in self.blocks],
            **bitpack.pack_pattern(self.index, self._count())[1],
        }

    @classmethod
    def streams(cls, meta: Meta) -> tuple[Stream, ...]:
        pairs = zip(meta["shapes"], meta["blocks"], strict=True)
        return (Positions(tuple(grid(tuple(s), tuple(b)) for s, b in pairs), meta),)

    @classmethod
    def restore(
        cls, meta: Meta, tensors: Mapping[str, Tensor], children: Mapping[str, Code]
    ) -> Self:
        shapes, blocks = (tuple(tuple(s) for s in meta[key]) for key in ("shapes", "blocks"))
        if [len(s) for s in shapes] != [len(b) for b in blocks] or min(map(min, blocks)) < 1:
            raise ValueError(f"blocks {blocks} do not divide tensors of shapes {shapes}")
        inner = children["inner"]
        count = cls(torch.zeros(0, dtype=torch.int64), inner, shapes, blocks)._count()
        index = bitpack.unpack_pattern(dict(tensors), meta, count)
        (values,) = inner.decode()
        sizes = torch.cat([sizes_of(s, b) for s, b in zip(shapes, blocks, strict=True)])
        if tuple(values.shape) != (int(sizes[index].sum()),):
            raise ValueError(f"values {tuple(values.shape)} do not fill {index.numel()} blocks")
        return cls(index.to(values.device), inner, shapes, blocks)
