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
from autocompress.compression.factorized.factors import LowRankCode
from autocompress.errors import SchemeError
from tests.compression import strategies as s

SMALL = settings(max_examples=60)


# Compose ----------------------------------------------------------------------------------------


@SMALL
@given(s.vectors(20, least=8))
def test_pruning_then_codebook_quantizes_the_survivors(vector: Tensor) -> None:
    code = Compose([Prune(0.5), Codebook(2)]).project((vector,), mu=0.0)
    s.check_code(code, (vector,))
    sparse = Prune(0.5).project((vector,), mu=0.0)
    inner = Codebook(2).project((vector[sparse.index],), mu=0.0)
    expected = torch.zeros_like(vector)
    expected[sparse.index] = inner.decode()[0]
    assert torch.equal(code.decode()[0], expected)
    assert code.bits() == sparse.own_bits() + inner.bits()


@SMALL
@given(s.matrices(6))
def test_low_rank_then_cast_stores_factors_in_half_precision(weight: Tensor) -> None:
    weight = weight.clamp(-1e3, 1e3)
    code = Compose([LowRank(2), Cast("float16")]).project((weight,), mu=0.0)
    s.check_code(code, (weight,))
    assert isinstance(code, LowRankCode)
    if min(weight.shape) <= 2:  # not below the full rank: kept dense
        assert torch.equal(code.decode()[0], weight.half().to(weight.dtype))
        assert code.bits() == 16 * weight.numel()
        return
    exact = LowRank(2).project((weight,), mu=0.0)
    for (u, v), (a, b) in zip(code.factors(), exact.factors(), strict=True):
        # directions of no energy are rounding errors, not always the same ones
        kept = a.norm(dim=0) > 1e-4 * a.norm()
        for ours, theirs in ((u, a.half().to(u.dtype)), (v.mT, b.half().to(v.dtype).mT)):
            assert torch.equal(ours[:, kept], theirs[:, kept])
            assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-5)
    assert code.bits() == 16 * sum(u.numel() + v.numel() for u, v in code.factors())


def test_three_deep() -> None:
    torch.manual_seed(0)
    weight = torch.randn(30, 20)
    code = Compose([Prune(0.1), Codebook(4), Cast("float16")]).project((weight,), mu=0.0)
    s.check_code(code, (weight,))
    assert torch.unique(code.decode()[0]).numel() == 5  # four values and zero
    pattern = Prune(0.1).project((weight,), mu=0.0).own_bits()
    assert code.bits() == pattern + 60 * 2 + 4 * 16


def test_compositions_nest() -> None:
    torch.manual_seed(0)
    weights = (torch.randn(30, 20),)
    flat = Compose([Prune(0.1), Codebook(4), Cast("float16")])
    for nested in (
        Compose([Compose([Prune(0.1), Codebook(4)]), Cast("float16")]),
        Compose([Prune(0.1), Compose([Codebook(4), Cast("float16")])]),
    ):
        assert s.same(
            nested.project(weights, mu=0.0).decode(), flat.project(weights, mu=0.0).decode()
        )
        assert nested.canonical(shapes_of(weights)) == flat


def test_pruning_what_is_left_of_channels() -> None:
    torch.manual_seed(0)
    weights = (torch.randn(8, 5), torch.randn(8))
    code = Compose([StructurePrune(0.5), Prune(0.5)]).project(weights, mu=0.0)
    s.check_code(code, weights)
    weight, bias = code.decode()
    assert int((weight.abs().sum(1) + bias.abs() > 0).sum()) <= 4
    assert int((weight != 0).sum() + (bias != 0).sum()) == 12


def test_a_sum_may_come_last() -> None:
    torch.manual_seed(0)
    weights = (torch.randn(10, 10),)
    scheme = Compose([Prune(0.5), Additive([Codebook(2), Prune(0.1)])])
    s.check_code(scheme.project(weights, mu=0.0), weights)
    with pytest.raises(SchemeError, match="additive must come last"):
        Compose([Additive([Codebook(2), Prune(0.1)]), Cast("float16")])


def test_nothing_composes_after_a_sum() -> None:
    code = Additive([Codebook(2), Prune(0.1)]).project((torch.randn(10, 10),), mu=0.0)
    with pytest.raises(SchemeError, match="nothing can be composed after 'additive'"):
        code.reals()
    with pytest.raises(SchemeError, match="nothing can be composed after 'additive'"):
        code.with_reals(code)


def test_composition_misuse() -> None:
    with pytest.raises(SchemeError, match="at least 1"):
        Compose([])
    with pytest.raises(SchemeError, match="item 1 is 'prune', not a compression"):
        Compose([Dense(), "prune"])  # type: ignore[list-item]
    with pytest.raises(SchemeError, match="structure-prune must come first"):
        Compose([Prune(0.5), StructurePrune(0.5)])
    with pytest.raises(SchemeError, match="rank"):
        Compose([Prune(0.5), LowRank(1)]).project((torch.randn(4, 4),), mu=0.0)
    with pytest.raises(SchemeError, match="9 weights"):
        Compose([Codebook(10), Dense()]).check(((3, 3),))


def test_canonical_compositions() -> None:
    shapes = ((10, 10),)
    assert Compose([Dense()]).canonical(shapes) == Dense()
    assert Compose([Prune(1.0), Dense()]).canonical(shapes) == Dense()
    assert Compose([Prune(1.0), Codebook(4)]).canonical(shapes) == Codebook(4)
    assert Compose([LowRank(10), Cast("float16")]).canonical(shapes) == Cast("float16")
    assert Compose([Prune(0.1), Dense()]).canonical(shapes) == Prune(0.1)
    assert Compose([Dense(), LowRank(2, conv="spatial")]).canonical(shapes) == LowRank(2)
    assert Compose([Prune(1.0), LowRank(10), Prune(0.2)]).canonical(shapes) == Prune(0.2)
    kept = Compose([Prune(0.1), Codebook(2)])
    assert kept.canonical(shapes) == kept


# Additive ---------------------------------------------------------------------------------------

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
