from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocompress.errors import MissingExtra
from autocompress.storage.entropy import coder, models
from autocompress.storage.entropy.bytes import buffer
from autocompress.storage.entropy.coder import ONE, Decoder, Encoder, Ints, Meter
from autocompress.storage.entropy.models import blocks, integers, whole
from autocompress.storage.entropy.pattern import positions

pytest.importorskip("constriction")


def written(symbols: Ints, size: int, runs: tuple[int, ...]) -> bytes:
    encoder = Encoder()
    integers(encoder, symbols, size, runs)
    return encoder.finish()


def again(data: bytes, symbols: Ints, size: int, runs: tuple[int, ...]) -> Ints:
    decoder = Decoder(data, 16 * symbols.size + 100)
    result = integers(decoder, np.zeros_like(symbols), size, runs)
    decoder.finish()
    return result


def entropy_bits(symbols: Ints) -> float:
    counts = np.bincount(symbols)
    counts = counts[counts > 0]
    return float(counts.sum() * np.log2(counts.sum()) - counts @ np.log2(counts))


@st.composite
def streams(draw: st.DrawFn) -> tuple[Ints, int, tuple[int, ...]]:
    size = draw(st.sampled_from([1, 2, 3, 5, 16, 17, 256, 1000, 2**13, 2**20, 2**40, 2**63]))
    values = st.one_of(st.integers(0, size - 1), st.just(size - 1), st.just(0))
    runs = draw(st.lists(st.lists(values, max_size=30), min_size=1, max_size=4))
    flat = [value for run in runs for value in run]
    return np.array(flat, dtype=np.int64), size, tuple(map(len, runs))


@given(streams())
def test_integers_come_back(stream: tuple[Ints, int, tuple[int, ...]]) -> None:
    symbols, size, runs = stream
    assert np.array_equal(again(written(symbols, size, runs), symbols, size, runs), symbols)


def test_alphabets_beyond_63_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="alphabet"):
        integers(Meter(), np.zeros(3, dtype=np.int64), 2**64, (3,))


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 8), st.integers(1, 4))
def test_any_bytes_come_back(seed: int, count: int, itemsize: int, kinds: int) -> None:
    rng = np.random.default_rng(seed)
    data = rng.choice(rng.integers(0, 256, kinds), count * itemsize).astype(np.uint8)
    encoder = Encoder()
    buffer(encoder, data, itemsize)
    decoder = Decoder(encoder.finish(), 10_000)
    assert np.array_equal(buffer(decoder, np.zeros_like(data), itemsize), data)
    decoder.finish()


