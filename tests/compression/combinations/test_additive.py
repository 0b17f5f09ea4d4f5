"""Sums of codes, found by alternating over the terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression import (
    Additive,
    Cast,
    Code,
    Codebook,
    Compose,
    Compression,
    Dense,
    LowRank,
    Prune,
    StructurePrune,
)
from autocompress.compression.base import Tensors, flatten, shapes_of, unflatten
from autocompress.compression.combinations.additive import AdditiveCode
from autocompress.compression.dense import DenseCode
from autocompress.errors import SchemeError
from tests.compression import strategies as s

SMALL = settings(max_examples=60)
TERMS = [
    (Codebook(2), Prune(0.2)),
    (Prune(0.2), Codebook(3)),
    (LowRank(1), Prune(0.2)),
    (Codebook(2), LowRank(1), Prune(0.1)),
    (Compose([Codebook(2), Cast("bfloat16")]), Prune(0.1)),
]


@SMALL
@given(s.tensors((4, 5)), st.sampled_from(TERMS), st.integers(0, 3))
def test_sweeps_never_increase_the_error(
    weight: Tensor, terms: tuple[Compression, ...], sweeps: int
) -> None:
    weights = (weight,)
    slack = s.slack(weights, 256.0) ** 0.5
    errors = []
    for count in range(1, sweeps + 2):
        code = Additive(terms, tolerance=0.0, max_sweeps=count).project(weights, mu=0.0)
        errors.append(s.error(code.decode(), weights) ** 0.5)
    s.check_code(code, weights)
    assert errors[0] <= s.energy(weights) ** 0.5 + slack
    assert all(b <= a + slack for a, b in pairwise(errors))


@SMALL
@given(s.tensors((4, 5)), s.tensors((4, 5)), st.sampled_from(TERMS))
def test_a_warm_start_is_never_left_for_something_worse(
    weight: Tensor, elsewhere: Tensor, terms: tuple[Compression, ...]
) -> None:
    weights = (weight,)
    scheme = Additive(terms)
    start = scheme.project((elsewhere.to(weight.dtype),), mu=0.0)
    code = scheme.project(weights, mu=0.0, previous=start)
    scale = s.slack((weight, elsewhere.to(weight.dtype)), 256.0) ** 0.5
    before = s.error(start.decode(), weights) ** 0.5
    assert s.error(code.decode(), weights) ** 0.5 <= before * (1 + 1e-6) + scale


@SMALL
@given(s.tensors((4, 5)), st.sampled_from(TERMS))
def test_a_warm_start_from_the_solution_keeps_it(
    weight: Tensor, terms: tuple[Compression, ...]
) -> None:
    scheme = Additive(terms)
    first = scheme.project((weight,), mu=0.0)
    again = scheme.project((weight,), mu=0.0, previous=first)
    slack = s.slack((weight,), 256.0) ** 0.5
    before = s.error(first.decode(), (weight,)) ** 0.5
    assert s.error(again.decode(), (weight,)) ** 0.5 <= before + slack


def test_a_cold_start_alternates_until_the_error_stalls() -> None:
    """One pass over the terms is not the end of it."""
    torch.manual_seed(0)
    weights = (torch.randn(20, 20),)
    terms = (Codebook(2), Prune(0.05))
    errors = {
        sweeps: s.error(
            Additive(terms, max_sweeps=sweeps).project(weights, mu=0.0).decode(), weights
        )
        for sweeps in (1, 30)
    }
    assert errors[30] < 0.99 * errors[1]


def test_a_sum_is_better_than_either_term() -> None:
    torch.manual_seed(0)
    weights = (torch.randn(30, 30),)
    both = Additive([Codebook(2), Prune(0.05)]).project(weights, mu=0.0)
    for term in (Codebook(2), Prune(0.05)):
        alone = s.error(term.project(weights, mu=0.0).decode(), weights)
        assert s.error(both.decode(), weights) < alone


def test_starts_of_another_kind_are_ignored() -> None:
    torch.manual_seed(0)
    weights = (torch.randn(6, 6),)
    scheme = Additive([Codebook(2), Prune(0.1)])
    cold = scheme.project(weights, mu=0.0).decode()
    other = Additive([Codebook(2), Prune(0.1), LowRank(1)]).project(weights, mu=0.0)
    for previous in (other, Dense().project(weights, mu=0.0)):
        assert s.same(scheme.project(weights, mu=0.0, previous=previous).decode(), cold)


@dataclass(frozen=True)
class Careless(Compression):
    """A scheme that answers worse the second time it is asked."""

    name: ClassVar[str] = "test-careless"

    def project(
        self, weights: Tensors, *, mu: float, previous: Code | None = None, weighting: Any = None
    ) -> Code:
        good = Codebook(2).project(weights, mu=mu)
        if previous is None:
            return good
        worse = flatten(good.decode()) + 100.0
        return DenseCode(worse, shapes_of(weights), worse.dtype)


def test_an_approximate_term_that_does_worse_is_not_taken() -> None:
    torch.manual_seed(0)
    weights = (torch.randn(8, 8),)
    code = Additive([Careless(), Prune(0.1)], tolerance=0.0, max_sweeps=3).project(weights, mu=0.0)
    once = Additive([Careless(), Prune(0.1)], max_sweeps=1).project(weights, mu=0.0)
    assert s.error(code.decode(), weights) <= s.error(once.decode(), weights) * (1 + 1e-6)


@dataclass(frozen=True, eq=False)
class ScaleCode(Code):
    """mu itself, once per weight: shows what a scheme was given."""

    kind: ClassVar[str] = "test-scale"
    mu: float
    weights: Tensors

    def decode(self) -> Tensors:
        flat = flatten(self.weights)
        return unflatten(torch.full_like(flat, self.mu), shapes_of(self.weights))

    def own_bits(self) -> int:
        return 64

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def meta(self) -> dict[str, Any]:
        return {"mu": self.mu}

    @classmethod
    def restore(
        cls, meta: Mapping[str, Any], tensors: Mapping[str, Tensor], children: Mapping[str, Code]
    ) -> Self:
        raise NotImplementedError

    def reals(self) -> Tensors:
        return self.weights

    def with_reals(self, inner: Code) -> Code:
        return inner


@dataclass(frozen=True)
class Scale(Compression):
    name: ClassVar[str] = "test-scale"

    def project(
        self, weights: Tensors, *, mu: float, previous: Code | None = None, weighting: Any = None
    ) -> Code:
        return ScaleCode(mu, weights)


def test_mu_reaches_every_scheme_inside() -> None:
    weights = (torch.ones(2, 2),)
    assert Compose([Dense(), Scale()]).project(weights, mu=3.0).decode()[0].unique().tolist() == [3]
    code = Additive([Scale(), Scale()], max_sweeps=1).project(weights, mu=5.0)
    assert all(isinstance(t, ScaleCode) and t.mu == 5.0 for t in code.children().values())


def test_sum_misuse() -> None:
    with pytest.raises(SchemeError, match="at least 2"):
        Additive([Codebook(2)])
    with pytest.raises(SchemeError, match="structured"):
        Additive([Codebook(2), StructurePrune(0.5)])
    with pytest.raises(SchemeError, match="structured"):
        Additive([Codebook(2), Compose([StructurePrune(0.5), Cast("float16")])])
    wrong: list[dict[str, Any]] = [
        {"tolerance": -1.0},
        {"tolerance": float("nan")},
        {"tolerance": "x"},
        {"tolerance": None},
        {"max_sweeps": 0},
        {"max_sweeps": 2.5},
    ]
    for options in wrong:
        with pytest.raises(SchemeError, match="tolerance"):
            Additive([Codebook(2), Prune(0.1)], **options)
    with pytest.raises(SchemeError, match="only 4 weights"):
        Additive([Prune(0.1), Codebook(5)]).check(((2, 2),))


def test_canonical_sums() -> None:
    shapes = ((10, 10),)
    assert Additive([Codebook(2), Prune(1.0)]).canonical(shapes) == Dense()
    scheme = Additive([Compose([Codebook(2), Dense()]), Prune(0.1)], tolerance=0.1, max_sweeps=3)
    assert scheme.canonical(shapes) == Additive([Codebook(2), Prune(0.1)], 0.1, 3)


def test_restoring_a_sum_with_missing_terms_is_refused() -> None:
    code = Additive([Codebook(2), Prune(0.1)]).project((torch.randn(10, 10),), mu=0.0)
    with pytest.raises(KeyError):
        AdditiveCode.restore({}, {}, {"0": code.children()["0"], "2": code.children()["1"]})
