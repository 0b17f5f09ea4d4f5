"""Which weights survive: the positions of the largest scores, or of those above a threshold.

On a CPU everything goes a block at a time through NumPy, so that nothing of the weights' size is
made besides the answer; the threshold of the κ largest is bracketed by a random sample first, and
only scores within the bracket are kept to find it exactly. That takes two passes over the weights.
Where there are few, the scores are made once and kept. On other devices torch selects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autocompress.compression.base import Shapes, Tensors
from autocompress.compression.weighting import Diagonal, Weighting, kind_of
from autocompress.errors import SchemeError

Array: TypeAlias = NDArray[Any]
Read: TypeAlias = "Callable[[slice | NDArray[np.int64]], Array]"
"""Gives the scores at a slice or at given positions."""

BLOCK = 1 << 17  # scores at a time: they stay in cache
SAMPLE = 1 << 16
SMALL = 1 << 15  # below it, a sample does not pay
FEW = 1 << 21  # up to here the scores may be kept
STRIDE = 31  # of these, every 31st brackets the threshold


@dataclass(frozen=True, eq=False)
class Scores:
    """What weights are ranked by: ``hᵢ |wᵢ|^power``, or without a norm ``|wᵢ|``, the same order.

    Attributes:
        flat: The weights, one vector.
        norm: The weights h of a diagonal norm, a vector of that size, or None.
        power: 1 or 2.
    """

    flat: Tensor
    norm: Tensor | None = None
    power: int = 1

    def largest(self, count: int) -> Tensor:
        """Return the sorted positions (int64) of the ``count`` largest; ties go to the earlier."""
        size = self.flat.numel()
        if count >= size:
            return torch.arange(size, device=self.flat.device)
        if self.flat.device.type == "cpu":
            return torch.from_numpy(_largest(self._read(), size, count))
        return _largest_of(self._whole(), count)

    def above(self, threshold: float) -> Tensor:
        """Return the sorted positions (int64) of the scores greater than a threshold, exactly."""
        if self.flat.device.type == "cpu":
            return torch.from_numpy(_above(self._read(), self.flat.numel(), threshold))
        whole = self._whole()
        limit = _floor(threshold, np.dtype(np.float32 if whole.dtype != torch.float64 else float))
        return torch.nonzero(whole > float(limit)).flatten()

    def sample(self) -> tuple[Array, Array | None] | None:
        """Return magnitudes and norm of about ``SAMPLE`` random weights; None where there are few.

        Both are float64 vectors; the same weights each time.
        """
        if self.flat.numel() <= 4 * SAMPLE:
            return None
        picked = torch.from_numpy(_sample(self.flat.numel())).to(self.flat.device)
        norm = None if self.norm is None else wide(self.norm[picked])
        return np.abs(wide(self.flat[picked])), norm

    def _read(self) -> Read:
        values = _numpy(self.flat)
        if self.norm is None:
            return lambda where: np.abs(values[where])
        norm, square = _numpy(self.norm), self.power == 2

        def read(where: slice | NDArray[np.int64]) -> Array:
            scores = values[where].astype(np.float64)
            np.square(scores, out=scores) if square else np.abs(scores, out=scores)
            return np.multiply(scores, norm[where], out=scores)

        return read

    def _whole(self) -> Tensor:
        if self.norm is None:
            return self.flat.abs()
        magnitudes = self.flat.to(torch.float64).abs_()
        return magnitudes.pow_(self.power).mul_(self.norm)


def diagonal(name: str, weighting: Weighting | None, shapes: Shapes) -> Tensor | None:
    """Return the weights of a diagonal norm as one vector in their own dtype; None for identity.

    Raises:
        SchemeError: a norm that is not diagonal, or does not fit.
    """
    if weighting is None:
        return None
    if not isinstance(weighting, Diagonal):
        raise SchemeError(f"{name} takes a diagonal weighting, not a {kind_of(weighting)}")
    weighting.check(shapes)
    return concatenated(weighting.values)


def concatenated(tensors: Tensors) -> Tensor:
    """Return tensors as one vector in their own dtype: a view where there is just one."""
    parts = [tensor.detach().reshape(-1) for tensor in tensors]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def largest(scores: Tensor, count: int) -> Tensor:
    """Return the sorted positions (int64) of the ``count`` largest scores of a vector.

    Ties go to the earlier position. Linear time.
    """
    size = scores.numel()
    if count >= size:
        return torch.arange(size, device=scores.device)
    if scores.device.type != "cpu":
        return _largest_of(scores, count)
    values = _numpy(scores.detach())
    return torch.from_numpy(_largest(lambda where: values[where], size, count))


def take(flat: Tensor, index: Tensor) -> Tensor:
    """Return ``flat[index]``; on a CPU NumPy is several times as quick."""
    if flat.device.type != "cpu" or flat.dtype == torch.bfloat16:
        return flat[index]
    return torch.from_numpy(flat.numpy().take(index.numpy()))


def fast(values: Tensor) -> bool:
    """Whether NumPy can take the place of torch: on a CPU, and no gradient is wanted."""
    return (
        values.device.type == "cpu" and values.dtype != torch.bfloat16 and not values.requires_grad
    )


def put(index: Tensor, values: Tensor, size: int) -> Tensor:
    """Return a vector of zeros with ``values`` at the positions ``index``; inverse of `take`."""
    if not fast(values):
        flat = values.new_zeros(size)
        flat[index] = values
        return flat
    array = np.zeros(size, dtype=values.numpy().dtype)
    array[index.numpy()] = values.numpy()
    return torch.from_numpy(array)


def wide(tensor: Tensor) -> NDArray[np.float64]:
    """Return a tensor as float64 on the CPU, always a copy of its own."""
    array: NDArray[np.float64] = tensor.detach().cpu().to(torch.float64, copy=True).numpy()
    return array


def _numpy(flat: Tensor) -> Array:
    """Return a vector on the CPU as NumPy's, in float32 or float64 (exact)."""
    exact = flat if flat.dtype in (torch.float32, torch.float64) else flat.to(torch.float32)
    array: Array = exact.numpy()
    return array


