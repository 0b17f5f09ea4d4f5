"""The nearest weights of a given rank."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression import Additive, Dense, LowRank
from autocompress.compression.weighting import Covariance, Diagonal
from autocompress.errors import SchemeError
from tests.compression import strategies as s
from tests.compression.factorized.eckart_young import discarded


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
    with pytest.raises(SchemeError, match=r"not tensor \d of shape \(5,\)"):
        LowRank(2).check(((3, 4), (5,)))
    with pytest.raises(SchemeError, match=r"not tensor \d of shape \(5,\)"):
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


def test_a_sum_of_two_low_ranks_is_one_of_their_ranks_together() -> None:
    torch.manual_seed(0)
    weight = torch.randn(12, 9)
    code = Additive([LowRank(3), LowRank(5)]).project((weight,), mu=0.0)
    assert s.error(code.decode(), (weight,)) == pytest.approx(discarded(weight, 8), rel=1e-4)
