from __future__ import annotations

from itertools import product

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autocompress.compression.structured import budget


@st.composite
def scored(draw: st.DrawFn) -> list[list[int]]:
    """One to three rows of up to six scores, many of them equal."""
    row = st.lists(st.integers(0, 4), min_size=1, max_size=6)
    return draw(st.lists(row, min_size=1, max_size=3))


@settings(max_examples=200)
@given(scored(), st.floats(0.01, 1), st.integers(1, 4))
def test_no_other_aligned_counts_have_a_larger_total(
    rows: list[list[int]], density: float, align: int
) -> None:
    sizes = [len(row) for row in rows]
    chosen = budget.select(
        [torch.tensor(row, dtype=torch.float64) for row in rows], density, joint=True, align=align
    )
    counts = [kept.numel() for kept in chosen]
    allowed = [{*range(align, size + 1, align), size} for size in sizes]
    assert all(count in options for count, options in zip(counts, allowed, strict=True))
    limit = max(sum(min(align, size) for size in sizes), round(density * sum(sizes)))
    assert sum(counts) <= limit
    best = max(
        sum(sum(sorted(row)[-c:]) for row, c in zip(rows, choice, strict=True))
        for choice in product(*allowed)
        if sum(choice) <= limit
    )
    total = sum(sum(row[i] for i in kept.tolist()) for row, kept in zip(rows, chosen, strict=True))
    assert total == best


@given(scored(), st.floats(0.01, 1), st.integers(1, 4))
def test_each_row_by_itself_keeps_its_best(
    rows: list[list[int]], density: float, align: int
) -> None:
    scores = [torch.tensor(row, dtype=torch.float64) for row in rows]
    chosen = budget.select(scores, density, joint=False, align=align)
    whole = all(round(density * len(row)) >= len(row) for row in rows)
    for row, kept in zip(rows, chosen, strict=True):
        count = max(1, round(density * len(row)))
        if whole or count < len(row):
            fits = [n for n in range(align, len(row), align) if n <= count]
            count = len(row) if whole else (fits[-1] if fits else min(align, len(row)))
        assert kept.numel() == count
        assert kept.tolist() == sorted(sorted(range(len(row)), key=lambda i: (-row[i], i))[:count])


@given(scored(), st.floats(0.01, 1), st.integers(1, 3), st.booleans(), st.data())
def test_least_counts_are_below_those_of_any_scores(
    rows: list[list[int]], density: float, align: int, joint: bool, data: st.DataObject
) -> None:
    sizes = [len(row) for row in rows]
    costs = [data.draw(st.integers(1, 5)) for _ in rows]
    scores = [torch.tensor(row, dtype=torch.float64) for row in rows]
    chosen = budget.select(scores, density, joint=joint, align=align)
    least = budget.least_counts(sizes, costs, density, joint=joint, align=align)
    weigh = [sum(n * c for n, c in zip(ns, costs, strict=True)) for ns in (least, map(len, chosen))]
    assert weigh[0] <= weigh[1]
    fixed = budget.fixed_counts(sizes, density, joint=joint, align=align)
    assert fixed is None or fixed == [kept.numel() for kept in chosen]


def test_a_short_last_step_may_be_the_best_use_of_the_budget() -> None:
    # by steps of best gain 8 of the first row go first, and its last 1 has no room
    rows = [torch.full((9,), 2.0, dtype=torch.float64), torch.ones(8, dtype=torch.float64)]
    rows[0][8] = 1.9
    assert [k.numel() for k in budget.select(rows, 17 / 17, joint=True, align=8)] == [9, 8]
    rows = [torch.ones(9, dtype=torch.float64), torch.full((16,), 0.9, dtype=torch.float64)]
    rows[0][8] = 10.0
    assert [k.numel() for k in budget.select(rows, 0.68, joint=True, align=8)] == [9, 8]
    assert [k.numel() for k in budget.select(rows, 0.64, joint=True, align=8)] == [8, 8]
