from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given
from torch import Tensor

from autocompress import compression as c
from autocompress.compression.extension.exact import smallest
from autocompress.compression.extension.extensions import EXTENSIONS
from autocompress.compression.extension.function import scheme, scheme_class
from autocompress.compression.registry import from_dict, to_dict
from autocompress.errors import SchemeError, UnknownName
from autocompress.testing import CompressionContract
from tests.compression.strategies import vectors


@scheme
def rounded(weight: Tensor, digits: int = 1) -> Tensor:
    return weight.round(decimals=digits)


@scheme
def positive(weight: Tensor) -> Tensor:
    return weight.clamp(min=0)


def scaled(weight: Tensor, factor: float) -> Tensor:
    return weight * factor


class TestFunctions(CompressionContract):
    optimal = False

    def make(self) -> list[c.Compression]:
        return [rounded, scheme(rounded, digits=0), positive, scheme(scaled, factor=0.5)]


def test_a_decorated_function_still_is_one() -> None:
    assert rounded(torch.tensor([0.123])).item() == pytest.approx(0.1)
    assert scheme(rounded, digits=2)(torch.tensor([0.123])).item() == pytest.approx(0.12)


def test_decorators_may_have_settings() -> None:
    @scheme(factor=3.0)
    def times(weight: Tensor, factor: float, power: int = 1) -> Tensor:
        return weight * factor**power

    assert times(torch.ones(1)).item() == 3
    assert scheme(times, power=2)(torch.ones(1)).item() == 9
    assert [f.name for f in dataclasses.fields(times)] == ["factor", "power"]


def test_the_name_is_module_and_function(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rounded.name == f"{__name__}:rounded"
    assert to_dict(rounded) == {"scheme": rounded.name, "digits": 1}
    monkeypatch.setitem(EXTENSIONS, rounded.name, type(rounded))
    assert from_dict({"scheme": rounded.name, "digits": 3}) == scheme(rounded, digits=3)
    with pytest.raises(UnknownName, match=r"unknown key.*did you mean 'digits'"):
        from_dict({"scheme": rounded.name, "digit": 3})


def test_a_functions_class_is_made_once() -> None:
    assert scheme_class(scaled) is scheme_class(scaled)
    assert scheme(scaled, factor=1) == scheme(scaled, factor=1)
    assert scheme(scaled, factor=1) != scheme(scaled, factor=2)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (torch.relu, "not a function"),
        (3, "not a function"),
        (lambda: 1, "takes no tensor"),
        (lambda *weights: 1, "takes no tensor"),
        (lambda weight, **settings: 1, "must have names"),
        (lambda weight, settings, /: 1, "must have names"),
    ],
)
def test_what_is_no_function_of_a_tensor(function: Any, words: str) -> None:
    with pytest.raises(SchemeError, match=words):
        scheme(function)


def test_wrong_settings() -> None:
    with pytest.raises(SchemeError, match=r"test_function:rounded: .*'digit'"):
        scheme(rounded, digit=1)
    with pytest.raises(SchemeError, match=r"test_function:scaled: .*'factor'"):
        scheme(scaled)


@pytest.mark.parametrize("result", [None, 3.0, torch.zeros(3), torch.zeros(2, 3, 1)])
def test_results_of_another_shape_are_refused(result: Any) -> None:
    with pytest.raises(SchemeError, match=r"must return a tensor of the same shape"):
        scheme(lambda weight: result).project((torch.ones(2, 3),), mu=1.0)


def test_results_that_are_not_finite_are_refused() -> None:
    with pytest.raises(SchemeError, match="NaN"):
        scheme(lambda weight: weight / 0).project((torch.zeros(2),), mu=1.0)


def test_functions_get_a_copy() -> None:
    weight = torch.ones(3)
    scheme(lambda w: w.zero_()).project((weight,), mu=1.0)
    assert weight.tolist() == [1, 1, 1]


def test_functions_in_compositions() -> None:
    survivors = c.Compose([c.Prune(0.5), scheme(lambda w: w.round())])
    (decoded,) = survivors.project((torch.tensor([0.1, 0.2, 1.3, -2.4]),), mu=1.0).decode()
    assert decoded.tolist() == [0, 0, 1, -2]
    with pytest.raises(SchemeError, match="would undo it"):
        c.Compose([scheme(lambda w: w), c.Prune(0.5)])


@given(vectors(40))
def test_the_smallest_code_is_exact_and_no_larger_than_dense(weight: Tensor) -> None:
    code = smallest((weight,))
    assert torch.equal(code.decode()[0], weight)
    assert code.decode()[0].dtype == weight.dtype
    assert code.bits() <= weight.numel() * weight.element_size() * 8


@pytest.mark.parametrize(
    ("weight", "kinds"),
    [
        (torch.randn(40, 30), ["dense"]),
        (torch.randn(40, 30).sign(), ["codebook", "dense"]),
        (torch.randn(40, 30) * (torch.rand(40, 30) < 0.1), ["sparse", "dense"]),
        (torch.randn(40, 30).sign() * (torch.rand(40, 30) < 0.1), ["sparse", "codebook", "dense"]),
    ],
)
def test_the_smallest_code_is_found(weight: Tensor, kinds: list[str]) -> None:
    code: c.Code | None = smallest((weight,))
    found = []
    while code is not None:
        found.append(code.kind)
        code = code.children().get("inner")
    assert found == kinds


def test_numbers_that_fit_into_16_bits_take_16() -> None:
    weight = torch.randn(50, dtype=torch.float64)
    assert smallest((weight,)).bits() == 50 * 64
    assert smallest((weight.float().double(),)).bits() == 50 * 32
    assert smallest((weight.half().double(),)).bits() == 50 * 16
    assert smallest((weight.bfloat16().double() * 2.0**100,)).bits() == 50 * 16
