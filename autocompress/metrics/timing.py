"""Timing two calls against each other on a machine that is doing other things as well."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

Call = Callable[[], object]
Clock = Callable[[], float]
"""Seconds since some moment, never going back."""
Floats = NDArray[np.float64]

_ROUND_SECONDS = 0.01
_STATIONARY = 0.05
"""Two successive rounds that differ by less than this fraction are the same."""
_SAMPLE_SECONDS = 1e-4
"""A sample repeats its call for this long, thousands of times the resolution of the clock."""
PLACEMENTS = 10
"""How many copies a measurement is spread over, and how many groups its interval is from."""
_STUDENT = 2.262 / 1.960
"""Student's t with 9 degrees of freedom over the normal quantile, both at 97.5 %."""


def warm_up(calls: Sequence[Call], *, seconds: float, clock: Clock) -> list[float]:
    """Run calls in turn until their durations no longer change.

    They are warm once two successive rounds, of about 10 ms a call each, agree with the one before
    them to 5 %.

    Args:
        calls: What to warm up.
        seconds: Stop after the round in which this much time has passed.
        clock: The clock.

    Returns:
        Seconds a call takes, for each: the median of the last round.
    """
    begin = clock()
    last, agreeing = _round(calls, clock), 0
    while agreeing < 2 and clock() - begin < seconds:
        now = _round(calls, clock)
        same = all(abs(n - p) <= _STATIONARY * p for n, p in zip(now, last, strict=True))
        last, agreeing = now, agreeing + 1 if same else 0
    return last


def _round(calls: Sequence[Call], clock: Clock) -> list[float]:
    medians = []
    for call in calls:
        durations: list[float] = []
        total = 0.0
        while total < _ROUND_SECONDS and len(durations) < 1000:
            durations.append(_time(call, 1, clock))
            total += durations[-1]
        medians.append(float(np.median(durations)))
    return medians


def repeats_for(seconds: float) -> int:
    """Return how often a call that takes ``seconds`` is repeated in a sample, at least once."""
    return max(1, math.ceil(_SAMPLE_SECONDS / max(seconds, 1e-9)))


def interleave(
    placements: Sequence[tuple[Call, Call]],
    repeats: tuple[int, int],
    *,
    samples: int,
    seconds: float,
    max_seconds: float,
    clock: Clock,
) -> list[tuple[Floats, Floats]]:
    """Time two calls in pairs, in alternating order: ab ba ab ba …

    The two of a pair run within the same moment, so whatever slows the machine down for longer
    than that slows both. The alternation cancels what the first of a pair does to the second.

    Args:
        placements: The two calls, several times over on copies elsewhere in memory; each gets an
            equal share of pairs and of time, one after the other.
        repeats: How often the first and the second are called for one sample.
        samples: Fewest pairs in all.
        seconds: Shortest time in all, where the pairs are quicker than that.
        max_seconds: Longest time in all, but for one pair in each placement.
        clock: The clock.

    Returns:
        For each placement, seconds a call took in each sample: of the first, of the second.
    """
    results = []
    pair = 0
    begin = clock()
    share = math.ceil(samples / len(placements))
    with _no_collection():
        for number, (first, second) in enumerate(placements, start=1):
            part = number / len(placements)
            times: list[tuple[float, float]] = []
            while not times or (
                (len(times) < share or clock() - begin < part * seconds)
                and clock() - begin < part * max_seconds
            ):
                if pair % 2 == 0:
                    a = _sample(first, repeats[0], clock)
                    b = _sample(second, repeats[1], clock)
                else:
                    b = _sample(second, repeats[1], clock)
                    a = _sample(first, repeats[0], clock)
                times.append((a, b))
                pair += 1
            table = np.array(times, dtype=np.float64)
            results.append((table[:, 0], table[:, 1]))
    return results


def _sample(call: Call, repeats: int, clock: Clock) -> float:
    """Time a call after an untimed one, which brings its weights back into the caches.

    Without it the module that comes first in a pair, and so came last in the pair before, was 20 %
    faster than its equal.
    """
    call()
    return _time(call, repeats, clock)


def _time(call: Call, repeats: int, clock: Clock) -> float:
    start = clock()
    for _ in range(repeats):
        call()
    return (clock() - start) / repeats


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector from running inside a sample."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def median_interval(
    groups: Sequence[Floats], *, seed: int, resamples: int = 1000
) -> tuple[float, float]:
    """Return a 95 % confidence interval of the median of all values, by the bootstrap over groups.

    Values of one group resemble each other, being of one moment and one placement in memory; a
    bootstrap over single values takes that for certainty. So whole groups are resampled, and the
    percentile interval is widened as Student's t is for so few of them.

    Args:
        groups: Values in (ten) groups; at least one value each.
        seed: Of the resampling.
        resamples: Number of resampled medians.
    """
    center = float(np.median(np.concatenate(groups)))
    generator = np.random.default_rng(seed)
    medians = np.empty(resamples)
    for i in range(resamples):
        chosen = generator.integers(0, len(groups), size=len(groups))
        medians[i] = np.median(np.concatenate([groups[j] for j in chosen]))
    low, high = np.quantile(medians, [0.025, 0.975])
    below, above = max(0.0, center - float(low)), max(0.0, float(high) - center)
    return center - _STUDENT * below, center + _STUDENT * above
