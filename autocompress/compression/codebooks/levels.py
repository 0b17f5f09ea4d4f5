"""Weights on a few fixed levels, or on those levels times a scale: the code of fixed codebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self, final

import numpy as np
import torch
from torch import Tensor

from autocompress.compression.base import (
    Code,
    InnerCode,
    Meta,
    Shapes,
    Tensors,
    flatten,
    gathered_small,
    numel,
    total_numel,
    unflatten,
)
from autocompress.compression.codebooks import radix
from autocompress.compression.codebooks.digits import Digits
from autocompress.compression.codebooks.partition import (
    Group,
    check_group,
    count_of,
    runs_of,
    scale_groups,
    tiles,
)
from autocompress.compression.dense import DenseCode
from autocompress.compression.estimate import Estimate, Known, dense, integers
from autocompress.compression.selection import fast
from autocompress.compression.streams import Stream
from autocompress.compression.tensors import PLAIN
from autocompress.errors import SchemeError

_LOOKED_UP = 1 << 16  # weights at a time: their wider indices stay in cache
_STREAMED = {"digits": 1}  # entropy coding sees digits, not bytes of several
_WIDE = 64  # weights in a group from which NumPy compares them quicker than torch


@final
@dataclass(frozen=True, eq=False)
class LevelsCode(InnerCode):
    """A level for every weight; the levels are known in advance but for their scale.

    Attributes:
        digits: For each of the concatenated weights, the number of its level (uint8 vector).
        levels: The levels, ascending, at most 256: part of the scheme, not of the buffers.
        scaled: Whether each group of weights has a scale that multiplies the levels.
        group: Which weights share a scale; see :mod:`.partition`.
        inner: Holds the scales, one vector; empty where nothing is scaled.
        shapes: Shapes of the weight tensors.
    """

    kind: ClassVar[str] = "levels"
    digits: Tensor
    levels: tuple[float, ...]
    scaled: bool
    group: Group
    inner: Code
    shapes: Shapes

    def decode(self) -> Tensors:
        ready = self.given()
        if ready is not None:
            return ready
        (scales,) = self.inner.decode()
        step = _even_step(self.levels)
        if step:  # arithmetic in bytes is far quicker than looking levels up
            whole = self.digits.view(torch.int8)
            whole = whole if step == 1 else whole * step
            flat = (whole + int(self.levels[0])).to(scales.dtype)
        else:
            table = torch.tensor(self.levels, dtype=scales.dtype, device=scales.device)
            flat = look_up(table, self.digits)
        if self.scaled:
            scale_groups(flat, scales, runs_of(self.shapes, self.group))
        return unflatten(flat, self.shapes)

    def own_bits(self) -> int:
        return radix.bits(len(self.levels), self.digits.numel())

    def tensors(self) -> dict[str, Tensor]:
        return {"digits": radix.pack(self.digits, len(self.levels))}

    def meta(self) -> Meta:
        shapes, levels = [list(shape) for shape in self.shapes], list(self.levels)
        meta = {"shapes": shapes, "levels": levels, "scaled": self.scaled, "group": self.group}
        return meta | _STREAMED

    @classmethod
    def streams(cls, meta: Meta) -> tuple[Stream, ...]:
        if "digits" not in meta:  # files of before: their bytes are coded as any others
            return ()
        return (Digits("digits", len(meta["levels"]), tuple(map(numel, meta["shapes"]))),)

    @classmethod
    def restore(
        cls, meta: Meta, tensors: Mapping[str, Tensor], children: Mapping[str, Code]
    ) -> Self:
        shapes = tuple(tuple(shape) for shape in meta["shapes"])
        levels, scaled = tuple(float(level) for level in meta["levels"]), meta["scaled"] is True
        group = meta["group"]
        check_group(group)
        if not 1 <= len(levels) <= 256 or any(not a < b for a, b in pairwise(levels)):
            raise ValueError(f"{len(levels)} levels, which must ascend and be at most 256")
        digits = radix.unpack(tensors["digits"], len(levels), total_numel(shapes))
        (scales,) = children["inner"].decode()
        expected = count_of(runs_of(shapes, group)) if scaled else 0
        if scales.shape != (expected,):
            raise ValueError(f"{tuple(scales.shape)} scales for {expected} groups")
        return cls(digits.to(scales.device), levels, scaled, group, children["inner"], shapes)

    def reals(self) -> Tensors:
        self._require_scales()
        return self.inner.reals()

    def with_reals(self, inner: Code) -> Self:
        self._require_scales()
        return InnerCode.with_reals(self, inner)

    def _require_scales(self) -> None:
        if not self.scaled:
            raise SchemeError("nothing can follow a scheme of fixed levels: it leaves no reals")


def _even_step(levels: tuple[float, ...]) -> int:
    """Return the distance of levels that are evenly spaced small integers, 0 where they are not."""
    step = levels[1] - levels[0] if len(levels) > 1 else 0.0
    if not step.is_integer() or max(abs(levels[0]), abs(levels[-1]), levels[-1] - levels[0]) > 127:
        return 0
    even = all(level == levels[0] + i * step for i, level in enumerate(levels))
    return int(step) if even and levels[0].is_integer() else 0


def look_up(table: Tensor, index: Tensor) -> Tensor:
    """Return ``table[index]`` of a uint8 or integer vector, without an int64 copy of it all."""
    if table.requires_grad:  # fine-tuning trains the table: no shortcut has a gradient
        return table[index.long()]
    out = table.new_empty(index.shape)
    for some, into in zip(index.split(_LOOKED_UP), out.split(_LOOKED_UP), strict=True):
        torch.index_select(table, 0, some.int(), out=into)
    return out


def levels_code(
    digits: Tensor,
    levels: tuple[float, ...],
    scales: Tensor | None,
    like: Tensor,
    group: Group,
    shapes: Shapes,
) -> LevelsCode:
    """Return the code; scales are rounded to the dtype of the weights `like`."""
    held = like.new_empty(0) if scales is None else scales.to(like.device, like.dtype)
    inner = DenseCode(held, (tuple(held.shape),), like.dtype)
    return LevelsCode(digits, levels, scales is not None, group, inner, shapes)


def levels_estimate(
    shapes: Shapes, levels: tuple[float, ...], scaled: bool, group: Group
) -> Estimate:
    """Return the outline of the code."""
    count = count_of(runs_of(shapes, group)) if scaled else 0
    size = total_numel(shapes)
    meta = {"shapes": shapes, "levels": levels, "scaled": scaled, "group": group} | _STREAMED
    buffers = (integers("digits", radix.bits(len(levels), size)),)
    nonzeros = None if 0.0 in levels else Known.exactly(size)
    return Estimate("levels", meta, buffers, {"inner": dense(((count,),))}, nonzeros)


def nearest_levels(
    flat: Tensor, levels: tuple[float, ...], scales: Tensor | None, shapes: Shapes, group: Group
) -> Tensor:
    """Return the number of every weight's nearest level (uint8): of two, the one nearer to zero.

    Args:
        flat: The concatenated weights.
        levels: Ascending, and symmetric about zero.
        scales: One for each group, >= 0, or None.
        shapes: Shapes of the weight tensors.
        group: Which weights share a scale.
    """
    # all weights of an even number of levels are off zero, and 0 counts as positive
    even, half = len(levels) % 2 == 0, len(levels) // 2
    between = [(a + b) / 2 for a, b in pairwise(levels[half:])]
    quick = flat.device.type == "cpu" and flat.dtype in PLAIN
    out = torch.empty(flat.numel(), dtype=torch.uint8, device=flat.device)
    runs = runs_of(shapes, group if scales is not None else None)
    for groups, some in tiles(runs):
        part = flat[some].view(groups.stop - groups.start, -1)
        scale = None if scales is None else scales[groups, None]
        limits = [m if scale is None else (scale * m).to(part.dtype) for m in between]
        level = out[some].view(part.shape)
        if quick and part.shape[1] >= _WIDE:
            _number(part, limits, level, half - even, even)
            continue
        level.fill_(half - even)
        for limit in limits:
            level += part > limit
            level -= (part < -limit).view(torch.uint8)
        if even:
            level += part >= 0
    return out


def nearest_trits(weights: Tensors) -> tuple[Tensor, Tensor] | None:
    """Return the number of every weight's nearest of -1, 0 and 1, as above, and that level itself.

    None where NumPy is not for it.

    Raises:
        SchemeError: some weight is NaN or infinite.
    """
    if not weights or not all(fast(w) and w.dtype == torch.float32 for w in weights):
        return None
    pieces = [flatten(piece).numpy() for piece in gathered_small(weights)]
    trits, start = np.empty(sum(map(len, pieces)), np.int8), 0
    for piece in pieces:
        part = trits[start : start + len(piece)]
        np.greater(piece, 0.5, out=part.view(np.bool_))
        part -= (piece < -0.5).view(np.int8)
        start += len(piece)
    values = torch.from_numpy(trits.astype(np.float32))
    trits += 1
    return torch.from_numpy(trits.view(np.uint8)), values


def _number(
    part: Tensor, limits: Sequence[float | Tensor], level: Tensor, first: int, even: bool
) -> None:
    """Write ``first`` plus the limits each weight is above, less those it is below, into `level`.

    By NumPy, whose comparisons are many times as quick as torch's on a CPU.
    """
    values, count = part.numpy(), level.numpy()
    if even:
        np.greater_equal(values, 0, out=count.view(np.bool_))
        if first:
            count += np.uint8(first)
    else:
        count.fill(first)
    beyond = np.empty(values.shape if limits else 0, np.bool_)
    for limit in limits:
        bound = limit.numpy() if isinstance(limit, Tensor) else limit
        np.greater(values, bound, out=beyond)
        count += beyond.view(np.uint8)
        np.less(values, -bound, out=beyond)
        count -= beyond.view(np.uint8)
