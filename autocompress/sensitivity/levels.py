"""What each group of layers may choose, at some positions of every range."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    IntDistribution,
)

from autocompress.errors import ConfigError
from autocompress.explore.choosers import ByDomain, Domain, place
from autocompress.explore.rules import Group, Layers
from autocompress.explore.schemes import Option
from autocompress.explore.space import SearchSpace
from autocompress.plan import Task

MOST = 4
"""An option has at most so many times ``levels`` picks: several ranges get fewer levels each."""


@dataclass(frozen=True)
class Pick:
    """One choice of one group.

    Attributes:
        group: The group's name.
        label: The option's.
        params: The search space's parameters that give the choice, ``"GROUP.scheme"`` included.
        tasks: What the group's layers then are; none where the choice is no compression.
        domains: What each parameter was chosen from.
    """

    group: str
    label: str
    params: dict[str, Any]
    tasks: tuple[Task, ...]
    domains: dict[str, BaseDistribution] = field(default_factory=dict, compare=False, repr=False)


def make_picks(space: SearchSpace, layers: Layers, *, levels: int = 8) -> list[Pick]:
    """Return every option of every group, at some levels.

    All choices are there; a range is taken at ``levels`` even positions from end to end (of its
    logarithm, if it is a log range), an integer range at most at all of its integers. Options of
    several ranges have their product, with fewer levels each where that would be more than four
    times ``levels``.

    Args:
        space: The space.
        layers: The model's layers.
        levels: Positions in a range, at least 2.

    Raises:
        ConfigError, SchemeError: the space does not fit the model, or ``levels`` is too small.
    """
    if levels < 2:
        raise ConfigError(f"levels = {levels!r}: accepted is an integer of at least 2")
    return [
        pick
        for group in space.groups(layers)
        for option in group.options
        for pick in _picks(group, option, levels)
    ]


def _picks(group: Group, option: Option, levels: int) -> Iterator[Pick]:
    each = _affordable(group, option, levels)
    several = len(group.options) > 1
    scheme = f"{group.name}.scheme"
    labels = [o.label for o in group.options]
    for turn in _turns(each):
        values, weighting = option.sample(turn, f"{group.name}.{option.label}")
        tasks = tuple(group.tasks(option, values, weighting))
        params: dict[str, Any] = {scheme: option.label} if several else {}
        domains: dict[str, BaseDistribution] = (
            {scheme: CategoricalDistribution(labels)} if several else {}
        )
        yield Pick(group.name, option.label, params | turn.params, tasks, domains | turn.domains)


def _affordable(group: Group, option: Option, levels: int) -> int:
    """Return how many levels each range of an option can have."""
    for each in range(levels, 1, -1):
        for count, turn in enumerate(_turns(each), 1):
            option.sample(turn, f"{group.name}.{option.label}")
            if count > MOST * levels:
                break
        else:
            return each
    return 1


@dataclass
class _Turn(ByDomain):
    """A chooser that takes one combination of levels, and notes among how many.

    Attributes:
        levels: Levels of each range.
        path: Which level of each parameter to take, in the order they are asked for; 0 beyond.
        counts: How many levels each has.
        params: What was taken.
        domains: From what.
    """

    levels: int
    path: tuple[int, ...]
    counts: list[int] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    domains: dict[str, BaseDistribution] = field(default_factory=dict)

    def take(self, name: str, domain: Domain) -> Any:
        values = list(dict.fromkeys(self._values(domain)))
        at = len(self.counts)
        self.counts.append(len(values))
        self.domains[name] = domain
        self.params[name] = values[self.path[at] if at < len(self.path) else 0]
        return self.params[name]

    def _values(self, domain: Domain) -> list[Any]:
        if isinstance(domain, CategoricalDistribution):
            return list(domain.choices)
        levels = [0.5]
        if self.levels > 1:
            levels = [i / (self.levels - 1) for i in range(self.levels)]
        values = [place(level, domain) for level in levels]
        return [round(v) for v in values] if isinstance(domain, IntDistribution) else values


def _turns(levels: int) -> Iterator[_Turn]:
    """Yield a chooser for every combination; each must be used up before the next is asked for.

    It is an odometer whose wheels are the parameters asked for: the last one that can turn does,
    and those behind it, which may be others then, start again.
    """
    path: tuple[int, ...] = ()
    while True:
        turn = _Turn(levels, path)
        yield turn
        full = path + (0,) * (len(turn.counts) - len(path))
        turning = [i for i, count in enumerate(turn.counts) if full[i] + 1 < count]
        if not turning:
            return
        last = turning[-1]
        path = (*full[:last], full[last] + 1)
