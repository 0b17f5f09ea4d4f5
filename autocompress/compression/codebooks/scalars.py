"""Sorted scalars with weights, and sums over the first so many of them, in little memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Reals = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]

CHUNK = 1 << 13  # scalars converted to float64 at once: stays in cache
_BLOCK = 16  # scalars between two stored sums of many
_RANKS = 1 << 8  # ranks whose sums are completed at once
_FEW = 1 << 18  # up to which every sum is stored


def sort_scalars(values: Tensor, *, scratch: bool = False) -> Reals:
    """Return sorted scalars, in an array of their own unless the given one is `scratch`; NaN last.

    Sorted where that is fast: on a CPU NumPy is, by vector instructions, many times torch.
    """
    if values.device.type == "cpu":
        found = values.numpy() if scratch else values.numpy().copy()
        found.sort()
        return found
    return np.asarray(values.sort().values.cpu().numpy())


def sort_weighted(x: Reals, h: Reals) -> tuple[Reals, Reals]:
    """Return both arrays in the ascending order of the first.

    Pairs of float32 are sorted as 64-bit integers, which is many times faster than sorting an
    index: the value's bits above, mapped so that their order is the values', the weight's below.
    """
    if x.dtype != np.float32 or h.dtype != np.float32:
        order = np.argsort(x)
        return x[order], h[order]
    high = np.ascontiguousarray(x).view(np.uint32)
    pairs = np.empty(len(x), np.uint64)
    for a in range(0, len(x), CHUNK):
        part = high[a : a + CHUNK]
        key = part ^ np.where(part >> 31, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))
        np.left_shift(key.astype(np.uint64), 32, out=pairs[a : a + CHUNK])
        pairs[a : a + CHUNK] |= h[a : a + CHUNK].view(np.uint32)
    pairs.sort()
    first, second = np.empty(len(x), np.uint32), np.empty(len(x), np.uint32)
    for a in range(0, len(x), CHUNK):
        pair = pairs[a : a + CHUNK]
        key = (pair >> np.uint64(32)).astype(np.uint32)
        key ^= np.where(key >> 31, np.uint32(0x80000000), np.uint32(0xFFFFFFFF))
        first[a : a + CHUNK] = key
        second[a : a + CHUNK] = pair & np.uint64(0xFFFFFFFF)
    return first.view(np.float32), second.view(np.float32)


class Sums:
    """Weight Σh and moment Σh(x - origin) of the first r scalars, for any ranks r.

    Of many scalars only the sum before every 64th is stored; the rest is added on demand.

    Args:
        x: Scalars, shape (n,).
        h: Their weights, shape (n,); None for ones.
        origin: Subtracted from the scalars.
    """

    def __init__(self, x: Reals, h: Reals | None = None, origin: float = 0.0) -> None:
        self.x, self.h, self.origin = x, h, origin
        self.block = 1 if len(x) <= _FEW else _BLOCK
        blocks = -(-len(x) // self.block)
        self._moment = np.zeros(blocks + 1)
        self._weight = None if h is None else np.zeros(blocks + 1)
        for a in range(0, len(x), CHUNK):
            part = x[a : a + CHUNK].astype(np.float64)
            part -= origin
            at = slice(a // self.block + 1, a // self.block + 1 + -(-len(part) // self.block))
            if h is not None and self._weight is not None:
                own = h[a : a + CHUNK].astype(np.float64)
                self._weight[at] = self._collect(own)
                part *= own
            self._moment[at] = self._collect(part)
        np.cumsum(self._moment, out=self._moment)
        if self._weight is not None:
            np.cumsum(self._weight, out=self._weight)

    def __call__(self, rank: Ints) -> tuple[Floats, Floats]:
        """Return (weight, moment) of the first `rank` scalars, in the shape of `rank`."""
        if self.block == 1:
            moment = self._moment[rank]
            return (rank.astype(np.float64) if self._weight is None else self._weight[rank]), moment
        flat = rank.reshape(-1)
        moment, weight = np.empty(len(flat)), flat.astype(np.float64)
        for a in range(0, len(flat), _RANKS):
            some = flat[a : a + _RANKS]
            block = some // self.block
            at = block[:, None] * self.block + np.arange(self.block)
            inside = at < some[:, None]
            at = np.minimum(at, len(self.x) - 1)
            part = np.where(inside, self.x[at].astype(np.float64) - self.origin, 0.0)
            if self.h is not None and self._weight is not None:
                own = np.where(inside, self.h[at], 0.0)
                weight[a : a + len(some)] = self._weight[block] + own.sum(1)
                part *= own
            moment[a : a + len(some)] = self._moment[block] + part.sum(1)
        return weight.reshape(rank.shape), moment.reshape(rank.shape)

    def _collect(self, part: Floats) -> Floats:
        if self.block == 1:
            return part
        short = -len(part) % self.block
        padded = np.append(part, np.zeros(short)) if short else part
        total: Floats = padded.reshape(-1, self.block).sum(1)
        return total
