from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression import Cast, Compose, Dense, GlobalRank, from_dict, to_dict
from autocompress.compression.base import Facts, shapes_of
from autocompress.compression.weighting import Covariance
from autocompress.errors import SchemeError, UnknownName
from tests.compression import strategies as s


def kept(
    singular: list[np.ndarray], costs: list[tuple[int, int]], limit: float, relative: bool
) -> float:
    """The most energy that ranks of at least 1, or dense layers, keep within the limit."""
    options = []
    for values, (dense, each) in zip(singular, costs, strict=True):
        squares = values**2
        scale = squares.sum() if relative and squares.sum() > 0 else 1.0
        ranks = [(rank * each, squares[:rank].sum() / scale) for rank in range(1, len(squares))]
        options.append([*ranks, (dense, squares.sum() / scale)])
    return max(
        sum(float(energy) for _, energy in picks)
        for picks in itertools.product(*options)
        if sum(cost for cost, _ in picks) <= limit + 1e-9
    )


@given(
    st.lists(s.matrices(5), min_size=1, max_size=3),
    st.floats(0.05, 1),
    st.sampled_from(["absolute", "relative"]),
)
def test_no_ranks_within_the_budget_keep_more(
    drawn: list[Tensor], budget: float, energy: str
) -> None:
    dtype = drawn[0].dtype
    weights = tuple((w / (w.abs().max() or 1.0)).to(dtype) for w in drawn)
    scheme = GlobalRank(budget, energy=energy).fitted(shapes_of(weights))
    assert isinstance(scheme, GlobalRank)
    code = scheme.project(weights, mu=1.0)
    s.check_code(code, weights)
    costs = [(w.numel(), sum(w.shape)) for w in weights]
    limit = scheme.budget * sum(dense for dense, _ in costs)
    numbers = sum(real.numel() for real in code.reals())
    assert numbers <= limit + 1e-6
    singular = [np.linalg.svd(w.double().numpy(), compute_uv=False) for w in weights]
    most = kept(singular, costs, limit, energy == "relative")
    found = 0.0
    for values, rank in zip(singular, code.ranks(), strict=True):
        total = float((values**2).sum())
        scale = total if energy == "relative" and total > 0 else 1.0
        found += float((values[:rank] ** 2).sum()) / scale
    assert found == pytest.approx(most, rel=1e-5, abs=1e-6)


def test_absolute_energy_is_the_nearest_solution_relative_gives_each_layer_its_say() -> None:
    torch.manual_seed(0)
    weights = (torch.randn(20, 20), 0.01 * torch.randn(20, 20))
    absolute = GlobalRank(0.5).project(weights, mu=1.0)
    relative = GlobalRank(0.5, energy="relative").project(weights, mu=1.0)
    assert absolute.ranks()[1] == 1
    assert min(relative.ranks()) >= 4  # type: ignore[type-var]
    assert s.error(absolute.decode(), weights) < s.error(relative.decode(), weights)


def test_outputs_are_what_counts_under_a_covariance() -> None:
    torch.manual_seed(0)
    weights = (torch.randn(12, 12), torch.randn(12, 12))
    small = Covariance((torch.eye(12), 1e-4 * torch.eye(12)))
    ranks = GlobalRank(0.5).project(weights, mu=1.0, weighting=small).ranks()
    assert ranks == (5, 1)
    # which scales relative energies out again
    plain = GlobalRank(0.5, energy="relative").project(weights, mu=1.0)
    same = GlobalRank(0.5, energy="relative").project(weights, mu=1.0, weighting=small)
    assert same.ranks() == plain.ranks()


def test_flops_count_positions() -> None:
    torch.manual_seed(0)
    weights = (torch.randn(12, 6, 3, 3), torch.randn(12, 6, 3, 3))
    scheme = GlobalRank(0.4, cost="flops", conv="spatial")
    scheme.check(shapes_of(weights))  # nothing is known yet
    with pytest.raises(SchemeError, match="must be bound to a model"):
        scheme.project(weights, mu=1.0)
    bound = scheme.bind([Facts((16, 16), (16, 16)), Facts((8, 4), (4, 4))])
    code = bound.project(weights, mu=1.0)
    costs = [(648 * 256, 18 * 256 + 36 * 256), (648 * 16, 18 * 16 + 36 * 16)]
    spent = sum(d if r is None else r * c for (d, c), r in zip(costs, code.ranks(), strict=True))
    assert spent <= 0.4 * sum(dense for dense, _ in costs)
    # positions of the second layer are cheap
    assert code.ranks()[1] is None
    assert bound.unbound() == scheme
    assert from_dict(to_dict(bound)) == bound
    with pytest.raises(SchemeError, match=r"budget = 0\.01 of the flops is not enough"):
        GlobalRank(0.01, cost="flops").bind([Facts((8, 8), (8, 8))] * 2).check(shapes_of(weights))


def test_a_budget_that_buys_no_rank_is_refused() -> None:
    shapes = ((4, 4), (8, 8))
    with pytest.raises(SchemeError, match=r"a rank of 1 in every layer: accepted is 0\.3 to 1"):
        GlobalRank(0.29).check(shapes)
    GlobalRank(0.3).check(shapes)


def test_all_of_the_budget_is_no_compression() -> None:
    weights = (torch.randn(6, 5), torch.randn(4, 3))
    code = GlobalRank(1.0).project(weights, mu=1.0)
    assert code.ranks() == (None, None)
    assert s.same(code.decode(), weights)
    assert GlobalRank(1.0).canonical(shapes_of(weights)) == Dense()
    assert GlobalRank(0.5, conv="spatial").canonical(((4, 5),)) == GlobalRank(0.5)


def test_factors_are_composed_with_casts() -> None:
    weights = (torch.randn(16, 12), torch.randn(9, 9))
    code = Compose([GlobalRank(0.5), Cast("float16")]).project(weights, mu=1.0)
    assert code.bits() <= 16 * 0.5 * (16 * 12 + 81)
    s.check_code(code, weights)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"budget": 0}, r"budget = 0 is not in \(0, 1\]"),
        ({"budget": None}, "budget = None"),
        ({"budget": 1.5}, r"budget = 1\.5"),
        ({"budget": 0.5, "conv": "x"}, "accepted is 'channel' or 'spatial'"),
    ],
)
def test_bad_fields_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemeError, match=message):
        GlobalRank(**fields)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(UnknownName, match="known are flops, parameters"):
        GlobalRank(0.5, cost="storage")
    with pytest.raises(UnknownName, match="known are absolute, relative"):
        GlobalRank(0.5, energy="squared")
