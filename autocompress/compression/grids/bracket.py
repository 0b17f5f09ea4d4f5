"""The symmetric scale of least error of one long row, by ruling out intervals of scales.

With the levels that a scale s assigns to magnitudes x, ``B = Σ x q`` and ``C = Σ q²``, the best
scale for those levels leaves the error ``Σ x² - B²/C``. Levels do not rise with s, so that on an
interval from a to b no gain exceeds ``B(a)²/C(b)``. Intervals whose bound is no more than a gain
already found are dropped, the others are divided, until what is left has so few breakpoints (scales
where a level changes) that every one can be tried: then the optimum is found, up to rounding. Where
too many intervals are left, those with the best ends go on, and nothing is proved.

Row sums for a scale are differences of running sums of the sorted row: no pass over the weights.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

_ROUNDS, _PARTS, _SCALES = 12, 8, 64


@dataclass(frozen=True)
class _Row:
    x: NDArray[np.generic]
    below: Floats  # sums of the first 0, 1, … of x
    top: int

    def positions(self, scales: Floats) -> NDArray[np.int64]:
        """Return how many of the row are below each threshold: ``(scales, top)``."""
        thresholds = scales[:, None] * np.arange(0.5, self.top)
        return np.searchsorted(self.x, thresholds.astype(self.x.dtype))

    def sums(self, scales: Floats) -> tuple[Floats, Floats]:
        """Return B and C for the levels of each scale."""
        at = self.positions(scales)
        products = (self.below[-1] - self.below[at]).sum(axis=1)
        squares = (len(self.x) - at) @ np.arange(1.0, 2 * self.top, 2)
        return products, squares


def bracket(ordered: NDArray[np.generic], below: Floats, top: int, previous: float | None) -> float:
    """Return the scale of least error of a row of magnitudes.

    Args:
        ordered: The row in ascending order, its last about 1.
        below: Sums of its first 0, 1, … numbers.
        top: The highest level.
        previous: A scale to be no worse than, or None.
    """
    row = _Row(ordered, below, top)
    highest = float(ordered[-1])
    if highest <= 0:
        return 0.0
    # about how many positions are looked up at a time: in all, they cost about what sorting does
    lookups = min(max(len(ordered) // 32, 2**9), 2**13)
    known = [previous] if previous is not None and previous > 0 else []
    scales = np.concatenate([highest * _start(top), known])
    scales.sort()
    b, c = row.sums(scales)
    best = _Best()
    best.offer(b, c)
    a, z = scales[:-1], scales[1:]
    ends = np.stack([b[:-1], c[:-1], b[1:], c[1:]])
    for _ in range(_ROUNDS):
        keep = np.flatnonzero(_gain(ends[0], ends[3]) > best.gain * (1 + 1e-12))
        most = max(lookups // (_PARTS * top), 8)
        if len(keep) > most:
            either = np.maximum(_gain(ends[0], ends[1]), _gain(ends[2], ends[3]))[keep]
            keep = np.sort(keep[np.argsort(either)[-most:]])
        a, z, ends = a[keep], z[keep], ends[:, keep]
        if not len(keep):
            break
        # neighbours as one, by their outer ends
        gaps = np.flatnonzero(a[1:] != z[:-1])
        left, right = np.append(0, gaps + 1), np.append(gaps, len(a) - 1)
        at = row.positions(np.append(a[left], z[right]))
        first, last = at[: len(left)], at[len(left) :]
        if (last - first).sum() <= lookups:
            _try_all(row, first, last, ends[2, right], ends[3, right], best)
            break
        inner = a[:, None] + (z - a)[:, None] * (np.arange(1, _PARTS) / _PARTS)
        b, c = (s.reshape(inner.shape) for s in row.sums(inner.reshape(-1)))
        best.offer(b.reshape(-1), c.reshape(-1))
        a, z = _between(a, inner, z)
        ends = np.stack([*_between(ends[0], b, ends[2]), *_between(ends[1], c, ends[3])])
        ends = ends[[0, 2, 1, 3]]
    return best.scale


@functools.lru_cache(maxsize=16)
def _start(top: int) -> Floats:
    """Return scales to start from, of a row whose largest number is 1."""
    scales = np.geomspace(2.0**-10, 2.001 * top, _SCALES) / top
    ranges = 1 / np.arange(1, top + 1)  # what lies on a coarser grid is found exactly
    return np.concatenate([[0.0], scales, ranges])


def _between(low: Floats, inner: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return what lies at the lower and at the upper ends of the parts of intervals."""
    edges = np.empty((len(low), _PARTS + 1))
    edges[:, 0], edges[:, 1:-1], edges[:, -1] = low, inner, high
    return edges[:, :-1].reshape(-1), edges[:, 1:].reshape(-1)


def _try_all(
    row: _Row, first: Places, last: Places, products: Floats, squares: Floats, best: _Best
) -> None:
    """Try every breakpoint of intervals, given the sums at their upper ends."""
    for low, high, b, c in zip(first, last, products, squares, strict=True):
        if (low < high).any():
            x = np.concatenate([row.x[i:j] for i, j in zip(low, high, strict=True)])
            level = np.repeat(np.arange(row.top), high - low)
            order = np.argsort(-(x / (level + 0.5)))
            x, level = x[order].astype(np.float64), level[order]
            best.offer(b + np.cumsum(x), c + np.cumsum(2.0 * level + 1))


def _gain(products: Floats, squares: Floats) -> Floats:
    """Return how much the best scale takes off the error."""
    # without squares there are no products
    gain: Floats = products * products / np.maximum(squares, 1)
    return gain


class _Best:
    """The most gained so far, and by which scale."""

    def __init__(self) -> None:
        self.gain, self.scale = 0.0, 0.0

    def offer(self, products: Floats, squares: Floats) -> None:
        gain = _gain(products, squares)
        at = int(gain.argmax())
        if gain[at] > self.gain:
            self.gain, self.scale = float(gain[at]), float(products[at] / squares[at])
