from __future__ import annotations

import torch
from torch import nn

from autocompress.metrics import count_flops, count_params


def test_two_operations_a_multiply_add() -> None:
    assert count_flops(nn.Linear(7, 5), torch.zeros(1, 7)) == 2 * 7 * 5


def test_a_convolution_counts_its_positions() -> None:
    conv = nn.Conv2d(3, 4, 5, stride=2)
    assert count_flops(conv, torch.zeros(1, 3, 11, 9)) == 2 * (3 * 4 * 25) * (4 * 3)


def test_only_one_sample_counts() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.ReLU(), nn.Linear(3, 2))
    assert count_flops(net, torch.zeros(9, 3, 4)) == 2 * (36 + 6)


def test_the_same_in_inference_mode() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 3)
    ).eval()
    outside = count_flops(net, torch.zeros(1, 1, 8, 8))
    with torch.inference_mode():
        assert count_flops(net, torch.zeros(1, 1, 8, 8)) == outside == 2 * (18 * 36 + 216)


def test_shared_parameters_count_once() -> None:
    layer = nn.Linear(4, 4)
    assert count_params(nn.Sequential(layer, nn.ReLU(), layer)) == 20
