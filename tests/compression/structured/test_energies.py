from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression.structured import budget, energies, outputs
from autocompress.compression.structured.channels import layout


def selected(
    weights: tuple[Tensor, ...], ties: tuple[tuple[int, ...], ...], count: int
) -> list[list[int]] | None:
    """The channels found of every row, or None."""
    places = layout(tuple(tuple(w.shape) for w in weights), ties, True)
    mask = energies.strongest(torch.cat([w.ravel() for w in weights]).numpy(), places, count)
    if mask is None:
        return None
    return [k.tolist() for k in budget.by_row(mask.nonzero()[0], places.sizes)]


def exact(weights: tuple[Tensor, ...], rows: list[tuple[int, ...]], count: int) -> list[list[int]]:
    scores = [sum(weights[p].double().flatten(1).square().sum(1) for p in row) for row in rows]
    sizes = [len(score) for score in scores]
    best = budget.threshold(torch.cat(scores).numpy(), sizes, count)
    return [k.tolist() for k in budget.by_row(best, sizes)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.integers(3, 18), st.sampled_from([1e-6, 1e-3, 1.0, 1e6]))
def test_they_are_those_of_exact_sums(seed: int, count: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(12, 5, 3, 3), (7, 130), (12, 4)]
    weights = tuple(scale * torch.randn(shape, generator=generator) for shape in shapes)
    # rows that single precision hardly tells apart
    weights[1][1:5] = weights[1][0]
    weights[1][3, 0] *= 1 + 2e-7
    found = selected(weights, ((0, 2),), count)
    if found is not None:  # too many near the threshold are left to double precision
        assert found == exact(weights, [(0, 2), (1,)], count)


def test_ordinary_weights_are_told_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = (torch.randn(40, 30, generator=generator), torch.randn(20, 50, generator=generator))
    found = selected(weights, (), 30)
    assert found is not None
    assert found == exact(weights, [(0,), (1,)], 30)


def test_those_near_the_threshold_are_summed_exactly() -> None:
    generator = torch.Generator().manual_seed(1)
    weights = (torch.randn(40, 30, generator=generator), torch.randn(20, 30, generator=generator))
    order = weights[0].square().sum(1).argsort()
    weights[1][7] = weights[0][order[20]].roll(3)  # the same sum but for rounding
    weights[1][7, 0] *= 1 + 2e-7
    for count in range(10, 50):
        assert selected(weights, (), count) == exact(weights, [(0,), (1,)], count)


def test_the_best_of_a_weak_layer_survives() -> None:
    generator = torch.Generator().manual_seed(2)
    weak = 1e-3 * torch.randn(9, 8, generator=generator)
    weights = (torch.randn(40, 30, generator=generator), weak)
    found = selected(weights, (), 25)
    assert found is not None
    assert len(found[1]) == 1
    assert found == exact(weights, [(0,), (1,)], 25)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 3e38])
def test_what_overflows_is_left_to_double_precision(bad: float) -> None:
    weight = torch.ones(4, 6)
    weight[1, 2] = bad
    assert selected((weight, torch.ones(3, 2)), (), 4) is None


def test_ties_everywhere_are_left_to_double_precision() -> None:
    assert selected((torch.ones(8, 6), torch.ones(8, 6)), (), 5) is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_dtypes_are(dtype: torch.dtype) -> None:
    weights = (torch.randn(8, 6).to(dtype), torch.randn(8, 6).to(dtype))
    shapes = ((8, 6), (8, 6))
    assert outputs.prune(weights, shapes, layout(shapes, (), True), 5, True) is None


@pytest.mark.parametrize("biases", [True, False])
def test_what_is_at_hand_is_what_decoding_makes(biases: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    shapes = ((6, 4, 3, 3), (6,), (8, 36), (8,), (6, 5), (6,))
    weights = tuple(torch.randn(shape, generator=generator) for shape in shapes)
    copies = tuple(w.clone() for w in weights)
    places = layout(shapes, ((0, 4),), biases)
    code = outputs.prune(weights, shapes, places, 7, biases)
    assert code is not None
    first, again = code.decode(), code.decode()
    scores = [w.double().flatten(1).square().sum(1) for w in weights[::2]]
    if biases:
        scores = [s + b.double().square() for s, b in zip(scores, weights[1::2], strict=True)]
    rows = torch.cat([scores[0] + scores[2], scores[1]]).numpy()
    kept = [k.tolist() for k in budget.by_row(budget.threshold(rows, [6, 8], 7), [6, 8])]
    assert [k.tolist() for k in code.kept] == [kept[0], kept[1], kept[0]]
    for w, copy, a, b in zip(weights, copies, first, again, strict=True):
        assert torch.equal(w, copy)  # the task's own weights stay as they are
        assert torch.equal(a, b)
        assert a.shape == w.shape


def test_weights_in_another_memory_order() -> None:
    generator = torch.Generator().manual_seed(4)
    plain = (torch.randn(8, 4, 3, 3, generator=generator), torch.randn(5, 4, 3, 3))
    strange = tuple(w.contiguous(memory_format=torch.channels_last) for w in plain)
    shapes = tuple(tuple(w.shape) for w in plain)
    places = layout(shapes, (), True)
    codes = [outputs.prune(weights, shapes, places, 6, True) for weights in (plain, strange)]
    assert codes[0] is not None
    assert codes[1] is not None
    for a, b in zip(codes[0].decode(), codes[1].decode(), strict=True):
        assert torch.equal(a, b)
