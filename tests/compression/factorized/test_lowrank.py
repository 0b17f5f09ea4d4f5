from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from autocompress.compression import (
    Additive,
    Cast,
    Codebook,
    Compose,
    Dense,
    LowRank,
    from_dict,
    to_dict,
)
from autocompress.compression.base import Facts
from autocompress.compression.factorized.factors import (
    LowRankCode,
    from_matrix,
    make_code,
    matrix_shape,
    to_matrix,
)
from autocompress.compression.weighting import Covariance, Diagonal
from autocompress.errors import SchemeError
from tests.compression import strategies as s


def discarded(matrix: Tensor, rank: int) -> float:
    """Eckart & Young: the least error is the sum of the discarded squared singular values."""
    singular = np.linalg.svd(matrix.double().numpy(), compute_uv=False)
    return float((singular[rank:] ** 2).sum())


@given(s.matrices(7), st.integers(1, 8))
def test_the_error_is_that_of_the_discarded_singular_values(weight: Tensor, rank: int) -> None:
    code = LowRank(rank).project((weight,), mu=0.0)
    s.check_code(code, (weight,))
    best = discarded(weight, rank)
    found = s.error(code.decode(), (weight,))
    slack = s.slack((weight,))
    assert found**0.5 <= best**0.5 + slack**0.5
    assert best**0.5 <= found**0.5 + slack**0.5
    (pair,) = code.factors()
    if rank >= min(weight.shape):
        assert pair is None
        assert torch.equal(code.decode()[0], weight)
    else:
        assert pair is not None
        assert pair[0].shape == (weight.shape[0], rank)
        assert pair[1].shape == (rank, weight.shape[1])


@given(st.data(), st.integers(1, 4), st.sampled_from(["channel", "spatial"]))
def test_convolutions_under_both_reshapings(data: st.DataObject, rank: int, conv: str) -> None:
    sides = st.integers(1, 3)
    shape = tuple(data.draw(sides) for _ in range(4))
    weight = data.draw(s.tensors(shape))
    code = LowRank(rank, conv=conv).project((weight,), mu=0.0)
    s.check_code(code, (weight,))
    out, inputs, height, width = shape
    if conv == "channel":
        matrix = weight.reshape(out, inputs * height * width)
    else:
        # the entry at row (o, x) and column (i, y), spelled out
        matrix = torch.stack(
            [weight[o, :, :, x].reshape(-1) for o in range(out) for x in range(width)]
        )
    assert matrix_shape(shape, conv) == tuple(matrix.shape)
    assert torch.equal(to_matrix(weight, conv), matrix)
    assert torch.equal(from_matrix(matrix, shape, conv), weight)
    found = s.error(code.decode(), (weight,)) ** 0.5
    assert found == pytest.approx(
        discarded(matrix, rank) ** 0.5, rel=1e-6, abs=s.slack((weight,)) ** 0.5 + 1e-300
    )


def test_spatial_factors_are_two_convolutions() -> None:
    """The reshaping is the one whose factors are a vertical and a horizontal convolution."""
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 5, (3, 2), bias=False)
    code = LowRank(4, conv="spatial").project((conv.weight.detach(),), mu=0.0)
    (pair,) = code.factors()
    assert pair is not None
    u, v = pair
    first = v.reshape(4, 3, 3, 1)
    second = u.reshape(5, 2, 4).permute(0, 2, 1)[:, :, None]
    x = torch.randn(1, 3, 8, 8)
    two = nn.functional.conv2d(nn.functional.conv2d(x, first), second)
    one = nn.functional.conv2d(x, code.decode()[0])
    assert torch.allclose(one, two, atol=1e-5)


def test_every_tensor_is_factorized_by_itself() -> None:
    torch.manual_seed(0)
    weights = (torch.randn(6, 8), torch.randn(4, 3, 2, 2), torch.randn(5, 2))
    together = LowRank(2).project(weights, mu=0.0).decode()
    for weight, decoded in zip(weights, together, strict=True):
        assert torch.equal(LowRank(2).project((weight,), mu=0.0).decode()[0], decoded)


def test_factors_are_balanced() -> None:
    torch.manual_seed(0)
    (pair,) = LowRank(3).project((torch.randn(9, 7),), mu=0.0).factors()
    assert pair is not None
    u, v = pair
    assert torch.allclose(u.T @ u, v @ v.T, atol=1e-5)


def test_bits() -> None:
    code = LowRank(3).project((torch.randn(10, 7), torch.randn(4, 2, 3, 3)), mu=0.0)
    assert code.bits() == 32 * 3 * ((10 + 7) + (4 + 18))


def test_half_precision_weights_are_factorized_too() -> None:
    torch.manual_seed(0)
    for dtype in (torch.float16, torch.bfloat16):
        weight = torch.randn(6, 5).to(dtype)
        code = LowRank(2).project((weight,), mu=0.0)
        s.check_code(code, (weight,))
        assert s.error(code.decode(), (weight,)) == pytest.approx(discarded(weight, 2), rel=0.02)


@pytest.mark.parametrize("rank", [0, -1, 1.0, 2.5, "2", True])
def test_ranks_below_one_are_refused(rank: int) -> None:
    with pytest.raises(SchemeError, match=r"rank = .* is not an integer >= 1"):
        LowRank(rank)


def test_unknown_reshapings_are_refused() -> None:
    with pytest.raises(SchemeError, match="accepted is 'channel' or 'spatial'"):
        LowRank(2, conv="tucker")


def test_vectors_have_no_rank() -> None:
    with pytest.raises(SchemeError, match=r"not shape \(5,\)"):
        LowRank(2).check(((3, 4), (5,)))
    with pytest.raises(SchemeError, match=r"not shape \(5,\)"):
        LowRank(2).project((torch.ones(5),), mu=0.0)
    with pytest.raises(SchemeError, match="2-D convolution"):
        LowRank(2, conv="spatial").check(((3, 4, 5),))


