from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.ao.quantization.observer import MinMaxObserver, PerChannelMinMaxObserver

from autocompress.compression import Uniform
from autocompress.compression.grids import plain_tensors, rounding
from autocompress.compression.grids.code import UniformCode
from autocompress.compression.grids.scale import BINS
from autocompress.errors import SchemeError
from tests.compression import strategies as s

GENERATOR = torch.Generator().manual_seed(0)
LAYER = torch.randn(9, 400, generator=GENERATOR) * 0.3
SKEWED = LAYER.exp()


def project(scheme: Uniform, weights: Tensor) -> UniformCode:
    return scheme.project((weights,), mu=0.0)


@settings(max_examples=100)
@given(s.matrices(6), st.sampled_from([1, 2, 3, 8, 16]), st.booleans())
def test_minmax_covers_the_range_and_no_more(matrix: Tensor, bits: int, symmetric: bool) -> None:
    code = project(Uniform(bits, symmetric, scale="minmax"), matrix)
    s.check_code(code, (matrix,))
    scale, offset = (g if g is None else g.double() for g in code.grids())
    steps = max(2 ** (bits - 1) - 1, 1)
    largest = float(matrix.abs().max())
    tolerance = 8 * torch.finfo(matrix.dtype).eps * largest
    if symmetric:
        assert offset is None
        assert abs(float(scale) * steps - largest) <= tolerance
    else:
        assert offset is not None
        low = float(offset - 2 ** (bits - 1) * scale)
        high = float(offset + (2 ** (bits - 1) - 1) * scale)
        assert abs(low - float(matrix.min())) <= 4 * tolerance
        assert abs(high - float(matrix.max())) <= 4 * tolerance
    if bits > 1 or not symmetric:
        farthest = (code.decode()[0].double() - matrix.double()).abs().max()
        assert float(farthest) <= float(scale) / 2 + 4 * tolerance


@pytest.mark.parametrize("block", [2, 5, 2**16])
@pytest.mark.parametrize("scale", ["minmax", "mse"])
@given(
    parts=st.lists(s.vectors(12).map(Tensor.float), min_size=1, max_size=5),
    bits=st.sampled_from([2, 4, 8, 16]),
    symmetric=st.booleans(),
    small=st.sampled_from([0, 2**12]),
)
@example(
    parts=[torch.zeros(1), torch.zeros(1), torch.zeros(1), -torch.zeros(1)],
    bits=2,
    symmetric=True,
    small=0,
)
def test_several_tensors_get_what_each_gets_by_itself(
    scale: str, block: int, parts: list[Tensor], bits: int, symmetric: bool, small: int
) -> None:
    weights = (parts[0], torch.empty(0, 3), *parts[1:])
    scheme = Uniform(bits, symmetric, scale=scale)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounding, "_CACHED", block)
        patch.setattr(plain_tensors, "_SMALL", small)
        code = scheme.project(weights, mu=1.0)
    twin, first = copy.copy(code), code.decode()
    for again in (code.decode(), twin.decode()):
        for a, b in zip(first, again, strict=True):  # to the sign of zero
            assert a.numpy().tobytes() == b.numpy().tobytes()
    for weight, decoded in zip(weights, first, strict=True):
        if weight.numel():
            assert torch.equal(decoded, scheme.project((weight,), mu=1.0).decode()[0])


@pytest.mark.parametrize("small", [0, 2**12])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_number_in_several_tensors_is_refused(
    bad: float, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_tensors, "_SMALL", small)
    weights = (torch.ones(3), torch.tensor([0.0, bad]), torch.zeros(2))
    with pytest.raises(SchemeError, match="NaN or infinity"):
        Uniform(8, scale="minmax").project(weights, mu=1.0)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_minmax_is_what_torch_s_observers_find(bits: int) -> None:
    top = 2 ** (bits - 1) - 1
    limits = {"quant_min": -top, "quant_max": top, "dtype": torch.qint8}
    whole = MinMaxObserver(qscheme=torch.per_tensor_symmetric, **limits)
    rows = PerChannelMinMaxObserver(ch_axis=0, qscheme=torch.per_channel_symmetric, **limits)
    for observer, per in ((whole, "tensor"), (rows, "channel")):
        observer(LAYER)
        theirs, zero = observer.calculate_qparams()
        assert not zero.any()
        ours, _ = project(Uniform(bits, per=per, scale="minmax"), LAYER).grids()
        assert torch.allclose(ours, theirs, rtol=1e-6, atol=0)


@pytest.mark.parametrize("scale", ["mse", "minmax", "percentile", "entropy"])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_levels_are_those_of_torch_s_fake_quantization(bits: int, scale: str) -> None:
    top = 2 ** (bits - 1) - 1
    code = project(Uniform(bits, scale=scale), LAYER)
    step, _ = code.grids()
    theirs = torch.fake_quantize_per_tensor_affine(LAYER, float(step), 0, -top, top)
    assert torch.allclose(code.decode()[0], theirs, rtol=1e-6, atol=1e-9)
    code = project(Uniform(bits, per="channel", scale=scale), LAYER)
    step, _ = code.grids()
    zeros = torch.zeros(len(LAYER), dtype=torch.int32)
    theirs = torch.fake_quantize_per_channel_affine(LAYER, step, zeros, 0, -top, top)
    assert torch.allclose(code.decode()[0], theirs, rtol=1e-6, atol=1e-9)
    code = project(Uniform(bits, symmetric=False, scale=scale), SKEWED)
    step, offset = code.grids()
    assert offset is not None
    moved = SKEWED - offset
    theirs = torch.fake_quantize_per_tensor_affine(moved, float(step), 0, -top - 1, top) + offset
    assert torch.allclose(code.decode()[0], theirs, rtol=1e-5, atol=1e-6)


