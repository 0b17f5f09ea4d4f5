"""Codebooks of many rows at once are as good as those of each row alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autocompress.compression import Codebook
from autocompress.compression.codebooks import kmeans_rows
from autocompress.compression.codebooks.grouped_kmeans import grouped_kmeans
from autocompress.compression.codebooks.optimal_kmeans import optimal_kmeans
from autocompress.errors import SchemeError

Array = npt.NDArray[np.float64]
Shape = tuple[int, int]

KINDS: dict[str, Callable[[np.random.Generator, Shape], Array]] = {
    "normal": lambda g, s: g.standard_normal(s),
    "laplace": lambda g, s: g.laplace(size=s),
    "cauchy": lambda g, s: g.standard_cauchy(s),
    "ties": lambda g, s: g.integers(-6, 7, s) / 2.0,
    "few values": lambda g, s: g.integers(0, 3, s).astype(float),
    "constant": lambda g, s: np.full(s, 0.3),
    "zeros": lambda g, s: np.zeros(s),
    "mostly zero": lambda g, s: np.where(g.random(s) < 0.9, 0.0, g.standard_normal(s)),
    "offset": lambda g, s: 1e3 + g.standard_normal(s),
    "evenly spaced": lambda g, s: np.tile(np.arange(s[1], dtype=float), (s[0], 1)),
    "tight clusters": lambda g, s: 10.0 * g.integers(0, 4, s) + 1e-2 * g.standard_normal(s),
    "huge": lambda g, s: 1e30 * g.standard_normal(s),
    "tiny": lambda g, s: 1e-30 * g.standard_normal(s),
    "outlier": lambda g, s: np.append(
        g.standard_normal((s[0], s[1] - 1)), np.full((s[0], 1), 1e20), 1
    ),
}
WEIGHTS: dict[str, Callable[[np.random.Generator, Shape], Array | None]] = {
    "none": lambda g, s: None,
    "some zero": lambda g, s: g.integers(0, 3, s).astype(float),
    "uneven": lambda g, s: np.exp(3 * g.standard_normal(s)),
    "any scale": lambda g, s: 10.0 ** g.uniform(-20, 0, s),
}


@settings(max_examples=120)
@given(
    st.sampled_from(sorted(KINDS)),
    st.sampled_from(sorted(WEIGHTS)),
    st.integers(0, 999),
    st.integers(1, 9),
    st.booleans(),
)
def test_rows_are_as_good_together_as_alone(
    kind: str, weights: str, seed: int, k: int, zero: bool
) -> None:
    g = np.random.default_rng(seed)
    shape = (3, int(g.integers(129, 200)))
    x = torch.from_numpy(KINDS[kind](g, shape).astype(np.float32))
    found = WEIGHTS[weights](g, shape)
    h = None if found is None else torch.from_numpy(found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kmeans_rows, "_SHORT", 1 + seed % 9)
        patch.setattr(kmeans_rows, "_STEPS", (0, 3, 200)[seed % 3])
        flat = None if h is None else h.reshape(-1)
        codebooks = grouped_kmeans(x.reshape(-1), k, (shape,), flat, zero=zero)
    assert codebooks.shape == (3, k)
    assert bool((codebooks.diff() >= 0).all())
    assert not zero or bool((codebooks == 0).any(1).all())
    for i, row in enumerate(x):
        own = None if h is None else h[i]
        alone = optimal_kmeans(row, k, own, zero=zero)
        importance = torch.ones(len(row)).double() if own is None else own
        rounding = 1e-8 * float((importance * row.double().square()).sum()) ** 0.5
        ours, theirs = (cost(row, importance, c) ** 0.5 for c in (codebooks[i], alone))
        assert ours <= theirs * (1 + 1e-9) + rounding


def cost(x: torch.Tensor, h: torch.Tensor, codebook: torch.Tensor) -> float:
    away = (x.double()[:, None] - codebook.double()).square().min(1).values
    return float((h * away).sum())


@pytest.mark.parametrize("kind", ["normal", "laplace", "ties", "evenly spaced", "cauchy"])
@pytest.mark.parametrize("k", [2, 4, 7])
def test_windows_hold_the_optimum(kind: str, k: int) -> None:
    kmeans1d = pytest.importorskip("kmeans1d")
    x = np.sort(KINDS[kind](np.random.default_rng(k), (5, 300)).astype(np.float32), 1)
    rows, _ = kmeans_rows.sorted_rows(x, None, zero=False)
    low, high = (bound.T - rows.base()[:, None] for bound in kmeans_rows.windows(rows, k))
    path, _ = kmeans_rows.breakpoints(rows, k)
    assert bool((low <= path).all())
    assert bool((path <= high).all())
    for i, row in enumerate(x.astype(float)):
        labels = np.array(kmeans1d.cluster(row, k).clusters)
        optimal = np.searchsorted(labels, np.arange(k + 1))
        first = np.searchsorted(row, row[optimal[1:-1]])
        last = np.searchsorted(row, row[optimal[1:-1] - 1], "right")
        assert bool((low[i, 1:-1] <= last).all())
        assert bool((high[i, 1:-1] >= first).all())


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(wrong: float) -> None:
    weight = torch.randn(4, 300)
    weight[2, 17] = wrong
    with pytest.raises(SchemeError, match="finite"):
        grouped_kmeans(weight.reshape(-1), 4, ((4, 300),))


def test_rows_of_many_tensors_are_each_for_themselves() -> None:
    """Tiles, sizes solved in other ways, and tensors, in one call."""
    g = torch.Generator().manual_seed(0)
    weights = tuple(torch.randn(shape, generator=g) for shape in ((700, 200), (3, 20), (2, 3, 50)))
    decoded = Codebook(3, group="row").project(weights, mu=1.0).decode()
    for w, d in zip(weights, decoded, strict=True):
        for row, found in list(zip(w.flatten(1), d.flatten(1), strict=True))[::97]:
            least = cost(row, torch.ones(row.shape), optimal_kmeans(row, 3))
            assert (
                float((row.double() - found.double()).square().sum()) <= least * (1 + 1e-9) + 1e-9
            )
