from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from autocompress.compression import Dense, LowRank
from autocompress.compression.factors import LowRankCode, from_matrix, matrix_shape, to_matrix
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
    ((u, v),) = code.factors()
    kept = min(rank, *weight.shape)
    assert u.shape == (weight.shape[0], kept)
    assert v.shape == (kept, weight.shape[1])


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
    ((u, v),) = code.factors()
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
    ((u, v),) = LowRank(3).project((torch.randn(9, 7),), mu=0.0).factors()
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


@pytest.mark.parametrize("rank", [0, -1, 1.0, 2.5, "2", None, True])
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
