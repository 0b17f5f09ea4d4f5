"""The codebook is optimal: against brute force, against kmeans1d, and where sums would cancel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autocompress.compression.codebooks import kmeans_cells, kmeans_priced, kmeans_search
from autocompress.compression.codebooks.optimal_kmeans import assign, optimal_kmeans
from autocompress.errors import SchemeError

Array = npt.NDArray[np.float64]
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


def brute_force(values: Array, k: int) -> float:
    """The least distortion by O(k·n²) dynamic programming; costs have positive terms only."""
    x = np.sort(values)
    n = len(x)
    cost = np.full((n + 1, n + 1), np.inf)
    for i in range(n):
        mean = total = 0.0
        for j in range(i, n):
            away = x[j] - x[i] - mean
            mean += away / (j - i + 1)
            total += away * (x[j] - x[i] - mean)
            cost[i, j + 1] = total
    best = np.full(n + 1, np.inf)
    best[0] = 0.0
    for _ in range(k):
        best = np.minimum(best, (best[:, None] + cost).min(0))
    return float(best[n])


def partition_cost(values: Array, labels: npt.NDArray[np.int64]) -> float:
    """The distortion about exact means, so that the rounding of float32 centres is no matter."""
    order = np.lexsort((values, labels))
    x, labels = values[order], labels[order]
    total = 0.0
    for part in np.split(x, np.flatnonzero(np.diff(labels)) + 1):
        part = part - part[len(part) // 2]
        total += float(((part - part.mean()) ** 2).sum())
    return total


def distortion(values: Array, k: int) -> float:
    """The distortion of our codebook, as assigned."""
    x = torch.from_numpy(values)
    return partition_cost(values, assign(x, optimal_kmeans(x, k)).long().numpy())


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few cells at first, so that small problems too go through several rounds."""
    monkeypatch.setattr(kmeans_cells, "_FIRST", 6)
    monkeypatch.setattr(kmeans_cells, "_CELLS", 2)


KINDS: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "normal": lambda g, n: g.standard_normal(n),
    "cauchy": lambda g, n: g.standard_cauchy(n),
    "log-normal": lambda g, n: np.exp(10 * g.standard_normal(n)) * g.choice([-1, 1], n),
    "any scale": lambda g, n: 10.0 ** g.uniform(-30, 30, n) * g.choice([-1, 1], n),
    "few values": lambda g, n: g.integers(0, max(2, n // 3), n).astype(float),
    "mostly zero": lambda g, n: np.where(g.random(n) < 0.7, 0.0, g.standard_normal(n)),
    "tight clusters": lambda g, n: 10.0 * g.integers(0, 5, n) + 1e-3 * g.standard_normal(n),
    "evenly spaced": lambda g, n: np.arange(n, dtype=float),
    "skewed": lambda g, n: g.random(n) ** 8,
    "tiny": lambda g, n: 1e-30 * g.standard_normal(n),
    "huge": lambda g, n: 1e30 * g.standard_normal(n),
    "offset": lambda g, n: 1e6 + g.standard_normal(n),
    "outlier": lambda g, n: np.append(g.standard_normal(n - 1), -1e30),
    "far apart": lambda g, n: 1e10 * g.integers(0, 2, n) + g.standard_normal(n),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rounds", ["one round", "several rounds"])
def test_no_solution_is_better(kind: str, rounds: str, request: pytest.FixtureRequest) -> None:
    if rounds == "several rounds":
        request.getfixturevalue("coarse")
    g = np.random.default_rng(0)
    for n, k in [(3, 2), (20, 4), (60, 2), (60, 7), (90, 16), (40, 35)]:
        values = KINDS[kind](g, n)
        assert distortion(values, k) <= brute_force(values, k) * (1 + 1e-9), (n, k)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=40),
    st.integers(1, 12),
    st.integers(2, 30),
)
def test_no_solution_is_better_for_any_floats(numbers: list[float], k: int, first: int) -> None:
    values = np.array(numbers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kmeans_cells, "_FIRST", first)
        patch.setattr(kmeans_cells, "_CELLS", 1)
        ours = distortion(values, k)
    assert ours <= brute_force(values, k) * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=60), st.integers(1, 12))
def test_ties(numbers: list[int], k: int) -> None:
    values = np.array(numbers, dtype=float)
    codebook = optimal_kmeans(torch.from_numpy(values), k)
    assert codebook.numel() == min(k, len(np.unique(values)))
    assert distortion(values, k) <= brute_force(values, k) * (1 + 1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [2, 5, 16, 50])
def test_kmeans1d_is_not_better(kind: str, k: int) -> None:
    kmeans1d = pytest.importorskip("kmeans1d")
    values = KINDS[kind](np.random.default_rng(k), 6000)
    theirs = np.array(kmeans1d.cluster(values, k).clusters)
    assert distortion(values, k) <= partition_cost(values, theirs) * (1 + 1e-12)


