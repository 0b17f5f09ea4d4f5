"""What is left by one scheme is projected by the next."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from autocompress.compression import (
    Additive,
    Cast,
    Codebook,
    Compose,
    Dense,
    LowRank,
    Prune,
    StructurePrune,
)
from autocompress.compression.base import shapes_of
from autocompress.compression.factorized.factors import LowRankCode
from autocompress.errors import SchemeError
from tests.compression import strategies as s

SMALL = settings(max_examples=60)


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
