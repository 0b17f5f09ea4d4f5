"""Fixed levels, with and without a scale, against trying every level of every weight."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression import (
    Binary,
    BinaryScale,
    Cast,
    Compose,
    Compression,
    PowersOfTwo,
    Prune,
    Ternary,
    TernaryScale,
)
from autocompress.compression.codebooks import grid_scale
from autocompress.compression.codebooks.levels import LevelsCode
from autocompress.compression.weighting import Covariance, Diagonal
from autocompress.errors import SchemeError
from tests.compression import strategies as s

Array = npt.NDArray[np.float64]


def grid(scheme: Compression) -> Array:
    """The levels, from their definition."""
    if isinstance(scheme, (Binary, BinaryScale)):
        return np.array([-1.0, 1.0])
    if isinstance(scheme, (Ternary, TernaryScale)):
        return np.array([-1.0, 0.0, 1.0])
    assert isinstance(scheme, PowersOfTwo)
    powers = [2.0**-i for i in range(scheme.c + 1)]
    return np.array([-p for p in powers] + [0.0] + powers)


def least_error(w: Array, h: Array, levels: Array, scaled: bool) -> float:
    """Every assignment, each with its best scale."""
    if not scaled:
        return float((h * ((w[:, None] - levels) ** 2).min(1)).sum())
    unit = np.abs(w).max() or 1.0
    w = w / unit
    choice = np.array(list(itertools.product(levels, repeat=len(w))))
    a, b = (choice * h * w).sum(1), (choice**2 * h).sum(1)
    gain = np.where(b > 0, np.maximum(a, 0.0) ** 2 / np.where(b > 0, b, 1.0), 0.0)
    return float(((h * w * w).sum() - gain.max()) * unit**2)


@st.composite
def importance(draw: st.DrawFn, size: int) -> Tensor | None:
    """Weights of a diagonal norm, some of them 0; or none."""
    if draw(st.booleans()):
        return None
    numbers = st.one_of(st.integers(0, 3).map(float), st.floats(0.01, 100.0))
    return torch.tensor(draw(st.lists(numbers, min_size=size, max_size=size)))


def weighted_error(w: Tensor, h: Array, decoded: Tensor) -> float:
    return float((h * (w.double() - decoded.double()).numpy() ** 2).sum())


SCALED = [BinaryScale(), TernaryScale(), PowersOfTwo(1, scale=True), PowersOfTwo(2, scale=True)]
FIXED = [Binary(), Ternary(), PowersOfTwo(0), PowersOfTwo(3)]


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("scheme", [*FIXED, *SCALED], ids=lambda x: x.describe())
@settings(max_examples=20)
@given(st.data())
def test_nothing_is_better(small: bool, scheme: Compression, data: st.DataObject) -> None:
    levels = grid(scheme)
    vector = data.draw(s.vectors(3 if len(levels) > 5 else 5))
    drawn = data.draw(importance(vector.numel()))
    h = np.ones(vector.numel()) if drawn is None else drawn.double().numpy()
    weighting = None if drawn is None else Diagonal((drawn,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid_scale, "_SMALL", 1 << 14 if small else 0)
        code = scheme.project((vector,), mu=1.0, weighting=weighting)
    s.check_code(code, (vector,))
    found = weighted_error(vector, h, code.decode()[0])
    best = least_error(vector.double().numpy(), h, levels, scheme in SCALED)
    energy = float((h * vector.double().numpy() ** 2).sum())
    epsilon = 8 * torch.finfo(vector.dtype).eps
    assert found**0.5 <= max(best, 0.0) ** 0.5 * (1 + 1e-9) + (epsilon + 2e-6) * energy**0.5


@pytest.mark.parametrize("c", [1, 4])
def test_searching_and_sorting_find_the_same_scale(c: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(c)
    weight = torch.randn(3000, generator=generator).double()
    h = torch.rand(3000, generator=generator).double()
    levels = (0.0, *(2.0**-i for i in range(c, -1, -1)))
    errors = []
    for small in (1 << 20, 0):
        monkeypatch.setattr(grid_scale, "_SMALL", small)
        scale = float(grid_scale.best_scales(weight, h, levels, ((1, 3000),))[0])
        away = (weight.abs()[:, None] - scale * torch.tensor(levels).double()).square().min(1)
        errors.append(float((h * away.values).sum()))
    assert errors[0] == pytest.approx(errors[1], rel=1e-10)


def test_the_solutions_of_the_paper() -> None:
    weight = torch.tensor([[-0.4, 0.8], [0.0, -2.0]])
    assert Binary().project((weight,), mu=1.0).decode()[0].tolist() == [[-1, 1], [1, -1]]
    scaled = BinaryScale().project((weight,), mu=1.0).decode()[0]
    assert torch.allclose(scaled, torch.tensor([[-0.8, 0.8], [0.8, -0.8]]))
    assert Ternary().project((weight,), mu=1.0).decode()[0].tolist() == [[0, 1], [0, -1]]
    # 2² / 1 = 4 > 2.8² / 2 = 3.92: the largest weight alone
    assert TernaryScale().project((weight,), mu=1.0).decode()[0].tolist() == [[0, 0], [0, -2]]
    weight = torch.tensor([0.0, 0.12, 0.13, 0.37, 0.38, -0.74, -0.76, 5.0])
    decoded = PowersOfTwo(2).project((weight,), mu=1.0).decode()[0]
    assert decoded.tolist() == [0.0, 0.0, 0.25, 0.25, 0.5, -0.5, -1.0, 1.0]


@pytest.mark.parametrize(
    ("scheme", "each"),
    [
        (Binary(), 1.0),
        (Ternary(), 1.6),
        (PowersOfTwo(0), 1.6),
        (PowersOfTwo(1), 8 / 3),
        (PowersOfTwo(2), 3.0),
        (PowersOfTwo(6), 4.0),
    ],
)
def test_bits(scheme: Compression, each: float) -> None:
    weight = torch.randn(8, 30, generator=torch.Generator().manual_seed(0))
    assert scheme.project((weight,), mu=1.0).bits() == round(240 * each)


def test_scales_take_their_bits_and_can_be_cast() -> None:
    weights = (torch.randn(8, 30, generator=torch.Generator().manual_seed(0)), torch.ones(3))
    for group, count in ((None, 1), ("tensor", 2), ("row", 9), (50, 6)):
        scheme = BinaryScale(group)
        assert scheme.project(weights, mu=1.0).bits() == 243 + 32 * count
        assert scheme.reals_shapes(((8, 30), (3,))) == ((count,),)
    code = Compose([Prune(0.5), TernaryScale(), Cast("float16")]).project(weights, mu=1.0)
    s.check_code(code, weights)


def test_a_scale_for_each_row_is_that_of_the_row_alone() -> None:
    weight = torch.randn(6, 40, generator=torch.Generator().manual_seed(0))
    weight *= torch.arange(1.0, 7.0)[:, None]
    for scheme, alone in (
        (TernaryScale("row"), TernaryScale()),
        (PowersOfTwo(2, True, "row"), PowersOfTwo(2, True)),
        (BinaryScale("row"), BinaryScale()),
    ):
        (together,) = scheme.project((weight,), mu=1.0).decode()
        for row, decoded in zip(weight, together, strict=True):
            assert torch.allclose(decoded, alone.project((row,), mu=1.0).decode()[0])


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(SchemeError, match="group = 'layer'"):
        BinaryScale("layer")
    with pytest.raises(SchemeError, match="c = 127 is not an integer from 0 to 126"):
        PowersOfTwo(127)
    with pytest.raises(SchemeError, match="needs scale = true"):
        PowersOfTwo(3, group="row")
    with pytest.raises(SchemeError, match="put binary last"):
        Compose([Binary(), Cast("float16")])
    weighting = Covariance((torch.eye(3),))
    with pytest.raises(SchemeError, match="covariance"):
        TernaryScale().project((torch.ones(2, 3),), mu=1.0, weighting=weighting)


def test_restoring_contradicting_parts_is_refused() -> None:
    code = TernaryScale("row").project((torch.randn(4, 5),), mu=1.0)
    meta, tensors, children = code.meta(), code.tensors(), code.children()
    for changed in (
        {"levels": [-1.0, 0.0]},
        {"levels": [1.0, 0.0, -1.0]},
        {"group": None},
        {"scaled": False},
        {"shapes": [[4, 6]]},
    ):
        with pytest.raises((ValueError, SchemeError)):
            LevelsCode.restore(meta | changed, tensors, children)
    with pytest.raises(ValueError, match="5 digits"):
        LevelsCode.restore(meta, {"digits": torch.full((4,), 250, dtype=torch.uint8)}, children)
