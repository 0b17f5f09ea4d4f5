"""C steps on a GPU: they stay there, and solve the problem as well as on the CPU."""

from __future__ import annotations

import pytest
import torch

from autocompress import compression as c
from autocompress.compression.base import Compression
from autocompress.compression.weighting import Covariance, Diagonal
from autocompress.testing.compression import error

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SCHEMES: list[Compression] = [
    c.Dense(),
    c.Cast("float16"),
    c.Cast("float8_e4m3fn"),
    c.Prune(0.2),
    c.L1Ball(0.05),
    c.L0Penalty(0.01),
    c.L1Penalty(0.05),
    c.NMPrune(2, 4),
    c.BlockPrune(0.3),
    c.StructurePrune(0.5),
    c.StructurePrune(0.5, groups="inputs"),
    c.Codebook(4),
    c.Codebook(5, zero=True),
    c.Codebook(3, group="row"),
    c.Binary(),
    c.BinaryScale(),
    c.Ternary(),
    c.TernaryScale(),
    c.PowersOfTwo(3, scale=True),
    c.Uniform(4),
    c.Uniform(3, symmetric=False, per="channel"),
    c.Uniform(4, scale="entropy"),
    c.LowRank(3),
    c.RankSelection(1e-2),
    c.GlobalRank(0.5),
    c.Compose([c.Prune(0.3), c.Codebook(4), c.Cast("float16")]),
    c.Additive([c.Codebook(2), c.Prune(0.05)]),
]


def weights() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=generator) for shape in ((24, 40), (16, 24)))


@needs_cuda
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.describe())
def test_cpu_and_cuda_agree(scheme: Compression) -> None:
    here = weights()
    there = tuple(w.cuda() for w in here)
    ours, theirs = scheme.project(here, mu=1.0), scheme.project(there, mu=1.0)
    assert all(d.is_cuda for d in theirs.decode())
    assert theirs.bits() == ours.bits()
    back = tuple(d.cpu() for d in theirs.decode())
    for a, b in zip(ours.decode(), back, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)
    assert error(theirs, there) == pytest.approx(error(ours, here), rel=1e-4, abs=1e-9)


@needs_cuda
def test_norms_are_taken_on_cuda() -> None:
    (weight, _) = weights()
    norm = torch.rand(weight.shape)
    inputs = torch.randn(200, weight.shape[1], dtype=torch.float64)
    covariance = inputs.T @ inputs / 200
    for scheme, here, there in (
        (c.Prune(0.2), Diagonal((norm,)), Diagonal((norm.cuda(),))),
        (c.Codebook(4), Diagonal((norm,)), Diagonal((norm.cuda(),))),
        (c.LowRank(3), Covariance((covariance,)), Covariance((covariance.cuda(),))),
    ):
        (a,) = scheme.project((weight,), mu=1.0, weighting=here).decode()
        (b,) = scheme.project((weight.cuda(),), mu=1.0, weighting=there).decode()
        assert torch.allclose(a, b.cpu(), rtol=1e-4, atol=1e-5), scheme.describe()


def test_the_list_is_complete() -> None:
    tested = {scheme.name for scheme in SCHEMES}
    assert tested >= {name for name in c.SCHEMES if ":" not in name}
