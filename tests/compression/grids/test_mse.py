from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression import Uniform
from autocompress.compression.grids import mse as uniform_mse
from autocompress.compression.weighting import Diagonal, energy
from tests.compression import strategies as s


def least_error(values: Tensor, h: Tensor, bits: int) -> float:
    """Try the levels on either side of every scale at which some weight changes its level."""
    x, weight = values.double().numpy(), h.double().numpy()
    top = max(2 ** (bits - 1) - 1, 1)
    breaks = np.outer(np.abs(x), 1 / (np.arange(top) + 0.5)).reshape(-1)
    breaks = np.unique(breaks[breaks > 0])
    best = float((weight * x * x).sum()) if bits > 1 or not breaks.size else float("inf")
    between = [*(breaks[:-1] / 2 + breaks[1:] / 2), *breaks[:1] / 2, *breaks[-1:] * 2]
    for scale in between:
        q = np.clip(np.round(x / scale), -top, top)
        if bits == 1:
            q = np.where(x < 0, -1.0, 1.0)
        square = (weight * q * q).sum()
        fitted = (weight * q * x).sum() / square if square else 0.0
        best = min(best, float((weight * (x - fitted * q) ** 2).sum()))
    return best


@settings(max_examples=150)
@given(s.vectors(8), st.sampled_from([1, 2, 3, 4, 7]))
def test_no_other_symmetric_scale_is_better(vector: Tensor, bits: int) -> None:
    code = Uniform(bits).project((vector,), mu=0.0)
    s.check_code(code, (vector,))
    found = s.error(code.decode(), (vector,))
    best = least_error(vector, torch.ones_like(vector), bits)
    assert found**0.5 <= best**0.5 + 4 * s.slack((vector,)) ** 0.5


@settings(max_examples=60)
@given(s.vectors(6, 6), st.lists(st.sampled_from([0.0, 0.5, 1.0, 30.0]), min_size=6, max_size=6))
def test_no_other_weighted_scale_is_better(vector: Tensor, importance: list[float]) -> None:
    h = torch.tensor(importance, dtype=vector.dtype)
    norm = Diagonal((h,))
    code = Uniform(3).project((vector,), mu=0.0, weighting=norm)
    found = energy((vector - code.decode()[0],), norm)
    best = least_error(vector, h, 3)
    assert found**0.5 <= best**0.5 + (30 * s.slack((vector,), 16.0)) ** 0.5


