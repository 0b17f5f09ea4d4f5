"""The model of sparsity patterns: how likely each weight is to have survived.

Survivors are not spread evenly: whole rows (neurons), columns (inputs) and kernels of a layer are
empty, others crowded. Every cell's odds are those of its tensor times, for each group that it is
in, a power of how crowded the group has been so far, relative to the tensor:

    odds = d / (1 − d) · Π_g ratio_g^(e_g),    ratio_g = (ones_g + h) / (cells_g · d₀ + h)

with d the density of what is left, d₀ that of the whole tensor, exponents 0, ½ or 1. The cells are
coded in passes that each take a few cells of every row and every column, so that all of them are
known a little early on, and nothing has to be sent but the number of survivors and the exponents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from autocompress.compression.base import Shapes, numel
from autocompress.storage.entropy.coder import ONE, Coder, Floats, Ints, Meter

Group: TypeAlias = tuple[NDArray[np.int64], int]
"""Which group of some kind each cell is in, and how many there are."""
_PASSES = 32
_SAMPLE = 1 << 20
"""Most cells that the choice of exponents is tried on."""
_LEAST = 4
"""Smallest chance of either bit, in units of 1/ONE."""
_MARGIN = (0.5, 1.0, 2.0)
"""Survivors h that a group is given in advance, and the cells that should hold them."""
_POWERS: tuple[tuple[float, ...], ...] = (
    (0.0, 0.0, 0.0, 0.0, 0.0),
    (1.0, 1.0, 0.0, 0.0, 0.0),
    (0.5, 0.5, 0.0, 0.0, 0.0),
    (1.0, 0.0, 0.0, 0.0, 0.0),
    (0.0, 1.0, 0.0, 0.0, 0.0),
    (0.5, 0.5, 0.5, 0.5, 0.5),
    (1.0, 0.5, 0.5, 0.5, 0.0),
    (0.0, 0.0, 1.0, 0.0, 0.0),
)
"""Exponents for rows, columns, kernels, input channels, positions in the kernel."""


@dataclass(frozen=True)
class Choice:
    """Which exponents and which margin, by position in their tables."""

    powers: int
    margin: int


def positions(coder: Coder, bits: Ints, shapes: Shapes) -> Ints:
    """Code which cells of some tensors are there.

    Args:
        coder: Where to, or where from.
        bits: 1 for each cell that is there, all tensors' cells one after the other; a decoder only
            looks at how many there are.
        shapes: The tensors' shapes.
    """
    result = np.zeros(bits.size, dtype=np.int64)
    start, before = 0, 1
    for shape in shapes:
        part = slice(start, start + numel(shape))
        result[part] = _tensor(coder, bits[part], _grid(shape, before))
        before = shape[0] if shape else 1
        start = part.stop
    return result


@dataclass(frozen=True)
class _Grid:
    """A tensor as rows, and columns in groups.

    Attributes:
        rows: Output channels.
        columns: Cells of each.
        kernel: Columns next to each other that are one group: a kernel's, or the positions that one
            channel of the layer before was flattened to.
    """

    rows: int
    columns: int
    kernel: int

    def passes(self) -> Iterable[tuple[NDArray[np.int64], list[Group]]]:
        """Return the cells of each pass, and their groups."""
        if self.rows * self.columns > _SAMPLE:
            return self._passes()
        return self._remembered

    @cached_property
    def _remembered(self) -> list[tuple[NDArray[np.int64], list[Group]]]:
        return list(self._passes())

    def _passes(self) -> Iterator[tuple[NDArray[np.int64], list[Group]]]:
        """Yield the passes: each a diagonal band that crosses all rows and columns."""
        count = max(1, min(_PASSES, self.columns, self.rows * self.columns // 64))
        column = np.arange(self.columns, dtype=np.int64)
        row = np.arange(self.rows, dtype=np.int64)
        for offset in range(count):
            # rows of one remainder take the same columns
            taken = [column[(offset - rest) % count :: count] for rest in range(count)]
            parts = [
                (row[rest::count, None] * self.columns + taken[rest]).reshape(-1)
                for rest in range(min(count, self.rows))
            ]
            cells = np.concatenate(parts)
            yield cells, self._groups(cells)

    def _groups(self, cells: NDArray[np.int64]) -> list[Group]:
        """Return, for each kind of group, which one every cell is in and how many there are."""
        row, column = np.divmod(cells, self.columns)
        channel, place = np.divmod(column, self.kernel)
        channels = self.columns // self.kernel
        return [
            (row, self.rows),
            (column, self.columns),
            (row * channels + channel, self.rows * channels),
            (channel, channels),
            (place, self.kernel),
        ]


def _grid(shape: tuple[int, ...], before: int) -> _Grid:
    """Return a tensor's grid, given how many output channels the tensor before it had."""
    rows = shape[0] if len(shape) > 1 else 1
    columns = numel(shape) // rows if rows else 0
    kernel = numel(shape[2:]) if len(shape) > 2 else 1
    if kernel <= 1:
        flattened = columns // before if before else 1
        kernel = flattened if 1 < flattened <= 256 and flattened * before == columns else 1
    return _Grid(rows, columns, kernel)


