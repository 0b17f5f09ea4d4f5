"""Levels of whole tensors, by NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression import Uniform
from autocompress.compression.grids.ends import may_exceed
from autocompress.compression.grids.plain_tensors import ranged_tensors, side_by_side
from autocompress.compression.grids.rows import bounds
from tests.compression import strategies as s

PARTS = st.lists(s.vectors(12).map(Tensor.float), min_size=2, max_size=5)


@given(parts=PARTS)
def test_short_vectors_side_by_side(parts: list[Tensor]) -> None:
    vectors = [part.numpy() for part in parts]
    copies, flat, ends = side_by_side(vectors)
    assert flat.tolist() == np.concatenate(vectors).tolist()
    assert ends.T.tolist() == [[float(v.min()), float(v.max())] for v in vectors]
    for part, vector in zip(copies, vectors, strict=True):
        assert part.base is flat
        assert part.tolist() == vector.tolist()


@given(parts=PARTS, bits=st.sampled_from([2, 4, 8, 16]), symmetric=st.booleans())
def test_levels_that_are_not_clipped_are_within(
    parts: list[Tensor], bits: int, symmetric: bool
) -> None:
    found = ranged_tensors(tuple(parts), bits, symmetric)
    if found is None:  # left to the general way
        return
    low, high = bounds(bits, symmetric)
    assert low <= int(found[0].min())
    assert int(found[0].max()) <= high


def test_what_is_ordinary_is_not_left_to_the_general_way() -> None:
    weights = (torch.randn(30, 20), torch.randn(7), torch.rand(3, 4, 5) + 1)
    for bits, symmetric in ((8, True), (8, False), (16, False), (1, False)):
        assert ranged_tensors(weights, bits, symmetric) is not None


@pytest.mark.parametrize(
    "weight",
    [
        torch.full((4,), 3.0),
        torch.tensor([1.0, torch.nan]),
        torch.tensor([-3e38, 3e38]),
        torch.tensor([1e-44, 5e-44]),
        torch.tensor([1e7, 1e7 + 1]),
        torch.zeros(3, dtype=torch.float64),
    ],
    ids=["constant", "nan", "huge", "tiny", "close", "float64"],
)
def test_what_needs_care_is_left_to_the_general_way(weight: Tensor) -> None:
    assert ranged_tensors((torch.randn(5), weight), 8, symmetric=False) is None


def test_ends_far_from_zero_may_be_off_by_a_level() -> None:
    assert may_exceed(np.array([1e6]), np.array([[1.0]], np.float32))
    assert not may_exceed(np.array([1.0]), np.array([[1 / 255]], np.float32))


def test_weights_that_need_a_gradient_are_taken() -> None:
    weight = torch.randn(6, 5, requires_grad=True)
    code = Uniform(8, symmetric=False, scale="minmax").project((weight,), mu=0.0)
    other = Uniform(8, symmetric=False, scale="minmax").project((weight.detach(),), mu=0.0)
    assert torch.equal(code.decode()[0], other.decode()[0])
    assert not code.decode()[0].requires_grad
