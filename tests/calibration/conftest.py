"""A network of every kind of layer and data for it; nothing remembered between tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from autocompress.calibration import cache
from autocompress.data import Data
from tests.calibration.odd import SIDE, Odd, make_data


@pytest.fixture(scope="module")
def odd_data() -> Data:
    generator = torch.Generator().manual_seed(1)
    return make_data(torch.randn(24, 2, SIDE, SIDE, generator=generator))


@pytest.fixture(scope="module")
def odd(odd_data: Data) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Odd()
        model.train()
        model(next(iter(odd_data.train.batches(24)))[0])  # running statistics of its own
        with torch.no_grad():
            for param in model.bn.parameters():
                param.add_(0.1 * torch.randn(param.shape))
    return model.eval()


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    cache.forget()
    yield
    cache.forget()
