"""Groups of weights that share something: a codebook, a scale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from torch import Tensor

from autocompress.compression.base import Shapes, numel
from autocompress.errors import SchemeError

Group: TypeAlias = int | str | None
"""None: all the task's weights. ``"tensor"``: each tensor. ``"row"``: each index of a tensor's
first dimension (a neuron, a filter; a vector is one row). g: every g consecutive weights of a
tensor, its last group shorter where g does not divide its size."""

Runs: TypeAlias = tuple[tuple[int, int], ...]
"""(count, size): so many consecutive groups of so many weights."""

NAMES = ("tensor", "row")
TILE = 1 << 18  # weights worked on at a time


def check_group(group: object) -> None:
    """Raise SchemeError for what names no grouping."""
    number = isinstance(group, int) and not isinstance(group, bool) and group >= 1
    if not (group is None or number or group in NAMES):
        raise SchemeError(
            f"group = {group!r}: accepted is None (all weights together), 'tensor', 'row' or an "
            f"integer >= 1 (so many consecutive weights)"
        )


def runs_of(shapes: Shapes, group: Group) -> Runs:
    """Return the groups of concatenated weights of these shapes, in order; none is empty."""
    sizes = [numel(shape) for shape in shapes]
    if group is None:
        return ((1, sum(sizes)),) if sum(sizes) else ()
    runs: list[tuple[int, int]] = []
    for shape, size in zip(shapes, sizes, strict=True):
        width = size
        if isinstance(group, int):
            width = group
        elif group == "row" and len(shape) > 1 and size:
            width = size // shape[0]
        runs += [(size // width, width) if width else (0, 0), (1, size % width if width else 0)]
    merged: list[tuple[int, int]] = []
    for count, size in runs:
        if count * size == 0:
            continue
        if merged and merged[-1][1] == size:
            merged[-1] = (merged[-1][0] + count, size)
        else:
            merged.append((count, size))
    return tuple(merged)


def count_of(runs: Runs) -> int:
    """Number of groups."""
    return sum(count for count, _ in runs)


def tiles(runs: Runs) -> Iterator[tuple[slice, slice]]:
    """Yield (groups, weights): some whole groups of one size, or a part of one large group."""
    group = start = 0
    for count, size in runs:
        step = max(TILE // size, 1)
        for first in range(0, count, step):
            many = min(step, count - first)
            for a in range(0, many * size, TILE if many == 1 else many * size):
                end = min(a + TILE, size) if many == 1 else many * size
                yield (slice(group, group + many), slice(start + a, start + end))
            group, start = group + many, start + many * size


def scale_groups(flat: Tensor, scales: Tensor, runs: Runs) -> Tensor:
    """Multiply every weight by its group's scale, in place."""
    for groups, weights in tiles(runs):
        part = flat[weights]
        part.view(groups.stop - groups.start, -1).mul_(scales[groups, None])
    return flat
