"""Where a trial that is on its way is likely to end, told by those that have ended.

Early in a run of the L-C algorithm accuracy says little by itself: it is that of direct compression
while mu is small, and how much is won back depends on how much there was to lose. Trials of about
the same size and error at the same fraction of their steps are what tells: the share of the
distance to the best that they have covered since, in logarithms of the error, is granted to the
trial in question. Its spread among them says how sure that is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autocompress.explore.record import TrialRecord
from autocompress.recipe import Candidate

FEWEST = 8
"""Trials that have to have ended before anything is foretold."""
_ALIKE = 7
"""How many of the ended trials are asked."""
_LATEST = 200
"""Trials that are remembered."""
_LEAST = 1e-3
"""Errors and losses are told apart down to about this."""
_TOP = 50.0
"""Logarithm of what no loss exceeds."""
_ROOM = 0.02
"""How far below the best end so far one may lie, as a share of what the ends extend over."""

Stand: TypeAlias = tuple[float, float, int]
"""Validation accuracy, validation loss, and bits of all codes, of the step that counts."""
Vector = NDArray[np.float64]


@dataclass
class Way:
    """What a trial's L-C steps have come to so far.

    Attributes:
        steps: L-C steps planned; 0 if there are none.
        last_counts: Whether its result is that of the last step, not of the best.
        stands: Where it stood after direct compression and after each step.
    """

    steps: int
    last_counts: bool = False
    stands: list[Stand] = field(default_factory=list)

    @classmethod
    def of(cls, candidate: Candidate, course: Sequence[Stand] = ()) -> Self:
        """Return the way of a candidate, as far as it has gone."""
        way = cls(
            steps=candidate.steps,
            last_counts=any(task.compression.penalized for task in candidate.plan.tasks),
        )
        for stand in course:
            way.advance(*stand)
        return way

    def advance(self, accuracy: float, loss: float, bits: int) -> None:
        """Take another step."""
        if not self.stands or self.last_counts or self._better(accuracy, loss):
            self.stands.append((accuracy, loss, bits))
        else:
            self.stands.append(self.stands[-1])

    def _better(self, accuracy: float, loss: float) -> bool:
        best = self.stands[-1]
        return (accuracy, -loss) > (best[0], -best[1])

    @property
    def fraction(self) -> float:
        """How much of it is done."""
        return (len(self.stands) - 1) / max(self.steps, 1)

    def at(self, fraction: float) -> Stand | None:
        """Return where it stood at a fraction of its steps; None if it is not there yet."""
        step = step_of(fraction, self.steps)
        return self.stands[step] if step < len(self.stands) else None


def step_of(fraction: float, steps: int) -> int:
    """Return the first L-C step at which a fraction of all of them is done."""
    return math.ceil(fraction * steps - 1e-9)


@dataclass(frozen=True)
class Foreseen:
    """Where a trial is likely to end.

    Attributes:
        error: Logarithm of the validation error there, plus a thousandth.
        loss: The same of the validation loss.
        spread: Standard deviation of both.
    """

    error: float
    loss: float
    spread: tuple[float, float]

    def metrics(self, optimism: float = 0.0) -> dict[str, float]:
        """Return the validation metrics, so many standard deviations better than is likely."""
        error = _from_log(self.error - optimism * self.spread[0])
        loss = _from_log(self.loss - optimism * self.spread[1])
        error = min(error, 1.0)
        return {"accuracy": 1.0 - error, "error": error, "loss": loss}


class Outlook:
    """Foretells where trials end by the latest 200 that have ended."""

    def __init__(self) -> None:
        self._ended: deque[Way] = deque(maxlen=_LATEST)
        self._at: dict[float, Vector] = {}  # where those that have ended were, by fraction

    def learn(self, way: Way) -> None:
        """Remember a trial that has ended by itself."""
        if way.steps and way.stands and all(map(math.isfinite, _logs(way.stands[-1]))):
            self._ended.append(way)
            self._at.clear()

    def foresee(self, way: Way) -> Foreseen | None:
        """Return where a trial is likely to end; None if nothing can be said."""
        if len(self._ended) < FEWEST or not way.steps or not way.stands:
            return None
        own = np.array(_logs(way.stands[-1]))
        then, end = self._all_at(way.fraction), self._all_at(1.0)
        if not (np.isfinite(own).all() and np.isfinite(then).all()):
            return None
        far = np.abs(then - own) / np.maximum(np.ptp(then, axis=0), 1e-9)
        error, loss = (_end(own[c], then[:, c], end[:, c], far[:, c] + far[:, 2]) for c in range(2))
        return Foreseen(error[0], loss[0], (error[1], loss[1]))

    def _all_at(self, fraction: float) -> Vector:
        """Return where all that have ended were at a fraction of their steps, ``(trials, 3)``."""
        if fraction not in self._at:
            self._at[fraction] = np.array([_logs(_there(way, fraction)) for way in self._ended])
        return self._at[fraction]


def _end(own: float, then: Vector, end: Vector, far: Vector) -> tuple[float, float]:
    """Return where something that is at ``own`` will end, and how unsure that is.

    Args:
        own: Where it is.
        then: Where others were at that time, shape (trials,).
        end: Where they ended, shape (trials,).
        far: How unlike they are, shape (trials,).
    """
    floor = end.min() - _ROOM * max(float(np.ptp(end)), 1e-9)
    alike = np.argsort(far, kind="stable")[:_ALIKE]
    covered = (then[alike] - end[alike]) / np.maximum(then[alike] - floor, 1e-9)
    left = max(own - float(floor), 0.0)
    return own - float(np.median(covered)) * left, float(covered.std()) * left


def _there(ended: Way, fraction: float) -> Stand:
    """Return where a trial stood at a fraction of its steps, or ended before."""
    return ended.at(fraction) or ended.stands[-1]


def _from_log(value: float) -> float:
    return max(math.exp(min(value, _TOP)) - _LEAST, 0.0)


def _logs(stand: Stand) -> tuple[float, float, float]:
    accuracy, loss, bits = stand
    if not (math.isfinite(accuracy) and math.isfinite(loss)):
        return math.nan, math.nan, math.nan
    error = math.log(max(1.0 - accuracy, 0.0) + _LEAST)
    return error, math.log(max(loss, 0.0) + _LEAST), math.log(bits + 1.0)


def way_of(record: TrialRecord) -> Way | None:
    """Return the way of a stored trial; None if it left none."""
    if not record.course or record.candidate is None:
        return None
    return Way.of(Candidate.from_dict(record.candidate), record.course)
