"""Conditions on a candidate's parameters: trees of comparisons, and whether they are true.

Truth has three values. A comparison with a value that is not there is neither true nor false
(None), and so is what depends on it (Kleene's strong logic).
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from autocompress.explore.parameters import is_number

Lookup = Callable[[str], Sequence[Any]]
"""Returns the values a name has in a candidate: none, one, or several that are all meant."""

ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
}
EQUAL = ("==", "!=")
SUMS: dict[str, Callable[[Any, Any], Any]] = {"+": operator.add, "-": operator.sub}


class Term(ABC):
    """A side of a comparison."""

    @abstractmethod
    def values(self, lookup: Lookup) -> list[Any]:
        """Return what it may be: nothing where something in it is not there."""


@dataclass(frozen=True)
class Literal(Term):
    """A number or a text."""

    value: Any

    def values(self, lookup: Lookup) -> list[Any]:
        return [self.value]


@dataclass(frozen=True)
class Name(Term):
    """The name of a parameter."""

    name: str

    def values(self, lookup: Lookup) -> list[Any]:
        return list(lookup(self.name))


@dataclass(frozen=True)
class Sum(Term):
    """Two terms added, subtracted or multiplied; of no value unless both are numbers."""

    sign: str
    left: Term
    right: Term

    def values(self, lookup: Lookup) -> list[Any]:
        combine = SUMS.get(self.sign, operator.mul)
        right = [b for b in self.right.values(lookup) if is_number(b)]
        return [combine(a, b) for a in self.left.values(lookup) if is_number(a) for b in right]


class Condition(ABC):
    """Something true, false or, without the values it is about, neither."""

    @abstractmethod
    def truth(self, lookup: Lookup) -> bool | None:
        """Return whether it is true of a candidate."""

    @abstractmethod
    def comparisons(self) -> Iterator[Comparison]:
        """Yield the comparisons in it."""


@dataclass(frozen=True)
class Comparison(Condition):
    """Two terms compared: true where it holds for all their values."""

    sign: str
    left: Term
    right: Term

    def truth(self, lookup: Lookup) -> bool | None:
        right = self.right.values(lookup)
        pairs = [(a, b) for a in self.left.values(lookup) for b in right]
        return _all([_compare(self.sign, a, b) for a, b in pairs]) if pairs else None

    def comparisons(self) -> Iterator[Comparison]:
        yield self


@dataclass(frozen=True)
class Not(Condition):
    """The opposite."""

    part: Condition

    def truth(self, lookup: Lookup) -> bool | None:
        found = self.part.truth(lookup)
        return None if found is None else not found

    def comparisons(self) -> Iterator[Comparison]:
        yield from self.part.comparisons()


@dataclass(frozen=True)
class All(Condition):
    """All of several conditions."""

    parts: tuple[Condition, ...]

    def truth(self, lookup: Lookup) -> bool | None:
        return _all([part.truth(lookup) for part in self.parts])

    def comparisons(self) -> Iterator[Comparison]:
        for part in self.parts:
            yield from part.comparisons()


def either(parts: Sequence[Condition]) -> Condition:
    """Return the condition that one of several is true."""
    return parts[0] if len(parts) == 1 else Not(All(tuple(Not(part) for part in parts)))


def _all(found: Sequence[bool | None]) -> bool | None:
    if any(value is False for value in found):
        return False
    return None if None in found else True


def _compare(sign: str, left: Any, right: Any) -> bool | None:
    if sign in EQUAL:
        return same(left, right) == (sign == "==")
    return ORDER[sign](left, right) if is_number(left) and is_number(right) else None


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal; in texts ``_`` and ``-`` are."""
    if isinstance(left, str) and isinstance(right, str):
        return left.replace("_", "-") == right.replace("_", "-")
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)
