"""Which layers can be compressed and what belongs to them."""

from __future__ import annotations

import torch
from torch import nn

from autocompress.layers import find_layers


def test_layers_in_order_with_their_channel_params() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8, 4),
        nn.Tanh(),
        nn.Linear(4, 2),
    )
    conv, hidden, last = find_layers(model)
    assert (conv.name, conv.kind, conv.shape, conv.bias) == ("0", "conv", (8, 3, 3, 3), None)
    assert conv.channel_params == ("1.weight", "1.bias")
    assert (hidden.index, hidden.bias, hidden.channel_params) == (1, "4.bias", ("4.bias",))
    assert (last.weight, last.kind) == ("6.weight", "linear")


def test_a_layer_alone_and_a_norm_of_other_width() -> None:
    (only,) = find_layers(nn.Linear(3, 2))
    assert (only.name, only.weight, only.bias) == ("", "weight", "bias")
    conv, _ = find_layers(nn.Sequential(nn.Conv1d(2, 4, 1), nn.BatchNorm1d(6), nn.Linear(6, 1)))
    assert conv.channel_params == ("0.bias",)


def test_shared_weights_are_reported_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 3)
            self.b = nn.Linear(3, 3)
            self.b.weight = self.a.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x))

    assert [layer.name for layer in find_layers(Tied())] == ["a"]
