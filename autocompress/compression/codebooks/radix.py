"""Digits of a small base packed into bytes: five of base 3, three of base 5 or 6.

Base 3 takes 1.6 bits a digit this way, against log2 3 = 1.585 and 2 of fixed width. Where whole
digits to a byte save nothing, digits have fixed width. Exact and vectorised both ways.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from autocompress.compression import bitpack

_PER_BYTE = {3: 5, 5: 3, 6: 3}  # all bases that gain on fixed width
_BLOCK = 1 << 16


def bits(base: int, count: int) -> int:
    """Return the bits that :func:`pack` needs for ``count`` digits."""
    if base not in _PER_BYTE:
        return count * bitpack.width(base)
    return 8 * -(-count // _PER_BYTE[base])


def pack(digits: Tensor, base: int) -> Tensor:
    """Pack digits, 0 <= digit < base, first ones most significant, into uint8 on the CPU."""
    if base not in _PER_BYTE:
        return bitpack.pack(digits, bitpack.width(base))
    per = _PER_BYTE[base]
    flat = digits.cpu().numpy().astype(np.uint8, copy=False)
    rows = np.append(flat, np.zeros(-len(flat) % per, np.uint8)).reshape(-1, per)
    out = rows[:, 0].copy()
    for place in range(1, per):
        out *= np.uint8(base)
        out += rows[:, place]
    return torch.from_numpy(out)


def unpack(buffer: Tensor, base: int, count: int) -> Tensor:
    """Inverse of :func:`pack`: a uint8 tensor of ``count`` digits on the CPU.

    Raises:
        ValueError: the buffer does not hold ``count`` digits of this base.
    """
    if base not in _PER_BYTE:
        digits = bitpack.unpack(buffer, bitpack.width(base), count).to(torch.uint8)
        if count and int(digits.max()) >= base:
            raise ValueError(f"a digit of {int(digits.max())} in base {base}")
        return digits
    per = _PER_BYTE[base]
    data = buffer.cpu().numpy()
    if data.dtype != np.uint8 or data.size != -(-count // per):
        raise ValueError(f"{data.size} bytes cannot hold {count} digits of base {base}")
    if data.size and int(data.max()) >= base**per:
        raise ValueError(f"a byte of {int(data.max())} is not {per} digits of base {base}")
    place = base ** np.arange(per - 1, -1, -1)
    table = (np.arange(base**per)[:, None] // place % base).astype(np.uint8)
    out = np.empty((data.size, per), np.uint8)
    for a in range(0, data.size, _BLOCK):
        out[a : a + _BLOCK] = table[data[a : a + _BLOCK]]
    return torch.from_numpy(out.reshape(-1)[:count])
