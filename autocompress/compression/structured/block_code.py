"""The code of block pruning: which blocks survive, and their weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from torch import Tensor

from autocompress.compression import bitpack
from autocompress.compression.base import Code, InnerCode, Meta, Shapes, Tensors, total_numel
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


def masks_of(index: Tensor, shapes: Shapes, blocks: Shapes) -> Tensors:
    """Return for each tensor which elements are in the blocks at these positions."""
    grids = [grid(shape, block) for shape, block in zip(shapes, blocks, strict=True)]
    flags = torch.zeros(total_numel(tuple(grids)), dtype=torch.bool, device=index.device)
    flags[index] = True
    parts = flags.split([math.prod(g) for g in grids])
    rows = zip(parts, grids, shapes, blocks, strict=True)
    return tuple(_enlarge(part.view(g), shape, block) for part, g, shape, block in rows)


def _enlarge(flags: Tensor, shape: Block, block: Block) -> Tensor:
    """Repeat each element of a grid over its block and cut the edges off."""
    for dim, side in reversed(list(enumerate(block))):
        if side > 1:
            flags = flags.repeat_interleave(side, dim).narrow(dim, 0, shape[dim])
    return flags


def gather(tensors: Tensors, masks: Tensors) -> Tensor:
    """Return the elements under the masks as one vector."""
    parts = zip(tensors, masks, strict=True)
    return torch.cat([take(t.detach().reshape(-1), positions(mask)) for t, mask in parts])


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

    def masks(self) -> Tensors:
        """Return for each tensor which elements survive (bool)."""
        return masks_of(self.index, self.shapes, self.blocks)

    def decode(self) -> Tensors:
        (values,) = self.inner.decode()
        places = [positions(mask) for mask in self.masks()]
        parts = zip(places, values.split([p.numel() for p in places]), self.shapes, strict=True)
        return tuple(put(index, v, (math.prod(s),)).view(s) for index, v, s in parts)

    def reals_weighting(self, weighting: Weighting) -> Weighting | None:
        if not isinstance(weighting, Diagonal):
            return None
        values = gather(weighting.values, self.masks())
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
