"""The range coder of the library ``constriction``, and a meter that only counts bits.

Models (:mod:`autocompress.storage.entropy.models`) are written once, against :class:`Coder`: given
an encoder they write the symbols, given a decoder they return them, given a meter they cost next
to nothing. All probabilities are whole multiples of 2⁻²⁰ got by elementwise IEEE arithmetic, so
that a file reads the same on any machine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from autocompress.errors import MissingExtra

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

BITS = 20
ONE = 1 << BITS
"""Probabilities are whole numbers of 1/ONE."""
_CHUNK = 1 << 18
"""Most symbols handed to the library at a time; bounds the memory of a call."""


class Coder(ABC):
    """Codes symbols in both directions; the arguments are only read by those who write."""

    writing: bool = True
    """Whether the symbols given are the ones to code; a decoder only looks at how many."""

    @abstractmethod
    def pick(self, symbols: Ints, frequencies: Ints) -> Ints:
        """Code symbols of one distribution.

        Args:
            symbols: In ``[0, len(frequencies))``.
            frequencies: Probability of each symbol times ``ONE``; all above 0, their sum ``ONE``.

        Returns:
            The symbols.
        """

    @abstractmethod
    def flip(self, bits: Ints, chances: Ints) -> Ints:
        """Code bits, each with a probability of its own.

        Args:
            bits: 0 or 1.
            chances: Probability of a 1 times ``ONE``; strictly between 0 and ``ONE``.
        """

    def plain(self, symbols: Ints, width: int) -> Ints:
        """Code integers of ``width`` bits, all equally likely."""
        result = np.zeros(symbols.size, dtype=np.int64)
        for shift in range(0, width, 8):  # the low bits first
            part = min(8, width - shift)
            share = ONE >> part
            digits = (symbols >> shift) & ((1 << part) - 1)
            result |= self.pick(digits, np.full(1 << part, share, dtype=np.int64)) << shift
        return result

    def number(self, value: int, width: int) -> int:
        """Code a single integer of ``width`` bits."""
        return int(self.plain(np.array([value], dtype=np.int64), width)[0])


@final
class Meter(Coder):
    """Adds up what an encoder would write.

    Attributes:
        bits: The bits so far.
    """

    def __init__(self) -> None:
        self.bits = 0.0

    def pick(self, symbols: Ints, frequencies: Ints) -> Ints:
        counts = np.bincount(symbols, minlength=frequencies.size)
        self.bits += BITS * symbols.size - float(counts @ np.log2(frequencies))
        return symbols

    def flip(self, bits: Ints, chances: Ints) -> Ints:
        taken = np.where(bits != 0, chances, ONE - chances)
        self.bits += BITS * bits.size - float(np.log2(taken).sum())
        return bits


@final
class Encoder(Coder):
    """Writes symbols.

    Raises:
        MissingExtra: the library is not installed.
    """

    def __init__(self) -> None:
        stream = library()
        self._models = stream.model
        self._flips = stream.model.Bernoulli(perfect=False)
        self._encoder = stream.queue.RangeEncoder()

    def pick(self, symbols: Ints, frequencies: Ints) -> Ints:
        if frequencies.size > 1 and symbols.size:
            model = self._models.Categorical(frequencies / ONE, perfect=False)
            for part in _parts(symbols):
                self._encoder.encode(part.astype(np.int32), model)
        return symbols

    def flip(self, bits: Ints, chances: Ints) -> Ints:
        for part, chance in zip(_parts(bits), _parts(chances), strict=True):
            self._encoder.encode(part.astype(np.int32), self._flips, chance / ONE)
        return bits

    def finish(self) -> bytes:
        """Return all that was written."""
        words = self._encoder.get_compressed()
        # a reader goes on with zeros after the end
        return bytes(words.astype("<u4").tobytes().rstrip(b"\0"))


@final
class Decoder(Coder):
    """Reads symbols back.

    Args:
        data: What an encoder wrote.
        budget: Most symbols that will be read: a few bytes can announce any number of them.

    Raises:
        MissingExtra: the library is not installed.
    """

    writing = False

    def __init__(self, data: bytes, budget: int) -> None:
        stream = library()
        self._models = stream.model
        self._flips = stream.model.Bernoulli(perfect=False)
        padded = data + b"\0" * (-len(data) % 4)
        words = np.frombuffer(padded, dtype="<u4").astype(np.uint32)
        self._decoder = stream.queue.RangeDecoder(words)
        self._budget = budget

    def spend(self, count: int) -> None:
        """Raise ValueError if so many more symbols are more than the budget allows."""
        self._budget -= count
        if self._budget < 0:
            raise ValueError("it announces more symbols than its weights can have")

    def pick(self, symbols: Ints, frequencies: Ints) -> Ints:
        self.spend(symbols.size)
        result = np.zeros(symbols.size, dtype=np.int64)
        if frequencies.size > 1 and symbols.size:
            model = self._models.Categorical(frequencies / ONE, perfect=False)
            for part in _parts(result):
                part[:] = self._read(model, part.size)
        return result

    def flip(self, bits: Ints, chances: Ints) -> Ints:
        self.spend(bits.size)
        result = np.zeros(bits.size, dtype=np.int64)
        for part, chance in zip(_parts(result), _parts(chances), strict=True):
            part[:] = self._read(self._flips, chance / ONE)
        return result

    def finish(self) -> None:
        """Raise ValueError unless all data have been read."""
        if not self._decoder.maybe_exhausted():
            raise ValueError("coded data are left over")

    def _read(self, model: Any, argument: Any) -> Any:
        try:
            return self._decoder.decode(model, argument)
        except AssertionError:
            raise ValueError("the coded data are damaged") from None


def _parts(values: Ints) -> list[Ints]:
    return [values[start : start + _CHUNK] for start in range(0, values.size, _CHUNK)]


def library() -> Any:
    """Return ``constriction.stream``.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import constriction
    except ImportError:
        raise MissingExtra("constriction", "entropy") from None
    return constriction.stream