@st.composite
def patterns(draw: st.DrawFn) -> tuple[Ints, tuple[tuple[int, ...], ...]]:
    shape = st.one_of(
        st.tuples(st.integers(0, 9)),
        st.tuples(st.integers(1, 9), st.integers(0, 12)),
        st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)),
        st.just(()),
    )
    shapes = tuple(draw(st.lists(shape, min_size=1, max_size=3)))
    count = sum(math.prod(shape) for shape in shapes)
    density = draw(st.sampled_from([0.0, 0.05, 0.5, 1.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return (rng.random(count) < density).astype(np.int64), shapes


@given(patterns())
def test_patterns_come_back(pattern: tuple[Ints, tuple[tuple[int, ...], ...]]) -> None:
    bits, shapes = pattern
    encoder = Encoder()
    positions(encoder, bits, shapes)
    decoder = Decoder(encoder.finish(), 10_000)
    assert np.array_equal(positions(decoder, np.zeros_like(bits), shapes), bits)
    decoder.finish()


def test_a_large_tensors_pattern_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice is tried on a sample, the passes are not kept."""
    from autocompress.storage.entropy import pattern

    monkeypatch.setattr(pattern, "_SAMPLE", 500)
    rng = np.random.default_rng(0)
    alive = np.outer(rng.random(60) < 0.3, rng.random(50) < 0.5)
    bits = (alive & (rng.random((60, 50)) < 0.4)).astype(np.int64).reshape(-1)
    encoder = Encoder()
    positions(encoder, bits, ((60, 50),))
    data = encoder.finish()
    decoder = Decoder(data, 100_000)
    assert np.array_equal(positions(decoder, np.zeros_like(bits), ((60, 50),)), bits)


# How many bits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 16, 256])
def test_long_streams_take_their_entropy(size: int) -> None:
    rng = np.random.default_rng(size)
    bell = np.clip(np.round(rng.standard_normal(60_000) * size / 6 + size / 2), 0, size - 1)
    symbols = bell.astype(np.int64)
    assert 8 * len(written(symbols, size, (60_000,))) <= 1.01 * entropy_bits(symbols)


def test_runs_that_differ_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    symbols = np.concatenate([rng.integers(0, 4, 1000), rng.integers(12, 16, 1000)])
    apart, together = (written(symbols, 16, runs) for runs in ((1000, 1000), (2000,)))
    assert 8 * len(apart) < 2000 * 2.1
    assert 8 * len(together) > 2000 * 2.5


def test_short_streams_need_no_table() -> None:
    rng = np.random.default_rng(0)
    symbols = rng.choice(16, 300, p=np.r_[np.full(4, 0.22), np.full(12, 0.01)])
    assert 8 * len(written(symbols, 16, (300,))) < entropy_bits(symbols) + 70


def test_random_symbols_cost_no_more_than_plain_ones() -> None:
    rng = np.random.default_rng(0)
    symbols = rng.integers(0, 1 << 16, 500)
    assert len(written(symbols, 1 << 16, (500,))) <= 1000 + 4


def test_random_patterns_take_the_entropy_of_their_gaps() -> None:
    rng = np.random.default_rng(0)
    bits = (rng.random(100_000) < 0.05).astype(np.int64)
    gaps = np.diff(np.flatnonzero(bits), prepend=-1) - 1
    encoder = Encoder()
    positions(encoder, bits, ((250, 400),))
    assert 8 * len(encoder.finish()) <= 1.02 * entropy_bits(gaps)


def test_rows_and_columns_that_are_empty_save_bits() -> None:
    rng = np.random.default_rng(0)
    alive = np.outer(rng.random(250) < 0.3, rng.random(400) < 0.4)
    bits = (alive & (rng.random((250, 400)) < 0.1)).astype(np.int64).reshape(-1)
    density = bits.mean()
    even = -bits.size * (density * np.log2(density) + (1 - density) * np.log2(1 - density))
    encoder = Encoder()
    positions(encoder, bits, ((250, 400),))
    assert 8 * len(encoder.finish()) < 0.75 * even


def test_the_meter_tells_what_the_encoder_writes() -> None:
    rng = np.random.default_rng(0)
    symbols = rng.choice(7, 4000, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.04, 0.01])
    bits = (rng.random(4000) < 0.1).astype(np.int64)
    meter, encoder = Meter(), Encoder()
    for each in (meter, encoder):
        models.adaptive(each, symbols, 7, (4000,))
        each.flip(bits, np.full(4000, ONE // 10))
        each.plain(symbols * 290 + 5, 11)
    assert 8 * len(encoder.finish()) == pytest.approx(meter.bits, abs=64)


# What makes it safe -------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_probabilities_are_whole_and_none_is_zero(likely: list[float]) -> None:
    total = sum(likely) or 1.0
    frequencies = whole(np.array(likely) / total)
    assert frequencies.sum() == ONE
    assert frequencies.min() >= 1


@given(st.integers(0, 10_000), st.integers(1, 9))
def test_blocks_cover_everything_and_are_few(count: int, least: int) -> None:
    cut = list(blocks(count, least))
    assert [first for first, _ in cut] == [0, *(last for _, last in cut[:-1])][: len(cut)]
    assert (cut[-1][1] if cut else 0) == count
    assert len(cut) <= 100


def test_a_budget_bounds_what_is_read() -> None:
    data = written(np.zeros(1000, dtype=np.int64), 4, (1000,))
    decoder = Decoder(data, 500)
    with pytest.raises(ValueError, match="more symbols than"):
        integers(decoder, np.zeros(1000, dtype=np.int64), 4, (1000,))


@pytest.mark.parametrize("seed", range(20))
def test_random_data_are_symbols_or_an_error(seed: int) -> None:
    data = np.random.default_rng(seed).integers(0, 256, 40).astype(np.uint8).tobytes()
    for size, runs in ((16, (500,)), (3, (100, 400)), (2**40, (500,))):
        try:
            symbols = again(data, np.zeros(500, dtype=np.int64), size, runs)
        except ValueError:
            continue
        assert symbols.max() < size


def test_data_left_over_are_refused() -> None:
    symbols = np.arange(100, dtype=np.int64) % 7
    with pytest.raises(ValueError, match="left over"):
        again(written(symbols, 7, (100,)) + b"12345678", symbols, 7, (100,))


def test_without_the_library_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(MissingExtra, match=r"autocompress\[entropy\]"):
        coder.library()


def test_the_library_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, autocompress.storage as s; s.read; print('constriction' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
