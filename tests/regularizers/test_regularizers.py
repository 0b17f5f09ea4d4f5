"""Values and gradients against formulas and differences, proximal operators against search."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from autocompress.errors import ConfigError
from autocompress.recipe import LC, recipe_from_dict
from autocompress.regularizers import (
    L1,
    REGULARIZERS,
    SCAD,
    GroupLasso,
    Hoyer,
    NuclearNorm,
    Orthogonality,
    Regularizer,
    SingularEntropy,
    SingularHoyer,
    SingularSCAD,
)
from autocompress.regularizers.functions import Clipped, Penalty, Total

ALL: list[Regularizer] = [
    L1(strength=0.7),
    *(
        Hoyer(strength=0.7, square=square, over=over)
        for square, over in itertools.product(
            (False, True), ("weights", "outputs", "inputs", "each-output", "each-input")
        )
    ),
    *(SCAD(strength=0.7, threshold=0.3, over=over) for over in ("weights", "outputs", "inputs")),
    GroupLasso(strength=0.7),
    GroupLasso(strength=0.7, over="inputs"),
    NuclearNorm(strength=0.7),
    NuclearNorm(strength=0.7, conv="spatial"),
    SingularHoyer(strength=0.7),
    SingularHoyer(strength=0.7, square=True, conv="spatial"),
    SingularSCAD(strength=0.7, threshold=0.6),
    SingularEntropy(strength=0.7),
    SingularEntropy(strength=0.7, of="softmax"),
    Orthogonality(strength=0.7),
    Orthogonality(strength=0.7, conv="spatial"),
]
PROXIMAL = [r for r in ALL if r.closed_prox]
SHAPES = [(4, 6), (6, 4), (3, 2, 3, 2), (4, 5, 3)]


def ids(regularizer: Regularizer) -> str:
    data = regularizer.model_dump()
    return "-".join(str(data[k]) for k in ("name", "square", "over", "conv", "of") if k in data)


def normal(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def matrix(w: Tensor, conv: str) -> Tensor:
    if conv == "spatial" and w.dim() == 4:
        return w.permute(0, 3, 1, 2).reshape(w.shape[0] * w.shape[3], -1)
    return w.flatten(1)


def obvious(r: Regularizer, w: Tensor) -> float:
    """R from its definition."""

    def scad(values: Any, t: float) -> float:
        total, a = 0.0, 3.7
        for x in np.abs(np.asarray(values)).ravel():
            if x <= t:
                total += x
            elif x <= a * t:
                total += (2 * a * t * x - x * x - t * t) / (2 * (a - 1) * t)
            else:
                total += t * (a + 1) / 2
        return total

    def ratio(values: Tensor, square: bool) -> float:
        return float(values.abs().sum() / values.square().sum().sqrt()) ** (1 + square)

    if isinstance(r, SCAD | Hoyer | GroupLasso) and r.over != "weights":
        groups = w.flatten(1) if "output" in r.over else w.transpose(0, 1).flatten(1)
        lengths = groups.square().sum(1).sqrt()
        if isinstance(r, SCAD):
            return scad(lengths, r.threshold)
        if isinstance(r, GroupLasso):
            return float(math.sqrt(groups.shape[1]) * lengths.sum())
        if "each" in r.over:
            return sum(ratio(g, r.square) for g in groups)
        return ratio(lengths, r.square)
    if isinstance(r, L1):
        return float(w.abs().sum())
    if isinstance(r, Hoyer):
        return ratio(w, r.square)
    if isinstance(r, SCAD):
        return scad(w, r.threshold)
    m = matrix(w, r.conv)
    if isinstance(r, Orthogonality):
        m = m.T if m.shape[0] > m.shape[1] else m
        return float(((m @ m.T - torch.eye(len(m))) ** 2).sum()) / len(m)
    s = torch.linalg.svdvals(m)
    if isinstance(r, NuclearNorm):
        return float(s.sum())
    if isinstance(r, SingularHoyer):
        return ratio(s, r.square)
    if isinstance(r, SingularSCAD):
        return scad(s, r.threshold)
    assert isinstance(r, SingularEntropy)
    p = s.softmax(0) if r.of == "softmax" else s / s.sum()
    return float(-(p * p.log()).sum())


@pytest.mark.parametrize("regularizer", ALL, ids=ids)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients(regularizer: Regularizer, shape: tuple[int, ...]) -> None:
    if len(shape) == 3 and getattr(regularizer, "conv", "") == "spatial":
        return  # of 2-D convolutions
    w = normal(shape)
    assert float(regularizer.measure(w)) == pytest.approx(obvious(regularizer, w), rel=1e-6)
    both = regularizer.value([w, 2 * w])
    expected = 0.7 * (obvious(regularizer, w) + obvious(regularizer, 2 * w))
    assert float(both) == pytest.approx(expected, rel=1e-6)
    gradient = regularizer.gradient(w)
    assert gradient.shape == w.shape
    step = 1e-5
    for seed in range(5):
        direction = normal(shape, seed + 1)
        ahead, behind = (float(regularizer.value([w + s * step * direction])) for s in (1, -1))
        slope = (ahead - behind) / (2 * step)
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("regularizer", PROXIMAL, ids=ids)
@pytest.mark.parametrize("step", [0.03, 0.5, 5.0])
def test_no_point_near_or_far_beats_the_proximal_operator(
    regularizer: Regularizer, step: float
) -> None:
    for shape in SHAPES[:3]:
        w = normal(shape)
        best = regularizer.prox(w, step)
        assert best.shape == w.shape

        def cost(x: Tensor, w: Tensor = w) -> float:
            return float(step * regularizer.value([x]) + 0.5 * (x - w).square().sum())

        least = cost(best) * (1 - 1e-9) - 1e-9
        others = [w, torch.zeros_like(w), best + 0 * w]
        others += [best + 10.0**-k * normal(shape, 9 + k) for k in range(6) for _ in range(3)]
        others += [s * w + (1 - s) * best for s in (0.1, 0.5, 0.9)]
        others += [best * s for s in (0.5, 0.9, 1.1)]
        assert all(least <= cost(x) for x in others)


@given(
    v=st.lists(st.floats(0, 4), min_size=1, max_size=6),
    step=st.floats(0, 6),
    threshold=st.floats(0.1, 1.5),
    a=st.floats(2.1, 5),
    clipped=st.booleans(),
)
def test_the_proximal_operators_of_magnitudes_against_a_grid(
    v: list[float], step: float, threshold: float, a: float, clipped: bool
) -> None:
    penalty: Penalty = Clipped(threshold, a) if clipped else Total()
    values = torch.tensor(v, dtype=torch.float64)
    ours = penalty.prox(values, step)
    grid = torch.linspace(0, 8, 401, dtype=torch.float64)

    def f(x: Tensor) -> Tensor:
        bent = (2 * a * threshold * x - x * x - threshold**2) / (2 * (a - 1) * threshold)
        flat = torch.full_like(x, threshold * (a + 1) / 2)
        pieces = torch.where(x <= threshold, x, torch.where(x <= a * threshold, bent, flat))
        return pieces if clipped else x

    costs = step * f(grid) + 0.5 * (grid - values[:, None]).square()
    mine = step * f(ours) + 0.5 * (ours - values).square()
    assert (mine <= costs.amin(1) + 1e-9).all()
    assert (ours >= 0).all()
    assert float(penalty.value(values)) == pytest.approx(float(f(values).sum()))


def test_known_proximal_operators() -> None:
    w = normal((4, 6))
    assert torch.equal(L1(strength=2).prox(w, 0.1), torch.nn.functional.softshrink(w, 0.2))
    u, s, vh = torch.linalg.svd(w, full_matrices=False)
    torch.testing.assert_close(
        NuclearNorm(strength=1).prox(w, 0.8), (u * (s - 0.8).clamp(min=0)) @ vh
    )
    lengths = w.norm(dim=1, keepdim=True)
    shorter = (1 - 0.3 * math.sqrt(6) / lengths).clamp(min=0) * w
    torch.testing.assert_close(GroupLasso(strength=0.3).prox(w, 1.0), shorter)
    # Fan & Li's own: threshold = strength, step 1
    t, a = 0.3, 3.7
    soft = w.sign() * (w.abs() - t).clamp(min=0)
    middle = ((a - 1) * w - w.sign() * a * t) / (a - 2)
    fan_li = torch.where(w.abs() <= 2 * t, soft, torch.where(w.abs() <= a * t, middle, w))
    torch.testing.assert_close(SCAD(strength=t, threshold=t).prox(w, 1.0), fan_li)


@pytest.mark.parametrize("regularizer", ALL, ids=ids)
def test_zeros_and_a_single_direction_do_no_harm(regularizer: Regularizer) -> None:
    for dtype in (torch.float32, torch.float64):
        zeros = torch.zeros(4, 6, dtype=dtype)
        one = zeros.clone()
        one[1, 2] = 3
        for w in (zeros, one, torch.ones_like(zeros)):
            gradient = regularizer.gradient(w)
            assert gradient.dtype == dtype
            assert torch.isfinite(gradient).all()
            assert torch.isfinite(regularizer.value([w]))
            if regularizer.closed_prox:
                assert torch.isfinite(regularizer.prox(w, 0.1)).all()
        if not isinstance(regularizer, Orthogonality):
            assert not regularizer.gradient(zeros).any()


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("over", ["weights", "each-output", "each-input"])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_hoyers_ratio_is_the_same_at_any_scale(square: bool, over: Any, scale: float) -> None:
    regularizer = Hoyer(strength=0.3, square=square, over=over)
    w = normal((4, 6))
    scaled = (w * scale).float()  # whose squares are not float32 numbers
    assert float(regularizer.value([scaled])) == pytest.approx(float(regularizer.value([w])))
    slope = regularizer.gradient(scaled).double() * scale
    torch.testing.assert_close(slope, regularizer.gradient(w), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("regularizer", ALL, ids=ids)
def test_recipes_keep_them(regularizer: Regularizer) -> None:
    recipe = LC(regularizers=(regularizer,))
    data = recipe.model_dump(mode="json")
    assert data["regularizers"][0]["name"] == regularizer.name
    again = recipe_from_dict(data)
    assert again == recipe
    assert hash(again) == hash(recipe)


def test_a_recipe_without_any_is_what_it_was() -> None:
    assert "regularizers" not in LC().model_dump(mode="json")
    recipe = recipe_from_dict({"regularizers": [{"name": "scad", "strength": 1e-4}]})
    assert isinstance(recipe, LC)
    assert recipe.regularizers == (SCAD(strength=1e-4),)
    assert recipe.regularizers[0].params == ("*weight",)
    assert L1(strength=1, params="fc*").params == ("fc*",)
    assert set(REGULARIZERS) == {r.name for r in ALL}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "scat", "strength": 1}, r"unknown regularizer 'scat': did you mean 'scad'"),
        ({"strength": 1}, r"unknown regularizer None"),
        ({"name": "scad"}, r"SCAD: strength: Field required"),
        ({"name": "scad", "strength": 0}, r"SCAD.strength = 0: .*greater than 0"),
        ({"name": "scad", "strength": float("nan")}, r"strength = nan"),
        ({"name": "scad", "strength": 1, "a": 2}, r"SCAD.a = 2: .*greater than 2"),
        ({"name": "l1", "strength": 1, "over": "inputs"}, r"key of L1 'over'"),
        ({"name": "hoyer", "strength": 1, "mode": "proximal"}, r"'hoyer' has no proximal operator"),
        ({"name": "l1", "strength": 1, "params": []}, r"params"),
        ("scad", r"LC.regularizers.0 = 'scad'"),
    ],
)
def test_bad_settings(data: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe_from_dict({"regularizers": [data]})


def test_no_proximal_operator_is_said() -> None:
    with pytest.raises(ConfigError, match="'orthogonality' has no proximal operator"):
        Orthogonality(strength=1).prox(normal((3, 3)), 0.1)
