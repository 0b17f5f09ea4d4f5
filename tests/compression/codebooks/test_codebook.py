from __future__ import annotations

from itertools import combinations, pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression import Cast, Codebook, Compose
from autocompress.compression.codebooks.codebook import CodebookCode
from autocompress.errors import SchemeError
from tests.compression import strategies as s


def least_distortion(values: Tensor, k: int) -> float:
    """Cut the sorted values in every possible way; each piece takes its mean."""
    ordered = sorted(values.double().tolist())
    size = len(ordered)
    best = float("inf")
    for cuts in combinations(range(1, size), min(k, size) - 1):
        distortion = 0.0
        for start, end in pairwise((0, *cuts, size)):
            piece = ordered[start:end]
            mean = sum(piece) / len(piece)
            distortion += sum((x - mean) ** 2 for x in piece)
        best = min(best, distortion)
    return best


@settings(max_examples=150)
@given(s.vectors(9), st.integers(1, 9), st.integers(1, 3))
def test_no_other_codebook_is_better(vector: Tensor, k: int, pieces: int) -> None:
    k = min(k, vector.numel())
    weights = s.cut(vector, pieces)
    code = Codebook(k).project(weights, mu=0.0)
    s.check_code(code, weights)
    found = s.error(code.decode(), weights)
    slack = s.slack(weights, 4.0)
    assert found**0.5 <= least_distortion(vector, k) ** 0.5 + slack**0.5
    assert code.size <= k


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 24), st.sampled_from(s.DTYPES))
def test_against_dynamic_programming(seed: int, k: int, dtype: torch.dtype) -> None:
    """Larger inputs against the plain quadratic recursion."""
    generator = torch.Generator().manual_seed(seed)
    kinds = [
        torch.randn(80, generator=generator),
        torch.randn(80, generator=generator).exp(),
        torch.randint(-5, 6, (80,), generator=generator).float(),
        torch.cat([torch.randn(40, generator=generator) + c for c in (-9.0, 9.0)]),
    ]
    vector = kinds[seed % len(kinds)].to(dtype)
    x = vector.double().sort().values
    sums = torch.cat([x.new_zeros(1), x.cumsum(0)])
    squares = torch.cat([x.new_zeros(1), x.square().cumsum(0)])
    ends = torch.arange(81)
    lengths = (ends[None] - ends[:, None]).clamp(min=1)
    within = squares[None] - squares[:, None] - (sums[None] - sums[:, None]).square() / lengths
    within[ends[None] < ends[:, None]] = torch.inf
    best = within[0]
    for _ in range(k - 1):
        best = (best[:, None] + within).min(0).values
    code = Codebook(k).project((vector,), mu=0.0)
    found = s.error(code.decode(), (vector,))
    assert found <= float(best[-1]) * (1 + 1e-9) + s.slack((vector,)) + 1e-9


@given(s.vectors(30), st.integers(1, 6))
def test_each_weight_takes_its_nearest_entry(vector: Tensor, k: int) -> None:
    code = Codebook(min(k, vector.numel())).project((vector,), mu=0.0)
    (codebook,) = code.inner.decode()
    taken = (vector.double() - code.decode()[0].double()).abs()
    nearest = (vector.double()[:, None] - codebook.double()[None]).abs().min(1).values
    assert bool((taken <= nearest * (1 + 1e-6) + s.slack((vector,), 4.0) ** 0.5).all())


@given(s.vectors(12))
def test_as_many_entries_as_weights_is_exact(vector: Tensor) -> None:
    code = Codebook(vector.numel()).project((vector,), mu=0.0)
    assert torch.equal(code.decode()[0], vector)
    assert code.size == vector.unique().numel()


def test_fewer_distinct_weights_than_entries() -> None:
    vector = torch.tensor([1.0, 2.0, 1.0, 2.0, 2.0, 1.0, 5.0, 5.0])
    code = Codebook(8).project((vector,), mu=0.0)
    assert code.size == 3
    assert code.bits() == 8 * 2 + 3 * 32
    assert code.inner.decode()[0].tolist() == [1.0, 2.0, 5.0]


def test_constant_weights_take_one_entry_and_no_bits_each() -> None:
    code = Codebook(4).project((torch.full((50,), 0.3),), mu=0.0)
    assert code.size == 1
    assert code.bits() == 32
    assert torch.equal(code.decode()[0], torch.full((50,), 0.3))


def test_one_codebook_for_all_tensors() -> None:
    weights = (torch.tensor([[0.0, 1.0]]), torch.tensor([0.1, 0.9]))
    decoded = Codebook(2).project(weights, mu=0.0).decode()
    assert torch.allclose(decoded[0], torch.tensor([[0.05, 0.95]]))
    assert torch.allclose(decoded[1], torch.tensor([0.05, 0.95]))


@pytest.mark.parametrize("k", [2, 3, 16, 17, 256, 257, 300])
def test_bits(k: int) -> None:
    generator = torch.Generator().manual_seed(0)
    code = Codebook(k).project((torch.randn(400, generator=generator),), mu=0.0)
    assert code.bits() == 400 * (k - 1).bit_length() + 32 * k
    s.check_code(code, code.decode())


def test_a_codebook_can_be_stored_in_half_precision() -> None:
    torch.manual_seed(0)
    weight = torch.randn(100)
    code = Compose([Codebook(4), Cast("float16")]).project((weight,), mu=0.0)
    assert code.bits() == 100 * 2 + 4 * 16
    s.check_code(code, (weight,))


@pytest.mark.parametrize("k", [0, -1, 2.0, "2", None, True])
def test_codebooks_of_no_entries_are_refused(k: int) -> None:
    with pytest.raises(SchemeError, match=r"k = .* is not an integer >= 1"):
        Codebook(k)


def test_more_entries_than_weights_are_refused() -> None:
    with pytest.raises(SchemeError, match=r"k = 7 .* only 6 weights: accepted is 1 to 6"):
        Codebook(7).check(((2, 2), (2,)))
    with pytest.raises(SchemeError, match=r"k = 7 .* only 6 weights"):
        Codebook(7).project((torch.zeros(2, 2), torch.zeros(2)), mu=0.0)
    Codebook(6).check(((2, 2), (2,)))


def test_restoring_contradicting_parts_is_refused() -> None:
    torch.manual_seed(0)
    code = Codebook(5).project((torch.randn(30),), mu=0.0)
    small = Codebook(4).project((torch.randn(30),), mu=0.0)
    forged = {"indices": torch.full((12,), 255, dtype=torch.uint8)}
    for meta, tensors, children in (
        (code.meta(), code.tensors(), small.children()),
        (code.meta() | {"size": 4}, code.tensors(), code.children()),
        (code.meta() | {"size": 9}, code.tensors(), code.children()),
        (code.meta() | {"shapes": [[33]]}, code.tensors(), code.children()),
        (code.meta(), forged, code.children()),
    ):
        with pytest.raises(ValueError, match=r"."):
            CodebookCode.restore(meta, tensors, children)