def _blocks(size: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, size)) for start in range(0, size, BLOCK))


def _sample(size: int) -> NDArray[np.int64]:
    """Return sorted positions, one drawn from each of ``SAMPLE`` equal parts."""
    drawn = np.random.default_rng(0).random(SAMPLE)
    return ((np.arange(SAMPLE) + drawn) * (size / SAMPLE)).astype(np.int64).clip(max=size - 1)


def _where(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return ``np.flatnonzero(mask)``, in less than half the time if a few per cent are set.

    NumPy searches for each of those by a call. Here words of eight are looked through first, and
    only those with something in them more closely.
    """
    if 10 * int(np.count_nonzero(mask)) > mask.size:
        return np.flatnonzero(mask)
    whole = mask.size - mask.size % 8
    words = mask[:whole].view(np.uint64)
    filled = np.flatnonzero(words != 0)
    found = np.flatnonzero(words.take(filled).view(np.bool_))
    filled -= np.arange(filled.size)  # how many words before each are left out
    filled *= 8
    found += filled.take(found >> 3)
    rest = np.flatnonzero(mask[whole:])
    return np.concatenate([found, rest + whole]) if rest.size else found


def _largest(read: Read, size: int, count: int) -> NDArray[np.int64]:
    if size <= FEW:
        scores = read(slice(0, size))
        if size > SMALL and 10 * count < size:
            low, _ = _bracket(lambda where: scores[where], size, count)
            likely = _where(scores >= low)
            if count <= likely.size < size:
                values = scores.take(likely)
                return likely.take(_largest(lambda where: values[where], values.size, count))
        return _exactly(lambda where: scores[where], size, count)
    return _exactly(read, size, count)


def _exactly(read: Read, size: int, count: int) -> NDArray[np.int64]:
    threshold, above, equal = _threshold(read, size, count)
    ties = count - above
    if ties == equal:
        return _positions(read, size, count, lambda scores: scores >= threshold)

    def keep(scores: Array) -> NDArray[np.bool_]:
        nonlocal ties
        kept: NDArray[np.bool_] = scores > threshold
        if ties:
            first = np.flatnonzero(scores == threshold)[:ties]
            kept[first] = True
            ties -= first.size
        return kept

    return _positions(read, size, count, keep)


def _threshold(read: Read, size: int, count: int) -> tuple[Any, int, int]:
    """Return the ``count``-th largest score, and how many are above and equal to it."""
    bounds = _bracket(read, size, count) if size > SMALL else None
    above, values = 0, None
    if bounds is not None:
        above, values = _between(read, size, *bounds)
        if not above < count <= above + values.size:
            bounds = None  # the sample was misleading
    if bounds is None or values is None:
        above, values = 0, read(slice(0, size))
    rank = values.size - (count - above)
    threshold = np.partition(values, rank)[rank]
    equal = int(np.count_nonzero(values == threshold))
    return threshold, above + int(np.count_nonzero(values > threshold)), equal


def _bracket(read: Read, size: int, count: int) -> tuple[Any, Any]:
    """Return scores that the ``count``-th largest most likely lies between."""
    sample = np.sort(read(slice(0, size, STRIDE) if size <= FEW else _sample(size)))[::-1]
    rank = count / size * sample.size
    margin = 4 * math.sqrt(rank * (1 - count / size)) + 4
    first, last = int(rank - margin), math.ceil(rank + margin)
    high = sample[first] if first >= 0 else math.inf
    return (sample[last] if last < sample.size else -math.inf), high


def _between(read: Read, size: int, low: Any, high: Any) -> tuple[int, Array]:
    """Return how many scores are above ``high``, and those from ``low`` to ``high``."""
    above, inside = 0, []
    for where in _blocks(size):
        scores = read(where)
        upper = scores > high
        above += int(np.count_nonzero(upper))
        inside.append(scores.take(_where((scores >= low) != upper)))
    return above, np.concatenate(inside)


def _above(read: Read, size: int, threshold: float) -> NDArray[np.int64]:
    limit = _floor(threshold, read(slice(0, 0)).dtype)
    if size <= FEW:
        return _where(read(slice(0, size)) > limit)
    # counting first takes less time and memory than joining the blocks' answers
    count = sum(int(np.count_nonzero(read(where) > limit)) for where in _blocks(size))
    return _positions(read, size, count, lambda scores: scores > limit)


def _positions(
    read: Read, size: int, count: int, keep: Callable[[Array], NDArray[np.bool_]]
) -> NDArray[np.int64]:
    """Return the positions, ``count`` in all, of the scores that ``keep`` is True for."""
    index, filled = np.empty(count, dtype=np.int64), 0
    for where in _blocks(size):
        found = _where(keep(read(where)))
        np.add(found, where.start, out=index[filled : filled + found.size])
        filled += found.size
    return index


def _floor(threshold: float, dtype: np.dtype[Any]) -> Any:
    """Return the largest number of a dtype that is not above ``threshold``: a comparison in that
    dtype then gives what a comparison of real numbers would."""
    with np.errstate(over="ignore"):
        limit = dtype.type(threshold)
    return np.nextafter(limit, dtype.type(-math.inf)) if float(limit) > threshold else limit


def _largest_of(scores: Tensor, count: int) -> Tensor:
    threshold = torch.kthvalue(scores, scores.numel() - count + 1).values
    keep = scores > threshold
    missing = count - int(keep.sum())
    keep[torch.nonzero(scores == threshold).flatten()[:missing]] = True
    return torch.nonzero(keep).flatten()
