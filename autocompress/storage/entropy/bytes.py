"""Buffers that no stream describes: bit-packed symbols of unknown width, and floating point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autocompress.storage.entropy.coder import Coder, Ints
from autocompress.storage.entropy.models import integers

Bytes = NDArray[np.uint8]


def buffer(coder: Coder, data: Bytes, itemsize: int, runs: tuple[int, ...] = ()) -> Bytes:
    """Code a buffer.

    Bytes are taken as symbols of the width, 1 to 8 bits, that is cheapest. Wider numbers are coded
    by their bytes, each place by itself: signs and exponents repeat, low mantissa bits do not.

    Args:
        coder: Where to, or where from.
        data: The bytes; a decoder only looks at how many there are.
        itemsize: Bytes of an element.
        runs: How many elements belong to each tensor, if their sum is the number of elements.
    """
    if data.size == 0:
        return data
    if itemsize == 1:
        return _symbols(coder, data)
    table = data.reshape(-1, itemsize)
    parts = runs if sum(runs) == len(table) else (len(table),)
    result = np.empty_like(table)
    for place in range(itemsize):
        result[:, place] = integers(coder, table[:, place].astype(np.int64), 256, parts)
    return result.reshape(-1)


def _symbols(coder: Coder, data: Bytes) -> Bytes:
    width = 1 + coder.number(_width(data) - 1 if coder.writing else 0, 3)
    symbols = integers(coder, _cut(data, width), 1 << width, (-(-8 * data.size // width),))
    planes = np.unpackbits(symbols.astype(np.uint8)[:, None], axis=1)[:, 8 - width :]
    return np.packbits(planes.reshape(-1))[: data.size]


def _cut(data: Bytes, width: int) -> Ints:
    """Return a buffer's bits as symbols of a width, zeros at the end if need be."""
    if width == 8:
        return data.astype(np.int64)
    bits = np.unpackbits(data)
    count = -(-bits.size // width)
    planes = np.zeros((count, 8), dtype=np.uint8)
    planes[:, 8 - width :] = np.pad(bits, (0, count * width - bits.size)).reshape(count, width)
    return np.packbits(planes.reshape(-1)).astype(np.int64)


def _width(data: Bytes) -> int:
    """Return the width of the symbols that take the fewest bits, about."""

    def cost(width: int) -> float:
        symbols = _cut(data, width)
        counts = np.bincount(symbols, minlength=1 << width)
        counts = counts[counts > 0]
        entropy = symbols.size * np.log2(symbols.size) - float(counts @ np.log2(counts))
        return float(entropy) + 0.5 * counts.size * float(np.log2(symbols.size + 1))

    return min(range(1, 9), key=cost)
