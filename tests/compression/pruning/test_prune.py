from __future__ import annotations

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression import Dense, Prune
from autocompress.compression.pruning.prune import SparseCode, largest
from autocompress.errors import SchemeError
from tests.compression import strategies as s


@settings(max_examples=150)
@given(s.vectors(8), st.integers(1, 8), st.integers(1, 3))
def test_no_other_support_is_better(vector: Tensor, kept: int, pieces: int) -> None:
    kept = min(kept, vector.numel())
    weights = s.cut(vector, pieces)
    code = Prune(kept / vector.numel()).project(weights, mu=0.0)
    s.check_code(code, weights)
    squares = vector.double().square()
    best = min(
        float(squares.sum() - squares[list(support)].sum())
        for support in combinations(range(vector.numel()), kept)
    )
    flat = torch.cat([d.reshape(-1) for d in code.decode()])
    assert int((flat != 0).sum()) <= kept
    assert s.error(code.decode(), weights) <= best + 1e-12 * s.energy(weights)
    # survivors keep their very bits
    survivors = flat[code.index]
    assert code.index.numel() == kept
    assert torch.equal(survivors, vector[code.index])


@given(s.vectors(30), st.floats(1e-6, 1))
def test_the_count_is_the_rounded_density_and_at_least_one(vector: Tensor, density: float) -> None:
    code = Prune(density).project((vector,), mu=0.0)
    assert code.index.numel() == max(1, round(density * vector.numel()))
    assert torch.equal(code.index, code.index.unique())


def test_ties_go_to_the_earlier_weight() -> None:
    weights = (torch.tensor([1.0, -2.0, 2.0]), torch.tensor([2.0, 1.0, -2.0]))
    code = Prune(0.5).project(weights, mu=0.0)
    assert code.index.tolist() == [1, 2, 3]
    assert Prune(0.5).project((torch.full((6,), 0.5),), mu=0.0).index.tolist() == [0, 1, 2]


@given(s.vectors(40), st.data())
def test_every_way_of_selecting_agrees(scores: Tensor, data: st.DataObject) -> None:
    """NumPy's path (32 and 64 bits) against torch's (what other dtypes and devices take)."""
    scores = scores.abs()
    count = data.draw(st.integers(1, scores.numel()))
    order = sorted(range(scores.numel()), key=lambda i: (-float(scores[i]), i))
    expected = sorted(order[:count])
    assert largest(scores, count).tolist() == expected
    coarse = (scores / scores.max().clamp(min=1e-35) * 8).round()  # exact in half precision
    order = sorted(range(coarse.numel()), key=lambda i: (-float(coarse[i]), i))
    for dtype in (torch.float16, torch.bfloat16):
        assert largest(coarse.to(dtype), count).tolist() == sorted(order[:count])


def test_one_threshold_for_all_tensors() -> None:
    weights = (torch.tensor([[5.0, 4.0]]), torch.tensor([0.1, 0.2]), torch.tensor([3.0]))
    decoded = Prune(0.6).project(weights, mu=0.0).decode()
    assert [d.tolist() for d in decoded] == [[[5.0, 4.0]], [0.0, 0.0], [3.0]]


def test_bits_by_hand() -> None:
    weight = torch.zeros(1000)
    weight[torch.tensor([3, 500, 999])] = 1.0
    code = Prune(0.003).project((weight,), mu=0.0)
    # gaps 3, 496, 498 in Rice code with b = 8: quotients 0 + 1 + 1, three stops, 24 bits
    assert code.bits() == 2 + 3 + 24 + 3 * 32


@pytest.mark.parametrize("density", [0, 0.0, -0.1, 1.1, float("nan"), "0.5", None, True])
def test_densities_outside_0_1_are_refused(density: float) -> None:
    with pytest.raises(SchemeError, match=r"density = .* is not in \(0, 1\]"):
        Prune(density)


def test_canonical() -> None:
    shapes = ((4, 5), (5,))
    assert Prune(1.0).canonical(shapes) == Dense()
    assert Prune(0.99).canonical(shapes) == Dense()  # 24.75 of 25 rounds to all
    assert Prune(0.5).canonical(shapes) == Prune(0.5)


def test_restoring_contradicting_parts_is_refused() -> None:
    code = Prune(0.1).project((torch.arange(1.0, 101.0),), mu=0.0)
    other = Prune(0.2).project((torch.arange(1.0, 101.0),), mu=0.0)
    with pytest.raises(ValueError, match="20 values for 10 positions"):
        SparseCode.restore(code.meta(), code.tensors(), other.children())
