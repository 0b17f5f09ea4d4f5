"""The code of uniform quantization: a small integer for every weight, a scale for every row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np
import torch
from torch import Tensor

from autocompress.compression import bitpack
from autocompress.compression.base import (
    Code,
    InnerCode,
    Meta,
    Shapes,
    Tensors,
    numel,
    total_numel,
    unflatten,
)
from autocompress.compression.grids.rows import (
    PER,
    Layout,
    bounds,
    is_plain,
    layout,
    per_block,
    row_count,
    values_of,
    views,
)
from autocompress.compression.streams import Packed, Stream

BITS = (1, 2, 3, 4, 5, 6, 7, 8, 16)
_SMALL = 2**15  # levels of a tensor that take less time than calls do


@final
@dataclass(frozen=True, eq=False)
class UniformCode(InnerCode):
    """A level for every weight; it stands for ``scale · level + offset`` of the weight's row.

    Attributes:
        levels: For each of the concatenated weights its level, int8 (int16 for 16 bits). Symmetric
            ones are in ``-(2^(width-1) - 1) … 2^(width-1) - 1`` (one bit: -1 or 1), others in
            ``-2^(width-1) … 2^(width-1) - 1``. Each takes ``width`` bits.
        width: Bits of a level.
        symmetric: Whether there are no offsets.
        per: What shares a scale; see :func:`.rows.layout`.
        group_size: Length of a group, or None.
        inner: Holds the scales, one vector, and unless symmetric the offsets, another one.
        shapes: Shapes of the weight tensors.
    """

    kind: ClassVar[str] = "uniform"
    levels: Tensor
    width: int
    symmetric: bool
    per: str
    group_size: int | None
    inner: Code
    shapes: Shapes

    def layout(self) -> Layout:
        """Return how the concatenated weights are cut into rows."""
        return layout(self.shapes, self.per, self.group_size)

    def grids(self) -> tuple[Tensor, Tensor | None]:
        """Return the scales, and the offsets unless symmetric."""
        scale, *offset = self.inner.decode()
        return scale, offset[0] if offset else None

    def decode(self) -> Tensors:
        ready = self.given()
        if ready is not None:
            return ready
        scale, offset = self.grids()
        if offset is None and is_plain(scale) and self.per == "tensor":
            return self._scaled(scale)
        cut = self.layout()
        offsets = per_block(offset, cut) if offset is not None else [None] * len(cut)
        parts = zip(views(self.levels, cut), per_block(scale, cut), offsets, strict=True)
        values = [values_of(levels, s, o).view(-1) for levels, s, o in parts]
        return unflatten(torch.cat(values) if len(values) > 1 else values[0], self.shapes)

    def _scaled(self, scale: Tensor) -> Tensors:
        """Decode symmetric levels of one row a tensor: less overhead than with torch."""
        levels, start = self.levels.numpy(), 0
        small = len(levels) <= _SMALL * len(self.shapes)  # then all are converted at once
        values = levels.astype(np.float32) if small else np.empty(len(levels), np.float32)
        lengths = [length for length in map(numel, self.shapes) if length]
        for length, step in zip(lengths, scale.numpy(), strict=True):
            some, part = slice(start, start + length), values[start : start + length]
            np.multiply(part if small else levels[some], step, out=part)
            start += length
        return unflatten(torch.from_numpy(values), self.shapes)

    def own_bits(self) -> int:
        return self.levels.numel() * self.width

    def tensors(self) -> dict[str, Tensor]:
        if self.width == 1 and self.symmetric:
            numbers = (self.levels > 0).to(torch.uint8)
        else:
            numbers = self.levels.to(torch.int32) + 2 ** (self.width - 1)
        return {"levels": bitpack.pack(numbers, self.width)}

    def meta(self) -> Meta:
        return {
            "shapes": [list(shape) for shape in self.shapes],
            "width": self.width,
            "symmetric": self.symmetric,
            "per": self.per,
            "group_size": self.group_size,
        }

    @classmethod
    def streams(cls, meta: Meta) -> tuple[Stream, ...]:
        if meta["width"] not in BITS:  # before a forged one becomes a power of two
            raise ValueError(f"no uniform levels of {meta['width']} bits")
        runs = tuple(numel(shape) for shape in meta["shapes"])
        return (Packed("levels", 2 ** meta["width"], runs),)

    @classmethod
    def restore(
        cls, meta: Meta, tensors: Mapping[str, Tensor], children: Mapping[str, Code]
    ) -> Self:
        shapes = tuple(tuple(shape) for shape in meta["shapes"])
        width, symmetric = meta["width"], meta["symmetric"]
        per, group_size = meta["per"], meta["group_size"]
        if width not in BITS or not isinstance(symmetric, bool) or per not in PER:
            raise ValueError(f"no uniform levels of {width} bits, symmetric={symmetric}, per {per}")
        if (per == "group") != (type(group_size) is int and group_size >= 1):
            raise ValueError(f"group_size = {group_size} for levels per {per}")
        numbers = bitpack.unpack(tensors["levels"], width, total_numel(shapes))
        numbers = 2 * numbers - 1 if width == 1 and symmetric else numbers - 2 ** (width - 1)
        levels = numbers.to(torch.int16 if width > 8 else torch.int8)
        if levels.numel() and int(levels.min()) < bounds(width, symmetric)[0]:
            raise ValueError(f"a level below {bounds(width, symmetric)[0]}")
        grids = children["inner"].decode()
        count = row_count(layout(shapes, per, group_size))
        if [tuple(g.shape) for g in grids] != [(count,)] * (1 if symmetric else 2):
            raise ValueError(f"scales of shapes {[tuple(g.shape) for g in grids]} for {count} rows")
        levels = levels.to(grids[0].device)
        return cls(levels, width, symmetric, per, group_size, children["inner"], shapes)
