"""Proposals guided by what is known: sizes beforehand, sensitivities, and the trials so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autocompress.analysis.front import points_of, why_unranked
from autocompress.analysis.hypervolume import Points, nondominated
from autocompress.explore.objectives import Objectives
from autocompress.explore.proposals.base import Proposal
from autocompress.explore.proposals.ends import Ends
from autocompress.explore.proposals.features import Encoder, Guess
from autocompress.explore.proposals.improvement import expected_improvement
from autocompress.explore.proposals.mutation import Breeder, Params
from autocompress.explore.proposals.regression import Regression
from autocompress.explore.record import Status, TrialRecord
from autocompress.explore.sampling import derive_seed

_FEWEST = 5
"""Ranked trials from which on a regression is worth anything."""
_MOST = 400
"""Trials a regression learns from: those on the front, and the latest."""
_POOL = 400
"""Candidates that are compared."""
_WILD = 0.05
"""Share of proposals that are a plain local move, whatever the regression says."""
_FOCUSED = 0.7
"""Share of proposals that are to improve the front near a random place of it."""
_NEAR = 0.12
"""How far that reaches on either side, as a share of the front's extent."""
_BELOW = 0.2
"""How far beyond the front's best end that place may lie, as a share of its extent."""
_BEYOND = 0.5
"""How far beyond the reference point a value still differs, as a share of the front's extent."""
_FAILED = (Status.DIVERGED, Status.TIMEOUT, Status.OUT_OF_MEMORY)

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class _Focus:
    """A place along one objective that the front is to be improved at.

    Attributes:
        column: The objective.
        at: Its coordinate.
        reach: How far off still counts as near.
    """

    column: int
    at: float
    reach: float

    def odds(self, points: Points) -> NDArray[np.float64]:
        """Return how likely each point is to be a parent, the sum being 1."""
        far = np.abs(points[:, self.column] - self.at) / self.reach
        odds = np.exp(-np.minimum(far - far.min(), 50.0))
        return np.asarray(odds / odds.sum())

    def outside(self, points: Points) -> NDArray[np.bool_]:
        """Return which points are not near."""
        return np.asarray(np.abs(points[:, self.column] - self.at) > self.reach)


@dataclass(frozen=True)
class _Seen:
    """What a regression learns from.

    Attributes:
        params: Parameters of the trials.
        points: Their objectives to minimise, shape (trials, objectives); failures are as bad as
            anything counts.
        spread: How unsure they are, as standard deviations, the same shape: stopped trials would
            have come further.
        front: The non-dominated ones of the ranked trials, shape (members, objectives).
        members: Their parameters.
    """

    params: Sequence[Params]
    points: Points
    spread: Points
    front: Points
    members: Sequence[Params]


