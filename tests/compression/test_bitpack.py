from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autocompress.compression import bitpack


@pytest.mark.parametrize(
    ("count", "bits"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (256, 8), (257, 9)]
)
def test_width(count: int, bits: int) -> None:
    assert bitpack.width(count) == bits


@given(st.data(), st.integers(0, 32))
def test_integers_of_any_width_survive(data: st.DataObject, bits: int) -> None:
    values = data.draw(st.lists(st.integers(0, 2**bits - 1), max_size=40))
    tensor = torch.tensor(values, dtype=torch.int64)
    buffer = bitpack.pack(tensor, bits)
    assert buffer.dtype == torch.uint8
    assert buffer.numel() == -(-len(values) * bits // 8)
    assert bitpack.unpack(buffer, bits, len(values)).tolist() == values


def test_bits_fill_bytes_from_the_most_significant_end() -> None:
    assert bitpack.pack(torch.tensor([1, 0, 1]), 1).tolist() == [0b10100000]
    assert bitpack.pack(torch.tensor([5, 2, 7]), 3).tolist() == [0b10101011, 0b10000000]
    assert bitpack.pack(torch.tensor([0x1FF, 0]), 9).tolist() == [0xFF, 0x80, 0]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_any_integer_dtype_packs(dtype: torch.dtype) -> None:
    values = torch.tensor([3, 0, 6, 1, 7], dtype=dtype)
    assert bitpack.unpack(bitpack.pack(values, 3), 3, 5).tolist() == values.tolist()


@pytest.mark.parametrize(("bits", "count"), [(3, 2), (3, 6), (0, 1), (1, 20), (8, 3), (9, 2)])
def test_buffers_of_another_length_are_refused(bits: int, count: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        bitpack.unpack(torch.zeros(2, dtype=torch.uint8), bits, count)


@st.composite
def patterns(draw: st.DrawFn) -> tuple[list[int], int]:
    """Sorted positions within a vector: sparse, dense, clustered, none or all."""
    size = draw(st.integers(1, 3000))
    positions = draw(st.sets(st.integers(0, size - 1), max_size=60))
    start = draw(st.integers(0, size))
    run = range(start, min(size, start + draw(st.integers(0, 200))))
    return sorted(positions | set(run)), size


@given(patterns())
def test_patterns_survive(pattern: tuple[list[int], int]) -> None:
    positions, size = pattern
    index = torch.tensor(positions, dtype=torch.int64)
    buffers, numbers = bitpack.pack_pattern(index, size)
    assert bitpack.unpack_pattern(buffers, numbers, size).tolist() == positions
    bits = bitpack.pattern_bits(index, size)
    stored = sum(8 * b.numel() for b in buffers.values())
    assert bits <= stored < bits + 8 * max(len(buffers), 1)
    assert bits <= size


@given(patterns())
def test_the_rice_parameter_is_the_best_of_all(pattern: tuple[list[int], int]) -> None:
    positions, _ = pattern
    gaps = [b - a - 1 for a, b in zip([-1, *positions], positions, strict=False)]
    if not gaps:
        return
    chosen = bitpack.rice_parameter(torch.tensor(gaps, dtype=torch.int64).numpy())

    def cost(parameter: int) -> int:
        return sum((gap >> parameter) + 1 + parameter for gap in gaps)

    assert cost(chosen) == min(map(cost, range(14)))


def test_a_sparse_pattern_takes_close_to_its_entropy() -> None:
    size, density = 200_000, 0.05
    keep = torch.rand(size, generator=torch.Generator().manual_seed(0)) < density
    index = torch.nonzero(keep).flatten()
    p = index.numel() / size
    entropy = -size * (p * torch.tensor(p).log2() + (1 - p) * torch.tensor(1 - p).log2())
    assert entropy < bitpack.pattern_bits(index, size) < 1.05 * entropy


def pack_example() -> tuple[dict[str, torch.Tensor], dict[str, int]]:
    return bitpack.pack_pattern(torch.tensor([0, 50, 70, 99]), 100)


def test_a_dense_pattern_becomes_a_bitmap_and_a_sparse_one_gaps() -> None:
    assert set(pack_example()[0]) == {"unary", "remainders"}
    assert set(bitpack.pack_pattern(torch.arange(1, 100, 2), 100)[0]) == {"bitmap"}


@pytest.mark.parametrize("edit", [{"count": 5}, {"count": 0}, {"rice": 0}, {"rice": 40}])
def test_numbers_that_contradict_the_buffers_are_refused(edit: dict[str, int]) -> None:
    buffers, numbers = pack_example()
    with pytest.raises(ValueError, match=r"."):
        bitpack.unpack_pattern(buffers, numbers | edit, 100)


def test_positions_beyond_the_vector_are_refused() -> None:
    buffers, numbers = pack_example()
    with pytest.raises(ValueError, match="99"):
        bitpack.unpack_pattern(buffers, numbers, 99)


def test_bitmaps_of_another_size_or_count_are_refused() -> None:
    buffers, numbers = bitpack.pack_pattern(torch.arange(1, 100, 2), 100)
    with pytest.raises(ValueError, match="does not cover 120"):
        bitpack.unpack_pattern(buffers, numbers, 120)
    with pytest.raises(ValueError, match="do not fit"):
        bitpack.unpack_pattern(buffers, numbers | {"count": 49}, 100)