def kinds() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(24, 300, generator=generator)
    outlier = normal.clone()
    outlier[:, 7] *= 40
    return {
        "normal": normal,
        "exponential": normal.sign() * torch.rand(24, 300, generator=generator).log(),
        "outlier": outlier,
        "skewed": normal.exp(),
        "shifted": normal * 0.01 + 5,
    }


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("per", ["tensor", "channel"])
def test_what_is_too_large_to_sweep_is_searched_well(
    bits: int, per: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, weights in kinds().items():
        exact = Uniform(bits, per=per).project((weights,), mu=0.0)
        with monkeypatch.context() as patch:
            patch.setattr(uniform_mse, "SWEEP", 0)
            searched = Uniform(bits, per=per).project((weights,), mu=0.0)
            norm = Diagonal((torch.ones_like(weights),))  # takes the way of short rows
            weighted = Uniform(bits, per=per).project((weights,), mu=0.0, weighting=norm)
        best = s.error(exact.decode(), (weights,))
        for code in (searched, weighted):
            assert best * (1 - 1e-6) <= s.error(code.decode(), (weights,)) <= best * 1.1, name


@settings(max_examples=25)
@given(s.vectors(5, 2), st.sampled_from([1, 2]))
def test_asymmetric_grids_of_few_weights_are_near_the_best_ones(vector: Tensor, bits: int) -> None:
    x = np.sort(vector.double().numpy())
    best = float(((x - x.mean()) ** 2).sum())
    for levels in combinations_with_replacement(range(2**bits), len(x)):
        q = np.array(levels, dtype=float)
        if q.std() > 0:
            slope, offset = np.polyfit(q, x, 1)
            best = min(best, float(((x - slope * q - offset) ** 2).sum()))
    code = Uniform(bits, symmetric=False).project((vector,), mu=0.0)
    s.check_code(code, (vector,))
    found = s.error(code.decode(), (vector,)) ** 0.5
    rounding = s.slack((vector,)) ** 0.5
    assert best**0.5 - rounding <= found <= 2 * best**0.5 + rounding


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_asymmetric_grids_are_as_good_as_a_scan_of_clips(bits: int) -> None:
    for name, weights in kinds().items():
        x = weights.double().flatten()
        centre = x.mean()
        best = float("inf")
        for left in np.geomspace(0.01, 1, 25):
            for right in np.geomspace(0.01, 1, 25):
                low, high = centre - left * (centre - x.min()), centre + right * (x.max() - centre)
                step = (high - low) / (2**bits - 1)
                q = ((x - low) / step).round().clamp(0, 2**bits - 1)
                best = min(best, float((x - low - step * q).square().sum()))
        code = Uniform(bits, symmetric=False).project((weights,), mu=0.0)
        assert s.error(code.decode(), (weights,)) <= 1.02 * best, name


@settings(max_examples=40)
@given(
    s.matrices(5),
    st.sampled_from([1, 2, 4, 8, 16]),
    st.booleans(),
    st.sampled_from(["tensor", "channel", "group"]),
)
def test_never_worse_than_the_range_or_than_before(
    matrix: Tensor, bits: int, symmetric: bool, per: str
) -> None:
    rows = {"per": per, "group_size": 4 if per == "group" else None}
    scheme = Uniform(bits, symmetric, **rows)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    previous = scheme.project((matrix * torch.rand(matrix.shape, generator=generator),), mu=0.0)
    cold = scheme.project((matrix,), mu=0.0)
    warm = scheme.project((matrix,), mu=0.0, previous=previous)
    wide = Uniform(bits, symmetric, scale="minmax", **rows).project((matrix,), mu=0.0)  # type: ignore[arg-type]
    # the scale is a quotient of sums: a few dozen units in the last place
    bound = s.error(wide.decode(), (matrix,)) ** 0.5 + 4 * s.slack((matrix,)) ** 0.5
    assert s.error(cold.decode(), (matrix,)) ** 0.5 <= bound
    assert s.error(warm.decode(), (matrix,)) ** 0.5 <= bound
    again = scheme.project((matrix,), mu=0.0, previous=cold)
    limit = s.error(cold.decode(), (matrix,)) ** 0.5 + 4 * s.slack((matrix,)) ** 0.5
    assert s.error(again.decode(), (matrix,)) ** 0.5 <= limit


def test_weights_on_a_grid_stay_there() -> None:
    """Also where there are too many to sweep, and though most scales are no good at all."""
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(-127, 128, (300, 200), generator=generator)
    for per in ("tensor", "channel"):
        weights = levels * 0.0137
        code = Uniform(8, per=per).project((weights,), mu=0.0)
        assert torch.allclose(code.decode()[0], weights, rtol=1e-6, atol=0)


@pytest.mark.parametrize("symmetric", [True, False])
def test_weighting_by_ones_is_no_weighting(symmetric: bool) -> None:
    for weights in kinds().values():
        norm = Diagonal((torch.full_like(weights, 3.0),))
        scheme = Uniform(3, symmetric, per="channel")
        plain = scheme.project((weights,), mu=0.0)
        weighted = scheme.project((weights,), mu=0.0, weighting=norm)
        assert torch.allclose(plain.decode()[0], weighted.decode()[0], rtol=1e-5, atol=1e-6)


def test_a_weighting_moves_the_grid_to_what_matters() -> None:
    weights = torch.tensor([1.0, 1.1, 0.9, 100.0, -80.0])
    h = torch.tensor([1e8, 1e8, 1e8, 1e-8, 1e-8])
    for symmetric in (True, False):
        scheme = Uniform(3, symmetric)
        code = scheme.project((weights,), mu=0.0, weighting=Diagonal((h,)))
        assert float((code.decode()[0] - weights)[:3].abs().max()) < 0.101
        plain = scheme.project((weights,), mu=0.0)
        assert float((plain.decode()[0] - weights)[:3].abs().max()) > 0.5
