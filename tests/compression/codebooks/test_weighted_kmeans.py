"""Codebooks with weights, with a fixed zero and per group, against dynamic programming."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autocompress.compression import Codebook
from autocompress.compression.codebooks import kmeans_cells, kmeans_priced, kmeans_search, scalars
from autocompress.compression.codebooks.optimal_kmeans import optimal_kmeans
from autocompress.compression.weighting import Diagonal
from autocompress.errors import SchemeError
from tests.compression import strategies as s

Array = npt.NDArray[np.float64]


def least(x: Array, h: Array, k: int, zero: bool) -> float:
    """The least weighted distortion, by costs of all intervals and O(k·n²) programming."""
    order = np.argsort(x)
    x, h = x[order], h[order]
    n = len(x)
    free, held = np.full((n + 1, n + 1), np.inf), np.full((n + 1, n + 1), np.inf)
    for i in range(n + 1):
        free[i, i] = held[i, i] = 0.0
        for j in range(i + 1, n + 1):
            v, w = x[i:j], h[i:j]
            mean = (w * v).sum() / w.sum() if w.any() else v.mean()
            free[i, j], held[i, j] = (w * (v - mean) ** 2).sum(), (w * v * v).sum()
    without, with_ = np.full(n + 1, np.inf), np.full(n + 1, np.inf)
    without[0] = 0.0
    for _ in range(k):
        with_ = np.minimum((with_[:, None] + free).min(0), (without[:, None] + held).min(0))
        without = (without[:, None] + free).min(0)
    return float(with_[n] if zero else without[n])


KINDS = {
    "normal": lambda g, n: g.standard_normal(n),
    "ties": lambda g, n: g.integers(-3, 6, n) / 2.0,
    "log-normal": lambda g, n: np.exp(4 * g.standard_normal(n)) * g.choice([-1, 1], n),
    "all positive": lambda g, n: 5.0 + g.standard_normal(n),
    "tiny": lambda g, n: 1e-25 * g.standard_normal(n),
}
WEIGHTS = {
    "none": lambda g, n: np.ones(n),
    "some zero": lambda g, n: g.integers(0, 3, n).astype(float),
    "uneven": lambda g, n: np.exp(3 * g.standard_normal(n)),
}


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(KINDS)),
    st.sampled_from(sorted(WEIGHTS)),
    st.integers(0, 999),
    st.integers(1, 8),
    st.booleans(),
    st.sampled_from(s.DTYPES),
)
def test_no_codebook_is_better(
    kind: str, weights: str, seed: int, k: int, zero: bool, dtype: torch.dtype
) -> None:
    g = np.random.default_rng(seed)
    n = int(g.integers(1, 45))
    x = torch.from_numpy(KINDS[kind](g, n)).to(dtype)
    h = torch.from_numpy(WEIGHTS[weights](g, n)).to(s.DTYPES[seed % 2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kmeans_cells, "_FIRST", 2 + seed % 20)
        patch.setattr(kmeans_cells, "_CELLS", 1)
        patch.setattr(scalars, "_FEW", 0 if seed % 3 else 1 << 18)
        if seed % 4:
            patch.setattr(kmeans_priced, "_ROWS", 1 + seed % 4)

            patch.setattr(kmeans_search, "_CELLS", 0)
            patch.setattr(kmeans_search, "_FEW", 0 if seed % 5 else 32)
        codebook = optimal_kmeans(x, k, None if weights == "none" else h, zero=zero)
    assert len(codebook) <= k
    assert bool((codebook.diff() > 0).all())
    assert not zero or bool((codebook == 0).any())
    wide, importance = x.double().numpy(), h.double().numpy()
    importance = importance if importance.any() else np.ones(n)
    ours = float((importance * ((wide[:, None] - codebook.double().numpy()) ** 2).min(1)).sum())
    best = least(wide, importance, k, zero)
    energy = float((importance * wide**2).sum())
    rounding = 4 * torch.finfo(dtype).eps * energy**0.5
    assert ours**0.5 <= best**0.5 * (1 + 1e-9) + rounding


@pytest.mark.parametrize("group", ["row", "tensor", 6])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("dtype", s.DTYPES)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_groups_are_solved_each_for_itself(
    group: str | int, zero: bool, dtype: torch.dtype, k: int
) -> None:
    g = np.random.default_rng(k)
    weights = tuple(torch.from_numpy(g.standard_normal(n)).to(dtype) for n in ((4, 9), 7))
    h = tuple(torch.from_numpy(g.integers(0, 4, w.shape)).to(torch.float32) for w in weights)
    code = Codebook(k, zero, group).project(weights, mu=1.0, weighting=Diagonal(h))
    s.check_code(code, weights)
    for w, own, decoded in zip(weights, h, code.decode(), strict=True):
        rows = len(w) if group == "row" and w.dim() > 1 else 1
        size = w.numel() // rows if isinstance(group, str) else group
        parts = (t.reshape(-1).double().split(size) for t in (w, own, decoded))
        for x, importance, d in zip(*parts, strict=True):
            i = importance.numpy() if importance.any() else np.ones(len(x))
            ours = float((i * (x - d).numpy() ** 2).sum())
            best = least(x.numpy(), i, k, zero)
            rounding = 4 * torch.finfo(dtype).eps * float((i * x.numpy() ** 2).sum()) ** 0.5
            assert ours**0.5 <= best**0.5 * (1 + 1e-9) + rounding


def test_equal_weights_change_nothing() -> None:
    weight = torch.randn(40, 50, generator=torch.Generator().manual_seed(0))
    norm = Diagonal((torch.full_like(weight, 0.3),))
    for scheme in (Codebook(5), Codebook(4, group=64), Codebook(6, zero=True)):
        plain = scheme.project((weight,), mu=1.0)
        assert s.same(plain.decode(), scheme.project((weight,), mu=1.0, weighting=norm).decode())


def test_sorting_pairs_keeps_them_together() -> None:
    g = np.random.default_rng(0)
    x = np.append(g.standard_normal(999), [0.0, -0.0, 1e30, -1e-40]).astype(np.float32)
    h = g.random(len(x)).astype(np.float32)
    first, second = scalars.sort_weighted(x, h)
    assert np.array_equal(first, np.sort(x))
    assert sorted(zip(first, second, strict=True)) == sorted(zip(x, h, strict=True))


def test_sums_of_many_scalars_are_those_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    g = np.random.default_rng(0)
    x, h = np.sort(g.standard_normal(1000)), g.random(1000)
    rank = g.integers(0, 1001, (7, 30))
    few = [scalars.Sums(x, w, 0.5)(rank) for w in (None, h)]
    monkeypatch.setattr(scalars, "_FEW", 0)
    many = [scalars.Sums(x, w, 0.5)(rank) for w in (None, h)]
    np.testing.assert_allclose(few, many, rtol=1e-12, atol=1e-12)


def test_groups_too_small_are_refused_or_fitted() -> None:
    shapes = ((4, 9), (7,))
    with pytest.raises(SchemeError, match=r"k = 8 .* groups \(group = 6\) of at most 6 weights"):
        Codebook(8, group=6).check(shapes)
    assert Codebook(8, True, group=6).fitted(shapes) == Codebook(6, True, group=6)
    assert Codebook(3, group="tensor").canonical(((4, 9),)) == Codebook(3)
    with pytest.raises(SchemeError, match="zero = 1"):
        Codebook(3, zero=1)  # type: ignore[arg-type]
    with pytest.raises(SchemeError, match="group = 0"):
        Codebook(3, group=0)
