from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression.structured import budget, energies


def exact(weights: tuple[Tensor, ...], rows: list[tuple[int, ...]], count: int) -> list[list[int]]:
    scores = [sum(weights[p].double().flatten(1).square().sum(1) for p in row) for row in rows]
    sizes = [len(score) for score in scores]
    return [k.tolist() for k in budget.threshold(torch.cat(scores).numpy(), sizes, count)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.integers(3, 18), st.sampled_from([1e-6, 1e-3, 1.0, 1e6]))
def test_they_are_those_of_exact_sums(seed: int, count: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(12, 5, 3, 3), (7, 130), (12, 4)]
    weights = tuple(scale * torch.randn(shape, generator=generator) for shape in shapes)
    # rows that single precision hardly tells apart
    weights[1][1:5] = weights[1][0]
    weights[1][3, 0] *= 1 + 2e-7
    rows = [(0, 2), (1,)]
    found = energies.strongest(weights, rows, count)
    if found is not None:  # too many near the threshold are left to double precision
        assert [k.tolist() for k in found] == exact(weights, rows, count)


def test_ordinary_weights_are_told_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = (torch.randn(40, 30, generator=generator), torch.randn(20, 50, generator=generator))
    found = energies.strongest(weights, [(0,), (1,)], 30)
    assert found is not None
    assert [k.tolist() for k in found] == exact(weights, [(0,), (1,)], 30)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 3e38])
def test_what_overflows_is_left_to_double_precision(bad: float) -> None:
    weight = torch.ones(4, 6)
    weight[1, 2] = bad
    assert energies.strongest((weight, torch.ones(3, 2)), [(0,), (1,)], 4) is None


def test_ties_everywhere_are_left_to_double_precision() -> None:
    assert energies.strongest((torch.ones(8, 6), torch.ones(8, 6)), [(0,), (1,)], 5) is None


def test_other_dtypes_are() -> None:
    weights = (torch.randn(8, 6).double(), torch.randn(8, 6).double())
    assert energies.strongest(weights, [(0,), (1,)], 5) is None
