"""Digits of a small base as a stream for the entropy coder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autocompress.compression.codebooks import radix
from autocompress.compression.streams import Stream


@final
@dataclass(frozen=True)
class Digits(Stream):
    """Digits packed by :mod:`.radix`, several to a byte.

    One at a time they are few symbols to learn the odds of: three in place of 243 for base 3.

    Attributes:
        name: The buffer.
        base: Every digit is below it.
        runs: How many digits belong to each weight tensor, in order.
    """

    name: str
    base: int
    runs: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def size(self) -> int:
        return self.base

    @property
    def count(self) -> int:
        return sum(self.runs)

    def symbols(self, buffers: Mapping[str, Tensor]) -> NDArray[np.int64]:
        return radix.unpack(buffers[self.name], self.base, self.count).numpy().astype(np.int64)

    def buffers(self, symbols: NDArray[np.int64]) -> dict[str, Tensor]:
        return {self.name: radix.pack(torch.from_numpy(symbols), self.base)}
