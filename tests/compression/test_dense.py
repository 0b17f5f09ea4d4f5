from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression import Cast, Dense
from autocompress.compression.dense import DenseCode
from autocompress.errors import AutocompressError
from tests.compression import strategies as s

HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
NARROW = HALVES | {"float8_e4m3fn": torch.float8_e4m3fn, "float8_e5m2": torch.float8_e5m2}


@given(s.vectors(20), st.integers(1, 3))
def test_dense_keeps_every_bit(vector: Tensor, pieces: int) -> None:
    weights = s.cut(vector, pieces)
    code = Dense().project(weights, mu=0.0)
    s.check_code(code, weights)
    assert s.same(code.decode(), weights)
    assert code.bits() == 8 * vector.numel() * vector.element_size()


def all_numbers(dtype: torch.dtype) -> Tensor:
    """Every finite number of a dtype of 8 or 16 bits, sorted, in double precision."""
    bits = 8 * dtype.itemsize
    codes = torch.arange(-(2 ** (bits - 1)), 2 ** (bits - 1), dtype=torch.int32)
    numbers = codes.to(torch.int8 if bits == 8 else torch.int16).view(dtype).double()
    finite: Tensor = numbers[numbers.isfinite()].unique()
    return finite


NUMBERS = {name: all_numbers(dtype) for name, dtype in NARROW.items()}


def distance_to_nearest(values: Tensor, name: str) -> Tensor:
    """Distance to the nearest number of a format, by looking at both neighbours."""
    numbers = NUMBERS[name]
    above = torch.searchsorted(numbers, values.double()).clamp(1, numbers.numel() - 1)
    gaps = torch.stack([numbers[above], numbers[above - 1]]) - values.double()
    return gaps.abs().min(0).values


def awkward(name: str) -> st.SearchStrategy[float]:
    """Numbers at and around the middle of two neighbours, where rounding goes wrong."""
    numbers = NUMBERS[name]
    middles = st.integers(0, numbers.numel() - 2).map(
        lambda i: float((numbers[i] + numbers[i + 1]) / 2)
    )
    off = st.sampled_from([0.0, 2.0**-50, -(2.0**-50), 2.0**-30, -(2.0**-30)])
    return st.builds(lambda middle, shift: middle * (1 + shift), middles, off)


@settings(max_examples=200)
@given(st.data(), st.sampled_from(sorted(NARROW)), st.sampled_from(s.DTYPES))
def test_casts_take_the_nearest_number(data: st.DataObject, name: str, dtype: torch.dtype) -> None:
    wide = st.floats(-(2.0**127), 2.0**127, width=32)
    values = data.draw(st.lists(awkward(name) | wide, min_size=1, max_size=20))
    weights = (torch.tensor(values, dtype=torch.float64).to(dtype),)
    code = Cast(name).project(weights, mu=0.0)
    s.check_code(code, weights)
    assert code.flat.dtype == NARROW[name]
    (decoded,) = code.decode()
    taken = (decoded.double() - weights[0].double()).abs()
    assert torch.equal(taken, distance_to_nearest(weights[0], name))


def test_half_precision_is_numpy_s() -> None:
    generator = torch.Generator().manual_seed(0)
    for scale in (1e-8, 1e-6, 1e-3, 1.0, 1e3):
        values = torch.randn(2000, generator=generator, dtype=torch.float64) * scale
        for dtype in s.DTYPES:
            weights = values.to(dtype)
            code = Cast("float16").project((weights,), mu=0.0)
            assert np.array_equal(code.flat.numpy(), weights.numpy().astype(np.float16))


def test_ties_go_to_even() -> None:
    ulp = 2.0**-10
    weights = torch.tensor([1 + ulp / 2, 1 + 3 * ulp / 2, -1 - ulp / 2])
    (decoded,) = Cast("float16").project((weights,), mu=0.0).decode()
    assert decoded.tolist() == [1.0, 1 + 2 * ulp, -1.0]


def test_double_precision_is_not_rounded_twice() -> None:
    ulp = 2.0**-10
    # float32 would round it to the middle, and the middle to even: to 1
    weights = torch.tensor([1 + ulp / 2 + 2.0**-40], dtype=torch.float64)
    (decoded,) = Cast("float16").project((weights,), mu=0.0).decode()
    assert decoded.tolist() == [1 + ulp]