def test_canonical() -> None:
    assert LowRank(10).canonical(((10, 20),)) == Dense()
    assert LowRank(9).canonical(((10, 20),)) == LowRank(9)
    assert LowRank(10).canonical(((10, 20), (30, 40))) == LowRank(10)
    # (out·kw, in·kh) has the larger full rank here
    shapes = ((8, 8, 3, 3),)
    assert LowRank(8).canonical(shapes) == Dense()
    assert LowRank(8, conv="spatial").canonical(shapes) == LowRank(8, conv="spatial")
    assert LowRank(24, conv="spatial").canonical(shapes) == Dense()
    # without a convolution the reshaping says nothing
    assert LowRank(2, conv="spatial").canonical(((10, 20),)) == LowRank(2)


SHAPES = ((10, 20), (6, 4), (3, 50))


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


def bound(scheme: LowRank, inputs: tuple[int, ...], outputs: tuple[int, ...], groups: int = 1):
    return scheme.bind([Facts(inputs, outputs, groups=groups)])


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
        "rank 40 is not below the full rank 10 of tensor 1 (10, 100): kept dense"
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


def test_covariances_need_the_channel_form() -> None:
    assert LowRank(2).weightings == {"covariance"}
    assert LowRank(2, conv="spatial").weightings == frozenset()
    norm = Covariance((torch.eye(36),))
    with pytest.raises(SchemeError, match="spatial reshaping has no C step under a covariance"):
        LowRank(2, conv="spatial").project((torch.randn(8, 4, 3, 3),), mu=0.0, weighting=norm)
    norm = Covariance((torch.eye(35),))
    with pytest.raises(SchemeError, match=r"needs \(36, 36\)"):
        LowRank(2).project((torch.randn(8, 4, 3, 3),), mu=0.0, weighting=norm)
    with pytest.raises(SchemeError, match="no diagonal weighting"):
        LowRank(2).project((torch.eye(3),), mu=0.0, weighting=Diagonal((torch.ones(3, 3),)))


def test_energy_under_a_covariance_is_that_of_the_outputs() -> None:
    # the second input, where all the weight is, is never there
    weight = torch.tensor([[1.0, 100.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
    norm = Covariance((torch.diag(torch.tensor([1.0, 0.0, 4.0])),))
    assert LowRank(energy=0.9).project((weight,), mu=0.0).ranks() == (1,)
    code = LowRank(energy=0.9).project((weight,), mu=0.0, weighting=norm)
    assert code.ranks() == (2,)
    expected = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
    assert torch.allclose(code.decode()[0], expected, atol=1e-6)


def test_a_sum_of_two_low_ranks_is_one_of_their_ranks_together() -> None:
    torch.manual_seed(0)
    weight = torch.randn(12, 9)
    code = Additive([LowRank(3), LowRank(5)]).project((weight,), mu=0.0)
    assert s.error(code.decode(), (weight,)) == pytest.approx(discarded(weight, 8), rel=1e-4)


def test_factors_are_compressed_further() -> None:
    torch.manual_seed(0)
    weights = (torch.randn(12, 9), torch.randn(2, 20))
    quantized = Compose([LowRank(4), Codebook(8)]).project(weights, mu=0.0)
    assert isinstance(quantized, LowRankCode)
    assert quantized.ranks() == (4, None)
    assert torch.cat([r.reshape(-1) for r in quantized.reals()]).numel() == 8
    s.check_code(quantized, weights)
    s.check_code(Compose([LowRank(4), Cast("float16")]).project(weights, mu=0.0), weights)


@pytest.mark.parametrize(
    "edit", [{"shapes": [[6, 9]]}, {"shapes": [[6, 8], [6, 8]]}, {"conv": "x"}, {"shapes": []}]
)
def test_restoring_contradicting_parts_is_refused(edit: dict[str, object]) -> None:
    code = LowRank(2).project((torch.randn(6, 8),), mu=0.0)
    with pytest.raises(ValueError, match=r"."):
        LowRankCode.restore(code.meta() | edit, {}, code.children())


def test_factors_that_cannot_be_multiplied_are_refused() -> None:
    flat = Dense().project((torch.zeros(6, 2), torch.zeros(3, 8)), mu=0.0)
    with pytest.raises(ValueError, match="no factors"):
        LowRankCode.restore({"shapes": [[6, 8]], "conv": "channel"}, {}, {"inner": flat})


def test_positions_of_dense_weights_are_checked() -> None:
    weights = (torch.randn(6, 8), torch.randn(2, 5))
    code = LowRank(2).project(weights, mu=0.0)
    assert code.meta()["dense"] == [1]
    assert s.same(s.stored(code).decode(), code.decode())
    for dense in ([], [0], [0, 1], [1, 1], [2], ["x"]):
        with pytest.raises(ValueError, match=r"."):
            LowRankCode.restore(code.meta() | {"dense": dense}, {}, code.children())


def test_codes_without_dense_weights_are_written_as_they_always_were() -> None:
    code = LowRank(2).project((torch.randn(6, 8),), mu=0.0)
    assert code.meta() == {"shapes": [[6, 8]], "conv": "channel"}


def test_a_rank_of_zero_is_a_weight_of_zeros() -> None:
    weight = torch.randn(3, 4)
    code = make_code((weight,), [(weight[:, :0], weight[:0])], "channel")
    assert code.ranks() == (0,)
    assert code.bits() == 0
    assert torch.equal(code.decode()[0], torch.zeros(3, 4))
    s.check_code(code, (weight,))
