"""Multi-objective successive halving: trials that fall behind others do not go on.

Asynchronous successive halving (Li et al. 2020, arXiv:1810.05934) for several objectives. A trial
passes *rungs*, fixed fractions of its own L-C steps, so that trials are compared at the same
fraction of the way through mu however many steps they have. There it is ranked among all trials
that have passed the rung, whatever became of them: first by non-dominated rank, then by crowding
distance (Deb et al. 2002, NSGA-II). The best 1/eta go on.

What is ranked is where trials end, as far as that is known: the results of those that have ended,
and what an :class:`~autocompress.explore.outlook.Outlook` foretells of the others. Ranked by what
they are at the rung, trials of schemes that win back much later would lose to others that do not.

Sizes are coordinates of the comparison like the validation metrics, so a small model is never
stopped for the accuracy of large ones; what nothing else dominates always goes on, unless it will
be beyond the hypervolume's reference point and so count for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

import moocore
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import nn

from autocompress.errors import ConfigError
from autocompress.explore.objectives import Objectives
from autocompress.explore.outlook import Foreseen, Outlook, Way, step_of
from autocompress.explore.record import Status, TrialRecord
from autocompress.explore.sampling import derive_seed
from autocompress.explore.trial import ON_VALIDATION
from autocompress.lc import StepRecord
from autocompress.metrics import METRICS, Metric
from autocompress.recipe import Candidate
from autocompress.settings import Settings

FROM_BITS = ("bytes", "ratio")
"""Metrics that follow from the bits of the codes after every step."""

Free = Callable[[Candidate], Mapping[str, float]]
"""Returns a candidate's metrics that are known without training."""
Points = NDArray[np.float64]
"""Shape (points, objectives), every coordinate finite and to be minimised."""


class Halving(Settings):
    """When trials are compared, and how many go on.

    Attributes:
        eta: At each rung, one trial in so many goes on.
        grace: Fraction of its L-C steps that a trial does before its first rung; at 0 it is
            judged by direct compression, of which the others of its size and error tell what
            becomes.
        optimism: By how many standard deviations better than foretold a trial is taken to end.
        rungs: Number of rungs, evenly spaced from there to the end.
        brackets: Trials are dealt out to so many brackets. The first begins at the first rung, the
            others begin later: a hedge where early steps say little.
    """

    eta: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 4.0
    grace: Annotated[float, Field(ge=0, lt=1)] = 0.0
    optimism: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    rungs: PositiveInt = 5
    brackets: PositiveInt = 1

    def fractions(self, bracket: int = 0) -> tuple[float, ...]:
        """Return the rungs of a bracket as fractions of a trial's L-C steps."""
        first = bracket * self.rungs // self.brackets
        return tuple(
            self.grace + (1 - self.grace) * rung / self.rungs for rung in range(first, self.rungs)
        )


@dataclass
class _Runner:
    """A trial on its way.

    Attributes:
        way: What it has come to so far.
        sizes: Its metrics besides the validation metrics, from the bits of all codes.
        point: Where it has ended, or was likely to when it passed its last rung; None if unknown.
    """

    way: Way
    sizes: Callable[[int], dict[str, float]]
    point: tuple[float, ...] | None = None

    def ends(
        self, foreseen: Foreseen, objectives: Objectives, optimism: float = 0.0
    ) -> tuple[float, ...] | None:
        """Return where it ends if it does as foreseen."""
        bits = self.way.stands[-1][2]
        return objectives.to_minimize(self.sizes(bits) | foreseen.metrics(optimism))

    def ended(self, objectives: Objectives) -> tuple[float, ...] | None:
        """Return where it has ended."""
        accuracy, loss, bits = self.way.stands[-1]
        metrics = {"accuracy": accuracy, "error": 1 - accuracy, "loss": loss}
        return objectives.to_minimize(self.sizes(bits) | metrics)


def survives(points: Points, eta: float) -> bool:
    """Whether the last of some points is among the best ``1/eta`` of them.

    Args:
        points: Where trials stood at a rung, the one in question last; at least one.
        eta: One in so many survives; all do while there are fewer than that.
    """
    ranks = np.asarray(moocore.pareto_rank(points))
    own = ranks[-1]
    if own == 0 or len(points) < eta:
        return True
    distances = crowding(points[ranks == own])
    better = int((ranks < own).sum()) + int((distances[:-1] > distances[-1]).sum())
    return better < math.ceil(len(points) / eta)


def crowding(points: Points) -> NDArray[np.float64]:
    """Return each point's crowding distance, shape (points,): infinite at the ends.

    The sum over the objectives of the distance between a point's two neighbours, relative to the
    range of the objective (Deb et al. 2002, section III-B).
    """
    distances = np.zeros(len(points))
    for column in points.T:
        order = np.argsort(column, kind="stable")
        values = column[order]
        spread = values[-1] - values[0]
        distances[order[[0, -1]]] = np.inf
        if spread > 0:
            distances[order[1:-1]] += (values[2:] - values[:-2]) / spread
    return distances


