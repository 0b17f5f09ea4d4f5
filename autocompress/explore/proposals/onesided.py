"""One-sided search: the smallest candidate whose metric still reaches a bound, in a few trials.

Condensa (Joseph et al. 2020, arXiv:1911.02497) infers the sparsity of a network from about ten
samples, with a Gaussian process over that one number. Here the one number is the position on a
path of candidates from small to large, which need not be of one sparsity: by default those of least
predicted loss for their size. Each trial tells how far from the bound the metric is there; a
:class:`~autocompress.explore.proposals.trend.Trend` tells how likely any other candidate reaches
it; the next one tried is that of the greatest expected reduction of the logarithm of the size,

    P(metric reaches its bound) · log(smallest size so far / size).

While nothing is known that is about where direct compression meets the bound; with the bound
between two trials it bisects, towards the side that is more likely; once the bracket is narrow, it
tries what is slightly smaller than the best, on the path and beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtr

from autocompress.explore.proposals.base import Proposal
from autocompress.explore.proposals.moves import smaller_neighbours
from autocompress.explore.proposals.path import Judge, Path, Point, key_of
from autocompress.explore.proposals.trend import Array, Requirement, Trend
from autocompress.explore.record import Status, TrialRecord
from autocompress.explore.sampling import derive_seed

PATIENCE = 5
"""The search ends once so many trials in a row have found nothing smaller, and little is left."""
LITTLE = 0.005
"""An expected reduction of the size by less than this share is not worth a trial."""
HOPELESS = 0.02
"""Without a feasible trial, the search ends when none is likelier than this to be one."""
_BELOW = math.log(3)
"""Training makes candidates feasible that are about three times smaller than without it."""
_ENOUGH = 3
"""Finished trials from which on candidates beside the path are tried."""


@dataclass(frozen=True)
class Seen:
    """What the trials so far say.

    Attributes:
        tried: Keys of all parameters tried, or being tried.
        at: Positions of the finished trials, shape (n,).
        margins: Their margins, shape (n,).
        off: 1 for those that are not on the path, shape (n,).
        running: Positions of the running ones, shape (m,).
        offset: By how much real sizes exceed predicted ones, near the best trial.
        best: The feasible trial of the smallest size, if any.
        size: Its size.
        since: How many trials have finished after it.
    """

    tried: frozenset[str]
    at: Array
    margins: Array
    off: Array
    running: Array
    offset: float = 0.0
    best: TrialRecord | None = None
    size: float = math.inf
    since: int = 0


@dataclass
class OneSided:
    """Proposes candidates for a one-sided search.

    Args:
        path: The path.
        requirement: The metric and its bound.
        minimize: The metric to make small.
        judge: Works out size and loss of candidates beside the path; None stays on it.
        start: Logarithm of the size at which the bound is met without training; None for the
            upper end of the path.
        seed: Seed of the sweep.
        tries: How many candidates beside the path are judged for each trial.
        patience: See :data:`PATIENCE`; None goes on for as long as there are candidates.
    """

    path: Path
    requirement: Requirement
    minimize: str
    judge: Judge | None = None
    start: float | None = None
    seed: int = 0
    tries: int = 48
    patience: int | None = PATIENCE
    _keys: dict[str, Point] = field(init=False, repr=False)
    _sizes: Array = field(init=False, repr=False)
    _done: tuple[int, bool] = field(init=False, repr=False, default=(-1, False))

    def __post_init__(self) -> None:
        self._keys = {point.key: point for point in self.path.points}
        self._sizes = np.log([point.size for point in self.path.points])

    def propose(self, number: int, records: Sequence[TrialRecord]) -> Proposal | None:
        """Return the candidate of the greatest expected reduction; None when all are tried."""
        found = self.rank(number, records)
        return None if found is None else Proposal("target", dict(found[0].params))

    def enough(self, records: Sequence[TrialRecord]) -> bool:
        """Return whether another trial is not worth its time, or there is none left to propose."""
        finished = sum(record.status.finished for record in records)
        if not finished:
            return False
        if self._done[0] != finished:
            self._done = finished, self._is_enough(len(records), records)
        return self._done[1]

    def _is_enough(self, number: int, records: Sequence[TrialRecord]) -> bool:
        found = self.rank(number, records)
        if found is None:
            return True
        seen = self.seen(records)
        if self.patience is None or (seen.best is not None and seen.since < self.patience):
            return False
        if seen.best is None and len(seen.at) < _ENOUGH:
            return False
        return found[1] < HOPELESS if seen.best is None else found[2] < LITTLE

    def rank(
        self, number: int, records: Sequence[TrialRecord]
    ) -> tuple[Point, float, float] | None:
        """Return the next candidate, how likely it is feasible, and its expected reduction.

        Args:
            number: The number the trial will have.
            records: All trials so far.
        """
        seen = self.seen(records)
        trend = self._trend(seen)
        best: tuple[Point, float, float] | None = None
        for points, at, off in self._candidates(number, seen):
            rows = [row for row, point in enumerate(points) if point.key not in seen.tried]
            if not rows:
                continue
            chance = self._chance(trend, at[rows], off)
            sizes = np.array([points[row].size for row in rows]) + seen.offset
            limit = seen.size if seen.best is not None else 2 * self.path.points[-1].size
            gain = chance * np.log(np.maximum(limit / np.maximum(sizes, 1e-9), 1.0))
            row = int(gain.argmax() if seen.best is not None else self._cautious(gain, chance))
            if gain[row] > 0 and (best is None or gain[row] > best[2]):
                best = points[rows[row]], float(chance[row]), float(gain[row])
        return best

    def _chance(self, trend: Trend, at: Array, off: bool) -> Array:
        """Return how likely candidates at some positions are feasible.

        None is likelier than what is larger on the path: a trend knows of no floor, and far from
        all trials it is so unsure of its slope that the smallest candidates would look promising.
        """
        mean, variance = trend.predict(self._sizes, off=off)
        along = np.minimum.accumulate(ndtr(mean / np.sqrt(variance))[::-1])[::-1]
        larger = np.minimum(np.searchsorted(self._sizes, at - 1e-12), len(along) - 1)
        mean, variance = trend.predict(at, off=off)
        found: Array = np.minimum(ndtr(mean / np.sqrt(variance)), along[larger])
        return found

    @staticmethod
    def _cautious(gain: Array, chance: Array) -> int:
        """Return the row to try while nothing is feasible: the likeliest once all are unlikely."""
        return int(gain.argmax() if chance.max() > 0.5 else chance.argmax())

    def _candidates(self, number: int, seen: Seen) -> Iterator[tuple[Sequence[Point], Array, bool]]:
        """Yield points, their positions, and whether they are beside the path."""
        yield self.path.points, self._sizes, False
        if self.judge is None or seen.best is None or len(seen.at) < _ENOUGH:
            return
        rng = np.random.default_rng(derive_seed(self.seed, number, "target"))
        predicted = max(seen.size - seen.offset, 1e-9)
        start = Point(seen.best.params, predicted, math.nan)
        points = smaller_neighbours(start, self.path.domains, self.judge, rng, tries=self.tries)
        if points:
            yield points, np.array([self.path.where(p.loss) for p in points]), True

    def _trend(self, seen: Seen) -> Trend:
        start = float(self._sizes[-1]) if self.start is None else self.start
        centre = max(start - _BELOW, float(self._sizes[0]))
        trend = Trend.fit(seen.at, seen.margins, seen.off, centre)
        if not len(seen.running):
            return trend
        # until they have ended, running trials are taken to be as expected
        mean, _ = trend.predict(seen.running)
        at = np.concatenate([seen.at, seen.running])
        off = np.concatenate([seen.off, np.zeros(len(mean))])
        return Trend.fit(at, np.concatenate([seen.margins, mean]), off, centre)

    def seen(self, records: Sequence[TrialRecord]) -> Seen:
        """Sum up the trials."""
        at: list[float] = []
        margins: list[float] = []
        off: list[float] = []
        running: list[float] = []
        sizes: list[tuple[float, float]] = []
        best: TrialRecord | None = None
        size, since = math.inf, 0
        for record in records:
            place = self._place(record)
            if place is None:
                continue
            if not record.status.finished:
                running.append(place[0])
                continue
            if record.status is Status.CRASHED:  # says nothing of the candidate
                continue
            real = record.metrics.get(self.minimize, math.nan)
            value = record.metrics.get(self.requirement.metric, math.nan)
            complete = record.status is Status.COMPLETE
            if record.status is Status.INFEASIBLE and not math.isfinite(value):
                continue  # over a limit before any training
            at.append(place[0])
            off.append(float(place[1]))
            margins.append(self.requirement.margin(value if complete else math.nan))
            since += 1
            if math.isfinite(real):
                sizes.append((place[2], real))
            if complete and self.requirement.met(value) and real < size:
                best, size, since = record, real, 0
        return Seen(
            frozenset(key_of(record.params) for record in records if record.params),
            np.array(at),
            np.array(margins),
            np.array(off),
            np.array(running),
            _offset(sizes, size),
            best,
            size,
            since,
        )

    def _place(self, record: TrialRecord) -> tuple[float, bool, float] | None:
        """Return a trial's position, whether it is beside the path, and its predicted size."""
        point = self._keys.get(key_of(record.params))
        if point is not None:
            return math.log(point.size), False, point.size
        point = self.judge(record.params) if self.judge is not None else None
        if point is None or not math.isfinite(point.loss):
            return None
        return self.path.where(point.loss), True, point.size


def _offset(sizes: Sequence[tuple[float, float]], size: float) -> float:
    """Return real minus predicted size of the trial whose real size is nearest to one."""
    if not sizes:
        return 0.0
    if not math.isfinite(size):
        size = min(real for _, real in sizes)
    predicted, real = min(sizes, key=lambda pair: abs(pair[1] - size))
    return real - predicted
