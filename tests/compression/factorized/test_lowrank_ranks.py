"""Which rank each layer gets: fractions, energies, shares of parameters and FLOPs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression import Dense, LowRank, from_dict, to_dict
from autocompress.compression.base import Facts
from autocompress.compression.weighting import Covariance
from autocompress.errors import SchemeError
from tests.compression import strategies as s

SHAPES = ((10, 20), (6, 4), (3, 50))


def bound(scheme: LowRank, inputs: tuple[int, ...], outputs: tuple[int, ...], groups: int = 1):
    return scheme.bind([Facts(inputs, outputs, groups=groups)])


def test_a_fraction_is_of_each_layers_own_full_rank() -> None:
    weights = tuple(torch.randn(shape) for shape in SHAPES)
    assert LowRank(rank_fraction=0.5).project(weights, mu=0.0).ranks() == (5, 2, 2)
    assert LowRank(rank_fraction=0.01).project(weights, mu=0.0).ranks() == (1, 1, 1)
    assert LowRank(rank_fraction=0.9).project(weights, mu=0.0).ranks() == (9, None, None)
    spatial = LowRank(rank_fraction=0.5, conv="spatial")
    assert spatial.project((torch.randn(8, 4, 3, 3),), mu=0.0).ranks() == (6,)


@given(s.matrices(6), st.floats(0.01, 1))
def test_energy_takes_the_smallest_rank_that_keeps_it(weight: Tensor, energy: float) -> None:
    (rank,) = LowRank(energy=energy).project((weight,), mu=0.0).ranks()
    squares = np.linalg.svd(weight.double().numpy(), compute_uv=False) ** 2
    kept = np.concatenate([[0.0], np.cumsum(squares)])
    slack = 1e-6 * kept[-1]
    if rank is None:
        assert len(squares) == 1 or kept[-2] < energy * kept[-1] + slack
    else:
        assert kept[rank] >= energy * kept[-1] - slack
        assert rank == 1 or kept[rank - 1] < energy * kept[-1] + slack


def test_energy_under_a_covariance_is_that_of_the_outputs() -> None:
    # the second input, where all the weight is, is never there
    weight = torch.tensor([[1.0, 100.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
    norm = Covariance((torch.diag(torch.tensor([1.0, 0.0, 4.0])),))
    assert LowRank(energy=0.9).project((weight,), mu=0.0).ranks() == (1,)
    code = LowRank(energy=0.9).project((weight,), mu=0.0, weighting=norm)
    assert code.ranks() == (2,)
    expected = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
    assert torch.allclose(code.decode()[0], expected, atol=1e-6)


@given(st.integers(2, 40), st.integers(2, 40), st.floats(0.001, 1))
def test_a_share_of_the_parameters_takes_the_largest_rank_within(m: int, n: int, p: float) -> None:
    scheme = LowRank(parameters=p)
    (rank,) = scheme.project((torch.randn(m, n),), mu=0.0).ranks()
    if rank is None:  # rank 1 would save nothing, or all may stay
        assert m + n >= m * n or p == 1
        assert scheme.canonical(((m, n),)) == Dense()
        return
    assert rank < min(m, n)
    assert rank == 1 or rank * (m + n) <= p * m * n * (1 + 1e-9)
    assert (rank + 1) * (m + n) > p * m * n * (1 - 1e-9)
    assert scheme.canonical(((m, n),)) == LowRank(rank)


def test_shares_are_not_lost_to_rounding() -> None:
    # 0.3 of 1000 is 300, though 0.3 * 1000 is a little less
    weight = torch.randn(20, 50)
    assert LowRank(parameters=0.3 * 70 / 60).project((weight,), mu=0.0).ranks() == (5,)
    assert LowRank(parameters=0.7).project((torch.randn(50, 50),), mu=0.0).ranks() == (17,)


def test_a_share_of_the_flops_depends_on_the_form_of_the_two_convolutions() -> None:
    weight = torch.randn(16, 8, 3, 5)
    # 16·8·15 weights applied 5·6 times; a stride of 2 by 1, so 10·6 positions come in
    dense = 16 * 8 * 15 * 30
    channel = bound(LowRank(flops=0.5), (10, 6), (5, 6)).project((weight,), mu=0.0)
    assert channel.ranks() == (dense // 2 // ((8 * 15 + 16) * 30),)
    wide = bound(LowRank(flops=0.5, conv="spatial"), (5, 12), (5, 6)).project((weight,), mu=0.0)
    # the 3×1 convolution has the height of the output, 5, and the width of the input, 12
    assert wide.ranks() == (dense // 2 // (8 * 3 * 60 + 16 * 5 * 30),)


def test_flops_of_linear_layers_are_known_without_a_model() -> None:
    assert LowRank(flops=0.5).project((torch.randn(20, 30),), mu=0.0).ranks() == (6,)
    with pytest.raises(SchemeError, match="must be bound to a model"):
        LowRank(flops=0.5).project((torch.randn(8, 4, 3, 3),), mu=0.0)
    scheme = LowRank(flops=0.5)
    assert scheme.needs == {"spatial"}
    assert bound(scheme, (4, 4), (4, 4)).unbound() == scheme
    assert LowRank(4).needs == frozenset()


def test_a_convolution_with_groups_has_no_cheaper_form() -> None:
    grouped = bound(LowRank(flops=0.5), (4, 4), (4, 4), groups=2)
    assert grouped.project((torch.randn(8, 4, 3, 3),), mu=0.0).ranks() == (None,)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "exactly one of rank, rank_fraction, .* not none"),
        ({"rank": 2, "energy": 0.5}, "not rank and energy"),
        ({"rank_fraction": 0}, r"rank_fraction = 0 is not in \(0, 1\]"),
        ({"energy": 1.5}, r"energy = 1\.5 is not in"),
        ({"parameters": "x"}, "parameters = 'x' is not in"),
        ({"flops": True}, "flops = True is not in"),
        ({"rank": True}, "rank = True is not an integer"),
    ],
)
def test_one_of_five_is_given(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemeError, match=message):
        LowRank(**fields)


def test_what_stays_dense_is_said() -> None:
    shapes = ((300, 784), (10, 100))
    assert LowRank(8).remark(shapes) == ""
    assert LowRank(40).remark(shapes) == (
        "rank 40 is not below the full rank 10 of tensor 1 of shape (10, 100): kept dense"
    )
    assert LowRank(400).remark(shapes).count("kept dense") == 2
    assert LowRank(rank_fraction=0.99).remark(shapes).startswith("rank 10 is not below")
    assert LowRank(energy=0.9).remark(shapes) == ""


def test_canonical_is_a_rank_where_one_will_do() -> None:
    assert LowRank(rank_fraction=0.5).canonical(((10, 20), (10, 12))) == LowRank(5)
    assert LowRank(rank_fraction=0.5).canonical(SHAPES) == LowRank(rank_fraction=0.5)
    # rank 5 is dense for the second in both
    assert LowRank(7).canonical(((10, 20), (3, 50))) == LowRank(7)
    assert LowRank(rank_fraction=1.0).canonical(SHAPES) == Dense()
    assert LowRank(parameters=1.0).canonical(SHAPES) == Dense()
    assert LowRank(flops=1.0).canonical(((8, 4, 3, 3),)) == Dense()
    energy = LowRank(energy=0.5, conv="spatial")
    assert energy.canonical(SHAPES) == LowRank(energy=0.5)
    assert energy.canonical(((8, 4, 3, 3),)) == energy


def test_reals_shapes_are_those_of_the_code_or_the_smallest() -> None:
    weights = tuple(torch.randn(shape) for shape in SHAPES)
    for scheme in (LowRank(3), LowRank(rank_fraction=0.5), LowRank(parameters=0.4)):
        reals = scheme.project(weights, mu=0.0).reals()
        assert scheme.reals_shapes(SHAPES) == tuple(tuple(r.shape) for r in reals)
    assert LowRank(energy=0.9).reals_shapes(((4, 6), (1, 5))) == ((4, 1), (1, 6), (1, 5))


def test_json_leaves_out_what_is_not_given() -> None:
    assert to_dict(LowRank(3)) == {"scheme": "low-rank", "rank": 3, "conv": "channel"}
    assert LowRank(energy=0.9).describe() == "low-rank(energy=0.9)"
    sized = bound(LowRank(flops=0.5), (4, 4), (4, 4))
    assert from_dict(json.loads(json.dumps(to_dict(sized)))) == sized
    assert "sites" not in sized.describe()
