"""What a search space holds for a model: layers, choices, sizes, samples, and what it misses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from autocompress.api import compress
from autocompress.compression.estimate import Known
from autocompress.data import Data
from autocompress.explore.choosers import Random, Recorder
from autocompress.explore.counting import Count, count_group, count_recipe, product
from autocompress.explore.free import FreeMetrics
from autocompress.explore.predicates import named
from autocompress.explore.ranges import Chooser
from autocompress.explore.rules import Group, Layers, Rule
from autocompress.explore.sampling import derive_seed
from autocompress.explore.space import SearchSpace
from autocompress.explore.trial import TrialContext
from autocompress.layers import LayerInfo, find_layers
from autocompress.plan import Plan
from autocompress.recipe import Candidate, Direct

Measure = Callable[[Candidate], Mapping[str, Known]]
"""Returns metrics of a candidate without training, such as ``bytes`` and ``flops``."""

METRICS = ("bytes", "flops")


@dataclass(frozen=True)
class Sample:
    """A candidate drawn at random, by the weights of the space.

    Attributes:
        candidate: The candidate.
        params: Its parameters.
        metrics: What it measures without training.
        broken: The constraints it breaks.
    """

    candidate: Candidate
    params: dict[str, Any]
    metrics: Mapping[str, Known]
    broken: tuple[str, ...]


@dataclass(frozen=True)
class Survey:
    """A search space on a model.

    Attributes:
        space: The space.
        layers: The model's layers.
        groups: Which of them choose together, and what from.
        counts: Number of choices of each group.
        recipes: Number of recipes.
        samples: Candidates drawn at random.
        reference: The same metrics of the uncompressed model.
        notes: What rules and patterns do not do, a sentence each.
    """

    space: SearchSpace
    layers: Layers
    groups: tuple[Group, ...]
    counts: tuple[Count, ...]
    recipes: Count
    samples: tuple[Sample, ...]
    reference: Mapping[str, Known]
    notes: tuple[str, ...]

    @property
    def plans(self) -> Count:
        """Number of choices of all layers."""
        return product(self.counts)

    @property
    def total(self) -> Count:
        """Number of candidates, those that break a constraint included."""
        return self.plans * self.recipes

    @property
    def dense(self) -> Layers:
        """The layers nothing is offered to."""
        return tuple(layer for layer in self.layers if self.group_of(layer) is None)

    def group_of(self, layer: LayerInfo) -> int | None:
        """Return the index of a layer's group; None where it stays dense."""
        return next((i for i, group in enumerate(self.groups) if layer in group.layers), None)


def survey(
    space: SearchSpace, model: nn.Module, measure: Measure, *, samples: int = 10, seed: int = 0
) -> Survey:
    """Look at a search space with a model in hand.

    Args:
        space: The space.
        model: The model; only names and shapes of its layers matter here.
        measure: Says what a candidate costs, see :data:`Measure`.
        samples: How many candidates to draw.
        seed: Decides which.

    Raises:
        ConfigError, SchemeError: the space does not fit the model.
    """
    layers = find_layers(model)
    space.check(layers)
    groups = space.groups(layers)
    seeds = [derive_seed(seed, number, "sample") for number in range(samples)]
    return Survey(
        space=space,
        layers=layers,
        groups=groups,
        counts=tuple(map(count_group, groups)),
        recipes=count_recipe(space.recipe),
        samples=tuple(_sample(space, layers, measure, each) for each in seeds),
        reference=measure(Candidate(Plan([]), Direct())),
        notes=find_notes(space.rules, layers, groups),
    )


def without_training(model: nn.Module, data: Data) -> Measure:
    """Return who tells bytes and FLOPs of candidates.

    They are told from shapes where the schemes allow. Elsewhere the model is compressed as it is;
    what that gives is only near to what a trained one would have, and says so.

    Args:
        model: The model, trained or not.
        data: The data, or a stand-in of the same shape.
    """
    free = FreeMetrics(model, data)
    context = TrialContext(model, data)

    def measure(candidate: Candidate) -> dict[str, Known]:
        known = free.of(candidate.plan, candidate.recipe)
        if not all(name in known for name in METRICS):
            compressed = compress(model, candidate.plan, Direct(), data)
            found = context.measure(METRICS, compressed).items()
            known = {name: Known(value, 0, math.inf) for name, value in found} | known
        return {name: known[name] for name in METRICS}

    return measure


class _Weighted(Random):
    """Draws choices by their weights."""

    def __init__(
        self, rng: np.random.Generator, weights: Mapping[str, Mapping[str, float]]
    ) -> None:
        super().__init__(rng)
        self._weights = weights

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        if name not in self._weights:
            return super().suggest_categorical(name, choices)
        odds = [self._weights[name][choice] for choice in choices]
        return choices[int(self._rng.choice(len(choices), p=odds))]


def _sample(space: SearchSpace, layers: Layers, measure: Measure, seed: int) -> Sample:
    inner: Chooser = _Weighted(np.random.default_rng(seed), space.weights(layers))
    chooser = Recorder(inner)
    candidate = space.sample(chooser, layers)
    broken = tuple(space.broken(chooser.params, layers))
    return Sample(candidate, chooser.params, measure(candidate), broken)


def find_notes(
    rules: Sequence[Rule], layers: Layers, groups: Sequence[Group] = ()
) -> tuple[str, ...]:
    """Return what rules and patterns do not do, though they are written down.

    Args:
        rules: The rules.
        layers: The model's layers.
        groups: The groups the rules make.
    """
    notes: list[str] = []
    owner: dict[str, int] = {}  # the rule that takes a layer, by the layer's name
    names = [layer.name for layer in layers]
    grouped = {layer.name for group in groups for layer in group.layers}
    for i, rule in enumerate(rules):
        where = f"layers[{i}] ({', '.join(rule.match)})"
        chosen = [layer.name for layer in rule.select(layers, where)]
        notes += [f"{where} is for no layer of this model"] if not chosen else []
        if chosen and all(name in owner for name in chosen):
            notes.append(f"{where} is shadowed: its layers go to {_rules(chosen, owner)}")
        else:
            notes += _patterns(rule, where, names, set(chosen), owner)
        for name in chosen:
            if name not in owner and name not in grouped:
                notes.append(
                    f"{name} stays dense: {where} offers the output layer only schemes that "
                    f"take outputs away"
                )
            owner.setdefault(name, i)
    return tuple(notes)


def _patterns(
    rule: Rule, where: str, names: Sequence[str], chosen: set[str], owner: Mapping[str, int]
) -> list[str]:
    """Return notes on the patterns of a rule that change nothing or are shadowed."""
    notes = []
    for k, pattern in enumerate(rule.match):
        before = named(rule.match[:k], names, where)
        after = named(rule.match[: k + 1], names, where)
        if before == after:
            notes.append(f"the pattern {pattern!r} of {where} changes nothing")
            continue
        added = [name for name in names if name in after - before and name in chosen]
        if added and all(name in owner for name in added):
            notes.append(
                f"the pattern {pattern!r} of {where} is shadowed: its layers go to "
                f"{_rules(added, owner)}"
            )
    return notes


def _rules(names: Sequence[str], owner: Mapping[str, int]) -> str:
    found = sorted({owner[name] for name in names})
    return ", ".join(f"layers[{i}]" for i in found)
