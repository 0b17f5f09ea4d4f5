from __future__ import annotations

from itertools import combinations
from math import comb

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression import Codebook, Compose, Dense, L0Penalty, NMPrune
from autocompress.compression.pruning import nm
from autocompress.compression.pruning.nm import NMCode
from autocompress.compression.weighting import Covariance, Diagonal
from autocompress.errors import SchemeError, UnknownName
from autocompress.metrics.size import condensa_bytes, lc_bits
from tests.compression import strategies as s


@settings(max_examples=120)
@given(st.integers(2, 6), st.data())
def test_no_other_pattern_is_better(m: int, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, m - 1))
    weight = data.draw(s.tensors((2, 2 * m)))
    norm = None
    if data.draw(st.booleans()):
        drawn = st.lists(st.sampled_from([0.0, 0.1, 1.0, 7.0]), min_size=4 * m, max_size=4 * m)
        norm = torch.tensor(data.draw(drawn), dtype=torch.float64).view(2, 2 * m)
    weighting = None if norm is None else Diagonal((norm,))
    code = NMPrune(n, m).project((weight,), mu=0.0, weighting=weighting)
    s.check_code(code, (weight,))
    assert code.bits() == 4 * (comb(m, n) - 1).bit_length() + 4 * n * 8 * weight.element_size()
    scores = weight.double().square() * (1 if norm is None else norm)
    for found, score in zip(
        (code.decode()[0] != 0).view(4, m), scores.reshape(4, m).tolist(), strict=True
    ):
        assert int(found.sum()) <= n
        best = max(sum(score[i] for i in kept) for kept in combinations(range(m), n))
        ours = sum(x for x, kept in zip(score, found.tolist(), strict=True) if kept)
        assert ours == pytest.approx(best, rel=1e-12)
    survivors = code.decode()[0] != 0
    assert torch.equal(code.decode()[0][survivors], weight[survivors])


@given(s.tensors((3, 8)), st.integers(1, 3))
def test_weights_of_one_change_nothing(weight: Tensor, n: int) -> None:
    plain = NMPrune(n, 4).project((weight,), mu=0.0)
    ones = Diagonal((torch.ones_like(weight),))
    weighted = NMPrune(n, 4).project((weight,), mu=0.0, weighting=ones)
    gaps = [s.error(code.decode(), (weight,)) for code in (plain, weighted)]
    assert gaps[0] == pytest.approx(gaps[1], rel=1e-12)


def test_groups_of_a_convolution_are_channels_at_one_position() -> None:
    weight = torch.randn(6, 8, 3, 2, generator=torch.Generator().manual_seed(0))
    for axis, dimension, m in (("input", 1, 4), ("output", 0, 3)):
        (decoded,) = NMPrune(1, m, axis=axis).project((weight,), mu=0.0).decode()
        assert decoded.is_contiguous()
        kept = decoded.unfold(dimension, m, m) != 0
        assert int(kept.sum()) == weight.numel() // m
        largest = weight.abs().unfold(dimension, m, m).argmax(-1)
        assert torch.equal(kept.int().argmax(-1), largest)


