"""Compositions: schemes applied one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, final

from autocompress.compression.base import (
    ASSIGN,
    CAST,
    Code,
    Compression,
    Facts,
    Shapes,
    Tensors,
    shapes_of,
    total_numel,
)
from autocompress.compression.combinations.additive import Additive, checked_terms
from autocompress.compression.dense import Dense
from autocompress.compression.estimate import Estimate
from autocompress.compression.weighting import Weighting, kind_of
from autocompress.errors import SchemeError


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
        object.__setattr__(self, "of", checked_terms("compose", of, 1))
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
    def joined(self) -> tuple[int, ...]:  # type: ignore[override]  # as above
        """The first scheme's."""
        return self.of[0].joined

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
                said = _told(str(error), position)
                raise SchemeError(f"compose, scheme {position + 1} ({term.name}): {said}") from None

    def estimate(self, shapes: Shapes) -> Estimate | None:
        whole = self.of[0].estimate(shapes)
        for term in self.of[1:]:
            if whole is None:
                return None
            left = whole.reals_shapes
            part = term.fitted(left).estimate(left)
            whole = None if part is None else whole.with_reals(part)
        return whole

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
        seen = enumerate(zip(self.of, self._seen(shapes), strict=False))
        remarks = (_told(term.remark(s), position) for position, (term, s) in seen)
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


def _told(message: str, position: int) -> str:
    """Return what a scheme says: those after the first see what is left, not the parameters."""
    return message.replace("tensor ", "part ") if position else message


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
