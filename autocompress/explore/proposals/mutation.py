"""New candidates from those at hand: parameters moved, drawn anew, or crossed group by group."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from autocompress.explore.choosers import Fixed, Random, Recorder, place, position
from autocompress.explore.ranges import Chooser
from autocompress.explore.rules import Group, Layers
from autocompress.explore.space import SearchSpace

Params = dict[str, Any]

_MOVE = 0.15
"""Standard deviation of a move, as a share of the range."""
_ANEW = 0.35
"""How often a choice, and everything that hangs on it, is drawn anew."""


class Mutation:
    """A chooser that stays near given parameters.

    Numbers move a little along their range, choices are drawn anew now and then; what the given
    parameters do not have is drawn at random.

    Args:
        params: Where to stay near.
        rng: Where the randomness comes from.
        share: How much of the parameters to change, a fraction; at least about one is.
    """

    def __init__(
        self, params: Mapping[str, Any], rng: np.random.Generator, share: float = 1.0
    ) -> None:
        self._params = params
        self._rng = rng
        self._share = share
        self._random = Random(rng)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        domain = FloatDistribution(low, high, log=log, step=step)
        return float(self._number(name, domain))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        domain = IntDistribution(low, high, log=log, step=step)
        value = round(self._number(name, domain))
        if value == self._params.get(name) and self._rng.random() < self._share:
            value += int(self._rng.choice([-step, step]))  # a move too short for an integer
        return min(max(value, low), high)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        kept = self._params.get(name)
        if name not in self._params or kept not in choices:
            return self._random.suggest_categorical(name, choices)
        if self._rng.random() < _ANEW * self._share:
            return self._random.suggest_categorical(name, choices)
        return kept

    def _number(self, name: str, domain: FloatDistribution | IntDistribution) -> float:
        kept = self._params.get(name)
        if not isinstance(kept, int | float) or not domain.low <= kept <= domain.high:
            return place(self._rng.random(), domain)
        if self._rng.random() >= self._share:
            return kept
        step = _MOVE * float(self._rng.standard_normal())
        return place(min(max(position(kept, domain) + step, 0.0), 1.0), domain)


class Breeder:
    """Makes candidates of a search space out of others.

    Args:
        space: The space.
        layers: The model's layers.
    """

    def __init__(self, space: SearchSpace, layers: Layers) -> None:
        self.space = space
        self.groups = space.groups(layers)
        self.domains: dict[str, BaseDistribution] = {}

    def complete(self, params: Mapping[str, Any], rng: np.random.Generator) -> Params:
        """Return the parameters of one candidate: those given, and random ones for the rest."""
        return self.built_by(Fixed(params, Random(rng)))

    def random(self, rng: np.random.Generator) -> Params:
        """Return a candidate drawn at random."""
        return self.built_by(Random(rng))

    def built_by(self, chooser: Chooser) -> Params:
        """Return the candidate a chooser decides on."""
        return self._build([chooser] * (len(self.groups) + 1))

    def mutate(self, params: Mapping[str, Any], rng: np.random.Generator) -> Params:
        """Return a candidate that differs in one or two groups, or in its recipe, or in both."""
        count = min(len(self.groups), int(rng.choice([0, 1, 2], p=[0.2, 0.45, 0.35])))
        changed = set(rng.choice(len(self.groups), count, replace=False).tolist())
        recipe = count == 0 or rng.random() < 0.3
        return self._changed(params, changed, recipe, rng)

    def cross(
        self, one: Mapping[str, Any], other: Mapping[str, Any], rng: np.random.Generator
    ) -> Params:
        """Return a candidate whose groups are each taken from one of two, its recipe from one."""
        chance = Random(rng)
        parents = [(one, other)[int(rng.integers(2))] for _ in (*self.groups, None)]
        return self._build([Fixed(parent, chance) for parent in parents])

    def with_recipe(
        self, params: Mapping[str, Any], recipe: Mapping[str, Any], rng: np.random.Generator
    ) -> Params:
        """Return a candidate with the plan of one and the recipe of another."""
        plan, other = Fixed(params, Random(rng)), Fixed(recipe, Random(rng))
        return self._build([*[plan] * len(self.groups), other])

    def _changed(
        self,
        params: Mapping[str, Any],
        changed: Collection[int],
        recipe: bool,
        rng: np.random.Generator,
    ) -> Params:
        keep = Fixed(params, Random(rng))
        choosers: list[Chooser] = [
            Mutation(params, rng) if i in changed else keep for i in range(len(self.groups))
        ]
        return self._build([*choosers, Mutation(params, rng, share=0.5) if recipe else keep])

    def _build(self, choosers: Sequence[Chooser]) -> Params:
        """Ask a chooser for each group's parameters, and the last one for the recipe's."""
        params: Params = {}
        for group, chooser in zip([*self.groups, None], choosers, strict=True):
            record = Recorder(chooser)
            if isinstance(group, Group):
                group.choose(record)
            else:
                self.space.recipe.draw(record)
            params |= record.params
            self.domains |= record.domains
        return params
