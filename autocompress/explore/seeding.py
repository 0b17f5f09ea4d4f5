"""The first candidates of a sweep: no compression, and the same compression of all layers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import FloatDistribution, IntDistribution

from autocompress.compression import Dense
from autocompress.explore.choosers import ByDomain, Domain, place
from autocompress.explore.constraints import Checker
from autocompress.explore.rules import Group, Layers
from autocompress.explore.schemes import Option
from autocompress.explore.sensible import sensible_recipe
from autocompress.explore.space import SearchSpace
from autocompress.layers import LayerInfo
from autocompress.plan import Plan, Task
from autocompress.recipe import Candidate

_SHARE = 4
"""One in so many trials may be a seed."""
_LEVELS = (1 / 2, 1 / 4, 3 / 4, 1 / 8, 3 / 8, 5 / 8, 7 / 8)


@dataclass(frozen=True)
class Seed:
    """A candidate to try before the sampler takes over.

    Attributes:
        origin: Who proposes it, one of :data:`~autocompress.explore.record.ORIGINS`.
        params: The search space parameters that give the candidate.
        candidate: The candidate.
    """

    origin: str
    params: dict[str, Any]
    candidate: Candidate


@dataclass
class _Level(ByDomain):
    """A chooser that takes every range at the same relative position, and notes what it took.

    Attributes:
        label: The scheme to choose.
        level: Position in every range and list of numbers: 0 is the low end, 1 the high end.
        params: What was taken.
    """

    label: str
    level: float
    params: dict[str, Any] = field(default_factory=dict)

    def take(self, name: str, domain: Domain) -> Any:
        self.params[name] = self._value(domain)
        return self.params[name]

    def _value(self, domain: Domain) -> Any:
        if isinstance(domain, IntDistribution):
            return round(place(self.level, domain))
        if isinstance(domain, FloatDistribution):
            return place(self.level, domain)
        choices = domain.choices
        if self.label in choices:
            return self.label
        if all(isinstance(choice, (int, float)) for choice in choices):
            return choices[round(self.level * (len(choices) - 1))]
        return choices[0]


def make_seeds(space: SearchSpace, layers: Layers, trials: int) -> list[Seed]:
    """Return the candidates to try first: at most a quarter of the trials.

    The uncompressed model, where the space has it; then each scheme on all layers that offer it,
    with every range at its middle, then at a quarter, three quarters and so on (a layer that does
    not offer the scheme stays dense if it may, and else takes its first one). All have the same
    recipe, see :mod:`autocompress.explore.sensible`. All are points of the space, so that samplers
    learn from them.

    Args:
        space: The space.
        layers: The model's layers.
        trials: How many trials are planned.
    """
    found = itertools.chain(dense_seed(space, layers), uniform_seeds(space, layers))
    return usable(found, space.checker(layers), trials // _SHARE)


def usable(seeds: Iterable[Seed], checker: Checker, most: int) -> list[Seed]:
    """Return the first so many seeds that are different candidates and keep the constraints."""
    kept: list[Seed] = []
    for seed in seeds:
        if len(kept) >= most:
            break
        new = all(seed.candidate != other.candidate for other in kept)
        if new and not checker.broken(seed.params):
            kept.append(seed)
    return kept


def dense_seed(space: SearchSpace, layers: Layers) -> Iterator[Seed]:
    """Yield the uncompressed model, where the space has it."""
    groups = space.groups(layers)
    least = [_dense(group) for group in groups]
    if all(least):
        yield _seed("dense", space, groups, [found for found in least if found])


def uniform_seeds(
    space: SearchSpace,
    layers: Layers,
    *,
    only: str | None = None,
    but: str | None = None,
    origin: str = "uniform",
) -> Iterator[Seed]:
    """Yield each scheme on all layers that offer it, at the middle of its ranges, then elsewhere.

    Args:
        space: The space.
        layers: The model's layers.
        only: Name of a scheme: options of others are left out.
        but: The same: its options are left out.
        origin: What the seeds are called.
    """
    groups = space.groups(layers)
    least = [_dense(group) for group in groups]
    labels = {
        option.label: None
        for group in groups
        for option in group.options
        if option.node.scheme not in ("dense", but) and only in (None, option.node.scheme)
    }
    for level in _LEVELS:
        for label in labels:
            offered = [any(o.label == label for o in group.options) for group in groups]
            picks = [
                (label, level) if has else (found or (group.options[0].label, level))
                for has, found, group in zip(offered, least, groups, strict=True)
            ]
            yield _seed(origin, space, groups, picks)


def dense_params(group: Group) -> dict[str, Any] | None:
    """Return parameters that leave a group's layers uncompressed; None if there are none."""
    found = _dense(group)
    if found is None:
        return None
    params: dict[str, Any] = {}
    group.sample(_Level(*found, params))
    return params


def _seed(
    origin: str, space: SearchSpace, groups: Sequence[Group], picks: Sequence[tuple[str, float]]
) -> Seed:
    params: dict[str, Any] = {}
    tasks: list[Task] = []
    for group, (label, level) in zip(groups, picks, strict=True):
        tasks += group.sample(_Level(label, level, params))
    recipe, given = sensible_recipe(space)
    return Seed(origin, params | given, Candidate(Plan(tasks), recipe))


def _dense(group: Group) -> tuple[str, float] | None:
    """Return an option and level that leave the group's layers uncompressed, if there are any."""
    options = sorted(group.options, key=lambda option: option.node.scheme != "dense")
    for option in options:
        for level in (1.0, 0.0):
            if _changes_nothing(group, option, level):
                return option.label, level
    return None


def _changes_nothing(group: Group, option: Option, level: float) -> bool:
    shapes: dict[str, LayerInfo] = {layer.weight: layer for layer in group.layers}
    values = option.node.sample(_Level(option.label, level), "")
    return all(
        isinstance(task.compression.canonical(tuple(shapes[p].shape for p in task.params)), Dense)
        for task in group.tasks(option, values)
    )
