"""Bit-packed buffers: fixed-width integers and the pattern of survivors of pruning.

All packing is vectorised NumPy on uint8 and exact in both directions. Bits are filled from the
most significant end of each byte.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Bytes = NDArray[np.uint8]


def width(count: int) -> int:
    """Bits of an index into ``count`` things: ceil(log2 count), 0 for a single one."""
    return max(count - 1, 0).bit_length()


def pack(values: Tensor, bits: int) -> Tensor:
    """Pack non-negative integers of ``bits`` bits (at most 63) each into uint8, on the CPU."""
    return torch.from_numpy(_pack(values.cpu().numpy(), bits))


def unpack(buffer: Tensor, bits: int, count: int) -> Tensor:
    """Inverse of :func:`pack`: an int64 tensor of ``count`` values on the CPU.

    Raises:
        ValueError: the buffer does not have the length that ``count`` values need.
    """
    return torch.from_numpy(_unpack(buffer.cpu().numpy(), bits, count))


def _pack(values: NDArray[np.generic], bits: int) -> Bytes:
    if bits == 0:
        return np.zeros(0, dtype=np.uint8)
    if bits == 8:
        return values.astype(np.uint8)
    if bits < 8:
        planes = np.unpackbits(values.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :]
    else:
        full = 32 if bits <= 32 else 64
        big_endian = values.astype(f">u{full // 8}")[:, None].view(np.uint8)
        planes = np.unpackbits(big_endian, axis=1)[:, full - bits :]
    return np.packbits(planes.reshape(-1))


def _unpack(buffer: Bytes, bits: int, count: int) -> NDArray[np.int64]:
    if buffer.size != -(-count * bits // 8):
        raise ValueError(f"{buffer.size} bytes cannot hold {count} values of {bits} bits")
    if bits == 0:
        return np.zeros(count, dtype=np.int64)
    if bits == 8:
        return buffer.astype(np.int64)
    full = 8 if bits < 8 else 32 if bits <= 32 else 64
    planes = np.zeros((count, full), dtype=np.uint8)
    planes[:, full - bits :] = np.unpackbits(buffer, count=count * bits).reshape(count, bits)
    packed = np.packbits(planes.reshape(-1))
    return (packed if bits < 8 else packed.view(f">u{full // 8}")).astype(np.int64)


# The pattern of survivors: a bitmap, or gaps in Rice code --------------------------------------
#
# Gaps between survivors of an unstructured pattern are close to geometric, for which a Rice code
# (Rice & Plaunt 1971) is within a few per cent of the entropy. Quotients (unary) and remainders
# (fixed width) go to two streams, so that both directions are vectorised.


def rice_parameter(gaps: NDArray[np.int64]) -> int:
    """Return the Rice parameter with the smallest code for these gaps (each >= 0)."""
    if gaps.size == 0:
        return 0
    guess = int(math.log2(max(float(gaps.mean()), 1.0)))
    candidates = range(max(guess - 2, 0), guess + 3)
    return min(candidates, key=lambda b: _rice_bits(gaps, b))


def _rice_bits(gaps: NDArray[np.int64], parameter: int) -> int:
    return int((gaps >> parameter).sum()) + gaps.size * (1 + parameter)


def _gaps(index: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.diff(index, prepend=-1) - 1


def pattern_bits(index: Tensor, size: int) -> int:
    """Bits that :func:`pack_pattern` needs for sorted positions ``index`` within ``size``."""
    gaps = _gaps(index.cpu().numpy())
    return min(size, _rice_bits(gaps, rice_parameter(gaps)))


def pack_pattern(index: Tensor, size: int) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Pack sorted, distinct positions (int64) within a vector of ``size`` elements.

    Returns:
        Buffers (uint8) and the numbers needed to read them: ``count``, and ``rice`` (the Rice
        parameter) or ``rice = -1`` for a bitmap, whichever is smaller.
    """
    positions = index.cpu().numpy()
    gaps = _gaps(positions)
    parameter = rice_parameter(gaps)
    if _rice_bits(gaps, parameter) >= size:
        bitmap = np.zeros(size, dtype=np.uint8)
        bitmap[positions] = 1
        buffers = {"bitmap": torch.from_numpy(np.packbits(bitmap))}
        return buffers, {"count": int(positions.size), "rice": -1}
    stops = np.cumsum((gaps >> parameter) + 1) - 1
    unary = np.zeros(int(stops[-1]) + 1 if stops.size else 0, dtype=np.uint8)
    unary[stops] = 1
    remainders = gaps & ((1 << parameter) - 1)
    buffers = {
        "unary": torch.from_numpy(np.packbits(unary)),
        "remainders": torch.from_numpy(_pack(remainders, parameter)),
    }
    return buffers, {"count": int(positions.size), "rice": parameter}


def unpack_pattern(buffers: dict[str, Tensor], numbers: dict[str, int], size: int) -> Tensor:
    """Inverse of :func:`pack_pattern`: sorted positions, int64, on the CPU.

    Raises:
        ValueError: the buffers do not describe ``count`` positions within ``size``.
    """
    count, parameter = numbers["count"], numbers["rice"]
    if parameter < 0:
        bitmap = buffers["bitmap"].cpu().numpy()
        if bitmap.size != -(-size // 8):
            raise ValueError(f"a bitmap of {bitmap.size} bytes does not cover {size} weights")
        positions = np.flatnonzero(np.unpackbits(bitmap, count=size))
    else:
        stops = np.flatnonzero(np.unpackbits(buffers["unary"].cpu().numpy()))[:count]
        quotients = np.diff(stops, prepend=-1) - 1
        if quotients.size != count or parameter > 32:
            raise ValueError(f"{quotients.size} positions found where {count} were announced")
        if count and int(quotients.max()) > size >> parameter:  # would overflow in a forged file
            raise ValueError(f"gaps beyond a vector of {size} weights")
        remainders = _unpack(buffers["remainders"].cpu().numpy(), parameter, count)
        positions = np.cumsum((quotients << parameter) + remainders + 1) - 1
    if positions.size != count or (count and positions[-1] >= size):
        raise ValueError(f"positions do not fit a vector of {size} weights")
    return torch.from_numpy(positions.astype(np.int64))
