from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression.factorized.svd import decompose, tails
from autocompress.compression.weighting import Covariance, energy, is_definite
from tests.compression import strategies as s


@st.composite
def covariances(draw: st.DrawFn, width: int) -> Tensor:
    """A covariance of few or many samples, some inputs never there, at any scale."""
    samples = draw(st.integers(0, 2 * width))
    seed = draw(st.integers(0, 1000))
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, width, generator=generator, dtype=torch.float64)
    inputs[:, draw(st.integers(0, width - 1)) :: 3] *= draw(st.sampled_from([0.0, 1.0]))
    return inputs.T @ inputs * draw(st.sampled_from([1.0, 1e-8, 1e8]))


def whitened(weight: Tensor, covariance: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the singular values of W C^½ and C's null space, by NumPy alone."""
    values, vectors = np.linalg.eigh(covariance.numpy())
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    singular = np.linalg.svd(weight.double().numpy() @ root, compute_uv=False)
    return singular, vectors[:, values <= 1e-10 * max(values.max(), 1e-300)]


@given(st.data(), st.integers(1, 8))
def test_products_are_the_best_in_the_norm_and_zero_where_it_sees_nothing(
    data: st.DataObject, rank: int
) -> None:
    weight = data.draw(s.matrices(7))
    covariance = data.draw(covariances(weight.shape[1]))
    found = decompose(weight, covariance)
    u, v = found.truncated(rank)
    assert u.dtype == v.dtype == weight.dtype
    singular, null = whitened(weight, covariance)
    # in float64 both ways are right to about half the digits of a square root
    scale = float(np.linalg.norm(singular))
    slack = scale * (64 * torch.finfo(weight.dtype).eps + 3e-7) + 1e-300
    error = energy((weight.double() - u.double() @ v.double(),), Covariance((covariance,)))
    assert max(error, 0.0) ** 0.5 == pytest.approx(
        float(np.sqrt((singular[rank:] ** 2).sum())), rel=1e-6, abs=slack
    )
    assert found.squares.sqrt().numpy() == pytest.approx(singular, rel=1e-6, abs=slack)
    unseen = (u.double() @ v.double()).numpy() @ null
    assert np.abs(unseen).max(initial=0) <= 1e-5 * float(weight.abs().max())


@given(s.matrices(7), st.integers(1, 7))
def test_the_identity_covariance_is_no_covariance(weight: Tensor, rank: int) -> None:
    plain = decompose(weight)
    same = decompose(weight, torch.eye(weight.shape[1]))
    for a, b in zip(plain.squares.sqrt(), same.squares.sqrt(), strict=True):
        assert float(a) == pytest.approx(float(b), rel=1e-5, abs=1e-6 * float(weight.norm()))
    pairs = [found.truncated(rank) for found in (plain, same)]
    errors = [s.error((u @ v,), (weight,)) ** 0.5 for u, v in pairs]
    assert errors[0] == pytest.approx(errors[1], rel=1e-5, abs=s.slack((weight,)) ** 0.5 + 1e-300)


@given(s.matrices(7), st.integers(1, 7))
def test_factors_have_equal_norms(weight: Tensor, rank: int) -> None:
    u, v = decompose(weight).truncated(rank)
    assert u.double().norm(dim=0).numpy() == pytest.approx(v.double().norm(dim=1).numpy(), rel=1e-5)


@pytest.mark.parametrize("shape", [(300, 200), (200, 300)])
def test_a_few_singular_values_of_a_large_matrix(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    weight = torch.randn(shape)
    few, every = decompose(weight, rank=5), decompose(weight)
    assert few.squares.numel() == 5
    assert every.squares.numel() == 200
    assert torch.allclose(few.squares, every.squares[:5])
    for found in (few, every):
        u, v = found.truncated(5)
        expected = float(every.squares[5:].sum())
        assert s.error((u @ v,), (weight,)) == pytest.approx(expected, rel=1e-6)
    constant = torch.ones(shape)
    u, v = decompose(constant, rank=5).truncated(5)
    assert torch.allclose(u @ v, constant, atol=1e-5)


def test_rounding_of_a_float32_covariance_is_not_taken_for_inputs() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(500, 4)
    inputs = torch.cat([inputs, inputs.sum(1, keepdim=True)], 1)  # always the sum of the others
    weight = torch.randn(6, 5)
    u, v = decompose(weight, inputs.T @ inputs).truncated(5)
    null = torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0])
    assert float((u @ v @ null).abs().max()) < 1e-4
    assert torch.allclose(inputs @ (u @ v).T, inputs @ weight.T, atol=1e-4)


def test_tails_are_errors_by_rank() -> None:
    found = tails(torch.tensor([9.0, 4.0, 1.0], dtype=torch.float64))
    assert found.tolist() == [14.0, 5.0, 1.0, 0.0]


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (8, 8)])
@pytest.mark.parametrize("rank", [None, 2])
def test_a_definite_covariance_need_not_be_decomposed(shape, rank):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator)
    inputs = torch.randn(60, shape[1], generator=generator) * torch.logspace(-1, 1, shape[1])
    covariance = inputs.T @ inputs / 60
    assert is_definite(covariance)
    quick = decompose(weight, covariance, rank, definite=True)
    slow = decompose(weight, covariance, rank, definite=False)
    torch.testing.assert_close(quick.squares[:2], slow.squares[:2])
    for first, second in zip(quick.truncated(2), slow.truncated(2), strict=True):
        assert first.shape == second.shape
    torch.testing.assert_close(
        torch.matmul(*quick.truncated(2)), torch.matmul(*slow.truncated(2)), atol=1e-5, rtol=1e-4
    )


def test_a_covariance_of_few_examples_is_not_definite():
    inputs = torch.randn(5, 12, generator=torch.Generator().manual_seed(0))
    assert not is_definite(inputs.T @ inputs)
    assert not is_definite(torch.zeros(3, 3))


def test_what_a_failed_subset_leaves_is_decomposed(monkeypatch):
    eigh = scipy.linalg.eigh

    def failing(*args, **kwargs):
        eigh(*args, **kwargs)  # spoils what it works on
        raise scipy.linalg.LinAlgError("clustered")

    weight = torch.randn(200, 300, generator=torch.Generator().manual_seed(0))
    expected = decompose(weight, rank=3)
    monkeypatch.setattr(scipy.linalg, "eigh", failing)
    found = decompose(weight, rank=3)
    assert found.squares.numel() == 200
    torch.testing.assert_close(found.squares[:3], expected.squares[:3])
    torch.testing.assert_close(
        torch.matmul(*found.truncated(3)), torch.matmul(*expected.truncated(3))
    )
