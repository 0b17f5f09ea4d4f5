"""How much of a front is luck: intervals and odds from trials run under several seeds.

A trial's objectives are random: the order of minibatches changes them. What one wants to know is
its mean over seeds, of which n runs are a sample.

- **Intervals** are Student's: mean ± t(n − 1) · s / √n, in the coordinates that the objectives
  minimise (log10 for sizes) and taken back from there; accuracies are cut at 0 and 100 %. With two
  seeds they are 12.7 standard errors wide to each side, with three 4.3: use five or so.
- **Probability of being non-dominated**: means are drawn from the same model (each trial's own
  mean and standard error, Student-distributed, objectives independent), and the share of draws is
  counted in which no other trial dominates. Trials with one seed take part with the standard
  deviation that the repeated ones have on average (pooled). The draws are seeded.

The first seed is the one by which the search chose, so it is luckier than the rest; the mean
over all n keeps 1/n of that luck. Everything here is of the validation split.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autocompress.analysis.hypervolume import Points
from autocompress.analysis.units import quantity
from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.record import Status, TrialRecord
from autocompress.explore.repeats import Repeat

if TYPE_CHECKING:
    from autocompress.analysis.front import Front

LEVEL = 0.95
"""How often an interval covers the mean."""
DRAWS = 2000
NEAR = 0.02
"""How far behind the front a trial may be to be run again: a share of the front's range."""
_CELLS = 4_000_000  # comparisons made at once


@dataclass(frozen=True)
class Spread:
    """One objective of one trial over its seeds, in the metric's unit.

    Attributes:
        mean: The mean; of objectives on a log scale the geometric one.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Noise:
    """What repeats say of a front.

    Attributes:
        seeds: Number of complete runs of each repeated trial, its own included, by number.
        spreads: Each repeated trial's objectives, by number and metric.
        probability: Of each repeated trial, that it is non-dominated.
        level: How often an interval covers the mean.
    """

    seeds: Mapping[int, int] = field(default_factory=dict)
    spreads: Mapping[int, Mapping[str, Spread]] = field(default_factory=dict)
    probability: Mapping[int, float] = field(default_factory=dict)
    level: float = LEVEL

    def spread(self, number: int, metric: str) -> Spread | None:
        """Return a trial's spread in an objective, None if it was not repeated."""
        return self.spreads.get(number, {}).get(metric)

    def columns(self, numbers: Sequence[int], objectives: Objectives) -> dict[str, list[object]]:
        """Return columns of a table of trials: seeds, spreads, probability; NaN if not repeated."""
        found: dict[str, list[object]] = {"seeds": [self.seeds.get(n, 1) for n in numbers]}
        for name in objectives.names:
            spreads = [self.spread(number, name) for number in numbers]
            for end in ("mean", "low", "high"):
                found[f"{name}_{end}"] = [getattr(s, end) if s else math.nan for s in spreads]
        found["p_nondominated"] = [self.probability.get(n, math.nan) for n in numbers]
        return found

    def varies(self, metric: str) -> bool:
        """Whether seeds change anything in this objective."""
        return any(s[metric].low < s[metric].high for s in self.spreads.values() if metric in s)


def contenders(front: Front) -> tuple[TrialRecord, ...]:
    """Return the trials worth running again: those on the front, then those near it.

    Near is a trial that is worse than some member by at most :data:`NEAR` of the front's range
    in every objective; the nearest come first, at most as many as the front has members.
    Trials that were never run (duplicates) are left out.
    """
    members = front.points()
    if not len(members):
        return ()
    span = np.ptp(members, axis=0)
    span[span == 0] = 1.0
    numbers = {record.number for record in front}
    behind: list[tuple[float, int, TrialRecord]] = []
    for record in front.ranked:
        if record.number in numbers or record.folder is None:
            continue
        point = np.asarray(front.objectives.to_minimize(record.metrics))
        shift = float(((point - members) / span).max(axis=1).min())
        if shift <= NEAR:
            behind.append((shift, record.number, record))
    near = [record for _, _, record in sorted(behind, key=lambda item: item[:2])]
    kept = [record for record in front if record.folder is not None]
    return (*kept, *near[: len(front)])


