"""Where output channels lie in the one vector of a task's tensors.

Channels of consecutive tensors that have equally many weights make one matrix there, a *run*. A
network has far fewer runs than tensors, hence fewer calls of NumPy.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from autocompress.compression.base import Shapes, numel
from autocompress.compression.structured.rows import Ties, find_rows
from autocompress.compression.structured.structure_code import leaders

Vector: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]
Index: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """Channels ``first`` to ``last`` (exclusive), of ``width`` weights from ``start`` on."""

    first: int
    last: int
    start: int
    width: int

    def of(self, flat: Vector) -> Vector:
        """Return a view of them: a channel a row."""
        count = self.last - self.first
        return flat[self.start : self.start + count * self.width].reshape(count, self.width)

    def clear(self, flat: Vector, kept: Mask) -> None:
        """Make all channels zero but those kept, told for all runs."""
        if self.width:
            # a channel as one item: copied at once, not element by element
            channels = self.of(flat).view(np.dtype((np.void, self.width * flat.itemsize)))
            channels[~kept[self.first : self.last]] = np.zeros(1, channels.dtype)


@dataclass(frozen=True, eq=False)
class Layout:
    """The channels of all tensors, numbered one after the other.

    Groups, channels that survive together, are numbered row by row, as :func:`.find_rows` gives
    these.

    Attributes:
        runs: The runs, in order; together they are all channels.
        starts: The first weight of each channel, and their number.
        firsts: The first channel of each tensor.
        shifts: For each channel, the first one of its tensor.
        ends: The end of each tensor's weights.
        members: For each row, the tensors that are pruned with it.
        whole: Tensors that stay whole.
        leading: The tensors whose survivors a code names.
        sizes: Groups of each row.
        tops: The first group of each row.
        width: Most weights in a group.
        plain: Whether groups are all the channels, in order.
    """

    runs: tuple[Run, ...]
    starts: Index
    firsts: tuple[int, ...]
    shifts: Index
    ends: tuple[int, ...]
    members: tuple[tuple[int, ...], ...]
    whole: tuple[int, ...]
    leading: tuple[int, ...]
    sizes: tuple[int, ...]
    tops: Index
    width: int
    plain: bool

    def sums(self, flat: Vector) -> Vector:
        """Return the sum of squares of every group, in single precision; overflow gives inf."""
        sums = np.empty(len(self.starts) - 1, np.float32)
        for run in self.runs:
            matrix = run.of(flat)
            np.vecdot(matrix, matrix, out=sums[run.first : run.last])
        if self.plain:
            return sums
        return np.concatenate([self._over(sums, row) for row in range(len(self.sizes))])

    def _over(self, sums: Vector, row: int) -> Vector:
        first, *others = self.members[row]
        parts = [sums[self.firsts[m] : self.firsts[m] + self.sizes[row]] for m in (first, *others)]
        return functools.reduce(np.add, parts)

    def exact(self, flat: Vector, groups: Index) -> NDArray[np.float64]:
        """Return the sums of squares of a few groups, in double precision."""
        ends = list(itertools.accumulate(self.sizes))
        rows = np.searchsorted(ends, groups, "right").tolist()
        sums = []
        for row, group in zip(rows, groups.tolist(), strict=True):
            channel = group - ends[row] + self.sizes[row]
            sums.append(
                sum(self._square(flat, self.firsts[m] + channel) for m in self.members[row])
            )
        return np.array(sums)

    def _square(self, flat: Vector, channel: int) -> float:
        part = flat[self.starts[channel] : self.starts[channel + 1]].astype(np.float64)
        return float(part.dot(part))

    def channels(self, groups: Mask) -> Mask:
        """Return which channels survive, given which groups do."""
        if self.plain:
            return groups
        mask, start = np.ones(len(self.starts) - 1, np.bool_), 0
        for members, size in zip(self.members, self.sizes, strict=True):
            for member in members:
                first = self.firsts[member]
                mask[first : first + size] = groups[start : start + size]
            start += size
        return mask


@functools.lru_cache(maxsize=64)
def layout(shapes: Shapes, ties: Ties, biases: bool) -> Layout:
    """Return where the output channels of tensors of these shapes lie.

    Args:
        shapes: Of the task's tensors.
        ties: Which layers are tied to each other.
        biases: Whether vectors are scored and pruned with their channel.
    """
    rows = find_rows(shapes, ties, 0, biases)
    widths = [numel(shape[1:]) for shape in shapes]
    sizes = [row.size for row in rows]
    every = np.repeat(widths, [shape[0] for shape in shapes]).astype(np.int64)
    members = tuple(row.members for row in rows)
    firsts = tuple(itertools.accumulate([shape[0] for shape in shapes], initial=0))[:-1]
    return Layout(
        runs=_runs(shapes, widths),
        starts=np.append(0, np.cumsum(every)),
        firsts=firsts,
        shifts=np.repeat(firsts, [shape[0] for shape in shapes]).astype(np.int64),
        ends=tuple(itertools.accumulate(map(numel, shapes))),
        members=members,
        whole=tuple(position for row in rows for position in row.whole),
        leading=tuple(sorted(set(leaders(shapes)))),
        sizes=tuple(sizes),
        tops=np.cumsum([0, *sizes[:-1]], dtype=np.int64),
        width=max((sum(widths[m] for m in row) for row in members), default=0),
        plain=members == tuple((position,) for position in range(len(shapes))),
    )


def _runs(shapes: Shapes, widths: Sequence[int]) -> tuple[Run, ...]:
    runs: list[Run] = []
    first = start = 0
    for shape, width in zip(shapes, widths, strict=True):
        last = first + shape[0]
        if runs and runs[-1].width == width:
            runs[-1] = Run(runs[-1].first, last, runs[-1].start, width)
        else:
            runs.append(Run(first, last, start, width))
        first, start = last, start + shape[0] * width
    return tuple(runs)
