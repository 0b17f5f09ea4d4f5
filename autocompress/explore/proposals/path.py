"""Paths: candidates from small to large, each the best known of its size."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from autocompress.explore.choosers import place, position

STEP = 1.015
"""Neighbours on a path differ in size by this factor at most, where something lies between them."""
_MOST = 400


@dataclass(frozen=True)
class Point:
    """A candidate with what is known of it before any training.

    Attributes:
        params: Its parameters in the search space.
        size: What is to be made small, in its own unit, by direct compression or an estimate.
        loss: What direct compression costs: any number that ranks candidates.
    """

    params: Mapping[str, Any]
    size: float
    loss: float

    @property
    def key(self) -> str:
        """A text that is the same for the same parameters."""
        return key_of(self.params)


Judge: TypeAlias = Callable[[Mapping[str, Any]], Point | None]
"""Works out size and loss of a candidate from its parameters; None if it is none of the space."""


def key_of(params: Mapping[str, Any]) -> str:
    """Return a text that is the same for the same parameters."""
    return json.dumps(params, sort_keys=True)


@dataclass(frozen=True)
class Path:
    """Points by size, from small to large.

    Attributes:
        points: The points; at least one.
        domains: What each of their parameters may be.
    """

    points: tuple[Point, ...]
    domains: Mapping[str, BaseDistribution]

    @classmethod
    def make(cls, points: Iterable[Point], domains: Mapping[str, BaseDistribution]) -> Self:
        """Put points in order, leave out those that cannot be placed, and fill the gaps.

        Points of one size are one, that of the least loss. Between neighbours that differ in
        numbers alone there are as many more as it takes to come from one to the other in steps of
        1.5 % of their size; size and loss of those are interpolated.
        """
        found: dict[float, Point] = {}
        for point in points:
            if not (math.isfinite(point.size) and math.isfinite(point.loss) and point.size > 0):
                continue
            if point.size not in found or point.loss < found[point.size].loss:
                found[point.size] = point
        ordered = [found[size] for size in sorted(found)]
        filled = list(ordered[:1])
        for low, high in itertools.pairwise(ordered):
            filled += between(low, high, domains)
            filled.append(high)
        return cls(tuple(filled), domains)

    def where(self, loss: float) -> float:
        """Return the logarithm of the size at which the path has a loss.

        The loss of the path is taken as the least of all points up to a size: it only falls.
        """
        sizes = np.log([point.size for point in self.points])
        falling = np.minimum.accumulate([point.loss for point in self.points])
        return float(np.interp(-loss, -falling, sizes))


def front(points: Iterable[Point]) -> list[Point]:
    """Return the points that no other one beats in both size and loss, from small to large."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.size, p.loss)):
        if not kept or point.loss < kept[-1].loss:
            kept.append(point)
    return kept


def between(low: Point, high: Point, domains: Mapping[str, BaseDistribution]) -> list[Point]:
    """Return points between two that have the same choices and differ in numbers."""
    count = min(_MOST, math.ceil(math.log(high.size / low.size) / math.log(STEP)) - 1)
    if count < 1 or set(low.params) != set(high.params):
        return []
    varied = [name for name in low.params if low.params[name] != high.params[name]]
    if not all(
        isinstance(domains.get(name), FloatDistribution | IntDistribution) for name in varied
    ):
        return []
    found: dict[str, Point] = {}
    for i in range(1, count + 1):
        share = i / (count + 1)
        params = {
            name: _mix(low.params[name], high.params[name], share, domains[name])
            if name in varied
            else value
            for name, value in low.params.items()
        }
        size = low.size * (high.size / low.size) ** share
        point = Point(params, size, low.loss + share * (high.loss - low.loss))
        if point.key not in (low.key, high.key):
            found.setdefault(point.key, point)
    return list(found.values())


def _mix(low: Any, high: Any, share: float, domain: BaseDistribution) -> Any:
    """Return the number a share of the way from one to the other."""
    assert isinstance(domain, FloatDistribution | IntDistribution)
    start, end = position(low, domain), position(high, domain)
    return moved(start + share * (end - start), domain)


def moved(at: float, domain: FloatDistribution | IntDistribution) -> float | int:
    """Return the value at a relative position of a domain, kept inside of it."""
    value = place(min(max(at, 0.0), 1.0), domain)
    return round(value) if isinstance(domain, IntDistribution) else value


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """Return at most so many points, evenly in the logarithm of their size, both ends included."""
    if len(points) <= most:
        return list(points)
    sizes = np.log([point.size for point in points])
    wanted = np.linspace(sizes[0], sizes[-1], most)
    rows = sorted({int(np.abs(sizes - x).argmin()) for x in wanted})
    return [points[row] for row in rows]
