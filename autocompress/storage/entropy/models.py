"""Models of integers: adaptive, with few numbers to send, chosen by what they really cost.

Nothing is known of a stream when it begins; after every block of it (an eighth of what went before)
the counts so far are its new probabilities, as in adaptive arithmetic coding (Witten, Neal &
Cleary 1987) with the estimator of Krichevsky & Trofimov (1981), a block at a time so that whole
blocks go through the coder in one call. No tables are stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autocompress.storage.entropy.coder import ONE, Coder, Ints, Meter

_MOST = 12
"""Largest width, in bits, of symbols that are counted; the bits below are coded as they are."""
_PRIORS = (0.5, 0.05)
"""Counts that every symbol begins with; few where most symbols never appear."""
_STRENGTH = 8.0
"""How many symbols of a run the statistics of all runs so far are worth."""


@dataclass(frozen=True)
class Choice:
    """How a stream is coded.

    Attributes:
        low: Bits at the low end of each symbol that are coded as they are.
        prior: Which of the priors.
        apart: Whether each run has statistics of its own.
    """

    low: int
    prior: int
    apart: bool


def integers(coder: Coder, symbols: Ints, size: int, runs: Sequence[int]) -> Ints:
    """Code integers by the cheapest choice of model.

    Args:
        coder: Where to, or where from.
        symbols: In ``[0, size)``; a decoder only looks at how many there are.
        size: Number of different symbols, at most 2⁶³.
        runs: Lengths of the parts that the symbols consist of.
    """
    if symbols.size == 0 or size <= 1:
        return symbols * 0
    width = (size - 1).bit_length()
    if width > 63:
        raise ValueError(f"an alphabet of {width} bits")
    choice = _cheapest(symbols, size, runs) if coder.writing else Choice(0, 0, False)
    choice = _header(coder, choice, width, runs)
    return _integers(coder, symbols, size, runs, choice)


def _header(coder: Coder, choice: Choice, width: int, runs: Sequence[int]) -> Choice:
    low = coder.number(choice.low, 4 if width < 16 else 6)
    prior = coder.number(choice.prior, 1)
    apart = bool(coder.number(choice.apart, 1)) if len(runs) > 1 else False
    if low > width or width - low > _MOST:
        raise ValueError(f"symbols of {width} bits cannot have {low} plain ones")
    return Choice(low, prior, apart)


def _cheapest(symbols: Ints, size: int, runs: Sequence[int]) -> Choice:
    width = (size - 1).bit_length()
    lows = sorted({max(0, width - _MOST), *range(max(0, width - 8), width + 1, 2), width})
    lows = [low for low in lows if width - low <= _MOST]
    best, least = Choice(width, 0, False), float("inf")
    # the prior and the runs matter little to which bits are worth counting
    for low in lows:
        cost = _cost(symbols, size, runs, Choice(low, 0, False))
        if cost < least:
            best, least = Choice(low, 0, False), cost
    for apart in (False, True) if len(runs) > 1 else (False,):
        for prior in range(len(_PRIORS)):
            choice = Choice(best.low, prior, apart)
            if (cost := _cost(symbols, size, runs, choice)) < least:
                best, least = choice, cost
    return best


def _cost(symbols: Ints, size: int, runs: Sequence[int], choice: Choice) -> float:
    meter = Meter()
    _integers(meter, symbols, size, runs, choice)
    return meter.bits


def _integers(coder: Coder, symbols: Ints, size: int, runs: Sequence[int], choice: Choice) -> Ints:
    low = choice.low
    if (size - 1) >> low == 0:
        return _below(coder.plain(symbols, low), size)
    high = adaptive(
        coder,
        symbols >> low,
        ((size - 1) >> low) + 1,
        runs if choice.apart else (symbols.size,),
        _PRIORS[choice.prior],
    )
    if low == 0:
        return high
    return _below((high << low) | coder.plain(symbols & ((1 << low) - 1), low), size)


def _below(symbols: Ints, size: int) -> Ints:
    if symbols.size and int(symbols.max()) >= size:
        raise ValueError(f"a symbol is beyond {size}")
    return symbols


def adaptive(
    coder: Coder, symbols: Ints, size: int, runs: Sequence[int], prior: float = 0.5
) -> Ints:
    """Code symbols by how often each came before, in its run and in all runs."""
    result = np.zeros(symbols.size, dtype=np.int64)
    everywhere = np.zeros(size, dtype=np.int64)
    start = 0
    for length in runs:
        here = np.zeros(size, dtype=np.int64)
        for first, last in blocks(length):
            part = slice(start + first, start + last)
            frequencies = _frequencies(here, everywhere, prior)
            result[part] = coder.pick(symbols[part], frequencies)
            counts = np.bincount(result[part], minlength=size)
            here += counts
            everywhere += counts
        start += length
    return result


def _frequencies(here: Ints, everywhere: Ints, prior: float) -> Ints:
    """Return probabilities times ``ONE``; every step is exact or rounded the same everywhere."""
    size = here.size
    common = (everywhere + prior) / (int(everywhere.sum()) + prior * size)
    likely = (here + _STRENGTH * common) / (int(here.sum()) + _STRENGTH)
    return whole(likely)


def whole(likely: NDArray[np.float64]) -> Ints:
    """Round probabilities to whole numbers above 0 whose sum is ``ONE``."""
    frequencies = np.floor(likely * (ONE - likely.size)).astype(np.int64) + 1
    frequencies[int(frequencies.argmax())] += ONE - int(frequencies.sum())
    return frequencies


def blocks(count: int, least: int = 4) -> Iterator[tuple[int, int]]:
    """Cut ``count`` symbols into blocks that grow with what went before."""
    start = 0
    while start < count:
        end = min(count, start + least + start // 8)
        yield start, end
        start = end
