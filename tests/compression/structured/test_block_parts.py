"""Blocks of many tensors are found together; a block at a time says the same."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import autocompress as ac
from autocompress.compression.structured.block_code import mask_of
from autocompress.compression.structured.grouping import Part, block_parts, block_scores

CASES = [
    (((8, 6), (8, 6), (4, 6)), (2, 3)),
    (((5, 7), (5, 7)), (2, 3)),
    (((4, 3, 3, 3), (8, 3, 3, 3)), (4, 1, 3, 3)),
    (((4, 6, 3, 2),), (2, 2, 2, 1)),
    (((6, 4, 3),), (1, 2, 3)),
]


def cells(shape: tuple[int, ...], block: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Where each block of a tensor is, in row-major order."""
    starts = [range(0, size, side) for size, side in zip(shape, block, strict=True)]
    return [
        tuple(slice(a, a + side) for a, side in zip(corner, block, strict=True))
        for corner in itertools.product(*starts)
    ]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(CASES), st.integers(0, 1000), st.sampled_from(["l2", "l1", "max", "mean"]))
def test_scores_and_masks_are_those_of_each_block(case, seed, norm):
    shapes, block = case
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(shape, generator=generator) for shape in shapes]
    over = {
        "l2": lambda part: part.double().square().sum(),
        "l1": lambda part: part.double().abs().sum(),
        "max": lambda part: part.double().abs().max(),
        "mean": lambda part: part.double().abs().mean(),
    }[norm]
    expected = [over(w[cell]) for w in weights for cell in cells(tuple(w.shape), block)]
    flat, start, scores = torch.cat([w.ravel() for w in weights]), 0, []
    blocks = (block,) * len(shapes)
    for part in block_parts(shapes, blocks):
        end = start + torch.Size(part.sizes).numel()
        scores.append(block_scores(flat[start:end].view(part.sizes), part.sides, norm).ravel())
        start = end
    torch.testing.assert_close(torch.cat(scores), torch.stack(expected))

    index = torch.arange(len(expected))[torch.rand(len(expected), generator=generator) < 0.4]
    mask, number = [torch.zeros(shape, dtype=torch.bool) for shape in shapes], 0
    for each in mask:
        for cell in cells(tuple(each.shape), block):
            each[cell] = number in index
            number += 1
    assert torch.equal(mask_of(index, shapes, blocks), torch.cat([m.ravel() for m in mask]))


def test_equal_tensors_are_one_part():
    assert block_parts(((8, 6), (8, 6), (4, 6)), ((2, 3),) * 3) == (Part((2, 3), (20, 6)),)
    # a block that is cut off ends a part
    assert len(block_parts(((5, 7), (5, 7)), ((2, 3),) * 2)) == 2
    assert block_parts(((4, 3, 3, 3),), ((4, 1, 3, 3),)) == (Part((4, 9), (4, 27)),)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_what_is_at_hand_is_what_decoding_makes(dtype):
    weights = (-torch.randn(8, 6, generator=torch.Generator().manual_seed(0)).abs().to(dtype),)
    code = ac.BlockPrune(density=0.3, linear=(2, 3)).project(weights, mu=0.0)
    (at_hand,), (decoded,) = code.decode(), code.decode()
    assert torch.equal(at_hand, decoded)
    assert not torch.signbit(at_hand[at_hand == 0]).any()
