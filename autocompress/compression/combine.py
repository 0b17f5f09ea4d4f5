"""Schemes made of schemes: compositions and sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self, final

import torch
from torch import Tensor

from autocompress.compression.base import (
    ASSIGN,
    CAST,
    Code,
    Compression,
    Facts,
    Meta,
    Shapes,
    Tensors,
    shapes_of,
    total_numel,
)
from autocompress.compression.dense import Dense
from autocompress.compression.weighting import Weighting, energy, kind_of
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
        flat = [term for term in self._flat() if not isinstance(term, Dense)]
        for first, second in pairwise(flat):
            _check_order(first, second)
        for term in self.of[1:]:
            if term.structured:
                raise SchemeError(f"compose: {term.name} must come first, it works on channels")

    @property
    def stage(self) -> int:  # type: ignore[override]  # a class constant of plain schemes
        """The last scheme's."""
        return self.of[-1].stage

    @property
    def weightings(self) -> frozenset[str]:  # type: ignore[override]
        """The first scheme's: what comes after it gets the norm on what it leaves, if any."""
        return self.of[0].weightings

    @property
    def penalized(self) -> bool:  # type: ignore[override]
        """Whether some scheme is."""
        return any(term.penalized for term in self.of)

    @property
    def structured(self) -> bool:  # type: ignore[override]  # a class constant of plain schemes
        """Whether the first scheme prunes whole channels."""
        return self.of[0].structured

    @property
    def smooth(self) -> bool:  # type: ignore[override]  # a class constant of plain schemes
        """Whether all schemes are smooth."""
        return all(term.smooth for term in self.of)

    def project(
        self,
        weights: Tensors,
        *,
        mu: float,
        previous: Code | None = None,
        weighting: Weighting | None = None,
    ) -> Code:
        code = part = self.of[0].project(weights, mu=mu, previous=previous, weighting=weighting)
        for term in self.of[1:]:
            weighting = part.reals_weighting(weighting) if weighting is not None else None
            taken = weighting if kind_of(weighting) in term.weightings else None
            reals = code.reals()
            if not total_numel(shapes_of(reals)):
                break  # nothing survived a penalty
            # how many survive one is not known when the composition is made and checked
            part = term.fitted(shapes_of(reals)).project(reals, mu=mu, weighting=taken)
            code = code.with_reals(part)
        return code

    def penalty(self, code: Code) -> float:
        # only what the first scheme decided is priced; the others see what it left
        return self.of[0].penalty(code)

    def check(self, shapes: Shapes) -> None:
        for position, (term, seen) in enumerate(zip(self.of, self._seen(shapes), strict=False)):
            try:
                term.check(seen)
            except SchemeError as error:
                raise SchemeError(
                    f"compose, scheme {position + 1} ({term.name}): {error}"
                ) from None

    def fitted(self, shapes: Shapes) -> Compression:
        terms: list[Compression] = []
        seen: Shapes | None = shapes
        for term in self.of:
            fitted = term if seen is None else term.fitted(seen)
            terms.append(fitted)
            seen = None if seen is None else fitted.reals_shapes(seen)
        return Compose(terms)

    def _seen(self, shapes: Shapes) -> Iterator[Shapes]:
        """Yield the shapes that each scheme in turn sees, as far as they can be told."""
        seen: Shapes | None = shapes
        for term in self.of:
            if seen is None:
                return
            yield seen
            seen = term.reals_shapes(seen)

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """The first scheme's: only it sees the model's own parameters."""
        return self.of[0].needs

    def bind(self, facts: Sequence[Facts]) -> Compression:
        return Compose((self.of[0].bind(facts), *self.of[1:]))

    def unbound(self) -> Compression:
        return Compose(term.unbound() for term in self.of)

    def remark(self, shapes: Shapes) -> str:
        remarks = (t.remark(s) for t, s in zip(self.of, self._seen(shapes), strict=False))
        return "; ".join(remark for remark in remarks if remark)

    def reals_shapes(self, shapes: Shapes) -> Shapes | None:
        *_, last = self._seen(shapes)
        return self.of[-1].reals_shapes(last)

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


def _check_order(first: Compression, second: Compression) -> None:
    """Raise SchemeError where the second scheme would undo the first or has nothing to work on."""
    if isinstance(first, Additive):
        raise SchemeError("compose: additive must come last; compose inside its terms")
    if first.stage == CAST:
        raise SchemeError(
            f"compose: {second.name} after {first.name} would undo it: put {first.name} last"
        )
    if first.stage >= ASSIGN and second.stage <= first.stage:
        raise SchemeError(
            f"compose: {second.name} cannot follow {first.name}, which leaves only the values that "
            f"weights take (its codebook or scales): put {second.name} first"
        )


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
        self.decoded = [code.decode() if code is not None else None for code in codes]
        for tensors in self.decoded:
            self._add(tensors, -1.0)
        self.value = self.objective()

    def refit(self, position: int) -> float:
        """Refit one term to what the others leave; return the objective, never increased."""
        scheme, old, was = self.schemes[position], self.codes[position], self.decoded[position]
        self._add(was, 1.0)
        target = tuple(self.residual)
        new = scheme.project(target, mu=self.mu, previous=old, weighting=self.weighting)
        self.codes[position], self.decoded[position] = new, new.decode()
        self._add(self.decoded[position], -1.0)
        value = self.objective()
        if old is not None and value > self.value:
            # an approximate scheme may do worse, an exact one by rounding: keep the old one
            self._add(self.decoded[position], 1.0)
            self._add(was, -1.0)
            self.codes[position], self.decoded[position] = old, was
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

    def _add(self, tensors: Tensors | None, alpha: float) -> None:
        if tensors is not None:
            torch._foreach_add_(self.residual, list(tensors), alpha=alpha)


def _sum(parts: Iterable[Tensor]) -> Tensor:
    first, *rest = parts
    for part in rest:
        first = first + part
    return first
