"""Sums of schemes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from torch import Tensor

from autocompress.compression.base import (
    Code,
    Compression,
    Facts,
    Meta,
    Shapes,
    Tensors,
    total_numel,
)
from autocompress.compression.dense import Dense
from autocompress.compression.estimate import Estimate
from autocompress.compression.weighting import Weighting, energy
from autocompress.errors import SchemeError


def checked_terms(name: str, of: Iterable[Compression], least: int) -> tuple[Compression, ...]:
    """Return the schemes as a tuple; raise SchemeError if there are too few, or other things."""
    terms = tuple(of)
    for position, term in enumerate(terms):
        if not isinstance(term, Compression):
            raise SchemeError(f"{name}: item {position} is {term!r}, not a compression")
    if len(terms) < least:
        raise SchemeError(f"{name} needs at least {least} schemes, not {len(terms)}")
    return terms


@final
@dataclass(frozen=True, eq=False)
class AdditiveCode(Code):
    """A sum of codes of the same weights."""

    kind: ClassVar[str] = "additive"
    terms: tuple[Code, ...]

    def decode(self) -> Tensors:
        decoded = [term.decode() for term in self.terms]
        return tuple(_sum(parts) for parts in zip(*decoded, strict=True))

    def own_bits(self) -> int:
        return 0

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def meta(self) -> Meta:
        return {}

    def children(self) -> dict[str, Code]:
        return {str(position): term for position, term in enumerate(self.terms)}

    @classmethod
    def restore(
        cls, meta: Meta, tensors: Mapping[str, Tensor], children: Mapping[str, Code]
    ) -> Self:
        del meta, tensors
        return cls(tuple(children[str(position)] for position in range(len(children))))


@final
@dataclass(frozen=True)
class Additive(Compression):
    """Represent weights as a sum of compressed terms, such as a codebook plus a sparse correction.

    Minimises ``Σⱼ penalty(Θⱼ) + mu/2 ‖w − Σⱼ Δⱼ(Θⱼ)‖²`` by alternating over the terms, each
    projecting what the others leave (Idelbayev & Carreira-Perpiñán 2021, arXiv:2107.04380), until
    the objective decreases by less than ``tolerance`` of its value. A local optimum: no step
    increases the objective, and the result is never worse than ``previous``.

    Args:
        of: The terms, at least two; the first ones are fitted first.
        tolerance: Relative decrease of the squared error below which alternation stops.
        max_sweeps: Largest number of passes over the terms.
    """

    name: ClassVar[str] = "additive"
    of: tuple[Compression, ...]
    tolerance: float = 1e-3
    max_sweeps: int = 30

    def __init__(
        self, of: Iterable[Compression], tolerance: float = 1e-3, max_sweeps: int = 30
    ) -> None:
        object.__setattr__(self, "of", checked_terms("additive", of, 2))
        object.__setattr__(self, "tolerance", tolerance)
        object.__setattr__(self, "max_sweeps", max_sweeps)
        numbers = isinstance(tolerance, (int, float)) and isinstance(max_sweeps, int)
        if not numbers or not tolerance >= 0 or max_sweeps < 1:
            raise SchemeError(
                f"additive: tolerance = {tolerance!r} must be a number >= 0 and max_sweeps = "
                f"{max_sweeps!r} an integer of at least 1"
            )
        if any(term.structured for term in self.of):
            raise SchemeError("additive: a structured scheme cannot be a term, its sum is not")

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> Code:
        warm = isinstance(previous, AdditiveCode) and len(previous.terms) == len(self.of)
        codes: list[Code | None] = list(previous.terms) if warm else [None] * len(self.of)  # type: ignore[union-attr]
        state = _Sum(self.of, codes, [w.detach().clone() for w in weights], mu, weighting)
        objective = state.value if warm else None
        for _ in range(self.max_sweeps):
            before = objective
            for position in range(len(self.of)):
                objective = state.refit(position)
            # a first cold sweep has nothing to be compared with
            if before is None or objective is None:
                continue
            if before - objective <= self.tolerance * abs(before):
                break
        return AdditiveCode(tuple(code for code in codes if code is not None))

    def penalty(self, code: Code) -> float:
        assert isinstance(code, AdditiveCode)
        return sum(t.penalty(c) for t, c in zip(self.of, code.terms, strict=True))

    @property
    def penalized(self) -> bool:  # type: ignore[override]  # a class constant of plain schemes
        """Whether some term is."""
        return any(term.penalized for term in self.of)

    @property
    def weightings(self) -> frozenset[str]:  # type: ignore[override]
        """Those that all terms take."""
        return frozenset.intersection(*(term.weightings for term in self.of))

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """Those of all terms."""
        return frozenset[str]().union(*(term.needs for term in self.of))

    def bind(self, facts: Sequence[Facts]) -> Compression:
        return self._with(term.bind(facts) for term in self.of)

    def unbound(self) -> Compression:
        return self._with(term.unbound() for term in self.of)

    def fitted(self, shapes: Shapes) -> Compression:
        return self._with(term.fitted(shapes) for term in self.of)

    def remark(self, shapes: Shapes) -> str:
        return "; ".join(remark for term in self.of if (remark := term.remark(shapes)))

    def estimate(self, shapes: Shapes) -> Estimate | None:
        found = [term.estimate(shapes) for term in self.of]
        terms = {str(position): term for position, term in enumerate(found) if term is not None}
        if len(terms) < len(found):
            return None
        size = total_numel(shapes)
        # no weight is zero where some term leaves none
        full = [t.nonzeros for t in terms.values() if t.nonzeros and t.nonzeros.low >= size]
        return Estimate("additive", children=terms, nonzeros=full[0] if full else None)

    def _with(self, terms: Iterable[Compression]) -> Additive:
        return Additive(terms, self.tolerance, self.max_sweeps)

    def check(self, shapes: Shapes) -> None:
        for term in self.of:
            term.check(shapes)

    def canonical(self, shapes: Shapes) -> Compression:
        terms = tuple(term.canonical(shapes) for term in self.of)
        if any(isinstance(term, Dense) for term in terms):
            return Dense()
        return Additive(terms, self.tolerance, self.max_sweeps)


class _Sum:
    """The alternation's state: the terms so far, and what the other terms leave of the weights."""

    def __init__(
        self,
        schemes: Sequence[Compression],
        codes: list[Code | None],
        residual: list[Tensor],
        mu: float,
        weighting: Weighting | None,
    ) -> None:
        self.schemes, self.codes, self.residual = schemes, codes, residual
        self.mu, self.weighting = mu, weighting
        for code in codes:
            self._add(code, -1.0)
        self.value = self.objective()

    def refit(self, position: int) -> float:
        """Refit one term to what the others leave; return the objective, never increased."""
        scheme, old = self.schemes[position], self.codes[position]
        self._add(old, 1.0)
        target = tuple(self.residual)
        new = scheme.project(target, mu=self.mu, previous=old, weighting=self.weighting)
        self.codes[position] = new
        self._add(new, -1.0)
        value = self.objective()
        if old is not None and value > self.value:
            # an approximate scheme may do worse, an exact one by rounding: keep the old one
            self._add(new, 1.0)
            self._add(old, -1.0)
            self.codes[position] = old
        else:
            self.value = value
        return self.value

    def objective(self) -> float:
        """Return the squared error, plus penalties where there are any."""
        error = energy(tuple(self.residual), self.weighting)
        if not any(scheme.penalized for scheme in self.schemes):
            return error
        pairs = zip(self.schemes, self.codes, strict=True)
        return self.mu / 2 * error + sum(s.penalty(c) for s, c in pairs if c is not None)

    def _add(self, code: Code | None, alpha: float) -> None:
        if code is not None:  # decoded again and again: faster than weights kept are large
            torch._foreach_add_(self.residual, list(code.decode()), alpha=alpha)


def _sum(parts: Iterable[Tensor]) -> Tensor:
    first, *rest = parts
    for part in rest:
        first = first + part
    return first
