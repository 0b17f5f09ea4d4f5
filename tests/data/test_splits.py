import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autocompress.data.splits import stratified
from autocompress.errors import DataError


@given(
    labels=st.lists(st.integers(0, 5), min_size=30, max_size=200),
    fractions=st.sampled_from([[0.1], [0.2, 0.2], [0.5], [0.25, 0.1, 0.3]]),
    seed=st.integers(0, 10),
)
def test_parts_are_exact_disjoint_complete_and_stratified(labels, fractions, seed):
    y = torch.tensor(labels)
    n, kinds = len(y), len(set(labels))
    parts = stratified(y, fractions, seed)
    sizes = [round(f * n) for f in fractions]
    assert [len(p) for p in parts] == [n - sum(sizes), *sizes]
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(n))
    for part in parts:
        for label in set(labels):
            count = int((y == label).sum())
            due = count * len(part) / n
            got = int((y[part] == label).sum())
            assert abs(got - due) <= 1 + kinds * count / n


def test_the_seed_decides():
    y = torch.arange(100) % 10
    first, same, other = (stratified(y, [0.2], seed)[1] for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_an_empty_part_is_refused():
    with pytest.raises(DataError, match="too few"):
        stratified(torch.zeros(3, dtype=torch.int64), [0.1], 0)
