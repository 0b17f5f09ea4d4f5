from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from autocompress import compression as c
from autocompress.compression import base
from autocompress.errors import SchemeError
from tests.compression import strategies as s


@given(st.lists(s.vectors(6), min_size=1, max_size=4))
def test_flattening_and_back(vectors: list[Tensor]) -> None:
    weights = tuple(v.to(torch.float32) for v in vectors if v.abs().max() < 1e30)
    if not weights:
        return
    flat = base.flatten(weights)
    assert flat.shape == (base.total_numel(base.shapes_of(weights)),)
    assert s.same(base.unflatten(flat, base.shapes_of(weights)), weights)


def test_natural_shapes_come_back() -> None:
    weights = (torch.arange(24.0).reshape(2, 3, 4), torch.tensor(7.0), torch.zeros(0, 3))
    assert base.shapes_of(weights) == ((2, 3, 4), (), (0, 3))
    assert s.same(base.unflatten(base.flatten(weights), base.shapes_of(weights)), weights)


def test_memory_order_does_not_matter() -> None:
    weight = torch.arange(24.0).reshape(1, 2, 3, 4)
    shuffled = weight.to(memory_format=torch.channels_last)
    assert base.flatten((shuffled,)).tolist() == weight.flatten().tolist()
    turned = torch.arange(6.0).reshape(2, 3).t()
    assert base.flatten((turned,)).tolist() == [0, 3, 1, 4, 2, 5]


def test_gradients_are_left_behind() -> None:
    assert not base.flatten((torch.ones(3, requires_grad=True),)).requires_grad


def test_no_weights_are_refused() -> None:
    with pytest.raises(SchemeError, match="at least one"):
        base.flatten(())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_what_is_not_finite_is_refused(value: float, dtype: torch.dtype) -> None:
    weights = (torch.ones(5, dtype=dtype), torch.tensor([1.0, value], dtype=dtype))
    with pytest.raises(SchemeError, match="NaN or infinity"):
        base.flatten(weights)
    with pytest.raises(SchemeError, match="NaN or infinity"):
        base.require_finite(weights[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_largest_finite_numbers_are_finite(dtype: torch.dtype) -> None:
    most = torch.finfo(dtype).max
    base.require_finite(torch.full((1000,), most, dtype=dtype))
    base.require_finite(torch.full((1000,), -most, dtype=dtype))


def test_numel() -> None:
    assert base.numel(()) == 1
    assert base.numel((3, 0)) == 0
    assert base.total_numel(((2, 3), (4,), ())) == 11


def test_describe() -> None:
    scheme = c.Compose([c.Prune(0.05), c.Codebook(4)])
    assert scheme.describe() == "compose(of=[prune(density=0.05), codebook(k=4)])"
    assert c.Dense().describe() == "dense()"
    assert c.LowRank(3).describe() == "low-rank(rank=3)"


def test_a_scheme_needs_project_and_a_code_its_parts() -> None:
    class Half(c.Compression):
        name = "half"

    with pytest.raises(TypeError, match="project"):
        Half()  # type: ignore[abstract]

    class Part(c.Code):
        kind = "part"

    with pytest.raises(TypeError, match="decode"):
        Part()  # type: ignore[abstract]


def test_defaults_of_a_scheme() -> None:
    class Plain(c.Compression):
        name = "plain"

        def project(
            self,
            weights: base.Tensors,
            *,
            mu: float,
            previous: c.Code | None = None,
            weighting: object = None,
        ) -> c.Code:
            return c.Dense().project(weights, mu=mu)

    plain = Plain()
    plain.check(((3,),))
    assert plain.canonical(((3,),)) is plain
    assert not plain.structured