class Halver:
    """Decides after each step whether a trial stops.

    A verdict depends on the settings, the seed, and on the trials told so far alone: a sweep that
    runs its trials one by one decides the same again after an interrupt. Until eight trials have
    come to their end nothing is stopped.

    Args:
        settings: When trials are compared, and how many go on.
        objectives: What they are compared by; see :func:`check`.
        model: The reference; only its parameters' names and shapes matter.
        seed: Seed of the sweep, for brackets.
        free: See :data:`Free`; needed for objectives besides validation metrics and bytes.
        records: Trials that have ended.
    """

    def __init__(
        self,
        settings: Halving,
        objectives: Objectives,
        model: nn.Module,
        *,
        seed: int = 0,
        free: Free | None = None,
        records: Iterable[TrialRecord] = (),
    ) -> None:
        self._settings = settings
        self._objectives = objectives
        self._model = model
        self._seed = seed
        self._free = free if set(objectives.names) - {*ON_VALIDATION, *FROM_BITS} else None
        self._reference = sum(32 * p.numel() for p in model.parameters())
        self._bound = np.array(objectives.reference_point()) if objectives.resolved else None
        self._outlook = Outlook()
        self._runners: dict[int, _Runner] = {}
        for record in records:
            if record.course and record.candidate is not None:
                self._remember(record, Candidate.from_dict(record.candidate))

    def _remember(self, record: TrialRecord, candidate: Candidate) -> None:
        self.begin(record.number, candidate)
        runner = self._runners[record.number]
        for step in record.course:
            runner.way.advance(*step)
        if record.status is Status.PRUNED and (foreseen := self._outlook.foresee(runner.way)):
            runner.point = runner.ends(foreseen, self._objectives)
        self.end(record)

    def begin(self, number: int, candidate: Candidate) -> None:
        """Hear that a trial begins, or goes on: its steps will be told from the first."""
        tasks = candidate.plan.resolve(self._model).tasks
        compressed = {name for task in tasks for name in task.params}
        params = self._model.named_parameters()
        left = sum(32 * p.numel() for name, p in params if name not in compressed)
        free = dict(self._free(candidate)) if self._free is not None else {}

        def sizes(bits: int) -> dict[str, float]:
            total = bits + left
            return free | {"bytes": total / 8, "ratio": self._reference / max(total, 1)}

        self._runners[number] = _Runner(Way.of(candidate), sizes)

    def step(self, number: int, record: StepRecord) -> bool:
        """Hear of a step; return whether the trial is to stop there."""
        runner = self._runners[number]
        runner.way.advance(record.val_accuracy, record.val_loss, record.bits)
        steps = runner.way.steps
        due = [f for f in self._rungs(number) if step_of(f, steps) == record.step]
        if not due or record.step >= steps:
            return False
        foreseen = self._outlook.foresee(runner.way)
        if foreseen is None:
            return False
        runner.point = runner.ends(foreseen, self._objectives)
        hoped = runner.ends(foreseen, self._objectives, self._settings.optimism)
        if hoped is None:
            return False
        if self._bound is not None and (np.array(hoped) >= self._bound).any():
            return True
        points = np.array([*self._passed(due[-1], number), hoped])
        return not survives(points, self._settings.eta)

    def _passed(self, fraction: float, number: int) -> list[tuple[float, ...]]:
        """Return where the other trials that have passed a rung end."""
        return [
            runner.point
            for other, runner in self._runners.items()
            if other != number and runner.point is not None and runner.way.at(fraction) is not None
        ]

    def end(self, record: TrialRecord) -> None:
        """Hear that a trial has ended; those that came to their own end are learnt from."""
        runner = self._runners.get(record.number)
        if runner is None or record.status is Status.PRUNED:
            return
        runner.point = None
        if record.status in (Status.COMPLETE, Status.INFEASIBLE) and runner.way.stands:
            self._outlook.learn(runner.way)
            if record.status is Status.COMPLETE:
                runner.point = runner.ended(self._objectives)

    def _rungs(self, number: int) -> tuple[float, ...]:
        brackets = self._settings.brackets
        return self._settings.fractions(derive_seed(self._seed, number, "bracket") % brackets)


def check(objectives: Objectives, metrics: Mapping[str, Metric] = METRICS) -> None:
    """Check that trials can be compared before they are complete.

    Raises:
        ConfigError: an objective that only a complete trial is measured on.
    """
    for name in objectives.names:
        if name not in ON_VALIDATION and not metrics[name].free:
            known = [n for n, metric in metrics.items() if metric.free or n in ON_VALIDATION]
            raise ConfigError(
                f"halving: objective {name!r} is not known while a trial runs: search without "
                f"halving, or for {', '.join(known)} alone"
            )
