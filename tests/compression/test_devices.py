"""C steps on another device: they stay there, and solve the problem as well as on the CPU.

On a GPU where there is one, and always on a device that is not there (:mod:`tests.away`).
"""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from autocompress import compression as c
from autocompress.compression.base import Compression, Tensors
from autocompress.compression.weighting import Covariance, Diagonal, Weighting
from autocompress.storage import codec
from autocompress.testing import CompressionContract
from autocompress.testing.compression import error
from tests.away import DEVICE, Away, away
from tests.compression import test_contract

CONTRACTS = [
    contract
    for contract in vars(test_contract).values()
    if isinstance(contract, type)
    and issubclass(contract, CompressionContract)
    and contract is not CompressionContract
]
WEIGHTED = [
    c.Prune(0.2),
    c.NMPrune(2, 4),
    c.BlockPrune(0.3),
    c.StructurePrune(0.5),
    c.Codebook(4),
    c.Codebook(3, group="row"),
    c.TernaryScale(),
    c.Uniform(4),
    c.Uniform(4, symmetric=False, per="channel"),
    c.LowRank(3),
    c.RankSelection(1e-2),
    c.Compose([c.Prune(0.3), c.Codebook(4), c.Cast("float16")]),
]


def moved(tensors: Tensors, device: torch.device) -> Tensors:
    return tuple(tensor.to(device) for tensor in tensors)


def agree(
    scheme: Compression, here: Tensors, there: Tensors, norms: tuple[Weighting, Weighting] | None
) -> None:
    """Check that a C step gives the same on both devices, also from a previous one."""
    what = scheme.describe()
    norm, other = norms or (None, None)
    ours = scheme.project(here, mu=1.0, weighting=norm)
    theirs = scheme.project(there, mu=1.0, weighting=other)
    for _ in range(2):
        decoded = theirs.decode()
        assert all(d.device.type == w.device.type for d, w in zip(decoded, there, strict=True)), (
            what
        )
        assert theirs.bits() == ours.bits(), what
        for a, b in zip(ours.decode(), decoded, strict=True):
            torch.testing.assert_close(b.cpu(), a, rtol=1e-4, atol=1e-5, msg=what)
        if norm is None:
            assert error(theirs, there) == pytest.approx(error(ours, here), rel=1e-4, abs=1e-9), (
                what
            )
        node, tensors = codec.encode(theirs, "x")
        stored = {name: tensor.cpu() for name, tensor in tensors.items()}
        again = codec.decode(json.loads(json.dumps(node)), stored).decode()
        assert all(torch.equal(a, b.cpu()) for a, b in zip(again, theirs.decode(), strict=True)), (
            what
        )
        ours = scheme.project(here, mu=1.0, previous=ours, weighting=norm)
        theirs = scheme.project(there, mu=1.0, previous=theirs, weighting=other)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.__name__)
def test_both_devices_agree(contract: type[CompressionContract], device: torch.device) -> None:
    for scheme, weights in contract().cases():
        agree(scheme, weights, moved(weights, device), None)


@pytest.mark.parametrize("scheme", WEIGHTED, ids=lambda scheme: scheme.describe())
def test_norms_are_taken_there(scheme: Compression, device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = tuple(torch.randn(s, generator=generator) for s in ((24, 40), (16, 24)))
    there = moved(weights, device)
    importance = tuple(torch.rand(w.shape, generator=generator) + 0.1 for w in weights)
    inputs = [torch.randn(200, w.shape[1], generator=generator).double() for w in weights]
    covariance = tuple(x.T @ x / len(x) for x in inputs)
    tried = 0
    for kind, norm in (("diagonal", Diagonal), ("covariance", Covariance)):
        if kind in scheme.weightings:
            values = importance if kind == "diagonal" else covariance
            agree(scheme, weights, there, (norm(values), norm(moved(values, device))))
            tried += 1
    assert tried


def test_a_device_that_is_not_there_keeps_apart() -> None:
    with away():
        tensor = torch.ones(3).to(DEVICE)
        assert isinstance(tensor, Away)
        assert tensor.device.type != "cpu"
        assert not (tensor + 1).is_cpu
        assert torch.zeros(3, device=DEVICE).device == torch.tensor([1.0], device=DEVICE).device
        assert torch.equal((2 * tensor).cpu(), 2 * torch.ones(3))
        with pytest.raises(RuntimeError, match="two devices"):
            tensor + torch.ones(3)
        with pytest.raises(RuntimeError, match="numpy"):
            tensor.numpy()
        part: Tensor = tensor[:2]
        part.mul_(5)
        assert tensor.cpu().tolist() == [5, 5, 1]