class Guided:
    """Proposes the candidate expected to raise the hypervolume most.

    Candidates are bred from members of the front: one or two groups of layers or the recipe are
    changed, plans are crossed group by group. A Gaussian process on their features (positions in
    the ranges, choices, guessed change of loss and size of each group) learns the objectives from
    the trials; what is known of an objective beforehand, such as the size, is where it starts
    from. Running trials count as if they had come out as expected, so that parallel ones differ;
    stopped ones as an :class:`~autocompress.explore.outlook.Outlook` foretells.

    Args:
        breeder: Makes candidates.
        objectives: What is optimized, resolved.
        seed: Seed of the sweep.
        guess: What is known of candidates before any trial; None: nothing.
        digest: Tells a candidate's digest, to pass over those tried already; None: impossible.
        learns: Whether there is a regression at all; without, a local move is proposed.
    """

    def __init__(
        self,
        breeder: Breeder,
        objectives: Objectives,
        *,
        seed: int,
        guess: Guess | None = None,
        digest: Callable[[Params], str | None] = lambda params: "",
        learns: bool = True,
    ) -> None:
        self._breeder = breeder
        self._objectives = objectives
        self._bound = objectives.reference_point()
        self._seed = seed
        self._guess = guess
        self._digest = digest
        self._learns = learns
        self._ends = Ends(objectives)

    def propose(self, number: int, records: Sequence[TrialRecord]) -> Proposal | None:
        """See :meth:`autocompress.explore.proposals.Proposer.propose`."""
        if not self._breeder.domains:
            return None  # a space of one candidate
        rng = np.random.default_rng(derive_seed(self._seed, number, "guided"))
        seen = self._look(records, rng)
        if seen is None:
            return None
        tried = {record.digest for record in records if record.digest}
        wild = not self._learns or rng.random() < _WILD
        focus = self._focus(seen.front, rng) if rng.random() < _FOCUSED else None
        odds = None if focus is None else focus.odds(seen.front)
        pool = [self._breed(seen, odds, rng) for _ in range(20 if wild else _POOL)]
        running = self._running(records)
        order = range(len(pool)) if wild else self._rank(pool, seen, running, focus, rng)
        for row in order:
            found = self._digest(pool[row])
            if found is not None and found not in tried:
                return Proposal("local" if wild else "guided", pool[row])
        return None

    def _look(self, records: Sequence[TrialRecord], rng: np.random.Generator) -> _Seen | None:
        """Return what the records teach, or None if that is too little."""
        ranked = [r for r in records if not why_unranked(r, self._objectives)]
        if len(ranked) < _FEWEST:
            return None
        points = points_of(ranked, self._objectives)
        on_front = nondominated(points)
        front, rest = np.flatnonzero(on_front), np.flatnonzero(~on_front)
        rows = np.concatenate([front, rest[-_MOST:][::-1]])  # the latest ones first
        failed = [r for r in records if r.status in _FAILED and r.params][-_MOST:]
        stopped = [r for r in records if r.status is Status.PRUNED and self._measured(r)][-_MOST:]
        worst = self._worst(points[front])
        ends, unsure = self._ends(stopped, records)
        learnt = np.vstack([points[rows], ends, np.tile(worst, (len(failed), 1))])
        spread = np.zeros_like(learnt)
        spread[len(rows) : len(rows) + len(stopped)] = unsure
        params = [ranked[row].params for row in rows] + [r.params for r in (*stopped, *failed)]
        complete = [self._breeder.complete(found, rng) for found in params]
        return _Seen(
            complete, np.minimum(learnt, worst), spread, points[front], complete[: len(front)]
        )

    def _measured(self, record: TrialRecord) -> bool:
        """Whether a stopped trial's objectives are known, as far as it got."""
        return bool(record.params) and self._objectives.to_minimize(record.metrics) is not None

    def _worst(self, front: Points) -> NDArray[np.float64]:
        """Return the point from which on everything is equally bad."""
        bound = np.asarray(self._bound)
        return np.asarray(bound + _BEYOND * np.abs(bound - front.min(axis=0)))

    def _running(self, records: Sequence[TrialRecord]) -> list[Mapping[str, Any]]:
        return [r.params for r in records if r.status is Status.RUNNING and r.params]

    def _focus(self, front: Points, rng: np.random.Generator) -> _Focus:
        """Return a random place along the part of the front that counts."""
        counted = (front < np.asarray(self._bound)).all(axis=1)
        column = int(rng.integers(front.shape[1]))
        values = front[counted if counted.any() else slice(None), column]
        low, high = float(values.min()), float(values.max())
        extent = max(high - low, 1e-3 * abs(self._bound[column] - low), 1e-12)
        at = low + extent * float(rng.uniform(-_BELOW, 1.0))
        return _Focus(column, at, _NEAR * extent)

    def _breed(
        self, seen: _Seen, odds: NDArray[np.float64] | None, rng: np.random.Generator
    ) -> Params:
        """Return a candidate made of members of the front."""
        parent, other = (seen.members[int(i)] for i in rng.choice(len(seen.members), 2, p=odds))
        kind = rng.random()
        if kind < 0.55:
            return self._breeder.mutate(parent, rng)
        if kind < 0.70:
            return self._breeder.mutate(self._breeder.mutate(parent, rng), rng)
        if kind < 0.85:
            return self._breeder.cross(parent, other, rng)
        if kind < 0.93:
            any_other = seen.members[int(rng.integers(len(seen.members)))]
            return self._breeder.with_recipe(parent, any_other, rng)
        return self._breeder.random(rng)

    def _rank(
        self,
        pool: Sequence[Params],
        seen: _Seen,
        running: Sequence[Mapping[str, Any]],
        focus: _Focus | None,
        rng: np.random.Generator,
    ) -> Iterator[int]:
        """Yield candidates, the most promising one first."""
        encoder = Encoder(self._breeder.domains, self._guess)
        busy = [self._breeder.complete(params, rng) for params in running]
        candidates = [*pool, *busy]
        x, new = encoder(seen.params), encoder(candidates)
        mean = np.empty((len(candidates), len(self._bound)))
        std = np.empty_like(mean)
        for column, item in enumerate(self._objectives.items):
            known, ahead = self._known(item.metric, encoder, seen.params, candidates)
            model = Regression(x, seen.points[:, column] - known, seen.spread[:, column])
            guess, std[:, column] = model.predict(new)
            mean[:, column] = guess + ahead
        front = np.vstack([seen.front, mean[len(pool) :]])
        mean, std = mean[: len(pool)], std[: len(pool)]
        gain = expected_improvement(front, mean, std, self._bound, rng)
        outside = np.zeros(len(pool), bool) if focus is None else focus.outside(mean)
        yield from np.lexsort((-gain, outside)).tolist()

    def _known(
        self,
        metric: str,
        encoder: Encoder,
        seen: Sequence[Mapping[str, Any]],
        new: Sequence[Mapping[str, Any]],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return an objective as far as it is known beforehand, of trials and of candidates."""
        sign = {"bytes": 1.0, "ratio": -1.0}.get(metric, 0.0)
        log = self._objectives[metric].scale == "log"
        if not sign or not log or self._guess is None:
            return np.zeros(len(seen)), np.zeros(len(new))
        old = [sign * encoder.log_bytes(params) for params in seen]
        return np.array(old), np.array([sign * encoder.log_bytes(params) for params in new])
