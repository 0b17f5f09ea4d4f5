from __future__ import annotations

import copy
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression import Codebook, Compose, Dense, L0Penalty, L1Penalty
from autocompress.compression.base import Code, Compression
from autocompress.compression.weighting import Covariance, Diagonal
from autocompress.errors import SchemeError
from tests.compression import strategies as s

PENALTIES = (L0Penalty, L1Penalty)
NORMS = st.sampled_from([0.0, 0.25, 1.0, 1.0, 4.0])


def objective(
    scheme: Compression, code: Code, weights: Tensor, mu: float, norm: np.ndarray
) -> float:
    (decoded,) = code.decode()
    gap = weights.double().numpy() - decoded.double().numpy()
    return scheme.penalty(code) + mu / 2 * float((norm * gap**2).sum())


@st.composite
def problems(draw: st.DrawFn) -> tuple[Tensor, float, float, Tensor | None]:
    """Weights, alpha, mu, norm: at the scale of the weights."""
    vector = draw(s.vectors(6))
    mu = draw(st.sampled_from([1e-3, 0.7, 50.0]))
    unit = float(vector.double().abs().max()) or 1.0
    norms = draw(st.lists(NORMS, min_size=vector.numel(), max_size=vector.numel()))
    norm = torch.tensor(norms, dtype=torch.float64) if draw(st.booleans()) else None
    share = draw(st.sampled_from([0.0, 1e-6, 0.1, 0.5, 1.0, 3.0]))
    return vector, share * mu * unit, mu, norm


@settings(max_examples=150)
@given(problems())
def test_no_other_support_is_better(problem: tuple[Tensor, float, float, Tensor | None]) -> None:
    vector, alpha, mu, norm = problem
    alpha *= float(vector.double().abs().max()) or 1.0
    scheme = L0Penalty(alpha)
    weighting = None if norm is None else Diagonal((norm,))
    code = scheme.project((vector,), mu=mu, weighting=weighting)
    s.check_code(code, (vector,))
    h = np.ones(vector.numel()) if norm is None else norm.numpy()
    costs = mu / 2 * h * vector.double().numpy() ** 2
    supports = product((0, 1), repeat=vector.numel())
    best = min(
        sum(alpha if k else c for k, c in zip(kept, costs, strict=True)) for kept in supports
    )
    assert objective(scheme, code, vector, mu, h) <= best + 1e-9 * float(costs.sum())
    assert torch.equal(code.decode()[0][code.index], vector[code.index])


@settings(max_examples=150)
@given(problems())
def test_soft_thresholds_are_optimal(problem: tuple[Tensor, float, float, Tensor | None]) -> None:
    vector, alpha, mu, norm = problem
    scheme = L1Penalty(alpha)
    weighting = None if norm is None else Diagonal((norm,))
    code = scheme.project((vector,), mu=mu, weighting=weighting)
    s.check_code(code, (vector,))
    w, found = vector.double().numpy(), code.decode()[0].double().numpy()
    h = np.ones(vector.numel()) if norm is None else norm.numpy()
    # 0 is a subgradient of alpha |t| + mu/2 h (w − t)² at its minimum
    pull = mu * h * (w - found)
    slack = 1e-5 * (alpha + mu * h * np.abs(w))
    assert np.all(np.abs(pull) <= alpha + slack)
    kept = found != 0
    assert np.all(np.abs(pull - alpha * np.sign(found))[kept] <= slack[kept])
    assert scheme.penalty(code) == pytest.approx(alpha * np.abs(found).sum())


@pytest.mark.parametrize("penalty", PENALTIES)
@given(problem=problems())
def test_weights_of_one_change_nothing(
    penalty: type[L0Penalty | L1Penalty], problem: tuple[Tensor, float, float, Tensor | None]
) -> None:
    vector, alpha, mu, _ = problem
    plain = penalty(alpha).project((vector,), mu=mu)
    ones = Diagonal((torch.ones_like(vector),))
    weighted = penalty(alpha).project((vector,), mu=mu, weighting=ones)
    # a weight whose square rounds to the threshold's may go either way
    gaps = [objective(penalty(alpha), c, vector, mu, np.ones(1)) for c in (plain, weighted)]
    assert gaps[0] == pytest.approx(gaps[1], rel=1e-9)


