"""NumPy's way with rows of levels gives what torch's does, bit by bit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import autocompress as ac
from autocompress.compression.grids import rounding, uniform
from autocompress.compression.grids.plain_rows import Reach
from autocompress.compression.grids.rows import merged_layout
from autocompress.errors import SchemeError

SHAPES = (((7, 5), (7, 5), (3,), (4, 6)), ((40, 33),), ((2, 3, 3, 3), (5, 1)))


def random_weights(shapes: tuple[tuple[int, ...], ...], seed: int, scale: float) -> ac.Tensors:
    generator = torch.Generator().manual_seed(seed)
    return tuple(scale * torch.randn(shape, generator=generator) for shape in shapes)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(SHAPES),
    st.integers(0, 1000),
    st.sampled_from([1.0, 1e-30, 1e-44, 1e30]),
    st.sampled_from([2, 4, 8, 16]),
    st.booleans(),
    st.sampled_from(["tensor", "channel", "group"]),
    st.sampled_from(["minmax", "percentile"]),
    st.floats(-3, 3) | st.sampled_from([1e5, -1e7]),
    st.sampled_from([7, 50, 2**17]),
)
def test_both_ways_agree(shapes, seed, scale, bits, symmetric, per, how, shift, block):
    weights = tuple(w + scale * shift for w in random_weights(shapes, seed, scale))
    scheme = ac.Uniform(
        bits,
        symmetric,
        per,
        4 if per == "group" else None,
        how,
        90 if how == "percentile" else None,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounding, "_CACHED", block)
        quick = scheme.project(weights, mu=0.0)
        patch.setattr(uniform, "plain_rows", lambda *args: None)
        patch.setattr(uniform, "ranged_tensors", lambda *args: None)
        slow = scheme.project(weights, mu=0.0)
    for a, b in zip(quick.inner.decode(), slow.inner.decode(), strict=True):
        # percentiles are interpolated, and rounded, in another order
        off = {"rtol": 0, "atol": 0} if how == "minmax" else {"rtol": 1e-6, "atol": 2e-45}
        torch.testing.assert_close(a, b, **off)
    same = all(map(torch.equal, quick.inner.decode(), slow.inner.decode()))
    assert same or how == "percentile"
    assert torch.equal(quick.levels, slow.levels) or not same
    again = type(quick)(
        quick.levels, bits, symmetric, per, quick.group_size, quick.inner, quick.shapes
    )
    for at_hand, decoded, other in zip(quick.decode(), again.decode(), slow.decode(), strict=True):
        assert torch.equal(at_hand.view(torch.int32), decoded.view(torch.int32))
        assert torch.equal(decoded, other) or not same


def test_weights_are_not_changed():
    weights = random_weights(SHAPES[0], 0, 1.0)
    copies = [w.clone() for w in weights]
    ac.Uniform(8, symmetric=False, scale="minmax").project(weights, mu=0.0)
    assert all(map(torch.equal, weights, copies))


@pytest.mark.parametrize("how", ["minmax", "percentile"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(how, bad):
    weights = random_weights(SHAPES[0], 0, 1.0)
    weights[1][2, 3] = bad
    with pytest.raises(SchemeError, match="NaN or infinity"):
        ac.Uniform(8, symmetric=False, scale=how).project(weights, mu=0.0)


def test_long_rows_have_the_percentile_of_a_full_sort():
    row = torch.randn(1, 50_000, generator=torch.Generator().manual_seed(0))
    low, high = Reach(False, 99.0).of(row[0].numpy(), [(1, 50_000)])
    expected = torch.quantile(row.double(), torch.tensor([0.005, 0.995], dtype=torch.float64))
    assert [low[0], high[0]] == pytest.approx(expected.tolist(), rel=1e-12)


def test_levels_that_rounding_takes_too_far_are_clipped():
    # the range is a few units in the last place of the offset
    weights = (torch.tensor([[1000.0, 1000.00006, 1000.00012]]),)
    code = ac.Uniform(2, symmetric=False, scale="minmax").project(weights, mu=0.0)
    assert int(code.levels.min()) >= -2
    assert int(code.levels.max()) <= 1


def test_rows_of_equal_length_are_one_matrix():
    shapes = ((2, 5), (3, 5), (4,), (1, 5))
    assert merged_layout(shapes, "channel", None) == ((5, 5), (1, 4), (1, 5))