@pytest.mark.parametrize(
    ("name", "most"), [("float16", 65504.0), ("bfloat16", 3.3895313892515355e38)]
)
def test_magnitudes_beyond_the_largest_take_it(name: str, most: float) -> None:
    weights = torch.tensor([1e300, -1e300, 3.4e38], dtype=torch.float64)
    (decoded,) = Cast(name).project((weights,), mu=0.0).decode()
    assert decoded.tolist() == [most, -most, most]


def test_each_16_bit_format_can_be_cast_to_the_other() -> None:
    brain = torch.tensor([1.0, -3e38, 65536.0]).to(torch.bfloat16)
    (stored,) = Cast("float16").project((brain,), mu=0.0).tensors().values()
    assert stored.tolist() == [1.0, -65504.0, 65504.0]
    half = torch.tensor([1.5, -6e-8, 60000.0]).to(torch.float16)
    (decoded,) = Cast("bfloat16").project((half,), mu=0.0).decode()
    assert decoded.dtype == torch.float16
    assert decoded.isfinite().all()


@pytest.mark.parametrize("name", sorted(NARROW))
def test_the_largest_half_stays_finite(name: str) -> None:
    largest = torch.tensor([65504.0, -65504.0]).half()
    (decoded,) = Cast(name).project((largest,), mu=0.0).decode()
    assert decoded.isfinite().all()
    assert float((largest.double() - decoded.double()).abs().max()) <= {"bfloat16": 224}.get(
        name, 65504 - torch.finfo(NARROW[name]).max
    )


def test_cast_bits() -> None:
    assert Cast("float16").project((torch.ones(3, 5),), mu=0.0).bits() == 15 * 16


@pytest.mark.parametrize("dtype", ["float32", "int8", "", "Float16", None, 16])
def test_other_dtypes_are_refused(dtype: str) -> None:
    with pytest.raises(AutocompressError, match=r"bfloat16, float16"):
        Cast(dtype)


def test_cast_needs_weights() -> None:
    with pytest.raises(AutocompressError, match="at least one"):
        Cast("float16").check(())


@pytest.mark.parametrize(
    ("meta", "flat"),
    [
        ({"shapes": [[2, 2]], "dtype": "float32"}, torch.zeros(5)),
        ({"shapes": [[5]], "dtype": "int8"}, torch.zeros(5)),
        ({"shapes": [[5]], "dtype": "float32"}, torch.zeros(5, dtype=torch.uint8)),
        ({"shapes": [[5]]}, torch.zeros(5)),
    ],
)
def test_restoring_contradicting_parts_is_refused(meta: dict[str, object], flat: Tensor) -> None:
    with pytest.raises((ValueError, KeyError)):
        DenseCode.restore(meta, {"flat": flat}, {})


def test_numbers_of_8_bits_are_as_the_formats_say() -> None:
    assert (len(NUMBERS["float8_e4m3fn"]), float(NUMBERS["float8_e4m3fn"].max())) == (253, 448.0)
    assert (len(NUMBERS["float8_e5m2"]), float(NUMBERS["float8_e5m2"].max())) == (247, 57344.0)
    # of two as near the one with an even last bit: 17 is between 16 and 18, 19 between 18 and 20
    ties = torch.tensor([17.0, 19.0, -17.0, 2.0**-10, 3 * 2.0**-10], dtype=torch.float64)
    (decoded,) = Cast("float8_e4m3fn").project((ties,), mu=0.0).decode()
    assert decoded.tolist() == [16.0, 20.0, -16.0, 0.0, 2.0**-8]
    # just above the middle in double precision, the middle itself in single
    above = torch.tensor([17 + 2.0**-40], dtype=torch.float64)
    assert Cast("float8_e4m3fn").project((above,), mu=0.0).decode()[0].tolist() == [18.0]


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_8_bits_saturate_and_take_a_byte(name: str) -> None:
    values = torch.tensor([1e30, -1e30, 460.0, 1e-30, 0.0, -0.0])
    code = Cast(name).project((values,), mu=0.0)
    largest = float(NUMBERS[name].max())
    (decoded,) = code.decode()
    assert decoded[:2].tolist() == [largest, -largest]
    assert decoded.isfinite().all()
    assert code.bits() == 8 * 6
    s.check_code(code, (values,))
