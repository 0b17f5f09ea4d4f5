"""What the buffers of a code hold, told to the entropy coder of packed files.

A code's buffers are bit-packed, which is quick and simple but takes as much room for a common
symbol as for a rare one. :meth:`Code.streams <autocompress.compression.base.Code.streams>` says
which integers are in which buffers, so that ``storage.write(..., entropy=True)`` can store each by
how likely it is. A buffer that no stream describes is coded too, as symbols of whatever width suits
it best: a new code needs to say nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autocompress.compression import bitpack
from autocompress.compression.base import Shapes, total_numel


class Stream(ABC):
    """Integers that some buffers of a code hold; everything about them follows from its meta."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the buffers."""

    @property
    @abstractmethod
    def count(self) -> int:
        """How many integers there are."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Every integer is in ``[0, size)``."""

    @abstractmethod
    def symbols(self, buffers: Mapping[str, Tensor]) -> NDArray[np.int64]:
        """Return the integers, vector, that the buffers hold.

        Raises:
            ValueError, KeyError: the buffers do not fit.
        """

    @abstractmethod
    def buffers(self, symbols: NDArray[np.int64]) -> dict[str, Tensor]:
        """Return the buffers again, bit for bit."""


@final
@dataclass(frozen=True)
class Packed(Stream):
    """Integers packed by :func:`bitpack.pack <autocompress.compression.bitpack.pack>`.

    Attributes:
        name: The buffer.
        alphabet: Number of different symbols; each takes ``bitpack.width(alphabet)`` bits.
        runs: How many integers belong to each weight tensor, in order; what is common in one tensor
            may be rare in another.
    """

    name: str
    alphabet: int
    runs: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def size(self) -> int:
        return self.alphabet

    @property
    def count(self) -> int:
        return sum(self.runs)

    def symbols(self, buffers: Mapping[str, Tensor]) -> NDArray[np.int64]:
        values = bitpack.unpack(buffers[self.name], bitpack.width(self.size), self.count)
        symbols: NDArray[np.int64] = values.numpy()
        if symbols.size and int(symbols.max()) >= self.size:
            raise ValueError(f"{self.name} holds symbols beyond {self.size}")
        return symbols

    def buffers(self, symbols: NDArray[np.int64]) -> dict[str, Tensor]:
        return {self.name: bitpack.pack(torch.from_numpy(symbols), bitpack.width(self.size))}


@final
@dataclass(frozen=True)
class Positions(Stream):
    """Which elements of some tensors are there: the pattern of pruning, one bit an element.

    Attributes:
        shapes: Shapes of the tensors that the pattern runs over.
        numbers: What :func:`bitpack.pack_pattern <autocompress.compression.bitpack.pack_pattern>`
            returned besides the buffers.
    """

    shapes: Shapes
    numbers: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        # a bitmap, or gaps in Rice code
        return ("bitmap",) if self.numbers["rice"] < 0 else ("unary", "remainders")

    @property
    def count(self) -> int:
        return total_numel(self.shapes)

    @property
    def size(self) -> int:
        return 2

    def symbols(self, buffers: Mapping[str, Tensor]) -> NDArray[np.int64]:
        index = bitpack.unpack_pattern(dict(buffers), dict(self.numbers), self.count)
        symbols = np.zeros(self.count, dtype=np.int64)
        symbols[index.numpy()] = 1
        return symbols

    def buffers(self, symbols: NDArray[np.int64]) -> dict[str, Tensor]:
        index = torch.from_numpy(np.flatnonzero(symbols))
        buffers, numbers = bitpack.pack_pattern(index, self.count)
        if numbers != {key: self.numbers.get(key) for key in numbers}:
            raise ValueError("the pattern is not the one that was announced")
        return buffers
