"""The penalty's hand-written gradient against autograd."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autocompress.lc import Penalty, swapped


def _problem(seed: int = 0) -> tuple[list[nn.Parameter], list[torch.Tensor], list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(4, 3), (5,), (2, 3, 2, 2)]
    draw = [[torch.randn(s, generator=generator) for s in shapes] for _ in range(3)]
    return [nn.Parameter(t) for t in draw[0]], draw[1], draw[2]


@pytest.mark.parametrize("with_multipliers", [True, False])
@pytest.mark.parametrize("mu", [1e-3, 0.7, 50.0])
def test_gradient_and_value_equal_autograd(with_multipliers: bool, mu: float) -> None:
    params, decoded, multipliers = _problem()
    lam = multipliers if with_multipliers else [torch.zeros_like(m) for m in multipliers]
    loss = sum((p**3).sum() for p in params)
    loss.backward()
    penalty = Penalty(params, decoded, multipliers if with_multipliers else None, mu)
    penalty.add_grad()

    copies = [p.detach().clone().requires_grad_() for p in params]
    gaps = [c - d for c, d in zip(copies, decoded, strict=True)]
    value = sum(0.5 * mu * g.square().sum() - (m * g).sum() for g, m in zip(gaps, lam, strict=True))
    (sum((c**3).sum() for c in copies) + value).backward()

    for param, copy in zip(params, copies, strict=True):
        torch.testing.assert_close(param.grad, copy.grad)
    assert penalty.value() == pytest.approx(float(value.detach()), rel=1e-5)


def test_a_parameter_without_gradient_still_feels_the_pull() -> None:
    params, decoded, _ = _problem()
    Penalty(params, decoded, None, 2.0).add_grad()
    for param, target in zip(params, decoded, strict=True):
        torch.testing.assert_close(param.grad, 2.0 * (param.detach() - target))


def test_swapped_puts_the_same_storage_back_even_after_an_error() -> None:
    model = nn.Linear(3, 2)
    params = dict(model.named_parameters())
    before, pointer = model.weight.detach().clone(), model.weight.data_ptr()

    def fail_inside() -> None:
        with swapped(params, {"weight": torch.zeros(2, 3)}):
            assert float(model.weight.detach().abs().sum()) == 0
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail_inside()
    assert torch.equal(model.weight, before)
    assert model.weight.data_ptr() == pointer