def measure_noise(
    front: Front, repeats: Mapping[int, Sequence[Repeat]], *, seed: int = 0, draws: int = DRAWS
) -> Noise | None:
    """Return what repeats say of a front; None where no trial was repeated.

    Args:
        front: The front, and the trials it was taken from.
        repeats: Repeats by trial number; only complete ones with all objectives count.
        seed: Fixes the draws.
        draws: How many draws the probabilities are counted over.
    """
    samples = _samples(front, repeats)
    if all(len(points) < 2 for points in samples.values()):
        return None
    items = front.objectives.items
    repeated = {n: points for n, points in samples.items() if len(points) > 1}
    spreads = {
        number: {item.metric: _spread(item, points[:, i]) for i, item in enumerate(items)}
        for number, points in repeated.items()
    }
    means = np.stack([_draw(n, points, repeated, seed, draws) for n, points in samples.items()])
    rows = [row for row, number in enumerate(samples) if number in repeated]
    odds = dict(zip(repeated, _nondominated(means, rows), strict=True))
    return Noise({n: len(points) for n, points in repeated.items()}, spreads, odds)


def _samples(front: Front, repeats: Mapping[int, Sequence[Repeat]]) -> dict[int, Points]:
    """Return the coordinates of all runs of each ranked trial, shape (runs, objectives)."""
    found: dict[int, Points] = {}
    seen: set[str] = set()
    for record in front.ranked:
        if record.digest and record.digest in seen:  # the same candidate again: no competitor
            continue
        seen.add(record.digest)
        complete = [r for r in repeats.get(record.number, ()) if r.status is Status.COMPLETE]
        runs = (record.metrics, *(repeat.metrics for repeat in complete))
        rows = [front.objectives.to_minimize(metrics) for metrics in runs]
        found[record.number] = np.asarray([r for r in rows if r is not None], dtype=np.float64)
    return found


def _spread(item: Objective, values: NDArray[np.float64]) -> Spread:
    from scipy.special import stdtrit  # Student's quantiles, without all of scipy.stats

    mean, half = float(values.mean()), 0.0
    if np.ptp(values) > 0:
        error = values.std(ddof=1) / math.sqrt(len(values))
        half = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2) * error)
    else:
        mean = float(values[0])
    ends = sorted(_value(item, coordinate) for coordinate in (mean - half, mean + half))
    return Spread(_value(item, mean), *ends)


def _value(item: Objective, coordinate: float) -> float:
    """Return the metric's value that has a coordinate: the inverse of ``Objective.coordinate``."""
    value = -coordinate if item.direction == "maximize" else coordinate
    if item.scale == "log":
        value = 10.0**value
    return min(max(value, 0.0), 1.0) if quantity(item.metric).kind == "fraction" else value


def _draw(
    number: int, points: Points, repeated: Mapping[int, Points], seed: int, draws: int
) -> NDArray[np.float64]:
    """Return draws of a trial's mean, shape (draws, objectives); they depend on its number."""
    rng = np.random.default_rng([seed, number])
    freedom = len(points) - 1
    if freedom:
        error = points.std(axis=0, ddof=1) / math.sqrt(len(points))
    else:
        freedom = sum(len(p) - 1 for p in repeated.values())
        squares = sum(((p - p.mean(axis=0)) ** 2).sum(axis=0) for p in repeated.values())
        error = np.sqrt(squares / freedom)
    shape = (draws, points.shape[1])
    return np.asarray(points.mean(axis=0) + error * rng.standard_t(freedom, shape))


def _nondominated(means: NDArray[np.float64], rows: Sequence[int]) -> list[float]:
    """Return the share of draws in which each row is non-dominated.

    Args:
        means: Shape (trials, draws, objectives), to be minimised.
        rows: Trials of interest.
    """
    trials, draws, objectives = means.shape
    step = max(1, _CELLS // (trials * objectives))
    found = []
    for row in rows:
        free = 0
        for start in range(0, draws, step):
            part = means[:, start : start + step]
            ours = part[row]
            nowhere_worse = (part <= ours).all(axis=2)
            somewhere_better = (part < ours).any(axis=2)
            free += int((~(nowhere_worse & somewhere_better).any(axis=0)).sum())
        found.append(free / draws)
    return found