@pytest.mark.parametrize("rows", [2, 5])
@pytest.mark.parametrize("kind", ["normal", "skewed", "few values", "offset", "any scale"])
def test_many_rounds_of_few_ends_at_a_time(
    rows: int, kind: str, monkeypatch: pytest.MonkeyPatch, coarse: None
) -> None:
    kmeans1d = pytest.importorskip("kmeans1d")
    monkeypatch.setattr(kmeans_priced, "_ROWS", rows)

    monkeypatch.setattr(kmeans_search, "_CELLS", 0)
    values = KINDS[kind](np.random.default_rng(3), 1500)
    for k in (3, 9, 20, 40):
        theirs = np.array(kmeans1d.cluster(values, k).clusters)
        assert distortion(values, k) <= partition_cost(values, theirs) * (1 + 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("k", [64, 256])
def test_many_centres_for_many_weights(k: int) -> None:
    kmeans1d = pytest.importorskip("kmeans1d")
    values = np.random.default_rng(0).standard_normal(60_000)
    theirs = np.array(kmeans1d.cluster(values, k).clusters)
    assert distortion(values, k) <= partition_cost(values, theirs) * (1 + 1e-12)


@pytest.mark.parametrize("k", [1, 2, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("device", DEVICES)
def test_shape_type_device_and_order(k: int, dtype: torch.dtype, device: str) -> None:
    values = torch.randn(7, 11, 13, dtype=dtype, generator=torch.Generator().manual_seed(0))
    values = values.to(device).transpose(0, 2)
    before = values.clone()
    codebook = optimal_kmeans(values, k)
    assert codebook.shape == (k,)
    assert codebook.dtype == dtype
    assert codebook.device == values.device
    assert bool((codebook.diff() > 0).all())
    assert torch.equal(values, before)
    indices = assign(values, codebook)
    nearest = (values[..., None] - codebook).abs().argmin(-1)
    assert indices.shape == values.shape
    assert torch.equal(indices.long(), nearest)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_counts_as_float32(dtype: torch.dtype) -> None:
    values = torch.randn(500, generator=torch.Generator().manual_seed(0)).to(dtype)
    codebook = optimal_kmeans(values, 4)
    assert codebook.dtype == torch.float32
    assert torch.equal(codebook, optimal_kmeans(values.float(), 4))
    indices = assign(values, codebook).long()
    assert torch.equal(indices, assign(values.float(), codebook).long())


def test_one_centre_is_the_mean() -> None:
    values = torch.randn(1000, dtype=torch.float64) + 5.0
    torch.testing.assert_close(optimal_kmeans(values, 1), values.mean()[None])


def test_fewer_distinct_values_than_centres_are_the_codebook() -> None:
    values = torch.tensor([3.0, -1.0, 3.0, 0.5, -1.0])
    assert optimal_kmeans(values, 16).tolist() == [-1.0, 0.5, 3.0]
    assert optimal_kmeans(torch.full((1000,), 0.1), 2).tolist() == [torch.tensor(0.1).item()]


def test_as_many_centres_as_weights_lose_nothing() -> None:
    values = torch.randn(300, generator=torch.Generator().manual_seed(0))
    codebook = optimal_kmeans(values, 300)
    assert torch.equal(codebook[assign(values, codebook).long()], values)


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_squares_outside_the_range_of_float64(scale: float) -> None:
    values = np.random.default_rng(0).standard_normal(80)
    scaled = optimal_kmeans(torch.from_numpy(values * scale), 5).numpy()
    np.testing.assert_allclose(
        scaled / scale, optimal_kmeans(torch.from_numpy(values), 5).numpy(), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("values", "k", "words"),
    [
        (torch.ones(3), 0, "k = 0"),
        (torch.ones(0), 2, "0 of torch.float32"),
        (torch.ones(3, dtype=torch.int64), 2, "torch.int64"),
        (torch.tensor([1.0, float("nan"), 2.0]), 2, "finite"),
        (torch.tensor([1.0, float("-inf"), 2.0]), 2, "finite"),
    ],
)
def test_unusable_input_is_told(values: torch.Tensor, k: int, words: str) -> None:
    with pytest.raises(SchemeError, match=words):
        optimal_kmeans(values, k)


@pytest.mark.parametrize("k", [1, 2, 16, 21, 64, 256, 257, 1024])
@pytest.mark.parametrize("power", [1, 9])
def test_assign_is_the_nearest_centre(k: int, power: int) -> None:
    """A high power puts most centres in few bins, where thresholds are searched instead."""
    g = torch.Generator().manual_seed(k)
    codebook = (torch.randn(k, generator=g) ** power).sort().values
    values = torch.cat([torch.randn(70_000, generator=g) ** power, codebook])
    indices = assign(values, codebook)
    assert indices.dtype == (torch.uint8 if k <= 256 else torch.int32)
    away = (values.double() - codebook.double()[indices.long()]).abs()
    for step in (-1, 1):
        other = codebook.double()[(indices.long() + step).clamp(0, k - 1)]
        assert bool((away <= (values.double() - other).abs()).all())


def test_assign_breaks_ties_downwards() -> None:
    for k in (3, 100):
        codebook = torch.arange(k, dtype=torch.float32)
        middle = codebook[:-1] + 0.5
        assert torch.equal(assign(middle, codebook).long(), torch.arange(k - 1))
        above = torch.nextafter(middle, torch.full_like(middle, torch.inf))
        assert torch.equal(assign(above, codebook).long(), torch.arange(1, k))


def test_assign_to_neighbouring_floats() -> None:
    """Midpoints that no float32 equals still part the two."""
    one = torch.tensor(1.0)
    codebook = torch.stack([one, torch.nextafter(one, torch.tensor(2.0))])
    assert assign(codebook, codebook).tolist() == [0, 1]
    huge = torch.tensor([-3e38, 0.0, 3e38])
    assert assign(huge, huge).tolist() == [0, 1, 2]
    many = torch.from_numpy(np.linspace(-3e38, 3e38, 64)).float()
    assert torch.equal(assign(many, many).long(), torch.arange(64))
