"""A one-sided search put together: which candidates it goes along, and where it begins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from optuna.distributions import BaseDistribution

from autocompress.analysis.onesided import Goal
from autocompress.analysis.units import quantity
from autocompress.api import compress
from autocompress.errors import ConfigError, SchemeError
from autocompress.explore.choosers import Fixed, Random, Recorder
from autocompress.explore.free import FreeMetrics
from autocompress.explore.proposals.onesided import PATIENCE, OneSided
from autocompress.explore.proposals.path import Path, Point, front, key_of, thinned
from autocompress.explore.proposals.trend import Requirement
from autocompress.explore.seeding import make_seeds
from autocompress.explore.sensible import sensible_recipe
from autocompress.explore.space import SearchSpace
from autocompress.explore.trial import TrialContext
from autocompress.layers import find_layers
from autocompress.limits import Limits
from autocompress.plan import Plan
from autocompress.recipe import Candidate, Direct
from autocompress.sensitivity.knapsack import Items, solve
from autocompress.sensitivity.levels import Pick, make_picks
from autocompress.sensitivity.table import Sensitivity

_SOLUTIONS = 150
"""Solutions of the knapsack that are looked at more closely."""
_LEVELS = 24
"""Positions in a range that the knapsack chooses from; between those measured it interpolates."""
_STARTS = 24
"""Points of the path among which the one is sought where no training is needed."""
_UNIFORM = 400
"""Trials for which :func:`make_seeds` gives all the uniform candidates it has."""
_DIRECT = ("accuracy", "error", "loss")
"""Metrics that direct compression tells exactly and at once."""

Params: TypeAlias = dict[str, Any]


def make_onesided(
    goal: Goal,
    *,
    context: TrialContext,
    space: SearchSpace,
    table: Sensitivity,
    reference: Mapping[str, float],
    limits: Limits,
    seed: int = 0,
    patience: int | None = PATIENCE,
) -> OneSided:
    """Return who proposes the trials of a search for a target.

    The path is made of the solutions of the knapsack over the sensitivities and of uniform
    candidates, those that no other one beats in size and predicted loss.

    Args:
        goal: The target, and what to make small.
        context: Model and data.
        space: The search space.
        table: The sensitivities of the model in this space.
        reference: Metrics of the uncompressed model.
        limits: Hard limits; candidates known to break one are not on the path.
        seed: Seed of the sweep.
        patience: See :class:`OneSided`.

    Raises:
        ConfigError: no candidate is within the hard limits.
    """
    target = goal.target
    fraction = quantity(target.metric).kind == "fraction"
    bound = target.value(reference)
    requirement = Requirement(target.metric, target.operator == ">=", bound, fraction)
    judge = Predictor(goal.minimize, context=context, space=space, table=table, limits=limits)
    found = [point for params in judge.openings() if (point := judge(params)) is not None]
    if not found:
        raise ConfigError(f"target = {target.text!r}: {judge.why_none()}")
    path = Path.make(front(found), judge.domains)
    start = judge.start(path.points, requirement)
    return OneSided(path, requirement, goal.minimize, judge, start, seed, patience=patience)


class Predictor:
    """Works out size and loss of candidates without training, each once.

    Args:
        minimize: What is called size: a metric known before training.
        context: Model and data.
        space: The search space.
        table: The sensitivities.
        limits: Hard limits: a candidate known to break one is no candidate.

    Attributes:
        domains: What the parameters may be that were met so far.
    """

    def __init__(
        self,
        minimize: str,
        *,
        context: TrialContext,
        space: SearchSpace,
        table: Sensitivity,
        limits: Limits,
    ) -> None:
        self.minimize = minimize
        self.domains: dict[str, BaseDistribution] = {}
        self._context = context
        self._space = space
        self._layers = find_layers(context.model)
        self._checker = space.checker(self._layers)
        self._table = table
        self._limits = limits
        self._sizes = FreeMetrics(context.model, context.data)
        self._known: dict[str, Point | None] = {}
        self._nearest: dict[str, tuple[float, float]] = {}

    def __call__(self, params: Mapping[str, Any]) -> Point | None:
        """Return a candidate with all its parameters, size and loss; None if it cannot be."""
        key = key_of(params)
        if key not in self._known:
            self._known[key] = self._judge(params)
        return self._known[key]

    def openings(self) -> list[Params]:
        """Return parameters of candidates from small to large, with one recipe."""
        seeds = make_seeds(self._space, self._layers, _UNIFORM)
        uniform = [{**seed.params, **self._recipe} for seed in seeds]
        found: dict[str, list[tuple[Params, float, float]]] = {}
        for pick in make_picks(self._space, self._layers, levels=_LEVELS):
            found.setdefault(pick.group, []).append((pick.params, *self._cost(pick)))
        groups = list(found.values())
        try:
            items = [
                Items(np.array([size for _, size, _ in group]), np.array([x for _, _, x in group]))
                for group in groups
            ]
            solved = solve(items)
        except ConfigError:  # sizes or losses of a group are not known
            return uniform
        places = np.log(np.maximum(solved.bits + self._whole, 1.0))
        wanted = np.linspace(places[0], places[-1], min(_SOLUTIONS, len(solved)))
        index = sorted({int(np.abs(places - place).argmin()) for place in wanted})
        knapsack: list[Params] = []
        for picks in solved.take(np.array(index)).picks:
            params = dict(self._recipe)
            for group, pick in zip(groups, picks, strict=True):
                params |= group[int(pick)][0]
            knapsack.append(params)
        return knapsack + uniform

    def _cost(self, pick: Pick) -> tuple[float, float]:
        """Return how much larger a model is, and its loss, for one choice and nothing else."""
        others = {k: v for rows in self._first.values() for k, v in rows.items()}
        own = {k: v for k, v in others.items() if not k.startswith(f"{pick.group}.")}
        try:
            loss, bits = self._table.parts(own | pick.params)[pick.group]
        except ConfigError:  # a choice that was not measured
            return math.inf, math.inf
        told = self._sizes.of(Plan(pick.tasks))
        if self.minimize in told:
            return told[self.minimize].value - self._whole, loss
        if self.minimize != "bytes":
            return math.inf, loss
        return (bits - self._dense[pick.group]) / 8, loss

    @cached_property
    def _whole(self) -> float:
        """The size of the uncompressed model."""
        told = self._sizes.of(Plan([]))
        return told[self.minimize].value if self.minimize in told else 0.0

    @cached_property
    def _first(self) -> dict[str, Params]:
        """Some choice of each group."""
        return {group: self._table.of(group)[0].params for group in self._table.groups}

    @cached_property
    def _dense(self) -> dict[str, float]:
        """Bits of each group's weights as they are."""
        groups = self._space.groups(self._layers)
        return {g.name: 32.0 * sum(math.prod(x.shape) for x in g.layers) for g in groups}

    def why_none(self) -> str:
        """Say which limits no candidate met so far is within, and what comes nearest."""
        reasons = [
            reason
            for name, (_, value) in self._nearest.items()
            for reason in self._limits.broken({name: value})
        ]
        if not self._nearest:
            return "the search space has no candidate for this model"
        if not reasons:
            return "no candidate is within all hard limits at once: give one of them up"
        return f"no candidate is within the hard limits; at best {', '.join(reasons)}"

    def start(self, points: Sequence[Point], requirement: Requirement) -> float | None:
        """Return the logarithm of the size from which on direct compression meets a requirement.

        It is found by bisection, so that it is right if more size never does worse. None if the
        largest point does not meet it, or if the metric is not one that direct compression tells.
        """
        if requirement.metric not in _DIRECT:
            return None
        few = thinned(points, _STARTS)
        low, high = -1, len(few)
        while high - low > 1:
            middle = (low + high) // 2
            values = self._measure(self._trace(few[middle].params)[0], (requirement.metric,))
            if requirement.met(values[requirement.metric]):
                high = middle
            else:
                low = middle
        return None if high == len(few) else math.log(few[high].size)

    @cached_property
    def _recipe(self) -> Params:
        """The recipe of every opening."""
        return sensible_recipe(self._space)[1]

    def _judge(self, params: Mapping[str, Any]) -> Point | None:
        try:
            candidate, whole = self._trace(params)
            loss = self._table.predict(whole)
        except (SchemeError, ConfigError):  # a corner of the space that was not measured
            return None
        if self._checker.broken(whole):
            return None
        names = dict.fromkeys((self.minimize, *self._limits.free))
        own = {metric.name for metric in self._context.metrics}  # perhaps named like built-in ones
        told = self._sizes.of(candidate.plan, candidate.recipe)
        values = {name: told[name].value for name in names if name in told and name not in own}
        if left := [name for name in names if name not in values]:
            values |= self._measure(candidate, tuple(left))
        if self._breaks({name: values[name] for name in self._limits.free}):
            return None
        return Point(whole, values[self.minimize], loss)

    def _breaks(self, values: Mapping[str, float]) -> bool:
        """Whether a limit is broken; notes what comes nearest to each."""
        excess = self._limits.excess(values)
        for name, beyond in excess.items():
            if name not in self._nearest or beyond < self._nearest[name][0]:
                self._nearest[name] = beyond, values[name]
        return any(beyond > 0 for beyond in excess.values())

    def _trace(self, params: Mapping[str, Any]) -> tuple[Candidate, Params]:
        """Return the candidate of some parameters, and all of its parameters."""
        fixed = Fixed({**self._recipe, **params}, Random(np.random.default_rng(0)))
        recorder = Recorder(fixed)
        candidate = self._space.sample(recorder, self._layers)
        self.domains |= recorder.domains
        return candidate, recorder.params

    def _measure(self, candidate: Candidate, names: tuple[str, ...]) -> dict[str, float]:
        """Measure what direct compression tells."""
        context = self._context
        direct = compress(context.model, candidate.plan, Direct(), context.data)
        return context.measure(names, direct)
