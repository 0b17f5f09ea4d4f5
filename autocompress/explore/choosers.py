"""Choosers that are no Optuna trials: given values, random ones, and a record of what was asked."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from autocompress.explore.ranges import Chooser

Domain: TypeAlias = FloatDistribution | IntDistribution | CategoricalDistribution


class ByDomain(ABC):
    """A chooser that decides every parameter by what it is chosen from."""

    @abstractmethod
    def take(self, name: str, domain: Domain) -> Any:
        """Return a value of the domain; an integer may come as a float without a fraction."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return float(self.take(name, FloatDistribution(low, high, log=log, step=step)))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        return int(self.take(name, IntDistribution(low, high, log=log, step=step)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self.take(name, CategoricalDistribution(tuple(choices)))


class Random(ByDomain):
    """Draws every value at random: numbers evenly (their logarithms on a log range).

    Args:
        rng: Where the randomness comes from.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def take(self, name: str, domain: Domain) -> Any:
        if isinstance(domain, CategoricalDistribution):
            return domain.choices[int(self._rng.integers(len(domain.choices)))]
        return place(self._rng.random(), domain)


@dataclass
class Fixed:
    """Takes the values that are given, and asks another chooser for the rest.

    Attributes:
        params: Values by parameter name.
        otherwise: Who decides what is not given, or does not lie in what may be chosen.
    """

    params: Mapping[str, Any]
    otherwise: Chooser

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        value = self.params.get(name)
        if _number(value) and low <= value <= high:
            return float(value)
        return self.otherwise.suggest_float(name, low, high, step=step, log=log)

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        value = self.params.get(name)
        if _number(value) and low <= value <= high:
            return int(value)
        return self.otherwise.suggest_int(name, low, high, step=step, log=log)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        if name in self.params and self.params[name] in choices:
            return self.params[name]
        return self.otherwise.suggest_categorical(name, choices)


@dataclass
class Recorder:
    """Notes what another chooser decided, and from what.

    Attributes:
        inner: Who decides.
        params: Value of every parameter asked for, by name.
        domains: What each was chosen from, as Optuna calls it.
    """

    inner: Chooser
    params: dict[str, Any] = field(default_factory=dict)
    domains: dict[str, BaseDistribution] = field(default_factory=dict)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self.domains[name] = FloatDistribution(low, high, log=log, step=step)
        self.params[name] = self.inner.suggest_float(name, low, high, step=step, log=log)
        return float(self.params[name])

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        self.domains[name] = IntDistribution(low, high, log=log, step=step)
        self.params[name] = self.inner.suggest_int(name, low, high, step=step, log=log)
        return int(self.params[name])

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.domains[name] = CategoricalDistribution(tuple(choices))
        self.params[name] = self.inner.suggest_categorical(name, choices)
        return self.params[name]


def place(position: float, domain: FloatDistribution | IntDistribution) -> float:
    """Return the value at a relative position of a range: 0 is its low end, 1 its high end."""
    low, high = domain.low, domain.high
    value = low * (high / low) ** position if domain.log else low + (high - low) * position
    if domain.step is not None:
        value = low + round((value - low) / domain.step) * domain.step
    return min(max(value, low), high)


def position(value: float, domain: FloatDistribution | IntDistribution) -> float:
    """Return where in a range a value lies: 0 at its low end, 1 at its high end."""
    low, high = domain.low, domain.high
    if high <= low:
        return 0.0
    if domain.log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
