"""Points and lines of a Pareto plot, in the metrics' own units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from autocompress.analysis.front import Front
from autocompress.analysis.hypervolume import nondominated
from autocompress.analysis.noise import Spread
from autocompress.explore.objectives import Objective
from autocompress.explore.record import TrialRecord

TRIAL = "trial"
"""The x axis of a sweep with a single objective: the trial's number."""

_TEST_OF = {"accuracy": lambda accuracy: accuracy, "error": lambda accuracy: 1.0 - accuracy}


class Series(NamedTuple):
    """Points to draw: coordinates in the metrics' own units, and the trials they belong to."""

    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()
    numbers: tuple[int, ...] = ()


class Bar(NamedTuple):
    """A trial's means over its seeds, and the ends of their intervals, in the metrics' units."""

    x: float
    y: float
    x_ends: tuple[float, float]
    y_ends: tuple[float, float]
    number: int


def value_of(record: TrialRecord, metric: str) -> float:
    """Return a trial's value of a metric, or its number."""
    return float(record.number) if metric == TRIAL else record.metrics[metric]


def series(records: Iterable[TrialRecord], x: str, y: str) -> Series:
    """Return trials as points."""
    rows = [(value_of(r, x), value_of(r, y), r.number) for r in records]
    return Series(*(tuple(column) for column in zip(*rows, strict=True))) if rows else Series()


def staircase(front: Front, x: str, y: str) -> Series:
    """Return the corners of the region that the front attains in two of its objectives.

    With any budget for x between two points, the best y is that of the point before.
    """
    items = (front.objectives[x], front.objectives[y])
    rows = [[item.coordinate(r.metrics[item.metric]) for item in items] for r in front]
    kept = nondominated(np.asarray(rows, dtype=np.float64).reshape(-1, 2))
    order = sorted(np.flatnonzero(kept), key=lambda row: rows[row][0])
    chosen = [front.records[row] for row in order]
    corners: list[tuple[float, float, int]] = []
    for record in chosen:
        here = value_of(record, x)
        if corners:
            corners.append((here, corners[-1][1], record.number))
        corners.append((here, value_of(record, y), record.number))
    return Series(*(tuple(c) for c in zip(*corners, strict=True))) if corners else Series()


def best_so_far(ranked: Sequence[TrialRecord], objective: Objective) -> Series:
    """Return the steps of the best value up to each trial."""
    values: list[tuple[float, float, int]] = []
    best = math.nan
    for record in ranked:
        value = record.metrics[objective.metric]
        if values and objective.coordinate(value) >= objective.coordinate(best):
            value = best
        elif values:
            values.append((float(record.number), best, record.number))
        best = value
        values.append((float(record.number), best, record.number))
    return Series(*(tuple(column) for column in zip(*values, strict=True))) if values else Series()


def tested_series(front: Series, y: str, test: Mapping[int, float]) -> Series:
    """Return the front's points with what was measured on the test split; none for others."""
    if y not in _TEST_OF:
        return Series()
    rows = [
        (x, _TEST_OF[y](test[number]), number)
        for x, number in zip(front.x, front.numbers, strict=True)
        if math.isfinite(test.get(number, math.nan))
    ]
    return Series(*(tuple(column) for column in zip(*rows, strict=True))) if rows else Series()


def bars_of(front: Front, x: str, y: str) -> tuple[Bar, ...]:
    """Return the front's intervals; none where no trial was run again."""
    if front.noise is None:
        return ()
    bars = []
    for record in front:
        at = float(record.number)
        across = Spread(at, at, at) if x == TRIAL else front.noise.spread(record.number, x)
        along = front.noise.spread(record.number, y)
        if across is not None and along is not None:
            ends = ((across.low, across.high), (along.low, along.high))
            bars.append(Bar(across.mean, along.mean, *ends, record.number))
    return tuple(bars)
