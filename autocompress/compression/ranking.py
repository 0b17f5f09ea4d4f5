"""The positions of the largest numbers of a vector, or of those above a limit, by NumPy.

The vector is read a block at a time, so that nothing of its size is made besides the answer. The
threshold of the κ largest is bracketed by a sample first, and only what lies within the bracket is
kept to find it exactly. That takes two passes. Magnitudes are not even made: a number is compared
with the limit and with its negative. Of few numbers, scores that have to be computed are kept, and
those wanted in double precision are computed in single precision first: that tells which of them
may be among the largest.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Mask: TypeAlias = NDArray[np.bool_]
Index: TypeAlias = NDArray[np.int64]
Where: TypeAlias = "slice | Index"

BLOCK = 1 << 17  # scores at a time: they stay in cache
SAMPLE = 1 << 16
SMALL = 1 << 15  # below it, a sample does not pay
FEW = 1 << 21  # up to here the scores may be kept
STRIDE = 31  # of these, every 31st brackets the threshold
_ROUGH = 2.0**-20  # more than two roundings in single precision
_NORMAL = float(np.finfo(np.float32).tiny)
_LARGEST = float(np.finfo(np.float32).max)
_FLOAT, _BITS = struct.Struct("f"), struct.Struct("i")


class Numbers:
    """Numbers at a slice or at positions, and which of a slice's are beyond a limit."""

    def __init__(self, values: Array) -> None:
        self.values = values

    def __getitem__(self, where: Where) -> Array:
        return self.values[where]

    def above(self, where: slice, limit: Any) -> Mask:
        """Return which numbers are greater than ``limit``, or NaN."""
        mask: Mask = self[where] <= limit
        return np.logical_not(mask, out=mask)

    def at_least(self, where: slice, limit: Any) -> Mask:
        """Return which numbers are no less than ``limit``."""
        mask: Mask = self[where] >= limit
        return mask

    def kept(self) -> Numbers:
        """Return the same numbers, none of which is computed twice."""
        return self

    def rough(self) -> tuple[Numbers, float]:
        """Return these numbers at most ``_ROUGH`` of themselves off, and from which on that holds.

        Of smaller ones, and of infinity, nothing is said.
        """
        return self, 0.0


class Magnitudes(Numbers):
    """Those of the values: two comparisons take less time than the magnitudes and one."""

    def __getitem__(self, where: Where) -> Array:
        return np.abs(self.values[where])

    def above(self, where: slice, limit: Any) -> Mask:
        values = self.values[where]
        mask: Mask = values <= limit
        mask &= values >= -limit
        return np.logical_not(mask, out=mask)

    def at_least(self, where: slice, limit: Any) -> Mask:
        values = self.values[where]
        mask: Mask = values >= limit
        mask |= values <= -limit
        return mask


class Weighed(Numbers):
    """``h |w|^power`` in double precision; ``most`` is the largest h, if that is known."""

    def __init__(self, values: Array, norm: Array, power: int, most: float | None = None) -> None:
        super().__init__(values)
        self.norm, self.power, self.most = norm, power, most

    def __getitem__(self, where: Where) -> Array:
        if isinstance(where, slice):
            values, norm = self.values[where], self.norm[where]
        else:
            values = self.values.take(where, mode="clip")  # quicker, and all are within
            norm = self.norm.take(where, mode="clip")
        scores = values.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # as of w² = ∞ and h = 0
            np.square(scores, out=scores) if self.power == 2 else np.abs(scores, out=scores)
            return np.multiply(scores, norm, out=scores)

    def kept(self) -> Numbers:
        return Numbers(self[:])

    def rough(self) -> tuple[Numbers, float]:
        values, norm = self.values, self.norm
        if values.dtype != np.float32 or norm.dtype != np.float32:
            return super().rough()
        most = float(norm.max()) if self.most is None else self.most
        scores, transform = np.empty_like(values), np.square if self.power == 2 else np.abs
        with np.errstate(over="ignore", invalid="ignore"):
            for where in _blocks(values.size):
                some = transform(values[where], out=scores[where])
                some *= norm[where]
        # below the least normal number a square or product may be anything from zero to that
        return Numbers(scores), (1.0 + most) * _NORMAL / _ROUGH


def _blocks(size: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, size)) for start in range(0, size, BLOCK))


def sample(size: int, count: int = SAMPLE) -> Index:
    """Return sorted positions, one drawn from each of so many equal parts."""
    drawn = np.random.default_rng(0).random(count)
    drawn += np.arange(count)
    drawn *= size / count
    index = drawn.astype(np.int64)
    return np.minimum(index, size - 1, out=index)


