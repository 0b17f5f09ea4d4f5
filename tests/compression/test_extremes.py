"""Weights at the very end of their dtype decode to finite ones."""

from __future__ import annotations

import pytest
import torch

from autocompress import compression as c
from autocompress.compression.base import Compression

SCHEMES: list[Compression] = [
    c.Prune(0.5),
    c.StructurePrune(0.5),
    c.Codebook(2),
    c.Codebook(3, group="row"),
    c.BinaryScale(),
    c.TernaryScale(),
    c.PowersOfTwo(3, scale=True),
    *(
        c.Uniform(bits, symmetric, per, scale=scale)
        for bits in (1, 2, 8)
        for symmetric in (True, False)
        for per in ("tensor", "channel")
        for scale in ("mse", "minmax")
    ),
    c.LowRank(1),
    c.LowRank(2),
    c.LowRank(energy=0.9),
    c.RankSelection(1e-3),
    c.Compose([c.LowRank(2), c.Uniform(8)]),
]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.describe())
def test_nothing_decodes_to_infinity(scheme: Compression, dtype: torch.dtype) -> None:
    most = torch.finfo(dtype).max
    generator = torch.Generator().manual_seed(0)
    shares = 2 * torch.rand(8, 6, generator=generator, dtype=torch.float64) - 1
    for share in (
        torch.ones(4, 3),
        torch.tensor([[1.0, -1, 1], [1, 1, -1], [-1, 1, 1], [1, 1, 1]]),
        torch.tensor([[1.0, 0, 0], [0, -1, 0], [0, 0, 0.5], [1, 1, 1]]),
        shares,
        shares.abs(),
    ):
        weight = (share.double() * most).to(dtype)
        code = scheme.project((weight,), mu=1.0)
        for _ in range(2):  # at hand, and from what is stored
            (decoded,) = code.decode()
            assert bool(decoded.isfinite().all())
        assert float((decoded.double() / most - share).square().sum()) <= 4 * share.numel()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
def test_low_rank_is_as_good_at_any_scale(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    plain = torch.randn(12, 9, generator=generator, dtype=torch.float64)
    plain /= plain.abs().max()
    errors = []
    for scale in (1.0, torch.finfo(dtype).max):
        (decoded,) = c.LowRank(3).project(((plain * scale).to(dtype),), mu=1.0).decode()
        errors.append(float((decoded.double() / scale - plain).square().sum()))
    assert errors[1] == pytest.approx(errors[0], rel=2e-3)


def test_an_offset_that_is_too_large_gets_other_levels() -> None:
    # least squares put level 0 beyond the largest number of float16
    row = torch.tensor([[15768.0, 42784, 46400, 44352, 63424, 40384]]).half()
    code = c.Uniform(2, symmetric=False).project((row,), mu=1.0)
    (decoded,) = code.decode()
    assert float((decoded.double() - row.double()).abs().max()) < 12000
