from __future__ import annotations

import torch
from torch import Tensor, nn

from autocompress.data import Data, Split
from autocompress.evaluation import Evaluation
from autocompress.metrics import LatencySettings, Measurement


class Counted:
    """Stands for a compressed model; counts what is asked of it."""

    def __init__(self) -> None:
        self.realized = 0
        self.splits: list[Split] = []

    @property
    def size(self) -> object:
        raise AssertionError("no size was asked for")

    def evaluate(self, split: Split, batch_size: int = 1024) -> Evaluation:
        del batch_size
        self.splits.append(split)
        return Evaluation(0.5, 0.9, 10)

    def realize(self, example: Tensor | None = None) -> nn.Module:
        assert example is not None
        self.realized += 1
        return nn.Sequential(nn.Flatten(), nn.Linear(example[0].numel(), 2)).eval()


def test_everything_is_worked_out_once_and_only_if_asked_for(digits: Data) -> None:
    compressed = Counted()
    reference = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    settings = LatencySettings(samples=10, seconds=0, warmup_seconds=0)
    measurement = Measurement(compressed, reference, digits, settings)  # type: ignore[arg-type]
    assert compressed.realized == 0
    assert measurement.flops == 2 * 64 * 2
    assert measurement.latency is measurement.latency
    assert measurement.latency.samples == 10
    assert measurement.realized is measurement.realized
    assert compressed.realized == 1
    assert compressed.splits == []
    assert measurement.validation is measurement.validation
    assert compressed.splits == [digits.val]


def test_the_example_is_one_input(digits: Data) -> None:
    example = Measurement(Counted(), nn.Identity(), digits).example  # type: ignore[arg-type]
    assert example.shape == (1, 1, 8, 8)
    assert example.dtype == torch.float32
