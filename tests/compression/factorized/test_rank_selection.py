from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from autocompress.compression import Codebook, Compose, RankSelection, from_dict, to_dict
from autocompress.compression.base import Facts
from autocompress.compression.weighting import Covariance
from autocompress.errors import SchemeError, UnknownName
from autocompress.plan import Plan, Task
from tests.compression import strategies as s


def best(singular: np.ndarray, rank_cost: float, dense_cost: float, mu: float) -> float:
    """The least objective over all ranks and the layer as it is, term by term."""
    values = [
        rank_cost * rank + mu / 2 * float((singular[rank:] ** 2).sum())
        for rank in range(len(singular) + 1)
    ]
    return min(*values, dense_cost)


@given(s.matrices(6), st.floats(-3, 3), st.floats(-3, 3))
def test_no_rank_has_a_lower_objective(weight: Tensor, alpha: float, mu: float) -> None:
    size = float(weight.double().square().sum()) or 1.0
    # balanced against the energy at hand, so that all kinds of ranks occur
    scheme, mu = RankSelection(10**alpha / weight.numel()), 10**mu / size
    code = scheme.project((weight,), mu=mu)
    s.check_code(code, (weight,))
    m, n = weight.shape
    singular = np.linalg.svd(weight.double().numpy(), compute_uv=False)
    least = best(singular, scheme.alpha * (m + n), scheme.alpha * m * n, mu)
    found = scheme.penalty(code) + mu / 2 * s.error(code.decode(), (weight,))
    assert found == pytest.approx(least, rel=1e-4, abs=1e-9 * mu * size)


@given(s.matrices(5), st.floats(-2, 1), st.integers(0, 100))
def test_under_a_covariance_the_outputs_count(weight: Tensor, alpha: float, seed: int) -> None:
    m, n = weight.shape
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(4, n, generator=generator, dtype=torch.float64)
    singular = np.linalg.svd(weight.double().numpy() @ inputs.T.numpy(), compute_uv=False)
    size = float((singular**2).sum()) or 1.0
    scheme = RankSelection(10**alpha / weight.numel())
    norm = Covariance((inputs.T @ inputs,))
    code = scheme.project((weight,), mu=1 / size, weighting=norm)
    error = (weight.double() - code.decode()[0].double()) @ inputs.T
    found = scheme.penalty(code) + float(error.square().sum()) / size / 2
    least = best(singular, scheme.alpha * (m + n), scheme.alpha * m * n, 1 / size)
    assert found == pytest.approx(least, rel=1e-4, abs=1e-9)


def test_layers_choose_by_themselves_and_more_mu_gives_more_rank() -> None:
    torch.manual_seed(0)
    weights = (torch.randn(20, 30), 0.1 * torch.randn(20, 30), torch.randn(8, 4, 3, 3))
    ranks = [RankSelection(1e-3).project(weights, mu=mu).ranks() for mu in (1e-4, 1e-2, 1.0, 1e4)]
    assert ranks[0] == (0, 0, 0)
    assert ranks[-1] == (None, None, None)
    full = [30 if r is None else r for step in ranks for r in step]
    assert all(full[i] <= full[i + 3] for i in range(len(full) - 3))
    alone = [RankSelection(1e-3).project((w,), mu=1e-2).ranks()[0] for w in weights]
    assert tuple(alone) == ranks[1]


def test_prices_are_in_double_precision() -> None:
    weight = torch.zeros(6, 9, dtype=torch.float64)
    weight.diagonal().copy_(torch.tensor([4.0, 3.0, 2.0, 0.3, 0.2, 0.1]))
    assert RankSelection(0.05).project((weight,), mu=1.0).ranks() == (3,)
    # beyond the largest number of single precision
    assert RankSelection(0.05e40).project((weight * 1e20,), mu=1.0).ranks() == (3,)


def test_the_smallest_of_equally_good_ranks() -> None:
    # both singular values pay for themselves exactly, and so does the layer as it is
    weight = torch.diag(torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64))
    assert RankSelection(1 / 16).project((weight,), mu=1.0).ranks() == (0,)
    assert RankSelection(1 / 16, least=1).project((weight,), mu=1.0).ranks() == (1,)


def test_storage_and_flops_differ_where_layers_are_applied_differently_often() -> None:
    torch.manual_seed(0)
    weight = torch.randn(8, 4, 3, 3)
    sized = RankSelection(1e-3, cost="flops").bind([Facts((10, 10), (8, 8))])
    assert isinstance(sized, RankSelection)
    for mu in (1e-2, 1e-1, 1.0):
        stored = RankSelection(1e-3 * 64).project((weight,), mu=mu)
        assert sized.project((weight,), mu=mu).ranks() == stored.ranks()
    assert sized.penalty(stored) == pytest.approx(1e-3 * 64 * 8 * 36)
    assert sized.unbound() == RankSelection(1e-3, cost="flops")
    assert from_dict(to_dict(sized)) == sized


def test_flops_need_a_model_where_there_are_convolutions() -> None:
    scheme = RankSelection(1e-6, cost="flops")
    scheme.project((torch.randn(5, 4),), mu=1.0)
    with pytest.raises(SchemeError, match="must be bound to a model"):
        scheme.project((torch.randn(8, 4, 3, 3),), mu=1.0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3))
    plan = Plan([Task("all", ["0.weight", "1.weight"], scheme)])
    (task,) = plan.resolve(model, torch.zeros(1, 1, 8, 8)).tasks
    assert isinstance(task.compression, RankSelection)
    assert task.compression.sites == ((36, 36), (16, 16))


def test_penalty_counts_what_is_stored_before_anything_is_composed() -> None:
    weights = (torch.randn(6, 5), torch.randn(4, 3))
    scheme = RankSelection(1e-3, least=1)
    both = Compose([scheme, Codebook(4)])
    assert both.penalized
    code = both.project(weights, mu=1e-2)
    plain = scheme.project(weights, mu=1e-2)
    assert both.penalty(code) == scheme.penalty(plain) > 0
    assert scheme.reals_shapes(((6, 5), (4, 3))) == ((6, 1), (1, 5), (4, 1), (1, 3))
    # nothing may be left of the weights, so nothing can be asked of a codebook
    with pytest.raises(SchemeError, match="only 0 weights"):
        Compose([RankSelection(1e-3), Codebook(4)]).check(((6, 5),))


def test_canonical() -> None:
    spatial = RankSelection(1e-3, conv="spatial")
    assert spatial.canonical(((4, 5),)) == RankSelection(1e-3)
    assert spatial.canonical(((4, 5, 3, 3),)) == spatial


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"alpha": 0}, r"alpha = 0 is not a number > 0"),
        ({"alpha": -1.0}, r"alpha = -1\.0"),
        ({"alpha": float("inf")}, "alpha = inf"),
        ({"alpha": True}, "alpha = True"),
        ({"alpha": "x"}, "alpha = 'x'"),
        ({"alpha": 1e-6, "conv": "x"}, "accepted is 'channel' or 'spatial'"),
        ({"alpha": 1e-6, "least": -1}, "least = -1 is not an integer"),
    ],
)
def test_bad_fields_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemeError, match=message):
        RankSelection(**fields)


def test_unknown_costs_are_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'flops'"):
        RankSelection(1e-6, cost="flop")
