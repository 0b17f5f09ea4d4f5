"""Which weights survive: the positions of the largest scores, or of those above a threshold.

On a CPU NumPy finds them (see :mod:`.ranking`), on other devices torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autocompress.compression import ranking
from autocompress.compression.tensors import PLAIN, require_finite

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Scores:
    """What weights are ranked by: ``hᵢ |wᵢ|^power``, or without a norm ``|wᵢ|``, the same order.

    Attributes:
        flat: The weights, one vector.
        norm: The weights h of a diagonal norm, a vector of that size, or None.
        power: 1 or 2.
        most: The largest h, or None: it is looked for where it is needed.
    """

    flat: Tensor
    norm: Tensor | None = None
    power: int = 1
    most: float | None = None

    def largest(self, count: int) -> Tensor:
        """Return the sorted positions (int64) of the ``count`` largest; ties go to the earlier.

        Raises:
            SchemeError: a weight is NaN or infinite.
        """
        size = self.flat.numel()
        if count < size and self.flat.device.type == "cpu":
            read = self._read()
            found = ranking.largest_finite(read, size, count)
            if found is None:
                require_finite(self.flat)
                found = ranking.exactly_largest(read, size, count)
            return torch.from_numpy(found)
        require_finite(self.flat)
        if count >= size:
            return torch.arange(size, device=self.flat.device)
        return _largest_of(self._whole(), count)

    def above(self, threshold: float) -> Tensor:
        """Return the sorted positions (int64) of the scores greater than a threshold, exactly.

        Those of NaN too: under a finite threshold, what is not finite is among them.
        """
        if self.flat.device.type == "cpu":
            return torch.from_numpy(ranking.above(self._read(), self.flat.numel(), threshold))
        whole = self._whole()
        limit = ranking.floor(threshold, 8 if whole.dtype == torch.float64 else 4)
        return torch.nonzero(~(whole <= limit)).flatten()

    def sample(self) -> tuple[Array, Array | None] | None:
        """Return magnitudes and norm of up to ``SAMPLE`` random weights; None where there are few.

        Both are float64 vectors; the same weights each time.
        """
        if self.flat.numel() <= 4 * ranking.SAMPLE:
            return None
        count = min(ranking.SAMPLE, self.flat.numel() // 8)  # more would take too much memory
        picked = torch.from_numpy(ranking.sample(self.flat.numel(), count)).to(self.flat.device)
        norm = None if self.norm is None else wide(self.norm[picked])
        return magnitudes(self.flat[picked]), norm

    def _read(self) -> ranking.Numbers:
        values = _numpy(self.flat)
        if self.norm is None:
            return ranking.Magnitudes(values)
        return ranking.Weighed(values, _numpy(self.norm), self.power, self.most)

    def _whole(self) -> Tensor:
        if self.norm is None:
            return self.flat.abs()
        magnitudes = self.flat.to(torch.float64).abs_()
        return magnitudes.pow_(self.power).mul_(self.norm)


def largest(scores: Tensor, count: int) -> Tensor:
    """Return the sorted positions (int64) of the ``count`` largest scores of a vector.

    Ties go to the earlier position. Linear time.
    """
    size = scores.numel()
    if count >= size:
        return torch.arange(size, device=scores.device)
    if scores.device.type != "cpu":
        return _largest_of(scores, count)
    read = ranking.Numbers(_numpy(scores.detach()))
    return torch.from_numpy(ranking.largest(read, size, count))


def fast(values: Tensor) -> bool:
    """Whether NumPy can take the place of torch: on a CPU, and no gradient is wanted."""
    return (
        values.device.type == "cpu" and values.dtype != torch.bfloat16 and not values.requires_grad
    )


def take(tensor: Tensor, index: Tensor, axis: int = 0) -> Tensor:
    """Return the slices at positions along an axis; on a CPU NumPy is several times as quick."""
    if not fast(tensor):
        return tensor.index_select(axis, index)
    return torch.from_numpy(tensor.numpy().take(index.numpy(), axis))


def put(index: Tensor, values: Tensor, shape: tuple[int, ...], axis: int = 0) -> Tensor:
    """Return zeros of a shape with slices at positions along an axis; inverse of :func:`take`."""
    if not fast(values):
        return values.new_zeros(shape).index_copy_(axis, index, values)
    full = np.zeros(shape, dtype=values.numpy().dtype)
    full[(slice(None),) * axis + (index.numpy(),)] = values.numpy()
    return torch.from_numpy(full)


def positions(mask: Tensor) -> Tensor:
    """Return the sorted positions (int64) of the True elements of a mask, as in one vector."""
    if mask.device.type != "cpu":
        return torch.nonzero(mask.reshape(-1)).flatten()
    return torch.from_numpy(ranking.positions(mask.numpy().reshape(-1)))


def under(flat: Tensor, mask: Tensor) -> Tensor | None:
    """Return a float32 vector with zeros where a mask is False; None where this is not for it."""
    if not fast(flat) or flat.dtype != torch.float32:
        return None
    # all bits or none: quicker than a choice, and never a negative zero
    bits = np.negative(mask.numpy().view(np.int8)).astype(np.int32)
    np.bitwise_and(bits, flat.numpy().view(np.int32), out=bits)
    return torch.from_numpy(bits.view(np.float32))


def wide(tensor: Tensor) -> NDArray[np.float64]:
    """Return a tensor as float64 on the CPU, always a copy of its own."""
    array: NDArray[np.float64] = tensor.detach().cpu().to(torch.float64, copy=True).numpy()
    return array


def magnitudes(tensor: Tensor) -> NDArray[np.float64]:
    """Return a tensor's magnitudes as :func:`wide` does."""
    array = wide(tensor)
    return np.abs(array, out=array)


def _numpy(flat: Tensor) -> Array:
    """Return a vector on the CPU as NumPy's, in float32 or float64 (exact)."""
    exact = flat if flat.dtype in PLAIN else flat.to(torch.float32)
    array: Array = exact.numpy()
    return array


def _largest_of(scores: Tensor, count: int) -> Tensor:
    threshold = torch.kthvalue(scores, scores.numel() - count + 1).values
    keep = scores > threshold
    missing = count - int(keep.sum())
    keep[torch.nonzero(scores == threshold).flatten()[:missing]] = True
    return torch.nonzero(keep).flatten()