@given(s.vectors(30), st.sampled_from([60.0, 90.0, 99.0, 99.9, 100.0]))
def test_percentiles_are_numpy_s(vector: Tensor, percentile: float) -> None:
    x = vector.double().numpy()
    tolerance = 8 * torch.finfo(vector.dtype).eps * float(np.abs(x).max())
    scale, _ = project(Uniform(4, scale="percentile", percentile=percentile), vector).grids()
    clip = np.percentile(np.abs(x), percentile) or np.abs(x).max()
    assert abs(float(scale) * 7 - clip) <= tolerance
    code = project(Uniform(4, False, scale="percentile", percentile=percentile), vector)
    scale, offset = code.grids()
    assert offset is not None
    tail = (100 - percentile) / 2
    low, high = np.percentile(x, tail), np.percentile(x, 100 - tail)
    if high == low:
        low, high = x.min(), x.max()
    assert abs(float(offset.double() - 8 * scale.double()) - low) <= 4 * tolerance
    assert abs(float(offset.double() + 7 * scale.double()) - high) <= 4 * tolerance


def plain_clip(magnitudes: np.ndarray[tuple[int], np.dtype[np.float64]], levels: int) -> float:
    """The procedure of the slides, one bin at a time."""
    count = len(magnitudes)
    bins = BINS if count >= 4 * BINS else 2 ** int(math.log2(count // 4))
    largest = magnitudes.max()
    where = np.minimum((magnitudes / largest * bins).astype(int), bins - 1)
    counts = np.bincount(where, minlength=bins).astype(float)
    best, clip = math.inf, bins
    for kept in range(levels, bins + 1):
        reference = counts[:kept].copy()
        reference[-1] += counts[kept:].sum()
        candidate = np.zeros(kept)
        edges = [-(-piece * kept // levels) for piece in range(levels + 1)]
        for piece in range(levels):
            inside = slice(edges[piece], edges[piece + 1])
            filled = counts[inside] > 0
            if filled.any():
                candidate[inside] = np.where(filled, counts[inside].sum() / filled.sum(), 0)
        if not candidate.any():
            continue
        p, q = reference / reference.sum(), candidate / candidate.sum()
        some = p > 0
        with np.errstate(divide="ignore"):
            divergence = float((p[some] * np.log(p[some] / q[some])).sum())
        if divergence <= best + 1e-12:
            best, clip = min(best, divergence), kept
    return float(clip / bins * largest)


@pytest.mark.parametrize(("bits", "count"), [(2, 70), (4, 70), (4, 2100), (5, 2100), (2, 8192)])
def test_entropy_calibration_is_the_plain_procedure(bits: int, count: int) -> None:
    generator = torch.Generator().manual_seed(count + bits)
    normal = torch.randn(count, generator=generator, dtype=torch.float64)
    for weights in (normal.sign() * normal.abs() ** 1.5, (normal * 2).round()):
        scale, _ = project(Uniform(bits, scale="entropy"), weights).grids()
        expected = plain_clip(weights.abs().numpy(), 2 ** (bits - 1))
        assert float(scale) * (2 ** (bits - 1) - 1) == pytest.approx(expected, rel=1e-9)
        code = project(Uniform(bits, False, scale="entropy"), weights)
        middle = (weights.min() + weights.max()) / 2
        expected = plain_clip((weights - middle).abs().numpy(), 2 ** (bits - 1))
        assert float(code.grids()[0]) * (2**bits - 1) == pytest.approx(2 * expected, rel=1e-9)


def test_entropy_calibration_clips_long_tails() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(100_000, generator=generator)
    weights[:5] = 60.0
    wide = project(Uniform(4, scale="minmax"), weights)
    clipped = project(Uniform(4, scale="entropy"), weights)
    assert float(clipped.grids()[0]) < float(wide.grids()[0]) / 4


@pytest.mark.parametrize("scale", ["mse", "minmax", "percentile", "entropy"])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("value", [0.0, 0.3, -1e30, 1e-30, 3.4e38])
def test_constant_weights(scale: str, symmetric: bool, value: float) -> None:
    for dtype in s.DTYPES:
        weights = torch.full((4, 8), value, dtype=dtype)
        for per in ("tensor", "channel"):
            code = project(Uniform(4, symmetric, per, scale=scale), weights)
            assert torch.allclose(code.decode()[0], weights, rtol=1e-6, atol=0)


def test_the_largest_numbers_do_not_overflow() -> None:
    for dtype in s.DTYPES:
        largest = torch.finfo(dtype).max
        weights = torch.tensor([largest, -largest, largest / 3, 0.0], dtype=dtype)
        for scale in ("mse", "minmax", "percentile", "entropy"):
            for symmetric in (True, False):
                for bits in (2, 3, 8, 16):
                    code = project(Uniform(bits, symmetric, scale=scale), weights)
                    (decoded,) = code.decode()
                    assert decoded.isfinite().all(), (scale, symmetric, bits)
                    assert float((decoded / largest - weights / largest).abs().max()) < 1
