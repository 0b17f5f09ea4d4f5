"""The constraints of a search space, on a model."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autocompress.errors import ConfigError, UnknownName
from autocompress.explore.constraints.conditions import (
    ORDER,
    Comparison,
    Condition,
    Literal,
    Name,
    Sum,
    Term,
    same,
)
from autocompress.explore.constraints.text import parse_condition
from autocompress.explore.parameters import Parameter, is_number
from autocompress.explore.ranges import Range

_NEAR = 3


@dataclass(frozen=True)
class Constraint:
    """A condition that candidates must keep.

    Attributes:
        text: As it was written.
        condition: What it says.
        where: File and key, for error messages.
    """

    text: str
    condition: Condition = field(compare=False, repr=False)
    where: str = field(compare=False, repr=False)


def parse_constraints(data: Any, where: str) -> tuple[Constraint, ...]:
    """Read a list of constraints.

    Raises:
        ConfigError: naming file, key and text, and what is wrong with it.
    """
    if isinstance(data, str) or not isinstance(data, Sequence):
        raise ConfigError(f"{where} = {data!r}: accepted is a list of texts")
    found = []
    for i, text in enumerate(data):
        if isinstance(text, Constraint):
            found.append(text)
            continue
        place = f"{where}[{i}]"
        found.append(Constraint(text, parse_condition(text, place), f"{place} {text!r}"))
    return tuple(found)


class Checker:
    """Tells which constraints a candidate breaks.

    Args:
        constraints: The constraints.
        parameters: All parameters of the space on the model, those of one value too.

    Raises:
        UnknownName: a name that no parameter has, or a choice that a parameter does not have.
        ConfigError: a constraint without a parameter, or an order of what are no numbers.
    """

    def __init__(
        self, constraints: Iterable[Constraint], parameters: Sequence[Parameter] = ()
    ) -> None:
        self._constraints = tuple(constraints)
        self._parameters = parameters
        self._meant: dict[str, list[Parameter]] = {}
        for constraint in self._constraints:
            comparisons = list(constraint.condition.comparisons())
            for comparison in comparisons:
                self._check(comparison, constraint.where)
            if not any(_names(x) for c in comparisons for x in (c.left, c.right)):
                raise ConfigError(
                    f"{constraint.where}: it is about no parameter; they are called GROUP.NAME, "
                    f"such as {self._known()[0]!r}"
                )

    def broken(self, params: Mapping[str, Any]) -> list[str]:
        """Return the texts of the constraints that a candidate breaks.

        Args:
            params: Its parameters by name. What is not among them is not there: a constraint that
                needs it to be decided is kept.
        """

        def lookup(name: str) -> list[Any]:
            return [value for found in self._meant[name] for value in found.read(params)]

        return [c.text for c in self._constraints if c.condition.truth(lookup) is False]

    def _check(self, comparison: Comparison, where: str) -> None:
        for side, other in (
            (comparison.left, comparison.right),
            (comparison.right, comparison.left),
        ):
            for name in _names(side):
                self._find(name, where)
            if comparison.sign in ORDER or isinstance(side, Sum):
                self._check_number(side, comparison.sign, where)
            elif isinstance(side, Name) and isinstance(other, Literal):
                self._check_choice(side.name, other.value, where)

    def _find(self, name: str, where: str) -> None:
        """Remember which parameters are meant by a name."""
        exact = [p for p in self._parameters if p.name == name]
        if exact:  # and the ranges to choose from there
            exact += [p for p in self._parameters if p.place == name and p not in exact]
            exact = [p for p in exact if p.name == name or p.name.startswith(f"{name}.")]
        found = (
            exact
            or [p for p in self._parameters if p.place == name]
            or [p for p in self._parameters if name in _short(p)]
        )
        if not found:
            known = self._known()
            near = difflib.get_close_matches(name, known, n=_NEAR, cutoff=0.5) or known[:_NEAR]
            raise UnknownName(
                f"{where}: no parameter of the space is called {name!r}: the nearest are "
                f"{', '.join(near)}"
            )
        self._meant[name] = found

    def _check_number(self, side: Term, sign: str, where: str) -> None:
        for term in _terms(side):
            if isinstance(term, Literal) and not is_number(term.value):
                raise ConfigError(
                    f"{where}: {sign!r} compares numbers, and {_text(term.value)!r} is none"
                )
            if isinstance(term, Name) and not any(p.numeric for p in self._meant[term.name]):
                raise ConfigError(
                    f"{where}: {sign!r} compares numbers, and {term.name!r} is one of "
                    f"{', '.join(self._labels(term.name))}"
                )

    def _check_choice(self, name: str, value: Any, where: str) -> None:
        meant = self._meant[name]
        if is_number(value) and any(isinstance(p.values, Range) for p in meant):
            return
        values = [x for p in meant if not isinstance(p.values, Range) for x in p.values]
        if any(same(value, known) for known in values):
            return
        labels = self._labels(name)
        near = difflib.get_close_matches(str(value), labels, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UnknownName(
            f"{where}: {name!r} is never {_text(value)!r}: {hint}it is one of {', '.join(labels)}"
        )

    def _labels(self, name: str) -> list[str]:
        found: dict[str, None] = {}
        for p in self._meant[name]:
            if isinstance(p.values, Range):
                found[f"{p.values.low:g} to {p.values.high:g}"] = None
            else:
                found |= dict.fromkeys(map(_text, p.values))
        return list(found)

    def _known(self) -> list[str]:
        """Return the short names, then the full ones."""
        short = dict.fromkeys(p.owners[0] + "." + p.field for p in self._parameters)
        return [*(short | dict.fromkeys(p.name for p in self._parameters))] or ["GROUP.scheme"]


def _short(parameter: Parameter) -> list[str]:
    return [f"{owner}.{parameter.field}" for owner in parameter.owners]


def _terms(term: Term) -> list[Term]:
    return [*_terms(term.left), *_terms(term.right)] if isinstance(term, Sum) else [term]


def _names(term: Term) -> list[str]:
    return [part.name for part in _terms(term) if isinstance(part, Name)]


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
