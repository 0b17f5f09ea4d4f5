"""Rows of weights that share a scale, and the uniform levels on them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from autocompress.compression.base import Shapes, numel
from autocompress.compression.grids.rounding import round_rows

PER = ("tensor", "channel", "group")
Layout: TypeAlias = Sequence[tuple[int, int]]
"""``(rows, length)`` of consecutive matrices that the concatenated weights are cut into."""


def layout(shapes: Shapes, per: str, group_size: int | None) -> Layout:
    """Return how the concatenated weights are cut into rows that share a scale.

    Args:
        shapes: Shapes of the weight tensors.
        per: ``"tensor"``: a row for each tensor. ``"channel"``: for each index of a tensor's first
            dimension; vectors and scalars are one row. ``"group"``: for each ``group_size``
            consecutive weights of a tensor in row-major order; its last row may be shorter.
        group_size: Length of a group; used by ``"group"`` alone.
    """
    cut: list[tuple[int, int]] = []
    for shape in shapes:
        size = numel(shape)
        if per == "channel" and len(shape) > 1 and size:
            cut.append((shape[0], size // shape[0]))
        elif per == "group" and group_size is not None:
            full, rest = divmod(size, group_size)
            cut += [(full, group_size)] if full else []
            cut += [(1, rest)] if rest else []
        elif size:
            cut.append((1, size))
    return cut


@functools.lru_cache(maxsize=256)
def merged_layout(shapes: Shapes, per: str, group_size: int | None) -> Layout:
    """Return the same rows in fewer matrices: those of equal length one after the other are one."""
    result: list[tuple[int, int]] = []
    for rows, length in layout(shapes, per, group_size):
        if result and result[-1][1] == length:
            result[-1] = (result[-1][0] + rows, length)
        else:
            result.append((rows, length))
    return tuple(result)


def row_count(cut: Layout) -> int:
    """Number of rows, that is of scales."""
    return sum(rows for rows, _ in cut)


def views(flat: Tensor, cut: Layout) -> list[Tensor]:
    """Cut a vector into its matrices of rows (views)."""
    sizes = [rows * length for rows, length in cut]
    return [p.view(shape) for p, shape in zip(flat.split(sizes), cut, strict=True)]


def per_block(values: Tensor, cut: Layout) -> list[Tensor]:
    """Cut one number a row into one vector a matrix (views)."""
    return list(values.split([rows for rows, _ in cut]))


def bounds(bits: int, symmetric: bool) -> tuple[int, int]:
    """Return the lowest and the highest level; a symmetric bit has just these two, -1 and 1."""
    if symmetric:
        top = max(2 ** (bits - 1) - 1, 1)
        return -top, top
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def pieces(rows: Tensor) -> Iterator[tuple[slice, slice]]:
    """Yield parts of a matrix small enough that what is computed of them stays in the cache."""
    count, length = rows.shape
    most = 2**17 if rows.device.type == "cpu" else 2**24
    step, width = max(1, most // length), min(length, most)
    for row in range(0, count, step):
        for column in range(0, length, width):
            yield slice(row, row + step), slice(column, column + width)


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype to compute in: at least float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def extremes(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and the largest number of each row."""
    if len(rows) == 1:
        low, high = torch.aminmax(rows)  # several times faster than along a dimension
        return low.view(1), high.view(1)
    low, high = torch.aminmax(rows, dim=1)
    return low, high


def is_plain(tensor: Tensor) -> bool:
    """Whether NumPy can compute with it as torch does, and faster where it is small."""
    return (
        type(tensor) is Tensor
        and tensor.is_cpu
        and tensor.dtype == torch.float32
        and not tensor.requires_grad
    )


def nearest_levels(rows: Tensor, scale: Tensor, offset: Tensor | None, bits: int) -> Tensor:
    """Return each weight's nearest level, ties to even.

    Args:
        rows: Weights ``(rows, length)``.
        scale: Steps ``(rows,)``, >= 0. A row whose step is 0 decodes to its offset (or zero).
        offset: Values of level 0 ``(rows,)``; None for symmetric levels.
        bits: Bits of a level.

    Returns:
        int8, or int16 for more than 8 bits, of the shape of ``rows``.
    """
    low, high = bounds(bits, offset is None)
    levels = torch.empty(rows.shape, dtype=torch.int16 if bits > 8 else torch.int8)
    levels = levels.to(rows.device)
    wide = compute_dtype(rows.dtype)
    step = torch.where(scale > 0, scale, 1).to(wide)
    if len(rows) == 1 and offset is None and bits > 1 and is_plain(rows):
        round_rows([rows.numpy()], step.numpy()[None], (low, high), levels[0].numpy())
        return levels
    for r, c in pieces(rows):
        part = rows[r, c].to(wide)
        if offset is None and bits == 1:
            levels[r, c] = torch.where(part < 0, -1, 1)
            continue
        part = part if offset is None else part - offset[r, None].to(wide)
        levels[r, c] = (part / step[r, None]).round_().clamp_(low, high)
    return levels


def values_of(levels: Tensor, scale: Tensor, offset: Tensor | None) -> Tensor:
    """Return ``scale · level + offset`` row by row, in the scale's dtype."""
    values = levels.to(scale.dtype).mul_(scale[:, None])
    return values if offset is None else values.add_(offset[:, None])


def sort_rows(rows: Tensor) -> Tensor:
    """Return each row in ascending order; a tensor on the CPU is sorted in place."""
    if rows.device.type == "cpu":
        ordered = rows.numpy()
        ordered.sort(axis=1)  # vectorised, and several times faster than torch's
        return torch.from_numpy(ordered)
    return torch.sort(rows, dim=1).values