def test_tensors_one_after_the_other_and_their_norm() -> None:
    weights = (torch.tensor([[1.0, 2.0], [4.0, 3.0]]), torch.tensor([[[5.0], [6.0]]]))
    code = NMPrune(1, 2).project(weights, mu=0.0)
    assert code.inner.decode()[0].tolist() == [2.0, 4.0, 6.0]
    norm = code.reals_weighting(Diagonal(tuple(w * 10 for w in weights)))
    assert isinstance(norm, Diagonal)
    assert norm.values[0].tolist() == [20.0, 40.0, 60.0]
    assert code.reals_weighting(Covariance((None, None))) is None
    assert NMPrune(1, 2).reals_shapes(((2, 2), (1, 2, 1))) == ((3,),)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.randn(9, 24, generator=torch.Generator().manual_seed(0))
    code = NMPrune(3, 8).project((weight,), mu=0.0)
    for name in ("_WEIGHTS", "_BLOCK"):
        monkeypatch.setattr(f"autocompress.compression.pruning.patterns.{name}", 9)
    again = NMPrune(3, 8).project((weight,), mu=0.0)
    assert torch.equal(code.mask, again.mask)
    assert torch.equal(code.tensors()["ranks"], again.tensors()["ranks"])
    s.check_code(again, (weight,))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((6, 10),), r"m = 4 on tensor 0 of shape \(6, 10\): its input width 10 .* it: 2, 5, 10$"),
        (((4, 8), (8, 3, 5, 5)), r"shape \(8, 3, 5, 5\): its input width 3 is not divisible by 4"),
        (((4, 8), (4,)), r"n-m on tensor 1 of shape \(4,\): .* leave biases out"),
        (((6, 1, 5, 5),), r"width 1 is not divisible by 4; .* which no m from 2 to 64 does"),
    ],
)
def test_weights_it_cannot_apply_to(shapes: tuple[tuple[int, ...], ...], message: str) -> None:
    with pytest.raises(SchemeError, match=message):
        NMPrune(2, 4).check(shapes)
    with pytest.raises(SchemeError, match=message):
        NMPrune(2, 4).project(tuple(torch.zeros(shape) for shape in shapes), mu=0.0)


def test_searches_leave_out_layers_it_cannot_apply_to() -> None:
    assert NMPrune(2, 4).fitted(((8, 3, 5, 5),)) == Dense()
    assert NMPrune(2, 4).fitted(((8, 16, 5, 5),)) == NMPrune(2, 4)
    composed = Compose([NMPrune(2, 4), Codebook(4)]).fitted(((8, 3, 5, 5),))
    composed.check(((8, 3, 5, 5),))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n": 4, "m": 4}, "n = 4 of m = 4: accepted is an m from 2 to 64 and an n below it"),
        ({"n": 1, "m": 65}, "m from 2 to 64"),
        ({"n": 0, "m": 4}, "n = 0 is not an integer >= 1"),
        ({"n": 1.5, "m": 4}, "n = 1.5 is not an integer"),
        ({"n": 1, "m": True}, "m = True is not an integer"),
        ({"n": 1, "m": 4, "axis": "inputs"}, "unknown axis of n-m 'inputs'"),
    ],
)
def test_bad_values(values: dict[str, object], message: str) -> None:
    with pytest.raises((SchemeError, UnknownName), match=message):
        NMPrune(**values)  # type: ignore[arg-type]


def test_a_covariance_is_refused() -> None:
    with pytest.raises(SchemeError, match="n-m takes a diagonal weighting, not a covariance"):
        NMPrune(1, 2).project((torch.ones(2, 2),), mu=0.0, weighting=Covariance((None,)))


def test_restoring_contradicting_parts_is_refused() -> None:
    code = NMPrune(2, 4).project((torch.ones(4, 8),), mu=0.0)
    parts = code.meta(), code.tensors(), code.children()
    for change, message in (
        ({"n": 1}, "values for 8 groups|bytes cannot hold"),
        ({"m": 3}, "no groups of 3"),
        ({"axis": 2}, "along dimension 2"),
        ({"n": 4}, "no pattern of 4 in 4"),
    ):
        with pytest.raises(ValueError, match=message):
            NMCode.restore(parts[0] | change, *parts[1:])
    assert nm.MOST == 64


def test_sizes_of_other_definitions() -> None:
    code = NMPrune(2, 4).project((torch.ones(4, 8, dtype=torch.float32),), mu=0.0)
    assert condensa_bytes(code) == 16 * 4  # the survivors
    assert lc_bits(code) == 16 * 32 + 8 * 3  # and the patterns as they are packed
    assert code.bits() == lc_bits(code)
    empty = L0Penalty(9.0).project((torch.ones(4, 8),), mu=1.0)
    assert condensa_bytes(empty) == lc_bits(empty) == 0
