"""Long rows: the bracketing search against the sweep over every breakpoint, and its fast paths."""

from __future__ import annotations

import pytest
import torch

from autocompress.compression import Uniform
from autocompress.recover.leaves import leaves, rebuilt


def error(scheme: Uniform, weights: tuple[torch.Tensor, ...]) -> float:
    decoded = scheme.project(weights, mu=1.0).decode()
    return sum(
        float((w.double() - d).square().sum()) for w, d in zip(weights, decoded, strict=True)
    )


@pytest.mark.parametrize("bits", [2, 4, 6, 8])
@pytest.mark.parametrize("kind", ["normal", "laplace"])
def test_long_rows_are_as_near_as_the_grid_allows(bits: int, kind: str) -> None:
    """No scale of a fine scan around the optimum is better by more than rounding."""
    generator = torch.Generator().manual_seed(bits)
    weight = torch.randn(40, 500, generator=generator)
    if kind == "laplace":
        weight = weight.sign() * torch.rand(40, 500, generator=generator).log()
    ours = error(Uniform(bits), (weight,))
    most = 2 ** (bits - 1) - 1
    flat = weight.double().flatten()
    scales = torch.linspace(0.05, 1.0, 4000, dtype=torch.float64) * float(flat.abs().max()) / most
    best = min(
        float((flat - (flat / s).round().clamp(-most, most) * s).square().sum()) for s in scales
    )
    assert ours <= best * (1 + 1e-6)


def test_float32_and_float64_agree() -> None:
    weight = torch.randn(30, 400, generator=torch.Generator().manual_seed(0))
    for scale in ("mse", "minmax"):
        scheme = Uniform(5, scale=scale)  # type: ignore[arg-type]
        narrow, wide = error(scheme, (weight,)), error(scheme, (weight.double(),))
        assert narrow == pytest.approx(wide, rel=1e-5)


def test_decoding_is_differentiable_in_the_scales() -> None:
    weight = torch.randn(30, 400, generator=torch.Generator().manual_seed(0))
    code = Uniform(4).project((weight,), mu=1.0)
    numbers = [leaf.requires_grad_() for leaf in leaves(code)]
    (decoded,) = rebuilt(code, numbers, rounded=False).decode()
    (slope,) = torch.autograd.grad(decoded.double().sum(), numbers)
    (plain,) = code.decode()
    assert torch.equal(decoded.detach(), plain)
    assert float(slope) == pytest.approx(
        float(plain.double().sum() / numbers[0].detach()), rel=1e-4
    )
