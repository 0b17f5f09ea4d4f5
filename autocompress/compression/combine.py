"""Schemes made of schemes: compositions and sums."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from torch import Tensor

from autocompress.compression.base import Code, Compression, Meta, Shapes, Tensors
from autocompress.compression.dense import Dense
from autocompress.errors import SchemeError


def _terms(name: str, of: Iterable[Compression], least: int) -> tuple[Compression, ...]:
    terms = tuple(of)
    for position, term in enumerate(terms):
        if not isinstance(term, Compression):
            raise SchemeError(f"{name}: item {position} is {term!r}, not a compression")
    if len(terms) < least:
        raise SchemeError(f"{name} needs at least {least} schemes, not {len(terms)}")
    return terms


@final
@dataclass(frozen=True)
class Compose(Compression):
    """Apply schemes one after the other, each to the real numbers the one before left free.

    After pruning these are the survivors, after a codebook its entries, after low rank the
    factors: ``Compose([Prune(0.05), Codebook(4), Cast("float16")])`` quantizes the survivors to
    four values and stores those four in half precision. Each scheme is solved exactly given the
    ones before it; the sequence is a greedy solution of the joint problem (pruning by magnitude
    followed by an optimal codebook is not always the best pair).

    Args:
        of: The schemes, first to last; at least one.
    """

    name: ClassVar[str] = "compose"
    of: tuple[Compression, ...]

    def __init__(self, of: Iterable[Compression]) -> None:
        object.__setattr__(self, "of", _terms("compose", of, 1))
        for term in self.of[:-1]:
            if isinstance(term, Additive):
                raise SchemeError("compose: additive must come last; compose inside its terms")
        for term in self.of[1:]:
            if term.structured:
                raise SchemeError(f"compose: {term.name} must come first, it works on channels")

    @property
    def structured(self) -> bool:  # type: ignore[override]  # a class constant of plain schemes
        """Whether the first scheme prunes whole channels."""
        return self.of[0].structured

    @property
    def smooth(self) -> bool:  # type: ignore[override]  # a class constant of plain schemes
        """Whether all schemes are smooth."""
        return all(term.smooth for term in self.of)

    def project(self, weights: Tensors, *, mu: float, previous: Code | None = None) -> Code:
        code = self.of[0].project(weights, mu=mu, previous=previous)
        for term in self.of[1:]:
            code = code.with_reals(term.project(code.reals(), mu=mu))
        return code

    def check(self, shapes: Shapes) -> None:
        # later schemes see shapes that depend on the values: only the first can be checked
        self.of[0].check(shapes)

    def canonical(self, shapes: Shapes) -> Compression:
        kept = [term for term in self._flat() if not isinstance(term, Dense)]
        # only what comes first sees these shapes, and what dense leaves to it
        while kept and isinstance(first := kept[0].canonical(shapes), Dense):
            del kept[0]
        kept[:1] = [first] if kept else []
        return Dense() if not kept else kept[0] if len(kept) == 1 else Compose(kept)

    def _flat(self) -> tuple[Compression, ...]:
        """Return the schemes with compositions among them taken apart."""
        parts = (term._flat() if isinstance(term, Compose) else (term,) for term in self.of)
        return tuple(term for part in parts for term in part)


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

    Minimises ``‖w − Σⱼ Δⱼ(Θⱼ)‖²`` by alternating over the terms, each projecting what the others
    leave (Idelbayev & Carreira-Perpiñán 2021, arXiv:2107.04380), until the error decreases by less
    than ``tolerance`` of its value. A local optimum: no step increases the error, and the result
    is never worse than ``previous``.

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
        object.__setattr__(self, "of", _terms("additive", of, 2))
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

    def project(self, weights: Tensors, *, mu: float, previous: Code | None = None) -> Code:
        warm = isinstance(previous, AdditiveCode) and len(previous.terms) == len(self.of)
        codes: list[Code | None] = list(previous.terms) if warm else [None] * len(self.of)  # type: ignore[union-attr]
        # residual = w − Σ decoded terms; terms not fitted yet count as zero
        residual = [w.detach().clone() for w in weights]
        for code in codes:
            _add(residual, code, -1.0)
        error = _energy(residual) if warm else math.inf
        for _ in range(self.max_sweeps):
            before = error
            for position, term in enumerate(self.of):
                error = self._refit(codes, residual, position, term, mu)
            # a first cold sweep has nothing to be compared with
            if before < math.inf and before - error <= self.tolerance * before:
                break
        return AdditiveCode(tuple(code for code in codes if code is not None))

    @staticmethod
    def _refit(
        codes: list[Code | None],
        residual: list[Tensor],
        position: int,
        term: Compression,
        mu: float,
    ) -> float:
        """Refit one term in place to what the others leave; return the squared error."""
        old, old_error = codes[position], _energy(residual)
        _add(residual, old, 1.0)
        target = tuple(residual)
        new = term.project(target, mu=mu, previous=old)
        candidate = [r - d for r, d in zip(residual, new.decode(), strict=True)]
        if old is not None and _energy(candidate) > old_error:
            new, candidate = old, residual  # an approximate scheme may do worse: keep the old one
            _add(candidate, old, -1.0)
        codes[position] = new
        residual[:] = candidate
        return _energy(residual)

    def check(self, shapes: Shapes) -> None:
        for term in self.of:
            term.check(shapes)

    def canonical(self, shapes: Shapes) -> Compression:
        terms = tuple(term.canonical(shapes) for term in self.of)
        if any(isinstance(term, Dense) for term in terms):
            return Dense()
        return Additive(terms, self.tolerance, self.max_sweeps)


def _sum(parts: Iterable[Tensor]) -> Tensor:
    first, *rest = parts
    for part in rest:
        first = first + part
    return first


def _add(residual: list[Tensor], code: Code | None, alpha: float) -> None:
    if code is not None:
        torch._foreach_add_(residual, list(code.decode()), alpha=alpha)


def _energy(tensors: list[Tensor]) -> float:
    return sum(float(t.to(torch.float64).square().sum()) for t in tensors)