def _tensor(coder: Coder, bits: Ints, grid: _Grid) -> Ints:
    if bits.size == 0:
        return bits
    width = bits.size.bit_length()
    ones = coder.number(int(bits.sum()), width)
    if ones in (0, bits.size):
        return np.full(bits.size, min(ones, 1), dtype=np.int64)
    if ones > bits.size:
        raise ValueError(f"{ones} survivors of {bits.size} weights")
    choice = _cheapest(bits, grid, ones) if coder.writing else Choice(0, 0)
    powers = coder.number(choice.powers, 3)
    margin = coder.number(choice.margin, 2)
    if margin >= len(_MARGIN):
        raise ValueError("a margin that does not exist")
    return _cells(coder, bits, grid, ones, Choice(powers, margin))


def _cheapest(bits: Ints, grid: _Grid, ones: int) -> Choice:
    if bits.size > _SAMPLE:  # some of the rows tell as much
        step = -(-bits.size // _SAMPLE)
        sampled = bits.reshape(grid.rows, grid.columns)[::step]
        grid = _Grid(len(sampled), grid.columns, grid.kernel)
        bits = sampled.reshape(-1)
        ones = int(bits.sum())
        if ones in (0, bits.size):
            return Choice(1, 1)
    best, least = Choice(0, 1), float("inf")
    for powers, exponents in enumerate(_POWERS):
        if grid.kernel == 1 and any(exponents[2:]):
            continue
        cost = _cost(bits, grid, ones, Choice(powers, 1))
        if cost < least:
            best, least = Choice(powers, 1), cost
    for margin in (0, 2) if best.powers else ():
        choice = Choice(best.powers, margin)
        if (cost := _cost(bits, grid, ones, choice)) < least:
            best, least = choice, cost
    return best


def _cost(bits: Ints, grid: _Grid, ones: int, choice: Choice) -> float:
    meter = Meter()
    _cells(meter, bits, grid, ones, choice)
    return meter.bits


def _cells(coder: Coder, bits: Ints, grid: _Grid, ones: int, choice: Choice) -> Ints:
    exponents, margin = _POWERS[choice.powers], _MARGIN[choice.margin]
    density = ones / bits.size
    sums: dict[int, tuple[Ints, Ints]] = {}
    result = np.zeros(bits.size, dtype=np.int64)
    left_ones, left = ones, bits.size
    for cells, groups in grid.passes():
        share = min(max(left_ones, 0.25), left - 0.25) / left
        odds = np.full(cells.size, share / (1 - share))
        for kind, (group, count) in enumerate(groups):
            if not exponents[kind]:
                continue
            if kind not in sums:
                sums[kind] = (np.zeros(count, np.int64), np.zeros(count, np.int64))
            there, seen = sums[kind]
            ratio = (there + margin) / (seen * density + margin)
            odds *= (np.sqrt(ratio) if exponents[kind] == 0.5 else ratio)[group]
        found = coder.flip(bits[cells], _chances(odds))
        result[cells] = found
        for kind, (there, seen) in sums.items():
            group, count = groups[kind]
            there += np.bincount(group[found != 0], minlength=count)
            seen += np.bincount(group, minlength=count)
        left_ones -= int(found.sum())
        left -= cells.size
    if left_ones:
        raise ValueError("the pattern does not have the survivors that were announced")
    return result


def _chances(odds: Floats) -> Ints:
    chances = (odds / (1 + odds) * ONE).astype(np.int64)
    return np.clip(chances, _LEAST, ONE - _LEAST)
