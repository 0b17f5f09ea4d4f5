"""What a group of weights counts for when groups are pruned whole: its norm.

Everything is summed in double precision, a slab of the weights at a time, so that neither size nor
scale of the weights matters and the extra memory is small.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from autocompress.compression.base import Shapes, numel, require_finite
from autocompress.errors import SchemeError

NORMS = ("l2", "l1", "max", "mean")
"""How the weights of a group make its score: the sum of their squares, for which keeping the best
groups is the exact projection; or the sum, the largest or the mean of their magnitudes."""

SCOPES = ("joint", "layer")
"""Whether the groups of all layers compete with each other or only those of one layer."""


def check_choice(key: str, value: object, accepted: Sequence[str]) -> None:
    """Raise SchemeError unless a field is one of the accepted words."""
    if not isinstance(value, str) or value not in accepted:
        raise SchemeError(f"{key} = {value!r}: accepted is one of {', '.join(accepted)}")


def check_count(key: str, value: object) -> None:
    """Raise SchemeError unless a field is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SchemeError(f"{key} = {value!r} is not an integer of at least 1")


def channel_scores(weight: Tensor, axis: int, norm: str, diagonal: Tensor | None = None) -> Tensor:
    """Return the score of every slice of a tensor along an axis.

    Args:
        weight: ``(out, ...)``, any floating dtype.
        axis: 0 for output channels, 1 for input channels.
        norm: One of :data:`NORMS`; ``"mean"`` gives the sum, for the caller to divide.
        diagonal: The norm's weights h, of the tensor's shape: scores are those of ``√h w``.

    Returns:
        A float64 vector of ``weight.shape[axis]`` scores, on the weight's device.

    Raises:
        SchemeError: the weights contain NaN or infinity.
    """
    width = numel(weight.shape[1:])
    if axis == 0 and norm == "l2" and diagonal is None and _numpy_can(weight):
        sums = _energies(weight.detach().numpy().reshape(len(weight), width))
        if not math.isfinite(np.add.reduce(sums)):
            require_finite(weight.detach())
        return torch.from_numpy(sums)
    slabs = _slabs(weight, max(1, _slab(weight) // max(1, width)), norm, diagonal)
    if axis == 0:
        scores = torch.zeros(weight.shape[0], dtype=torch.float64, device=weight.device)
        for start, slab in slabs:
            scores[start : start + len(slab)] = _over(slab.reshape(len(slab), -1), 1, norm)
    else:
        total = torch.zeros(weight.shape[1:], dtype=torch.float64, device=weight.device)
        for _, slab in slabs:
            columns = _over(slab, 0, norm)
            total = torch.maximum(total, columns) if norm == "max" else total.add_(columns)
        scores = _over(total.flatten(1), 1, norm) if total.dim() > 1 else total
    _refuse_nan(scores, weight)
    return scores


def block_scores(
    weight: Tensor, block: Sequence[int], norm: str, diagonal: Tensor | None = None
) -> Tensor:
    """Return the score of every block of a tensor; blocks at its far edges may be cut off.

    Args:
        weight: Any floating dtype.
        block: The block's size in each dimension.
        norm: One of :data:`NORMS`.
        diagonal: The norm's weights h, of the tensor's shape: scores are those of ``√h w``.

    Returns:
        A float64 tensor with one element a block, on the weight's device.

    Raises:
        SchemeError: the weights contain NaN or infinity.
    """
    if norm == "l2" and diagonal is None and _numpy_can(weight) and weight.dim() == 2:
        scores = torch.from_numpy(_block_energies(weight.detach().numpy(), *block))
        _refuse_nan(scores, weight)
        return scores
    step = block[0] * max(1, _slab(weight) // max(1, numel(weight.shape[1:]) * block[0]))
    counts = [-(-size // side) for size, side in zip(weight.shape, block, strict=True)]
    scores = torch.empty(counts, dtype=torch.float64, device=weight.device)
    for start, slab in _slabs(weight, step, norm, diagonal):
        part = _blocks(slab, block, norm)
        scores[start // block[0] : start // block[0] + len(part)] = part
    _refuse_nan(scores, weight)
    return scores / block_sizes(weight.shape, block).to(scores) if norm == "mean" else scores


def block_sizes(shape: Sequence[int], block: Sequence[int]) -> Tensor:
    """Return the number of elements (int64) of every block of a tensor of this shape."""
    sizes = torch.ones((), dtype=torch.int64)
    for size, side in zip(shape, block, strict=True):
        edge = torch.full((-(-size // side),), side)
        edge[-1] = size - side * (edge.numel() - 1)
        sizes = sizes[..., None] * edge
    return sizes


@dataclass(frozen=True)
class Part:
    """Consecutive tensors of the concatenated weights that are like one, cut into blocks.

    Attributes:
        sides: The block's size in each dimension.
        sizes: The tensor's.
    """

    sides: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def grid(self) -> tuple[int, ...]:
        """How many blocks there are in each dimension, those cut off included."""
        return tuple(-(-n // side) for n, side in zip(self.sizes, self.sides, strict=True))

    @property
    def count(self) -> int:
        """How many blocks there are."""
        return math.prod(self.grid)


@functools.lru_cache(maxsize=64)
def block_parts(shapes: Shapes, blocks: Shapes) -> tuple[Part, ...]:
    """Return the tensors in as few parts as there can be, each in few dimensions.

    Equal ones follow each other without a gap where blocks divide them. And a dimension that the
    block spans is one with the dimension before it.
    """
    parts: list[Part] = []
    for shape, block in zip(shapes, blocks, strict=True):
        part = _joined(shape, block)
        if parts and _continues(parts[-1], part):
            size = parts[-1].sizes[0] + part.sizes[0]
            parts[-1] = Part(part.sides, (size, *part.sizes[1:]))
        else:
            parts.append(part)
    return tuple(parts)


def _joined(shape: Sequence[int], block: Sequence[int]) -> Part:
    sides, sizes = [block[0]], [shape[0]]
    for side, size in zip(block[1:], shape[1:], strict=True):
        if side == size:
            sides[-1], sizes[-1] = sides[-1] * size, sizes[-1] * size
        else:
            sides.append(side)
            sizes.append(size)
    return Part(tuple(sides), tuple(sizes))


def _continues(part: Part, other: Part) -> bool:
    divides = part.sizes[0] % part.sides[0] == 0
    return divides and part.sides == other.sides and part.sizes[1:] == other.sizes[1:]


def _numpy_can(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype != torch.bfloat16


def _energies(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Return the sum of squares of each row: what is mostly asked for, without torch's overhead."""
    count, width = rows.shape
    step = max(1, 2**16 // max(1, width))
    buffer, sums = np.empty((min(step, count), width)), np.empty(count)
    for start in range(0, count, step):
        part = rows[start : start + step]
        slab = buffer[: len(part)]
        np.copyto(slab, part)
        np.vecdot(slab, slab, out=sums[start : start + step])
    return sums


def _block_energies(matrix: NDArray[Any], height: int, width: int) -> NDArray[np.float64]:
    """Return the sum of squares of each block of a matrix, as :func:`_energies` for rows."""
    rows, columns = matrix.shape
    step = height * max(1, 2**16 // max(1, columns * height))
    buffer = np.empty((min(step, rows), columns))
    tall = np.empty((-(-rows // height), columns))
    for start in range(0, rows, step):
        part = matrix[start : start + step]
        slab = buffer[: len(part)]
        np.copyto(slab, part)
        np.multiply(slab, slab, out=slab)
        whole, first = len(part) - len(part) % height, start // height
        cells = slab[:whole].reshape(whole // height, height, columns)
        np.add.reduce(cells, axis=1, out=tall[first : first + len(cells)])
        if whole < len(part):
            np.add.reduce(slab[whole:], axis=0, out=tall[-1])
    if columns % width:
        return np.add.reduceat(tall, np.arange(0, columns, width), axis=1)
    # BLAS is quick where runs are short
    return (tall.reshape(-1, width) @ np.ones(width)).reshape(len(tall), -1)


def _slab(weight: Tensor) -> int:
    """Return how many elements to take at a time: what stays in cache, or fills a GPU."""
    return 2**16 if weight.device.type == "cpu" else 2**22


def _slabs(
    weight: Tensor, step: int, norm: str, diagonal: Tensor | None
) -> Iterator[tuple[int, Tensor]]:
    """Yield what the elements add to their group's score, ``step`` rows at a time, in float64.

    Each slab comes with its first row. All are views of one buffer: the next overwrites the last.
    """
    rows = min(step, weight.shape[0])
    buffer = torch.empty((rows, *weight.shape[1:]), dtype=torch.float64, device=weight.device)
    for start in range(0, weight.shape[0], step):
        part = weight.detach()[start : start + step]
        slab = buffer[: len(part)].copy_(part)
        slab = slab.square_() if norm == "l2" else slab.abs_()
        if diagonal is not None:
            scale = diagonal[start : start + step].to(slab)
            slab *= scale if norm == "l2" else scale.sqrt()
        yield start, slab


def _over(values: Tensor, dim: int, norm: str) -> Tensor:
    """Reduce one dimension."""
    if values.shape[dim] == 1:
        return values.squeeze(dim)
    return values.amax(dim) if norm == "max" else values.sum(dim)


def _blocks(slab: Tensor, block: Sequence[int], norm: str) -> Tensor:
    """Reduce a slab of whole rows of blocks to one element a block."""
    over = [-size % side for size, side in zip(slab.shape, block, strict=True)]
    if any(over):  # nothing counts for nothing in all of the norms
        slab = functional.pad(slab, [n for missing in reversed(over) for n in (0, missing)])
    for dim, side in enumerate(block):
        if side > 1:
            parts = slab.unflatten(dim, (-1, side))
            slab = _short(parts, dim + 1, norm) if dim else _over(parts, 1, norm)
    return slab


def _short(values: Tensor, dim: int, norm: str) -> Tensor:
    """Reduce one dimension that may be too short for a reduction to be quick."""
    if values.shape[dim] > 8:
        return _over(values, dim, norm)
    return functools.reduce(torch.maximum if norm == "max" else torch.add, values.unbind(dim))


def _refuse_nan(scores: Tensor, weight: Tensor) -> None:
    """Raise SchemeError if some score is not finite because a weight is not."""
    if not math.isfinite(float(scores.sum())):
        require_finite(weight.detach())
