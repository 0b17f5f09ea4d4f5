from __future__ import annotations

from itertools import accumulate, chain, pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autocompress.compression import Compose, Dense, StructurePrune
from autocompress.compression.base import Tensors, shapes_of
from autocompress.compression.structured.structure import StructureCode, leaders
from autocompress.errors import SchemeError
from tests.compression import strategies as s


@st.composite
def layers(draw: st.DrawFn) -> Tensors:
    """One to three layers of few channels, with zero to two vectors tied to each."""
    weights: list[Tensor] = []
    dtype, scale = draw(st.sampled_from(s.DTYPES)), draw(st.sampled_from(s.SCALES))
    for _ in range(draw(st.integers(1, 3))):
        channels = draw(st.integers(1, 3))
        rest = draw(st.sampled_from([(1,), (2,), (1, 2, 1)]))
        vectors = [(channels,)] * draw(st.integers(0, 2))
        for shape in [(channels, *rest), *vectors]:
            size = torch.Size(shape).numel()
            elements = draw(st.lists(st.integers(-2, 2), min_size=size, max_size=size))
            values = torch.tensor(elements, dtype=torch.float64) * scale
            weights.append(values.to(dtype).reshape(shape))
    return tuple(weights)


def groups(weights: Tensors) -> list[list[float]]:
    """Squared norm of every output channel of every layer, tied vectors included."""
    energies: list[list[float]] = []
    for weight in weights:
        rows = weight.double().square().reshape(weight.shape[0], -1).sum(1).tolist()
        if weight.dim() >= 2:
            energies.append(rows)
        else:
            energies[-1] = [a + b for a, b in zip(energies[-1], rows, strict=True)]
    return energies


@settings(max_examples=150)
@given(layers(), st.floats(0.01, 1))
def test_no_other_choice_of_channels_is_better(weights: Tensors, density: float) -> None:
    code = StructurePrune(density).project(weights, mu=0.0)
    s.check_code(code, weights)
    energies = groups(weights)
    count = sum(map(len, energies))
    allowed = max(len(energies), round(density * count))
    total = sum(map(sum, energies))
    best = min(
        total - sum(e for e, keep in zip(chain(*energies), choice, strict=True) if keep)
        for choice in product([False, True], repeat=count)
        if sum(choice) <= allowed and _one_each(choice, energies)
    )
    assert s.error(code.decode(), weights) <= best + 1e-12 * total
    kept = [k.tolist() for k in code.kept]
    assert all(kept)
    assert sum(map(len, kept)) == allowed


def _one_each(choice: tuple[bool, ...], energies: list[list[float]]) -> bool:
    ends = list(accumulate(map(len, energies), initial=0))
    return all(any(choice[start:end]) for start, end in pairwise(ends))


@given(layers(), st.floats(0.01, 1))
def test_channels_survive_or_vanish_whole(weights: Tensors, density: float) -> None:
    code = StructurePrune(density).project(weights, mu=0.0)
    parts = zip(weights, code.decode(), code.channels(), strict=True)
    for weight, decoded, kept in parts:
        expected = torch.zeros_like(weight)
        expected[kept] = weight[kept]
        assert torch.equal(decoded, expected)


def test_biases_count_and_go_with_their_neuron() -> None:
    weight = torch.tensor([[1.0, 1.0], [0.0, 0.5], [1.0, 0.0]])
    bias = torch.tensor([0.0, 3.0, 0.1])
    decoded = StructurePrune(0.34).project((weight, bias), mu=0.0).decode()
    assert decoded[0].tolist() == [[0.0, 0.0], [0.0, 0.5], [0.0, 0.0]]
    assert decoded[1].tolist() == [0.0, 3.0, 0.0]


def test_ties_go_to_the_earlier_group() -> None:
    weights = (torch.ones(4, 2), torch.ones(3, 2))
    code = StructurePrune(0.6).project(weights, mu=0.0)
    assert [k.tolist() for k in code.kept] == [[0, 1, 2], [0]]


def test_every_layer_keeps_one() -> None:
    weights = (torch.full((5, 3), 1e-6), torch.full((5, 3), 10.0))
    code = StructurePrune(0.2).project(weights, mu=0.0)
    assert [k.numel() for k in code.kept] == [1, 1]


def test_bits() -> None:
    weights = (torch.randn(8, 3), torch.randn(8), torch.randn(4, 2, 3, 3))
    code = StructurePrune(0.5).project(weights, mu=0.0)
    values = sum(8 * p.numel() * p.element_size() for p in code.inner.decode())
    assert code.bits() == (8 + 4) + values


def test_leaders() -> None:
    assert leaders(((4, 3), (4,), (4,), (2, 3, 3, 3), (5, 1))) == [0, 0, 0, 3, 4]


@pytest.mark.parametrize("shapes", [((4,),), ((4, 3), (5,)), ((4, 3), ()), ((),)])
def test_vectors_tied_to_nothing_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(SchemeError, match=r"tensor [01] of shape"):
        StructurePrune(0.5).check(shapes)
    with pytest.raises(SchemeError, match=r"tensor [01] of shape"):
        StructurePrune(0.5).project(tuple(torch.ones(shape) for shape in shapes), mu=0.0)


@pytest.mark.parametrize("density", [0, -0.5, 1.5, float("nan"), "1"])
def test_densities_outside_0_1_are_refused(density: float) -> None:
    with pytest.raises(SchemeError, match=r"density"):
        StructurePrune(density)


def test_structured() -> None:
    assert StructurePrune(0.5).structured
    assert Compose([StructurePrune(0.5)]).structured
    assert not Dense().structured


def test_canonical() -> None:
    shapes = ((10, 3), (10,), (10, 2))
    assert StructurePrune(1.0).canonical(shapes) == Dense()
    assert StructurePrune(0.99).canonical(shapes) == Dense()
    assert StructurePrune(0.9).canonical(shapes) == StructurePrune(0.9)


def test_restoring_contradicting_parts_is_refused() -> None:
    weights = (torch.randn(6, 3), torch.randn(6))
    code = StructurePrune(0.5).project(weights, mu=0.0)
    other = StructurePrune(0.9).project(weights, mu=0.0)
    for meta, tensors, children in (
        (code.meta(), code.tensors(), other.children()),
        (code.meta(), other.tensors(), code.children()),
        ({"shapes": [[6, 4], [6]]}, code.tensors(), code.children()),
        ({"shapes": [[6, 3]]}, code.tensors(), code.children()),
        ({"shapes": [[6], [6]]}, code.tensors(), code.children()),
        ({"shapes": [[60, 3], [60]]}, code.tensors(), code.children()),
    ):
        with pytest.raises(ValueError, match=r"."):
            StructureCode.restore(meta, tensors, children)
    assert shapes_of(weights) == code.shapes