def positions(mask: Mask) -> Index:
    """Return ``np.flatnonzero(mask)``, in less than half the time if a few per cent are set.

    NumPy searches for each of those by a call. Here words of eight are looked through first, and
    only those with something in them more closely.
    """
    some = mask[:: 1 + mask.size // 4096]
    if 10 * int(np.count_nonzero(some)) > some.size:
        return mask.nonzero()[0]
    whole = mask.size - mask.size % 8
    words = mask[:whole].view(np.uint64)
    filled = np.flatnonzero(words != 0)
    found = np.flatnonzero(words.take(filled).view(np.bool_))
    filled -= np.arange(filled.size)  # how many words before each are left out
    filled *= 8
    found += filled.take(found >> 3)
    rest = np.flatnonzero(mask[whole:])
    return np.concatenate([found, rest + whole]) if rest.size else found


def largest(read: Numbers, size: int, count: int) -> Index:
    """Return the sorted positions of the ``count`` largest numbers; ties go to the earlier."""
    found = largest_finite(read, size, count)
    return exactly_largest(read, size, count) if found is None else found


def largest_finite(read: Numbers, size: int, count: int) -> Index | None:
    """Return the same, looking only at those that are likely to be among them.

    None where this takes longer or may miss some, and wherever a number is NaN or infinite.
    """
    if not SMALL < size <= FEW or 10 * count >= size:
        return None
    rough, least = read.rough()
    low = float(_bracket(rough, size, count)[0])
    if not least <= low < math.inf:
        return None
    likely = positions(rough.above(slice(0, size), low))  # those of NaN too
    if not count < likely.size < size:
        return None
    inside = rough[likely]
    if not float(inside.max()) < math.inf:
        return None
    limit = float(np.partition(inside, likely.size - count)[likely.size - count])
    # what is left out, and what is further from the limit than both are off, is told
    if limit * (1 - 4 * _ROUGH) < low:
        return None
    kept = inside > limit * (1 + 4 * _ROUGH)
    near = np.flatnonzero((inside >= limit * (1 - 4 * _ROUGH)) != kept)
    few = count - int(np.count_nonzero(kept))
    if few < near.size:
        near = near[_exactly(Numbers(read[likely[near]]), near.size, few)]
    kept[near] = True
    return likely.take(positions(kept))


def exactly_largest(read: Numbers, size: int, count: int) -> Index:
    """Return what :func:`largest` does, looking at all of them."""
    return _exactly(read.kept() if size <= FEW else read, size, count)


def _exactly(read: Numbers, size: int, count: int) -> Index:
    threshold, greater, equal = _threshold(read, size, count)
    ties = count - greater
    if ties == equal:
        return _positions(size, count, lambda where: read.at_least(where, threshold))

    def keep(where: slice) -> Mask:
        nonlocal ties
        kept = read.above(where, threshold)
        if ties:
            first = np.flatnonzero(read[where] == threshold)[:ties]
            kept[first] = True
            ties -= first.size
        return kept

    return _positions(size, count, keep)


def _threshold(read: Numbers, size: int, count: int) -> tuple[Any, int, int]:
    """Return the ``count``-th largest score, and how many are above and equal to it."""
    bounds = _bracket(read, size, count) if size > SMALL else None
    greater, values = 0, None
    if bounds is not None:
        greater, values = _between(read, size, *bounds)
        if not greater < count <= greater + values.size:
            bounds = None  # the sample was misleading
    if bounds is None or values is None:
        greater, values = 0, read[:]
    rank = values.size - (count - greater)
    threshold = np.partition(values, rank)[rank]
    equal = int(np.count_nonzero(values == threshold))
    return threshold, greater + int(np.count_nonzero(values > threshold)), equal


def _bracket(read: Numbers, size: int, count: int) -> tuple[Any, Any]:
    """Return scores that the ``count``-th largest most likely lies between."""
    some = read[::STRIDE] if size <= FEW else read[sample(size)]
    rank = count / size * some.size
    margin = 4 * math.sqrt(rank * (1 - count / size)) + 4
    first, last = int(rank - margin), math.ceil(rank + margin)  # counted from the largest
    low, high = -math.inf, math.inf
    if last < some.size:
        at = some.size - 1 - last
        some = np.partition(some, at)[at:]  # one at a time takes half the time of sorting
        low = some[0]
    if first >= 0:
        high = np.partition(some, some.size - 1 - first)[some.size - 1 - first]
    return low, high


def _between(read: Numbers, size: int, low: Any, high: Any) -> tuple[int, Array]:
    """Return how many scores are above ``high``, and those from ``low`` to ``high``."""
    greater, inside = 0, []
    for where in _blocks(size):
        upper = read.above(where, high)
        greater += int(np.count_nonzero(upper))
        found = positions(read.at_least(where, low) != upper)
        found += where.start
        inside.append(read[found])
    return greater, np.concatenate(inside)


def above(read: Numbers, size: int, threshold: float) -> Index:
    """Return the sorted positions of NaN and of what is greater than a threshold, a real number."""
    limit = floor(threshold, read[:0].dtype.itemsize)
    if size <= FEW:
        return positions(read.above(slice(0, size), limit))
    # counting first takes less time and memory than joining the blocks' answers
    count = sum(int(np.count_nonzero(read.above(where, limit))) for where in _blocks(size))
    return _positions(size, count, lambda where: read.above(where, limit))


def _positions(size: int, count: int, keep: Callable[[slice], Mask]) -> Index:
    """Return the positions, ``count`` in all, that ``keep`` is True for."""
    if size <= BLOCK:
        return positions(keep(slice(0, size)))
    index, filled = np.empty(count, dtype=np.int64), 0
    for where in _blocks(size):
        found = positions(keep(where))
        np.add(found, where.start, out=index[filled : filled + found.size])
        filled += found.size
    return index


def floor(threshold: float, size: int) -> float:
    """Return the largest number of 4 or 8 bytes that is not above a threshold >= 0.

    A comparison of such numbers with it then gives what a comparison of real numbers would.
    """
    if size == 8 or math.isinf(threshold):
        return threshold
    if threshold >= _LARGEST:
        return _LARGEST
    (bits,) = _BITS.unpack(_FLOAT.pack(threshold))  # faster than scalars of NumPy
    limit: float = _FLOAT.unpack(_BITS.pack(bits))[0]
    return limit if limit <= threshold else float(_FLOAT.unpack(_BITS.pack(bits - 1))[0])
