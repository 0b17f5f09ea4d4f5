from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autocompress.compression.pruning.patterns import best, rank, unrank


@pytest.mark.parametrize(("n", "m"), [(1, 2), (2, 4), (1, 4), (3, 7), (6, 7), (4, 8)])
def test_ranks_number_all_patterns_without_a_gap(n: int, m: int) -> None:
    patterns = np.zeros((comb(m, n), m), dtype=bool)
    # in the order of their last survivor, then of the one before, ...
    for row, kept in enumerate(sorted(combinations(range(m), n), key=lambda c: c[::-1])):
        patterns[row, list(kept)] = True
    ranks = rank(patterns)
    assert ranks.tolist() == list(range(comb(m, n)))
    assert np.array_equal(unrank(ranks, n, m), patterns)


@given(st.integers(2, 64), st.data())
def test_ranks_of_wide_patterns(m: int, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, m - 1))
    kept = data.draw(st.lists(st.permutations(range(m)).map(lambda p: sorted(p[:n])), max_size=4))
    mask = np.zeros((len(kept), m), dtype=bool)
    for row, positions in enumerate(kept):
        mask[row, positions] = True
    expected = [sum(comb(c, i + 1) for i, c in enumerate(positions)) for positions in kept]
    assert rank(mask).tolist() == expected
    assert np.array_equal(unrank(rank(mask), n, m), mask)


def test_ranks_beyond_the_last_pattern_are_refused() -> None:
    with pytest.raises(ValueError, match="beyond the 6 of 2 in 4"):
        unrank(np.array([6]), 2, 4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_ties_go_to_the_earlier_weight(dtype: torch.dtype) -> None:
    groups = torch.tensor([[1, -1, 1, 1], [0, 0, 0, 0], [1, 2, -2, 2]], dtype=dtype)
    expected = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0]]
    assert best(groups, None, 2).int().tolist() == expected
    assert best(groups, torch.ones_like(groups), 2).int().tolist() == expected