def test_thresholds_by_hand() -> None:
    weights = (torch.tensor([3.0, -1.0, 0.5]), torch.tensor([[-2.0]]))
    hard = L0Penalty(1.0).project(weights, mu=0.5)  # threshold √(2 · 1 / 0.5) = 2, exclusive
    assert [d.flatten().tolist() for d in hard.decode()] == [[3.0, 0.0, 0.0], [0.0]]
    assert L0Penalty(1.0).penalty(hard) == 1.0
    soft = L1Penalty(0.5).project(weights, mu=0.5)  # threshold 1
    assert [d.flatten().tolist() for d in soft.decode()] == [[2.0, 0.0, 0.0], [-1.0]]
    assert L1Penalty(0.5).penalty(soft) == 1.5
    norm = Diagonal((torch.tensor([0.25, 9.0, 0.0]), torch.tensor([[1.0]])))
    hard = L0Penalty(1.0).project(weights, mu=0.5, weighting=norm)
    assert hard.index.tolist() == [1]
    soft = L1Penalty(0.5).project(weights, mu=0.5, weighting=norm)
    assert soft.index.tolist() == [1, 3]  # thresholds 4, 1/9, infinity and 1
    assert soft.inner.decode()[0].tolist() == pytest.approx([-8 / 9, -1])


@pytest.mark.parametrize("penalty", PENALTIES)
@given(vector=s.vectors(40), share=st.floats(0, 1.5))
def test_what_is_at_hand_is_what_would_be_decoded(
    penalty: Any, vector: Tensor, share: float
) -> None:
    alpha = share * (float(vector.double().abs().max()) or 1.0)
    mu = alpha / 2 if penalty is L0Penalty and alpha else 1.0  # both cut at about alpha
    for weights in ((vector,), (vector[:3].clone(), vector[3:].clone())):
        before = [w.clone() for w in weights]
        code = penalty(alpha).project(weights, mu=mu)
        twin = copy.copy(code)
        first, second, third = code.decode(), code.decode(), twin.decode()
        for a, b, c in zip(first, second, third, strict=True):
            # to the sign of zero, in tensors of their own
            assert a.numpy().tobytes() == b.numpy().tobytes() == c.numpy().tobytes()
            assert a.data_ptr() != b.data_ptr() or not a.numel()
            a.fill_(7.0)
        assert all(torch.equal(c, d) for c, d in zip(code.decode(), second, strict=True))
        assert all(torch.equal(w, b) for w, b in zip(weights, before, strict=True))


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_among_large_numbers(penalty: Any, bad: float) -> None:
    large = torch.tensor([3e38, -3e38, 1.0])
    assert torch.isfinite(penalty(1.0).project((large, large), mu=1.0).decode()[0]).all()
    for alpha in (0.0, 1.0, 1e30):
        with pytest.raises(SchemeError, match="NaN or infinity"):
            penalty(alpha).project((large, torch.tensor([bad, 0.0])), mu=1.0)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_everything_may_be_pruned(penalty: Any) -> None:
    weights = (torch.ones(3, 4), torch.ones(3))
    code = penalty(1e6).project(weights, mu=1.0)
    s.check_code(code, weights)
    assert code.index.numel() == 0
    assert code.bits() == 0
    assert penalty(1e6).penalty(code) == 0.0
    composed = Compose([penalty(1e6), Codebook(4)])
    composed.check(((3, 4), (3,)))
    code = composed.project(weights, mu=1.0)
    s.check_code(code, weights)
    assert not any(d.any() for d in code.decode())
    # in the limit of mu all are dear, unless they are free
    assert penalty(1e-9).project(weights, mu=0.0).index.numel() == 0
    assert penalty(0.0).project(weights, mu=0.0).index.numel() == 15


@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_codebook_of_few_survivors_has_few_entries(penalty: Any) -> None:
    weights = (torch.tensor([5.0, 0.1, 0.1, 4.0, 0.1, 0.1]),)
    code = Compose([penalty(1.0), Codebook(4)]).project(weights, mu=1.0)
    s.check_code(code, weights)
    assert int((code.decode()[0] != 0).sum()) == 2


@pytest.mark.parametrize("penalty", PENALTIES)
def test_properties(penalty: Any) -> None:
    assert penalty(0.5).penalized
    assert penalty(0.0).canonical(((3, 4),)) == Dense()
    assert penalty(0.5).canonical(((3, 4),)) == penalty(0.5)
    for alpha in (-1.0, float("nan"), float("inf"), "1", None, True):
        with pytest.raises(SchemeError, match=r"alpha = .* is not a number >= 0"):
            penalty(alpha)
    with pytest.raises(SchemeError, match="penalty takes a diagonal weighting, not a covariance"):
        penalty(1.0).project((torch.ones(2, 2),), mu=1.0, weighting=Covariance((torch.eye(2),)))
