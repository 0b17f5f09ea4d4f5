"""Matrices of weights, and codes of factors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from autocompress.compression import Cast, Codebook, Compose, Dense, LowRank
from autocompress.compression.factorized.factors import (
    LowRankCode,
    from_matrix,
    make_code,
    matrix_shape,
    to_matrix,
)
from tests.compression import strategies as s
from tests.compression.factorized.eckart_young import discarded


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


def test_bits() -> None:
    code = LowRank(3).project((torch.randn(10, 7), torch.randn(4, 2, 3, 3)), mu=0.0)
    assert code.bits() == 32 * 3 * ((10 + 7) + (4 + 18))


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
