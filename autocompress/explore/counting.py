"""How many candidates a search space has."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from autocompress.explore.ranges import Choice, Constant, Listing, Node, Range, Record
from autocompress.explore.rules import Group
from autocompress.explore.schemes import Option, SchemeNode
from autocompress.explore.space import RecipeSpace

RESOLUTION = 100
"""A continuous range is counted as so many values."""


@dataclass(frozen=True)
class Count:
    """A number of choices.

    Integers, stepped ranges and choices are counted exactly, one by one; a continuous range counts
    as :data:`RESOLUTION` values. Conditional values count where they exist: the choices of a list
    of schemes add up, the fields of one scheme multiply. Choices that come to the same candidate
    are counted apart, and so are those that a constraint forbids.

    Attributes:
        exact: Choices that nothing continuous is part of.
        total: All, at that resolution.
    """

    exact: int
    total: int

    @property
    def continuous(self) -> bool:
        """Whether something continuous is part of any choice."""
        return self.total > self.exact

    @property
    def log10(self) -> float:
        """Logarithm of ``total`` to base 10."""
        return math.log10(self.total)

    def __add__(self, other: Count) -> Count:
        return Count(self.exact + other.exact, self.total + other.total)

    def __mul__(self, other: Count) -> Count:
        return Count(self.exact * other.exact, self.total * other.total)

    def __str__(self) -> str:
        parts = [f"{self.exact:,}"] if self.exact or not self.continuous else []
        return " + ".join([*parts, *(["continuous"] if self.continuous else [])])


ONE = Count(1, 1)


def product(counts: Iterable[Count]) -> Count:
    """Return the number of choices of several things chosen independently."""
    found = ONE
    for count in counts:
        found *= count
    return found


def count_node(node: Node) -> Count:
    """Return the number of values of a part of a space."""
    if isinstance(node, Range):
        return _range(node)
    if isinstance(node, Choice):
        return sum((count_node(inner) for _, inner in node.options), Count(0, 0))
    if isinstance(node, Record):
        return product(count_node(inner) for _, inner in node.fields)
    if isinstance(node, Listing):
        return product(count_node(inner) for _, inner in node.items)
    if isinstance(node, SchemeNode):
        inside = ONE if node.of is None else count_node(node.of)
        return product(count_node(inner) for _, inner in node.fields) * inside
    return ONE


def count_option(option: Option) -> Count:
    """Return the number of choices of one scheme, its norms included."""
    return count_node(option.node) * count_node(option.weighting)


def count_group(group: Group) -> Count:
    """Return the number of choices of layers that choose together."""
    return sum((count_option(option) for option in group.options), Count(0, 0))


def count_recipe(recipe: RecipeSpace) -> Count:
    """Return the number of recipes; direct compression is one."""
    methods = recipe.method.options if isinstance(recipe.method, Choice) else ()
    labels = [label for label, _ in methods]
    if isinstance(recipe.method, Constant):
        labels = [recipe.method.value]
    fields = count_node(recipe.fields)
    return sum((ONE if label == "direct" else fields for label in labels), Count(0, 0))


def _range(node: Range) -> Count:
    if node.low == node.high:
        return ONE
    step = node.step or (1 if node.integer else None)
    if step is None:
        return Count(0, RESOLUTION)
    values = round((node.high - node.low) / step) + 1
    return Count(values, values)
