from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autocompress.compression.codebooks import radix


@given(st.integers(1, 256), st.integers(0, 40), st.integers(0, 99))
def test_every_digit_comes_back(base: int, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    digits = torch.randint(0, base, (count,), generator=generator, dtype=torch.uint8)
    packed = radix.pack(digits, base)
    assert packed.dtype == torch.uint8
    assert packed.numel() == -(-radix.bits(base, count) // 8)
    assert torch.equal(radix.unpack(packed, base, count), digits)


def test_five_trits_to_a_byte() -> None:
    assert radix.bits(3, 10) == 16
    assert radix.pack(torch.tensor([2, 2, 2, 2, 2, 1]), 3).tolist() == [242, 81]


def test_other_lengths_and_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        radix.unpack(torch.zeros(2, dtype=torch.uint8), 3, 11)
    with pytest.raises(ValueError, match="not 5 digits"):
        radix.unpack(torch.full((2,), 243, dtype=torch.uint8), 3, 10)
