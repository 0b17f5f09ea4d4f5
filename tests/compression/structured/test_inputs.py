from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import autocompress as ac
from autocompress.compression.structured import inputs, structure
from autocompress.errors import SchemeError

SHAPES = [(12, 5, 3, 3), (7, 30), (4, 9)]


def both(weights: tuple[Tensor, ...], density: float) -> tuple[ac.Code, ac.Code]:
    """The code found in single precision where that is enough, and the one found without."""
    scheme = ac.StructurePrune(density=density, groups="inputs")
    quick = scheme.project(weights, mu=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structure.inputs, "prune", lambda *args: None)
        return quick, scheme.project(weights, mu=0.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 0.9), st.sampled_from([1e-6, 1.0, 1e6]))
def test_the_same_channels_survive_as_by_exact_sums(
    seed: int, density: float, scale: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = tuple(scale * torch.randn(shape, generator=generator) for shape in SHAPES)
    weights[1][:, 1:5] = weights[1][:, :1]  # that single precision hardly tells apart
    weights[1][0, 3] *= 1 + 2e-7
    quick, slow = both(weights, density)
    assert all(map(torch.equal, quick.kept, slow.kept))
    assert torch.equal(quick.inner.flat, slow.inner.flat)
    assert quick.inner.shapes == slow.inner.shapes
    for at_hand, decoded in zip(quick.decode(), slow.decode(), strict=True):
        assert torch.equal(at_hand.view(torch.int32), decoded.view(torch.int32))


def test_it_is_the_quick_way_that_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    prune = inputs.prune

    def told(*args: object) -> object:
        found.append(prune(*args))
        return found[-1]

    monkeypatch.setattr(structure.inputs, "prune", told)
    weights = tuple(torch.randn(s, generator=torch.Generator().manual_seed(0)) for s in SHAPES)
    ac.StructurePrune(density=0.5, groups="inputs").project(weights, mu=0.0)
    assert found[0] is not None


def test_what_is_not_finite_is_refused() -> None:
    weights = (torch.ones(4, 6), torch.full((3, 4), torch.nan))
    with pytest.raises(SchemeError, match="NaN"):
        ac.StructurePrune(density=0.5, groups="inputs").project(weights, mu=0.0)


def test_vectors_are_refused() -> None:
    with pytest.raises(SchemeError, match="no input channels"):
        ac.StructurePrune(density=0.5, groups="inputs").project(
            (torch.ones(4, 6), torch.ones(4)), mu=0.0
        )
