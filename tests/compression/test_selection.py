from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression import ranking
from autocompress.compression.selection import Scores, largest, put, take
from autocompress.errors import SchemeError
from tests.compression import strategies as s


@pytest.fixture(autouse=True, params=[0, 10**5], ids=["many", "few"])
def _tiny_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make small vectors take the ways that large ones and those of a usual layer do."""
    monkeypatch.setattr(ranking, "FEW", request.param)
    monkeypatch.setattr(ranking, "STRIDE", 3)
    monkeypatch.setattr(ranking, "BLOCK", 7)
    monkeypatch.setattr(ranking, "SAMPLE", 6)
    monkeypatch.setattr(ranking, "SMALL", 5)


@settings(max_examples=150)
@given(s.vectors(60), st.data())
def test_the_largest_in_blocks_are_those_of_a_stable_sort(
    vector: Tensor, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, vector.numel()))
    order = np.argsort(-vector.abs().numpy(), kind="stable")[:count]
    assert Scores(vector).largest(count).tolist() == sorted(order.tolist())
    assert largest(vector.abs(), count).tolist() == sorted(order.tolist())


@settings(max_examples=100)
@given(s.vectors(60), st.data())
def test_weights_of_one_change_nothing(vector: Tensor, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, vector.numel()))
    ones = torch.ones_like(vector)
    if vector.dtype == torch.float32:  # squares in double precision are exact then
        weighted = Scores(vector, ones, power=2).largest(count)
        assert weighted.tolist() == Scores(vector).largest(count).tolist()
    threshold = float(vector.abs().median())
    assert torch.equal(Scores(vector, ones).above(threshold), Scores(vector).above(threshold))


@settings(max_examples=100)
@given(s.vectors(40), st.floats(0, 5), st.sampled_from(s.SCALES))
def test_thresholds_are_compared_as_real_numbers(
    vector: Tensor, threshold: float, scale: float
) -> None:
    expected = [i for i, v in enumerate(vector.tolist()) if abs(v) > threshold * scale]
    assert Scores(vector).above(threshold * scale).tolist() == expected
    assert Scores(vector).above(math.inf).tolist() == []


def test_a_threshold_between_two_floats_is_not_rounded() -> None:
    value = float(np.float32(0.1))
    vector = torch.tensor([value])
    assert Scores(vector).above(value * (1 - 1e-12)).tolist() == [0]
    assert Scores(vector).above(value).tolist() == []
    assert Scores(torch.tensor([3e38])).above(1e300).tolist() == []


@given(st.floats(0, allow_nan=False), st.sampled_from([4, 8]))
def test_no_float_lies_between_a_number_and_its_floor(number: float, size: int) -> None:
    kind = np.float32 if size == 4 else np.float64
    low = ranking.floor(number, size)
    assert float(kind(low)) == low <= number
    with np.errstate(over="ignore"):
        assert low == math.inf or float(np.nextafter(kind(low), kind(np.inf))) > number


@given(s.vectors(60), st.data())
def test_a_misleading_sample_costs_only_time(vector: Tensor, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, vector.numel()))
    expected = Scores(vector).largest(count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_bracket", lambda *_: (1e37, 2e37))
        assert torch.equal(Scores(vector).largest(count), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_take_and_put_are_inverse(dtype: torch.dtype) -> None:
    flat = torch.tensor([0.0, 1.5, 0.0, -2.0], dtype=dtype)
    index = torch.tensor([1, 3])
    assert torch.equal(put(index, take(flat, index), (4,)), flat)
    none = torch.zeros(0, dtype=torch.int64)
    assert torch.equal(put(none, take(flat, none), (4,)), torch.zeros(4, dtype=dtype))


@given(st.integers(0, 200), st.floats(0, 1), st.integers(0, 9))
def test_positions_are_found_at_any_density(size: int, density: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random(size) < density
    assert ranking.positions(mask).tolist() == np.flatnonzero(mask).tolist()
    assert ranking.positions(mask[1:]).tolist() == np.flatnonzero(mask[1:]).tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1, 300, 2000]), st.sampled_from([1e-12, 1.0, 1e12]))
def test_single_precision_finds_the_largest_of_double(seed: int, count: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    flat = scale * torch.randn(40_000, generator=generator)
    norm = torch.rand(40_000, generator=generator).square()
    # many about as large as the threshold, told apart in double precision alone
    flat[:3000] = flat[7] * (1 + 1e-7 * torch.randint(-2, 3, (3000,), generator=generator))
    norm[:3000] = norm[7]
    scores = norm.double() * flat.double().square()
    order = sorted(range(40_000), key=lambda i: (-float(scores[i]), i))
    expected = torch.tensor(sorted(order[:count]))
    assert torch.equal(Scores(flat, norm, power=2).largest(count), expected)


@pytest.mark.parametrize("value", [0.0, 1e-30, 3e30])
def test_squares_out_of_range_of_single_precision(value: float) -> None:
    flat, norm = torch.full((40_000,), value), torch.ones(40_000)
    flat[5], norm[5] = 2e19, 1e-30  # its square overflows in single precision
    flat[9], norm[9] = 1e-25, 1e38  # its square vanishes there
    scores = norm.double() * flat.double().square()
    order = sorted(range(40_000), key=lambda i: (-float(scores[i]), i))
    found = Scores(flat, norm, power=2).largest(100)
    assert found.tolist() == sorted(order[:100])


@pytest.mark.parametrize("weight", [None, 0.0, 1e-30, 1.0])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([3, 100, 40_000]),
    st.sampled_from([0.01, 0.2, 1.0]),
    st.integers(0, 10**6),
    st.sampled_from([torch.bfloat16, torch.float32, torch.float64]),
)
def test_one_bad_number_anywhere_is_refused(
    bad: float, weight: float | None, size: int, share: float, place: int, dtype: torch.dtype
) -> None:
    flat = torch.randn(size, generator=torch.Generator().manual_seed(place)).to(dtype)
    flat[place % size] = bad
    norm = None if weight is None else torch.full((size,), weight)
    for power in (1, 2):
        with pytest.raises(SchemeError, match="NaN or infinity"):
            Scores(flat, norm, power).largest(max(1, int(share * size)))


@pytest.mark.parametrize("most", [None, 1e38])
def test_the_largest_weight_of_a_norm_may_be_given(most: float | None) -> None:
    generator = torch.Generator().manual_seed(0)
    flat, norm = (torch.rand(40_000, generator=generator) for _ in range(2))
    flat[9], norm[9] = 1e-25, 1e38
    expected = (norm.double() * flat.double().square()).topk(100).indices.sort().values
    assert torch.equal(Scores(flat, norm, power=2, most=most).largest(100), expected)
