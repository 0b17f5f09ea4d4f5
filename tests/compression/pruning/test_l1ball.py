from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from autocompress.compression import L1Ball, ranking
from autocompress.compression.pruning import l1ball
from autocompress.compression.weighting import Covariance, Diagonal
from autocompress.errors import SchemeError
from tests.compression import strategies as s


def solution(weights: np.ndarray, norm: np.ndarray, radius: float) -> np.ndarray:
    """Return the projection by bisection on the threshold."""
    sizes = np.abs(weights)
    if sizes.sum() <= radius:
        return weights
    low, high = 0.0, float((norm * sizes).max())
    for _ in range(200):
        middle = (low + high) / 2
        total = np.maximum(sizes - middle / norm, 0).sum()
        low, high = (middle, high) if total > radius else (low, middle)
    return np.copysign(np.maximum(sizes - high / norm, 0), weights)


def projected(scheme: L1Ball, weights: tuple[Tensor, ...], norm: Tensor | None = None) -> Tensor:
    weighting = None
    if norm is not None:
        parts = norm.split([w.numel() for w in weights])
        weighting = Diagonal(tuple(p.view_as(w) for p, w in zip(parts, weights, strict=True)))
    code = scheme.project(weights, mu=0.0, weighting=weighting)
    s.check_code(code, weights)
    return torch.cat([d.reshape(-1) for d in code.decode()])


RADII = st.sampled_from([1e-9, 1e-3, 0.03, 0.3, 0.7, 0.999, 1.0, 1.5])


@settings(max_examples=80)
@given(s.vectors(24), RADII, st.integers(1, 3), st.data())
def test_the_projection_is_the_nearest_point(
    vector: Tensor, share: float, pieces: int, data: st.DataObject
) -> None:
    mean = float(vector.double().abs().mean())
    scheme = L1Ball(share * mean if mean else share)
    norm = None
    if data.draw(st.booleans()):
        weights = st.sampled_from([1e-12, 0.5, 1.0, 1.0, 3.0, 1e12])
        size = vector.numel()
        drawn = data.draw(st.lists(weights, min_size=size, max_size=size))
        norm = torch.tensor(drawn, dtype=torch.float64)
    found = projected(scheme, s.cut(vector, pieces), norm).double().numpy()
    h = np.ones(vector.numel()) if norm is None else norm.numpy()
    wanted = solution(vector.double().numpy(), h, scheme.radius * vector.numel())
    epsilon = torch.finfo(vector.dtype).eps
    least = vector.numel() * torch.finfo(vector.dtype).smallest_normal  # below it nothing is exact
    assert np.abs(found).sum() <= scheme.radius * vector.numel() * (1 + 64 * epsilon) + least
    cost = [np.sqrt(h * (vector.double().numpy() - x) ** 2).max() for x in (found, wanted)]
    largest = float((np.sqrt(h) * vector.double().abs().numpy()).max())
    assert cost[0] <= cost[1] + 16 * epsilon * largest
    if share > 1e-6:  # bisection cancels where the radius is tiny beside the weights
        assert np.allclose(found, wanted, rtol=1e-4, atol=16 * epsilon * np.abs(wanted).max())


def test_an_independent_solver_agrees() -> None:
    generator = np.random.default_rng(0)
    weights, norm = generator.normal(size=6), generator.uniform(0.2, 3, 6)
    radius = 0.3 * np.abs(weights).sum()
    half = {"type": "ineq", "fun": lambda x: radius - x.sum()}  # θ = x₊ − x₋ with x >= 0

    def cost(x: np.ndarray) -> float:
        return float((norm * (weights - x[:6] + x[6:]) ** 2).sum())

    best = minimize(
        cost,
        np.full(12, 1e-3),
        bounds=[(0, None)] * 12,
        constraints=[half],
        options={"ftol": 1e-14},
    )
    found = projected(L1Ball(radius / 6), (torch.from_numpy(weights),), torch.from_numpy(norm))
    assert np.allclose(found.numpy(), best.x[:6] - best.x[6:], atol=1e-5)


@settings(max_examples=40)
@given(s.vectors(60, least=12), RADII, st.booleans())
def test_a_sampled_start_leads_to_the_same_solution(
    vector: Tensor, share: float, weighted: bool
) -> None:
    mean = float(vector.double().abs().mean())
    scheme = L1Ball(share * mean if mean else share)
    norm = torch.linspace(0, 2, vector.numel()) if weighted else None
    plain = projected(scheme, (vector,), norm)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"BLOCK": 7, "SAMPLE": 6, "SMALL": 5}.items():
            patch.setattr(ranking, name, value)
        patch.setattr(l1ball, "ROUNDS", 1)  # then by sorting
        sampled = projected(scheme, (vector,), norm)
    assert torch.allclose(plain, sampled, rtol=1e-5, atol=0)


@settings(max_examples=30)
@given(s.vectors(20), RADII)
def test_weights_of_one_change_nothing(vector: Tensor, radius: float) -> None:
    plain = projected(L1Ball(radius), (vector,))
    tolerance = 16 * torch.finfo(vector.dtype).eps
    # nor does a norm in another unit, or one that is zero everywhere
    for h in (1.0, 2.0, 0.0):
        weighted = projected(L1Ball(radius), (vector,), torch.full_like(vector, h))
        assert torch.allclose(weighted, plain, rtol=1e-6, atol=tolerance * float(plain.abs().max()))


def test_by_hand() -> None:
    weights = (torch.tensor([[3.0, -1.0]]), torch.tensor([0.5, 2.0]))
    assert projected(L1Ball(0.5), weights).tolist() == [1.5, 0.0, 0.0, 0.5]  # κ = 2, τ = 1.5
    # τ = 2 where the breakpoints are 3, 1, 0.5 and 8
    found = projected(L1Ball(0.625), weights, torch.tensor([1.0, 1.0, 1.0, 4.0]))
    assert found.tolist() == [1.0, 0.0, 0.0, 1.5]


def test_weights_inside_the_ball_keep_their_bits() -> None:
    vector = torch.tensor([0.1, -0.2, 0.0, 0.3])
    code = L1Ball(0.16).project((vector,), mu=0.0)
    assert torch.equal(code.decode()[0], vector)
    assert code.index.tolist() == [0, 1, 3]


def test_weights_that_do_not_count_are_dropped() -> None:
    found = projected(L1Ball(1.0), (torch.tensor([3.0, 5.0]),), torch.tensor([1.0, 0.0]))
    assert found.tolist() == [2.0, 0.0]


def test_nothing_is_left_of_zeros() -> None:
    code = L1Ball(0.1).project((torch.zeros(5),), mu=0.0)
    s.check_code(code, (torch.zeros(5),))
    assert code.index.numel() == 0


@pytest.mark.parametrize("radius", [0, -1.0, float("nan"), float("inf"), "1", None, True])
def test_radii_that_are_no_numbers_above_0_are_refused(radius: float) -> None:
    with pytest.raises(SchemeError, match=r"radius = .* is not a number above 0"):
        L1Ball(radius)


def test_a_covariance_is_refused() -> None:
    with pytest.raises(SchemeError, match="l1-ball takes a diagonal weighting, not a covariance"):
        L1Ball(1.0).project((torch.ones(2, 2),), mu=0.0, weighting=Covariance((torch.eye(2),)))
